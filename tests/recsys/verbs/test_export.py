import importlib
import importlib.util
import json

import jax
import numpy as np
import pytest

from common.errors import UserError
from recsys.config import OURS
from recsys.step import SCORES
from recsys.verbs import export
from recsys.verbs.predict import Model
from tests.recsys import saved_models
from tests.recsys.saved_models import plain_scores

INDEXES = ("faiss", "usearch")


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    return saved_models.open_shop(tmp_path_factory.mktemp("shop [1]"))


def quiet(text):
    del text


@pytest.mark.parametrize("name", (OURS, *SCORES))
def test_inner_products_of_the_files_are_the_scores(name, shop, tmp_path, monkeypatch):
    monkeypatch.setattr(export, "_export_program", lambda model, folder, about: None)
    workdir = shop.save(tmp_path / "run", name, model__user_bias=name != "vbpr")
    model = Model(workdir)
    export.write(model, workdir, (), quiet)
    items, users = (np.load(workdir / f"{n}.npy") for n in ("items", "users"))
    assert items.dtype == users.dtype == np.float32
    found = users @ items.T
    user_ids = json.loads((workdir / "user_ids.json").read_text())
    assert user_ids == sorted({user for user, _ in shop.pairs})
    item_ids = json.loads((workdir / "item_ids.json").read_text())
    assert item_ids == shop.items["item"].tolist()
    everyone = list(range(len(users)))
    plain = plain_scores(model.network, model.trained.params, shop, everyone)
    np.testing.assert_allclose(found, plain, rtol=1e-4, atol=1e-4)
    catalogue = model.catalogue
    pairs = np.repeat(everyone, len(items)), np.tile(np.arange(len(items)), len(users))
    scores = jax.jit(
        lambda params, *batch: model.network.apply(
            {"params": params}, *batch, method="score"
        )
    )(
        model.trained.params,
        pairs[0],
        pairs[1],
        catalogue.leaf_of_item[pairs[1]],
        catalogue.take_features(pairs[1]),
    )
    np.testing.assert_allclose(found.ravel(), scores, rtol=1e-4, atol=1e-4)


def load_program(folder):
    """What stands in the folder's own serve.py."""
    spec = importlib.util.spec_from_file_location("serve", folder / "serve.py")
    serve = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(serve)
    return serve.Predictor(folder)


@pytest.mark.parametrize(
    ("name", "normalisation"),
    [("coarse-fine", "standardise"), ("sherlock", "unit"), ("deepstyle", "none")],
)
def test_the_program_gives_new_items_their_vectors(name, normalisation, shop, tmp_path):
    """As `item_vectors` does where all items of the table are new."""
    workdir = shop.save(tmp_path / "run", name, data__normalisation=normalisation)
    items = shop.items.assign(item=[f"new {item}" for item in shop.items["item"]])
    items.to_csv(tmp_path / "new.csv", index=False)
    config = shop.config(
        model__name=name,
        data__normalisation=normalisation,
        data__items=str(tmp_path / "new.csv"),
    )
    model = Model(workdir, config)
    export.write(model, workdir / "export", (), quiet)
    program = load_program(workdir / "export")
    leaves = program.metadata["about"]["leaves"]
    assert leaves["toys > toys > toys"] == 3 and len(leaves) == 6
    table = shop.items[["top", "middle", "leaf"]].itertuples(index=False)
    paths = [[cell for cell in row if isinstance(cell, str)] for row in table]
    numbers = [leaves[" > ".join(p + p[-1:] * (3 - len(p)))] for p in paths]
    features = shop.features[items["row"]]
    found = program.predict(leaf=np.array(numbers, np.int32), features=features)
    found = found["vector"]
    np.testing.assert_allclose(found, model.item_vectors(), rtol=1e-4, atol=1e-5)
    one = program.predict_one(leaf=np.int32(numbers[4]), features=features[4])
    np.testing.assert_allclose(one["vector"], found[4], rtol=1e-5, atol=1e-6)
    # What was learnt of single users and items is not given away.
    with np.load(workdir / "export" / "weights.npz") as weights:
        assert not [n for n in weights.files if n.startswith(("user_", "item_"))]


def test_the_nearest_lengthened_item_has_the_highest_inner_product():
    rng = np.random.default_rng(0)
    items = (rng.normal(size=(50, 4)) * rng.uniform(0.1, 3, (50, 1))).astype(np.float32)
    users = rng.normal(size=(20, 4)).astype(np.float32)
    long = export.lengthen(items)
    np.testing.assert_array_equal(long[:, :4], items)
    longest = np.linalg.norm(items, axis=1).max()
    np.testing.assert_allclose(np.linalg.norm(long, axis=1), longest, rtol=1e-5)
    queries = np.pad(users, ((0, 0), (0, 1))).astype(np.float64)
    far = ((queries[:, None] - long[None].astype(np.float64)) ** 2).sum(axis=2)
    products = users.astype(np.float64) @ items.T.astype(np.float64)
    np.testing.assert_array_equal(np.argsort(far), np.argsort(-products))
    # Without the new column it is not so: they differ in length.
    bare = ((users[:, None] - items[None]) ** 2).sum(axis=2)
    assert (bare.argmin(axis=1) != products.argmax(axis=1)).any()


class Ranked:
    """Exact lists, written down."""

    def __init__(self, lists):
        self.lists = lists

    def rank(self, vectors, length):
        """The first of each list, for users numbered by their only column."""
        return self.lists[vectors[:, 0].astype(int), :length]


def test_recall_by_hand():
    """Two users and six items on a line: the best are those with the highest number."""
    items = np.arange(6, dtype=np.float32)[:, None]
    users = np.array([[1.0], [2.0]], np.float32)
    exact = np.array([[9, 9], [5, 4], [5, 4]], np.int32)
    asked = []

    def search(queries, count):
        asked.append((queries.tolist(), count))
        return np.array([[0, 3, 5, -1], [4, 1, 5, 2]])  # in any order

    found = export.recall(Ranked(exact), items, users, search, length=2)
    assert found == (0.5 + 1.0) / 2
    assert asked == [([[1.0, 0.0], [2.0, 0.0]], 6)]
    # Only the best of what was found by their exact scores count.
    exact[1] = 3, 0
    found = export.recall(Ranked(exact), items, users, search, length=2)
    assert found == (0.5 + 1.0) / 2


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """A model of 400 items."""
    folder = tmp_path_factory.mktemp("large")
    shop = saved_models.open_shop(folder, item_count=400)
    workdir = shop.save(folder / "run", "coarse-fine", ranking__lengths=(4, 10))
    return Model(workdir)


@pytest.mark.filterwarnings("ignore:builtin type:DeprecationWarning")
@pytest.mark.parametrize("kind", INDEXES)
def test_an_index_finds_the_exact_lists(kind, large, tmp_path, monkeypatch):
    pytest.importorskip(export._MODULES[kind])
    monkeypatch.setattr(export, "_export_program", lambda model, folder, about: None)
    said = []
    values = export.write(large, tmp_path, (kind,), said.append)
    assert set(values) == {f"{kind}/recall@4", f"{kind}/recall@10"}
    assert 0.9 <= values[f"{kind}/recall@10"] <= 1
    assert json.loads((tmp_path / "recall.json").read_text()) == values
    assert (tmp_path / f"items.{kind}").stat().st_size > 400 * 13 * 4
    assert len(said) == 1 and kind in said[0] and "400 items" in said[0]
    # The file alone finds them too: the nearest to [user, 0] are the best.
    items, user = (np.load(tmp_path / f"{n}.npy") for n in ("items", "users"))
    query = np.pad(user[2], (0, 1))
    if kind == "faiss":
        faiss = importlib.import_module("faiss")
        index = faiss.read_index(str(tmp_path / "items.faiss"))
        found = index.search(query[None], 10)[1][0]
    else:
        usearch = importlib.import_module("usearch.index")
        index = usearch.Index.restore(str(tmp_path / "items.usearch"))
        found = index.search(query, 10).keys
    best = np.argsort(-(items @ user[2]))[:10]
    assert len(set(best.tolist()) & set(np.asarray(found).tolist())) >= 9


@pytest.mark.parametrize("kind", INDEXES)
def test_a_missing_library_is_told_before_anything_is_written(
    kind, large, tmp_path, monkeypatch
):
    def refuse(name):
        raise ImportError(name)

    monkeypatch.setattr(importlib, "import_module", refuse)
    with pytest.raises(
        UserError, match=f"--export.indexes={kind}: .*pip install"
    ) as told:
        export.write(large, tmp_path / "out", (kind,), quiet)
    assert "\n" not in str(told.value) and not (tmp_path / "out").exists()
