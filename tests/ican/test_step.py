import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from common.config import configs
from common.errors import UserError
from common.parallel.devices import SINGLE
from common.reports.price_distribution import Pooling
from common.tables.encoders import AttributeSize, AttributeSpec
from common.training import tree_paths
from ican import ensemble
from ican.config import Config
from ican.model_config import KINDS
from ican.step import Learner, State
from ican.zones import Zones
from tests.ican.conftest import TINY

SPEC = AttributeSpec(
    (
        AttributeSize("metal", "categorical", 5),
        AttributeSize("weight", "continuous", 2),
        AttributeSize("stones", "set", 4),
    )
)
ZONES = Zones(tuple(np.arange(180.0, 501.0, 45.0)))
TRAIN_PRICES = np.array([100.0, 190, 200, 250, 300, 310, 350, 420])
ENSEMBLE = ensemble.build(
    ensemble.EnsembleConfig(classifiers=4, band=2.0), ZONES, TRAIN_PRICES
)
MAPS = (4, 6)  # positions, channels


def make_task(**changes):
    named = {name.replace("__", "."): value for name, value in changes.items()}
    config = configs.replace(Config(), {**TINY, **named})
    counts = ENSEMBLE.class_counts(TRAIN_PRICES)
    logs = np.log(TRAIN_PRICES)
    standard = (float(logs.mean()), float(logs.std()))
    return Learner(config, SPEC, ENSEMBLE, counts, MAPS, SINGLE, standard)


def draw_state(learner):
    """A state of random numbers, without compiling `init`."""
    rng = np.random.default_rng(0)
    shapes = jax.eval_shape(learner.init, {})
    params = jax.tree.map(
        lambda leaf: (0.3 * rng.normal(size=leaf.shape)).astype(np.float32),
        shapes.params,
    )
    optimizer = jax.tree.map(
        lambda leaf: np.zeros(leaf.shape, leaf.dtype), shapes.optimizer
    )
    return State(params, {}, optimizer)


def make_batch(items=8, seed=1):
    rng = np.random.default_rng(seed)
    prices = rng.choice(TRAIN_PRICES, items) * rng.uniform(0.97, 1.03, items)
    return {
        "categorical": rng.integers(0, 5, (items, 1)).astype(np.int32),
        "continuous": rng.normal(size=(items, 2)).astype(np.float32),
        "missing": rng.integers(0, 2, (items, 2)).astype(np.float32),
        "sets": rng.integers(0, 2, (items, 4)).astype(np.float32),
        "features": np.abs(rng.normal(size=(items, *MAPS))).astype(np.float16),
        "photo_mask": np.ones((items, 1), np.float32),
        "price": prices.astype(np.float32),
        "label": ZONES.label(prices),
        "targets": ENSEMBLE.targets(prices),
    }


def written_loss(logits, targets, mask=None, xp=np):
    """Eq. 17: for every classifier the sum over classes of the class-mean loss.

    Present classes alone compete; padding rows do not count.
    """
    present = ENSEMBLE.present
    rows = np.arange(len(targets)) if mask is None else np.flatnonzero(mask)
    total = 0.0
    for k in range(present.shape[0]):
        classes = np.flatnonzero(present[k])
        own = logits[:, k][:, classes]
        log_sum = xp.log(xp.exp(own).sum(1))
        for place, c in enumerate(classes):
            members = rows[targets[rows, k] == c]
            if len(members):
                total += xp.mean(log_sum[members] - own[members, place])
    return total / present.shape[0]


@pytest.fixture(scope="module")
def attributes_task():
    return make_task(
        model__kind="attributes",
        optimizer__learning_rate=0.1,
        optimizer__momentum=0.8,
    )


def logits_of(learner, params, batch):
    return learner.network.apply({"params": params, "batch_stats": {}}, batch).logits


def test_two_steps_are_two_momentum_updates_of_the_written_loss(attributes_task):
    learner, batches = attributes_task, [make_batch(seed=s) for s in (1, 2)]
    state = first = draw_state(learner)
    step = jax.jit(learner.step)
    losses = []
    for batch in batches:
        state, pairs = step(state, batch, jax.random.key(0))
        losses.append(float(pairs["loss"][0] / pairs["loss"][1]))
    params, trace = first.params, None
    for batch, loss in zip(batches, losses, strict=True):

        def loss_of(params, batch=batch):
            variables = {"params": params, "batch_stats": {}}
            told = learner.network.apply(variables, batch)
            zones = written_loss(told.logits, batch["targets"], xp=jnp)
            mean, deviation = learner.log_prices
            t = (told.price - (jnp.log(batch["price"]) - mean) / deviation) / 0.5
            return zones + 2.5 * jnp.log(1 + t**2 / 4).mean(), zones

        (_, value), grads = jax.jit(jax.value_and_grad(loss_of, has_aux=True))(params)
        assert loss == pytest.approx(float(value), rel=1e-5)
        trace = (
            grads
            if trace is None
            else jax.tree.map(lambda t, g: 0.8 * t + g, trace, grads)
        )
        params = jax.tree.map(lambda p, t: p - 0.1 * t, params, trace)
    jax.tree.map(
        lambda found, wanted: np.testing.assert_allclose(
            found, wanted, rtol=1e-4, atol=1e-6
        ),
        state.params,
        params,
    )
    moved = [
        np.abs(a - b).max()
        for a, b in zip(
            jax.tree.leaves(params), jax.tree.leaves(first.params), strict=True
        )
    ]
    assert max(moved) > 1e-2


def test_zones_learn_as_they_would_without_a_price_output(attributes_task):
    learners = (
        attributes_task,
        make_task(
            model__kind="attributes",
            optimizer__learning_rate=0.1,
            optimizer__momentum=0.8,
            loss__price=0.0,
        ),
    )
    states = []
    whole = draw_state(learners[0])
    for learner in learners:
        head = {
            name: module
            for name, module in whole.params["head"].items()
            if name in jax.eval_shape(learner.init, {}).params["head"]
        }
        state = learner.init({"params": {"head": head}})
        step = jax.jit(learner.step)
        for seed in (1, 2):
            state, pairs = step(state, make_batch(seed=seed), jax.random.key(seed))
        states.append(state.params["head"])
    assert states[0].keys() - states[1].keys() == {"price_hidden", "price"}
    for name in states[1]:
        jax.tree.map(
            # But for the rounding of another program.
            lambda one, other: np.testing.assert_allclose(one, other, 1e-5, 1e-6),
            states[0][name],
            states[1][name],
        )
    assert "price_loss" not in pairs


def test_without_a_price_output_the_mean_of_training_is_named():
    learner = make_task(model__kind="attributes", loss__price=0.0)
    state = draw_state(learner)
    outputs = learner.predict(state, make_batch())
    np.testing.assert_allclose(outputs.centres, np.log(TRAIN_PRICES).mean(), 1e-6)


def test_padding_does_not_count(attributes_task):
    """What stands in padded rows changes nothing; the rest agrees with numpy."""
    learner, state = attributes_task, draw_state(attributes_task)
    whole = make_batch(items=8)
    mask = np.array([1, 1, 1, 1, 1, 0, 0, 0], np.float32)
    whole["label"][5:], whole["price"][5:], whole["targets"][5:] = 7, 1e6, 2
    pairs = jax.jit(learner.evaluate)(state, {**whole, "mask": mask})
    found = {name: float(total / weight) for name, (total, weight) in pairs.items()}
    assert {float(weight) for _, weight in pairs.values()} == {5.0}

    logits = np.asarray(logits_of(learner, state.params, whole), np.float64)[:5]
    votes = np.where(ENSEMBLE.present[None], np.exp(logits), 0)
    votes /= votes.sum(-1, keepdims=True)
    scores = np.einsum("bkc,kcj->bj", votes, ENSEMBLE.weights)
    labels, prices = whole["label"][:5], whole["price"][:5].astype(np.float64)
    places = (scores > scores[np.arange(5), labels][:, None]).sum(1)
    for k in (1, 3, 5, 7):
        assert found[f"top{k}"] == pytest.approx((places < k).mean()), k
    distance = np.abs(scores.argmax(1) - labels).mean()
    assert found["zone_distance"] == pytest.approx(distance)
    outputs = learner.predict(state, whole)
    deviation = learner.log_prices[1]
    known = Pooling(1.0, 1.0, deviation / 2).distribution(
        scores, outputs.centres[:5], ZONES.edges
    )
    errors = np.abs(np.log(known.price(0.5) / prices))
    assert found["male"] == pytest.approx(errors.mean(), 1e-4)
    t = (outputs.centres[:5] - np.log(prices)) / (deviation / 2)
    assert found["price_loss"] == pytest.approx(
        (stats.t(4).logpdf(0) - stats.t(4).logpdf(t)).mean(), rel=1e-4
    )
    assert found["loss"] == pytest.approx(
        written_loss(logits, whole["targets"][:5]), rel=1e-5
    )
    np.testing.assert_allclose(outputs.scores[:5], scores, rtol=1e-4)
    assert outputs.visual_attention is None


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_learns(kind):
    learner = make_task(model__kind=kind, optimizer__name="sgd")
    state, batch, step = draw_state(learner), make_batch(), jax.jit(learner.step)
    before = tree_paths.flatten(state.params)
    for number in range(2):
        state, pairs = step(state, batch, jax.random.key(number))
        assert np.isfinite(float(pairs["loss"][0]))
        assert float(pairs["top3"][1]) == 8
    after = tree_paths.flatten(state.params)
    assert all(np.isfinite(leaf).all() for leaf in after.values())
    still = {name for name, leaf in after.items() if (leaf == before[name]).all()}
    # All items have photos, and a softmax does not see a bias common to its inputs.
    assert {name for name in still if "score/bias" not in name} <= {"missing_photo"}


def test_dropout_follows_the_key():
    learner = make_task(model__kind="visual", model__dropout=0.5)
    state, batch, step = draw_state(learner), make_batch(), jax.jit(learner.step)
    losses = [
        float(step(state, batch, jax.random.key(seed))[1]["loss"][0])
        for seed in (1, 1, 2)
    ]
    assert losses[0] == losses[1] != losses[2]


def test_init_takes_whole_modules_from_the_start_weights():
    learner = make_task(model__kind="visual")
    fresh = learner.init({})
    given = jax.tree.map(
        lambda leaf: np.full(leaf.shape, 7.0, np.float32), fresh.params
    )
    state = learner.init({"params": {"head": given["head"]}, "batch_stats": {}})
    for leaf in jax.tree.leaves(state.params["head"]):
        assert (leaf == 7).all()
    np.testing.assert_array_equal(
        state.params["missing_photo"], fresh.params["missing_photo"]
    )
    again = learner.init({})
    jax.tree.map(np.testing.assert_array_equal, again.params, fresh.params)
    other = dataclasses.replace(
        learner, config=configs.replace(learner.config, {"train.seed": 1})
    )
    one, two = (
        s.params["head"]["classifiers"]["kernel"] for s in (fresh, other.init({}))
    )
    assert (one != two).all()


def test_weights_that_do_not_fit_are_refused_by_name():
    learner = make_task(model__kind="visual")
    fits = jax.eval_shape(learner.init, {}).params
    learner.check_start({"params": fits}, "here")
    with pytest.raises(UserError, match="^runs/a: this network has no 'backbone'$"):
        learner.check_start({"params": {"backbone": {}}}, "runs/a")
    head = {"classifiers": {**fits["head"]["classifiers"], "bias": np.zeros(3)}}
    wanted = 4 * ENSEMBLE.classes
    message = (
        rf"^runs/a: head/classifiers/bias has shape \(3,\), this network needs"
        rf" \({wanted},\); use the same model settings$"
    )
    with pytest.raises(UserError, match=message):
        learner.check_start({"params": {"head": head}}, "runs/a")
    lacks = {"classifiers": {"kernel": fits["head"]["classifiers"]["kernel"]}}
    with pytest.raises(UserError, match="classifiers/bias has shape none"):
        learner.check_start({"params": {"head": lacks}}, "runs/a")


def test_a_frozen_backbone_stays():
    """It gets no updates, and the optimizer holds no state for it."""
    learner = make_task(model__kind="visual", backbone__frozen=True)
    learner = dataclasses.replace(learner, features=None)
    state = jax.eval_shape(learner.init, {})
    names = tree_paths.flatten(state.optimizer)
    assert "backbone" in state.params
    assert not [name for name in names if "backbone" in name]
    assert [name for name in names if "classifiers/kernel" in name]
