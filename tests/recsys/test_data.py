import string

import numpy as np
import pandas as pd
import pytest

from common.config import configs
from common.errors import UserError
from recsys import data
from recsys.config import Config
from recsys.generated import closet

ITEMS = [
    ("m1", "men", "boots", 3),
    ("w1", "women", "bags", 0),
    ("m2", "men", "coats", 5),
    ("w2", "women", "bags", 1),
    ("m3", "men", "boots", 2),
    ("x9", "art", "prints", 4),
]
LEAVES = (("art", "prints"), ("men", "boots"), ("men", "coats"), ("women", "bags"))
LEAF_OF_ITEM = [1, 3, 2, 3, 1, 0]
PAIRS = [
    *(("zoe", item) for item in ("m1", "w1", "m2", "w2")),
    *(("al", item) for item in ("x9", "m3", "m1")),
    *(("bo", item) for item in ("w2", "m2", "m3")),
]
# Their lengths are 5, 13, 17, 25, 29 and 41.
FEATURES = np.array([[3, 4], [5, 12], [8, 15], [7, 24], [20, 21], [9, 40]], np.float32)
UNIT = FEATURES / np.array([[5], [13], [17], [25], [29], [41]])


@pytest.fixture
def files(tmp_path):
    return Files(tmp_path)


class Files:
    """Tables in a folder; `config` names them all."""

    def __init__(self, folder):
        self.folder = folder
        np.save(folder / "features.npy", FEATURES)
        self.write("items", ITEMS)
        self.write("interactions", PAIRS)

    def write(self, name, rows, columns=None, ending=".csv"):
        columns = columns or {
            "items": ["item", "top", "middle", "row"],
            "interactions": ["user", "item"],
        }.get(name)
        frame = pd.DataFrame(rows, columns=columns)
        path = self.folder / f"{name}{ending}"
        if ending == ".csv":
            frame.to_csv(path, index=False)
        else:
            frame.to_parquet(path)
        return str(path)

    def config(self, **changes):
        named = {
            "data.interactions": str(self.folder / "interactions.csv"),
            "data.items": str(self.folder / "items.csv"),
            "data.features": str(self.folder / "features.npy"),
            "data.features_row": "row",
            "data.category": ("top", "middle"),
        }
        named |= {f"data.{name}": value for name, value in changes.items()}
        return configs.replace(Config(), named)

    def load(self, **changes):
        return data.load(
            self.config(**changes), rejected_file=self.folder / "rejected.csv"
        )


def pairs_of(corpus):
    """(user, item) ids of all splits."""
    return [
        (str(corpus.user_ids[user]), str(corpus.catalogue.item_ids[item]))
        for part in corpus.splits.values()
        for user, item in zip(part.users, part.items, strict=True)
    ]


def told_by(config, say=lambda text: None):
    with pytest.raises(UserError) as told:
        data.load(config, say)
    text = str(told.value)
    assert "\n" not in text
    return text


@pytest.mark.parametrize("ending", [".csv", ".parquet"])
def test_own_tables_written_out(files, ending):
    interactions = files.write("interactions", PAIRS, ending=ending)
    items = files.write("items", ITEMS, ending=ending)
    corpus = files.load(interactions=interactions, items=items)
    catalogue = corpus.catalogue
    assert corpus.user_ids.tolist() == ["al", "bo", "zoe"]
    assert catalogue.item_ids.tolist() == [item for item, *_ in ITEMS]
    assert catalogue.tree.leaves == LEAVES
    assert catalogue.leaf_of_item.tolist() == LEAF_OF_ITEM
    assert sorted(pairs_of(corpus)) == sorted(PAIRS)
    assert [len(corpus.splits[s]) for s in ("train", "validation", "test")] == [8, 1, 1]
    rows = [row for *_, row in ITEMS]
    found = catalogue.take_features(np.array([[0, 1, 0], [2, 5, 4]]))
    expected = UNIT[rows][[[0, 1, 0], [2, 5, 4]]]
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert (corpus.duplicates, corpus.rejected) == (0, 0)


def test_features_without_a_column_of_rows_are_in_the_order_of_the_table(files):
    corpus = files.load(features_row="")
    found = corpus.catalogue.take_features(np.arange(6))
    np.testing.assert_allclose(found, UNIT, rtol=1e-6)


def test_features_are_standardised_by_the_items_of_training_alone(files):
    corpus = files.load(normalisation="standardise", split_seed=3)
    seen = np.flatnonzero(corpus.seen)
    assert 0 < len(seen) < 6  # so that the others would show
    rows = np.array([row for *_, row in ITEMS])
    own = FEATURES[rows[seen]].astype(np.float64)
    expected = (FEATURES[rows] - own.mean(axis=0)) / own.std(axis=0)
    found = corpus.catalogue.take_features(np.arange(6))
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_features_from_attributes(files):
    rows = [
        ("m1", "men", "boots", "red", 1),
        # Rejected: it gives no value, and those below keep their cells.
        (None, "men", "boots", "green", 2),
        ("w1", "women", "bags", "blue", 30),
        ("m2", "men", "coats", "red", None),
        ("w2", "women", "bags", None, 30),
    ]
    columns = ["item", "top", "middle", "colour", "price"]
    pairs = [("zoe", item) for item in ("m1", "w1", "m2", "w2")] + [("al", "m1")]
    corpus = files.load(
        interactions=files.write("interactions", pairs),
        items=files.write("items", rows, columns),
        features="",
        features_row="",
        attributes=("colour",),
        numbers=("price",),
        attribute_min_count=1,
        max_rejected_fraction=0.2,
        normalisation="none",
        split_fractions=(0.6, 0.2, 0.2),
    )
    assert corpus.catalogue.encoder.categories == {"colour": ("red", "blue")}
    found = corpus.catalogue.take_features(np.arange(4))
    np.testing.assert_array_equal(found[:, :2], [[1, 0], [0, 1], [1, 0], [0, 0]])
    prices = found[:, 2:]
    np.testing.assert_array_equal(prices.sum(axis=1), [1, 1, 0, 1])
    assert prices[0, 0] == 1 and prices[1, -1] == 1 and prices[3, -1] == 1


def test_rejected_rows_are_listed_and_repeated_pairs_counted(files):
    items = [
        *ITEMS,
        ("m1", "women", "bags", 0),  # line 8, in two leaves
        ("n1", "", "boots", 1),  # line 9
        ("n2", "men", "boots", 6),  # line 10
    ]
    pairs = [
        ("zoe", "m1"),
        ("al", "m9"),  # line 3
        *PAIRS,
        (None, "m1"),  # line 14
        ("bo", "w2"),
        ("cy", "n1"),  # line 16
    ]
    corpus = files.load(
        interactions=files.write("interactions", pairs),
        items=files.write("items", items),
        max_rejected_fraction=0.4,
    )
    assert sorted(pairs_of(corpus)) == sorted(PAIRS)
    assert corpus.user_ids.tolist() == ["al", "bo", "zoe"]
    assert corpus.catalogue.leaf_of_item.tolist() == LEAF_OF_ITEM
    rejected = corpus.rejected, corpus.rejected_items
    assert (corpus.duplicates, *rejected) == (2, 3, 3)
    listed = pd.read_csv(files.folder / "rejected.csv", keep_default_na=False)
    names = [path.rsplit("/")[-1] for path in listed["file"]]
    assert list(zip(names, listed["line"], strict=True)) == [
        ("items.csv", 8),
        ("items.csv", 9),
        ("items.csv", 10),
        ("interactions.csv", 3),
        ("interactions.csv", 14),
        ("interactions.csv", 16),
    ]
    for place, words in enumerate(
        [
            ("line 2 already", "men > boots", "women > bags"),
            ("no category at level 1",),
            ("no row 6 of 6",),
            ("unknown item", "m9"),
            ("an empty cell",),
            ("unknown item", "n1"),
        ]
    ):
        assert all(word in listed["reason"][place] for word in words)
    said = data.describe(files.config(), corpus)
    assert said[0] == (
        "3 users, 6 items (3 rows rejected) in 4 categories, 10 distinct interactions (2"
        " repeated, 3 rejected)"
    )
    assert '"train": 8, "validation": 1, "test": 1' in said[1]


def test_too_many_rejected_rows_are_an_error_and_still_listed(files):
    pairs = [*PAIRS, ("al", "m9")]
    files.write("interactions", pairs)
    with pytest.raises(UserError, match="1 of 11 rows can't be used") as told:
        files.load()
    assert "line 12" in str(told.value) and "\n" not in str(told.value)
    assert pd.read_csv(files.folder / "rejected.csv")["line"].tolist() == [12]


def test_items_of_training_that_the_test_has_not_are_told(files):
    corpus = files.load()
    test = corpus.splits["test"].items
    unseen = np.mean(~np.isin(test, corpus.splits["train"].items))
    shares, leak, *_ = data.describe(files.config(), corpus)[1:]
    assert f"{unseen:.0%} of the test" in shares
    assert leak.startswith("note: ") and "leaks in time" in leak


def test_a_split_along_time_takes_the_last_for_the_test(files):
    columns = ["user", "item", "when"]
    rows = [(*pair, 1e9 + 60 * n) for n, pair in enumerate(reversed(PAIRS))]
    files.write("interactions", rows, columns)
    config = files.config(time="when", split="temporal_global")
    corpus = data.load(config)
    assert pairs_of(corpus)[-2:] == [PAIRS[1], PAIRS[0]]
    assert not any("leaks" in line for line in data.describe(config, corpus))


def notes_of(config):
    lines = data.describe(config, data.load(config))
    return [line for line in lines if line.startswith("note: ") and "leak" not in line]


def test_what_so_few_data_cannot_show_is_said(files):
    (few,) = notes_of(files.config())
    assert few.startswith("note: only 1 of 3 users have a test item: ")
    files.write("interactions", [("al", item[0]) for item in ITEMS])
    (one,) = notes_of(files.config(split="per_user"))
    assert one.startswith("note: all interactions are of one user")
    names = [*string.ascii_lowercase]
    everyone = [(user, item[0]) for user in names for item in ITEMS]
    files.write("interactions", everyone)
    assert notes_of(files.config()) == []  # about 16 in test
    files.write("items", [(row[0], "all", "all", row[3]) for row in ITEMS])
    (category,) = notes_of(files.config())
    assert category == "note: all items are of one category: it tells no item from" + (
        " another"
    )
    config = configs.replace(files.config(), {"negatives.kind": "hierarchical"})
    (category,) = notes_of(config)
    assert category.endswith("hierarchical negatives are drawn as uniform ones")


def test_with_times_the_split_is_along_time_unless_told_otherwise(files):
    rows = [(*pair, 1e9 + 60 * n) for n, pair in enumerate(reversed(PAIRS))]
    files.write("interactions", rows, ["user", "item", "when"])
    told = files.config(time="when", split="temporal_global")
    for config in (files.config(time="when"), told):
        corpus = data.load(config)
        assert pairs_of(corpus)[-2:] == [PAIRS[1], PAIRS[0]]
        assert "split temporal_global: " in data.describe(config, corpus)[1]
    drawn = data.load(files.config(time="when", split="random"))
    assert drawn.fingerprint != corpus.fingerprint
    assert data.load(files.config()).fingerprint == drawn.fingerprint


def test_the_split_of_the_closet_is_the_papers():
    assert Config().data.split_kind == "random"
    timed = configs.replace(Config(), {"data.time": "time"})
    assert timed.data.split_kind == "random"  # no table that it could be a column of
    before = configs.from_dict(Config, {"data": {"time": "t", "split": "random"}})
    own = configs.replace(before, {"data.interactions": "own.csv"})
    assert own.data.split_kind == "random"  # as an earlier version wrote it down


def test_paths_of_unequal_depth_are_refused_or_repeated(files):
    items = [row if row[0] != "x9" else ("x9", "art", None, 4) for row in ITEMS]
    files.write("items", items)
    text = told_by(files.config())
    assert "line 7" in text and "1 of the 2 levels" in text and "items.csv" in text
    tree = files.load(uneven="repeat").catalogue.tree
    assert tree.leaves == (("art", "art"), *LEAVES[1:])
    assert tree.repeated.tolist() == [[False, True], *[[False, False]] * 3]


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"items": ""}, ["--data.items"]),
        ({"features": ""}, ["no features", "--data.features", "--data.attributes"]),
        ({"features": "nowhere.npy"}, ["nowhere.npy"]),
        ({"interactions": "nowhere.csv"}, ["nowhere.csv"]),
        ({"user": "usr"}, ["interactions.csv", "no column", "usr", "user"]),
        ({"category": ("top", "midle")}, ["items.csv", "no column", "midle"]),
        ({"category": ()}, ["items.csv", "no column of categories"]),
        ({"time": "when"}, ["no column", "when"]),
        ({"features": "", "attributes": ("colour",)}, ["no column", "colour"]),
        ({"split": "temporal_global"}, ["temporal_global", "time"]),
        ({"split_fractions": (0.5, 0.5, 0.5)}, ["fractions", "sum to 1"]),
    ],
)
def test_a_mistake_is_told_in_one_line(files, changes, words):
    text = told_by(files.config(**changes))
    assert all(word in text for word in words), text


def test_features_of_both_kinds_are_refused(files):
    with pytest.raises(UserError, match="give one of them") as told:
        files.config(attributes=("top",))
    assert "\n" not in str(told.value)


def test_features_that_do_not_belong_to_the_table_are_refused(files):
    files.write("items", ITEMS[:5])
    text = told_by(files.config(features_row="", max_rejected_fraction=0.5))
    assert "5 rows for 6 rows of features" in text


def load_again(config, trained):
    """The catalogue for a model that was trained on another one."""
    parts = trained.tree, trained.scaling, trained.encoder
    return data.load_catalogue(config, *parts)


def test_a_catalogue_of_new_items(files):
    trained = data.load(files.config(normalisation="standardise")).catalogue
    new = [
        ("n1", "women", "bags", 1),
        ("n2", "women", "hats", 0),
        ("m1", "men", "boots", 2),
        ("n3", "men", "prints", 0),
    ]
    features = np.array([[1, 2], [30, 40], [5, 60]], np.float32)
    np.save(files.folder / "new.npy", features)
    config = files.config(
        normalisation="standardise",
        items=files.write("new", new, ["item", "top", "middle", "row"]),
        features=str(files.folder / "new.npy"),
    )
    catalogue, left_out = load_again(config, trained)
    assert [(lost.line, lost.reason) for lost in left_out] == [
        (3, "training had no item of 'women > hats'"),
        (5, "training had no item of 'men > prints'"),
    ]
    assert catalogue.item_ids.tolist() == ["n1", "m1"]
    assert catalogue.leaf_of_item.tolist() == [3, 1]
    assert catalogue.tree is trained.tree
    # Brought to the scale of training, not to their own.
    scaling = trained.scaling
    expected = (features[[1, 2]] - scaling.mean) * scaling.scale
    np.testing.assert_allclose(
        catalogue.take_features(np.arange(2)), expected, rtol=1e-5, atol=1e-6
    )


def test_the_catalogue_of_training_is_the_same_again(files):
    config = files.config()
    corpus = data.load(config)
    catalogue, left_out = load_again(config, data.load(config).catalogue)
    assert left_out == []
    for name in ("item_ids", "leaf_of_item", "feature_rows"):
        np.testing.assert_array_equal(
            getattr(catalogue, name), getattr(corpus.catalogue, name)
        )
    everything = np.arange(6)
    np.testing.assert_array_equal(
        catalogue.take_features(everything), corpus.catalogue.take_features(everything)
    )


def test_new_items_get_the_attributes_of_training(files):
    columns = ["item", "top", "middle", "colour"]
    colours = ("red", "blue", "red", "red", "blue", "red")
    old = [(*row[:3], colour) for row, colour in zip(ITEMS, colours, strict=True)]
    own = {"features": "", "features_row": "", "attributes": ("colour",)}
    own |= {"attribute_min_count": 1}
    old_config = files.config(**own, items=files.write("old", old, columns))
    trained = data.load(old_config).catalogue
    new = [("n1", "art", "prints", "green"), ("n2", "art", "prints", "blue")]
    config = files.config(**own, items=files.write("new", new, columns))
    catalogue, left_out = load_again(config, trained)
    assert left_out == []
    np.testing.assert_array_equal(
        catalogue.take_features(np.arange(2)), [[0, 0], [0, 1]]
    )


def test_a_path_that_ends_early_is_repeated_among_new_items_too(files):
    items = [row if row[0] != "x9" else ("x9", "art", None, 4) for row in ITEMS]
    files.write("items", items)
    trained = data.load(files.config(uneven="repeat")).catalogue
    new = [("n1", "art", None, 0), ("n2", "men", None, 0)]
    config = files.config(
        uneven="repeat", items=files.write("new", new, ["item", "top", "middle", "row"])
    )
    catalogue, left_out = load_again(config, trained)
    assert catalogue.item_ids.tolist() == ["n1"]
    assert [lost.line for lost in left_out] == [3]
    assert catalogue.leaf_of_item.tolist() == [0]


def test_new_items_that_do_not_fit_the_model_are_refused(files):
    trained = data.load(files.config()).catalogue
    np.save(files.folder / "wide.npy", np.ones((6, 3), np.float32))
    config = files.config(features=str(files.folder / "wide.npy"))
    with pytest.raises(UserError, match="3 numbers, those of training 2") as told:
        load_again(config, trained)
    assert "\n" not in str(told.value)
    new = files.write(
        "new", [("n", "cars", "fast", 0)], ["item", "top", "middle", "row"]
    )
    with pytest.raises(UserError, match="no item of any category") as told:
        load_again(files.config(items=new), trained)
    assert "\n" not in str(told.value)


def test_bad_rows_among_new_items_are_not_dropped_in_silence(files):
    trained = data.load(files.config()).catalogue
    new = [("n1", "men", "boots", 0), ("n1", "men", "coats", 1), ("n2", "", "", 9)]
    path = files.write("new", new, ["item", "top", "middle", "row"])
    with pytest.raises(UserError, match="2 of 3 rows can't be used"):
        load_again(files.config(items=path), trained)
    lax = files.config(items=path, max_rejected_fraction=0.9)
    catalogue, left_out = load_again(lax, trained)
    assert catalogue.item_ids.tolist() == ["n1"]
    assert [lost.line for lost in left_out] == [3, 4]
    assert (
        "line 2 already" in left_out[0].reason and left_out[1].reason == "no category"
    )


CLOSET = {
    "closet.subset": "kids",
    "closet.user_count": 20,
    "closet.item_count": 150,
    "closet.interaction_count": 300,
    "closet.feature_width": 32,
    "data.normalisation": "none",
}


def test_the_closet_is_the_same_again_and_its_features_are_kept(tmp_path, monkeypatch):
    config = configs.replace(Config(), {**CLOSET, "data.cache": str(tmp_path)})
    said = []
    first = data.load(config, said.append)
    assert len(said) == 1 and "150 items" in said[0]
    users, items, _ = closet.interactions(config.closet)
    expected = sorted(zip(users.tolist(), items.tolist(), strict=True))
    assert sorted((int(u), int(i)) for u, i in pairs_of(first)) == expected
    drawn = closet.features(config.closet, np.arange(150)).astype(np.float16)
    everything = np.arange(150)
    np.testing.assert_array_equal(first.catalogue.take_features(everything), drawn)
    _, names = closet.paths(config.closet, everything)
    tree = first.catalogue.tree
    assert [tree.leaves[leaf] for leaf in first.catalogue.leaf_of_item] == names

    def refuse(*args):
        raise AssertionError("the features were generated again")

    monkeypatch.setattr(closet, "features", refuse)
    again = data.load(config, said.append)
    assert len(said) == 1 and again.fingerprint == first.fingerprint
    np.testing.assert_array_equal(again.catalogue.take_features(everything), drawn)
    other = configs.replace(config, {"data.split_seed": 1})
    assert data.load(other).fingerprint != first.fingerprint


def test_the_catalogue_of_the_closet_is_all_of_it(tmp_path):
    config = configs.replace(Config(), {**CLOSET, "data.cache": str(tmp_path)})
    trained = data.load(config).catalogue
    catalogue, left_out = load_again(config, trained)
    assert left_out == [] and catalogue.item_ids.tolist() == list(range(150))
    leaves, _ = closet.paths(config.closet, np.arange(150))
    np.testing.assert_array_equal(catalogue.leaf_of_item, leaves)
