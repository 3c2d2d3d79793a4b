import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from common.backbone.network import PhotoNetwork
from common.backbone.step import PhotoLearner, State, measure_classes
from common.layers import resnet

pytestmark = pytest.mark.usefixtures("one_stage")

SMOOTHING = 0.3


def measure(logits, batch):
    return measure_classes(logits, batch["label"], SMOOTHING)


TASK = PhotoLearner(PhotoNetwork("tiny", 6), measure, optax.sgd(0.5), side=16)


@pytest.fixture
def one_stage(monkeypatch):
    """A network that compiles at once, batch normalisation and all."""
    sizes = resnet.Sizes((1,), widths=(4,), stem=4)
    monkeypatch.setitem(resnet.SIZES, "tiny", sizes)


def make_batch(items=5):
    rng = np.random.default_rng(0)
    return {
        "photos": rng.integers(0, 256, (items, 1, 16, 16, 3), np.uint8),
        "label": rng.integers(0, 6, items).astype(np.int32),
    }


def written_losses(logits, labels, smoothing=SMOOTHING):
    """Cross-entropy with (1 - s) on the label and s spread over all classes."""
    logits = np.asarray(logits, np.float64)
    log_shares = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    own = log_shares[np.arange(len(labels)), labels]
    return -(1 - smoothing) * own - smoothing * log_shares.mean(1)


def test_judges_the_real_rows_of_a_padded_batch():
    state, batch = jax.jit(lambda: TASK.init({}))(), make_batch()
    mask = np.array([1, 1, 1, 0, 0], np.float32)
    pairs = TASK.evaluate(state, {**batch, "mask": mask})
    found = {name: float(total / weight) for name, (total, weight) in pairs.items()}
    variables = {"params": state.params, "batch_stats": state.batch_stats}
    logits = TASK.network.apply(variables, batch["photos"][:3, 0])
    labels = batch["label"][:3]
    wanted = written_losses(logits, labels).mean()
    assert found["loss"] == pytest.approx(wanted, rel=1e-5)
    places = np.argsort(np.argsort(-np.asarray(logits), 1), 1)[np.arange(3), labels]
    assert found["top1"] == pytest.approx((places < 1).mean())
    assert found["top5"] == pytest.approx((places < 5).mean())


def test_logits_are_a_linear_map_of_the_mean_position():
    state, batch = jax.jit(lambda: TASK.init({}))(), make_batch(2)
    variables = {"params": state.params, "batch_stats": state.batch_stats}
    found = TASK.network.apply(variables, batch["photos"][:, 0])
    backbone = {name: tree["backbone"] for name, tree in variables.items()}
    images = resnet.normalise(batch["photos"][:, 0])
    maps = resnet.ResNet("tiny").apply(backbone, images)
    features = TASK.network.apply(variables, batch["photos"][:, 0], method="extract")
    np.testing.assert_allclose(features, maps.mean((1, 2)), rtol=1e-5, atol=1e-6)
    dense = state.params["output"]
    wanted = maps.mean((1, 2)) @ dense["kernel"] + dense["bias"][None]
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6)


def test_a_step_goes_down_the_gradient():
    state, batch = jax.jit(lambda: TASK.init({}))(), make_batch()
    after, pairs = jax.jit(TASK.step)(state, batch, jax.random.key(0))
    labels = jnp.asarray(batch["label"])

    def loss_of(params):
        variables = {"params": params, "batch_stats": state.batch_stats}
        logits, _ = TASK.network.apply(
            variables, batch["photos"][:, 0], train=True, mutable=["batch_stats"]
        )
        log_shares = jax.nn.log_softmax(logits)
        own = log_shares[jnp.arange(5), labels]
        return -(0.7 * own + 0.3 * log_shares.mean(1)).mean()

    loss, grads = jax.jit(jax.value_and_grad(loss_of))(state.params)
    assert float(pairs["loss"][0] / pairs["loss"][1]) == pytest.approx(float(loss))
    jax.tree.map(
        lambda new, old, grad: np.testing.assert_allclose(
            new, old - 0.5 * grad, rtol=1e-4, atol=1e-6
        ),
        after.params,
        state.params,
        grads,
    )
    moved = jax.tree.map(
        lambda a, b: (a != b).any(), after.batch_stats, state.batch_stats
    )
    assert all(jax.tree.leaves(moved))


def test_a_given_backbone_is_the_beginning():
    shapes = jax.eval_shape(TASK.init, {})
    given = jax.tree.map(
        lambda leaf: np.full(leaf.shape, 3.0, np.float32), shapes.params["backbone"]
    )
    state = TASK.init({"params": {"backbone": given}})
    assert isinstance(state, State)
    assert all((leaf == 3).all() for leaf in jax.tree.leaves(state.params["backbone"]))
    assert (state.params["output"]["kernel"] != 3).any()
