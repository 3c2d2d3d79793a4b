import collections
import dataclasses
import pathlib

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from common.errors import UserError
from common.tables import inference, splits
from common.tables.cells import TEXT
from common.tables.row_checks import check_rows
from common.tables.schema import Group, Schema
from common.tables.table import read_table

TITLED = Schema((), group=Group(("title",)))
SALES = pathlib.Path(__file__).parents[4] / "shared/data/ebay_antiquities/listings.csv"


def frame_of(**columns) -> pd.DataFrame:
    return pd.DataFrame({name: pd.Series(c, dtype=TEXT) for name, c in columns.items()})


def words(count: int, seed: int = 0) -> list[str]:
    """Titles without digits, all different."""
    letters = "abcdefghijklmnopqrst"
    rng = np.random.default_rng(seed)
    tails = rng.integers(0, 20, size=(count, 3))
    return [
        " ".join([*("".join(letters[int(d)] for d in f"{i:06d}"),), *map(str, tail)])
        for i, tail in enumerate(tails)
    ]


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("RING, Size 7", "ring size"),
        ("  ring size 8!!", "ring size"),
        ("Straße_12", "strasse"),
        ("ﬁne①ring", "fine ring"),
        ("1854", "1854"),
        ("?!", "?!"),
    ],
)
def test_normalise_keeps_the_words(text, normal):
    assert splits.normalise(text) == normal


def oracle_components(titles, hashes) -> np.ndarray:
    """Component of each row, by scipy on the graph of rows and tokens."""
    tokens: dict[str, int] = {}
    edges = []
    for row, (title, photos) in enumerate(zip(titles, hashes, strict=True)):
        own = [f"t{splits.normalise(title)}"] if title else []
        for token in [*own, *(f"p{photo}" for photo in photos)]:
            edges.append((row, tokens.setdefault(token, len(tokens))))
    count = len(titles)
    size = count + len(tokens)
    rows, columns = np.array(edges, int).reshape(-1, 2).T
    graph = coo_matrix((np.ones(len(rows)), (rows, columns + count)), (size, size))
    return connected_components(graph, directed=False)[1][:count]


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["a", "A 1", "b", "c", "d", None]),
            st.lists(st.sampled_from("xyzuvw"), max_size=2),
        ),
        min_size=1,
        max_size=12,
    )
)
def test_groups_are_the_connected_components(rows):
    titles, hashes = map(list, zip(*rows, strict=True))
    tokens = splits._tokens(frame_of(title=titles), TITLED, hashes)
    # A row without title and photo is tied to rows of the same content alone.
    if any(not title and not photos for title, photos in rows):
        return
    groups = {frozenset(group) for group in splits._groups(tokens)}
    component = oracle_components(titles, hashes)
    assert groups == {
        frozenset(np.flatnonzero(component == c).tolist()) for c in set(component)
    }


def test_groups_are_named_by_their_content():
    frame = frame_of(title=["Ring 7", "lamp", "ring, 8", "chair", None])
    hashes = [["p"], ["q"], ["r"], ["q"], []]
    names = splits.name_groups(frame, TITLED, hashes)
    # By title rows 0 and 2 belong together, by photo rows 1 and 3.
    assert [list(names).index(name) for name in names] == [0, 1, 0, 1, 4]
    assert list(names[:2]) == ["photo p", "photo q"]  # the least of each group
    order = [3, 0, 4, 2, 1]
    shuffled = frame.iloc[order].reset_index(drop=True)
    again = splits.name_groups(shuffled, TITLED, [hashes[row] for row in order])
    np.testing.assert_array_equal(again, names[order])


def test_near_copies_never_straddle_and_order_does_not_matter():
    rng = np.random.default_rng(1)
    base = words(400)
    titles = [f"{base[i]} No {rng.integers(1e6)}" for i in rng.integers(0, 400, 2000)]
    hashes = [[f"h{rng.integers(1500)}"] for _ in titles]
    frame = frame_of(title=titles)
    # Photos tie so many titles together that titles alone are split here.
    split = splits.assign(frame, TITLED, None, seed=3)
    sides = collections.defaultdict(set)
    for title, side in zip(titles, split, strict=True):
        sides[splits.normalise(title)].add(side)
    assert all(len(found) == 1 for found in sides.values())
    assert splits.leakage(frame, TITLED, split).either == 0

    order = rng.permutation(len(frame))
    shuffled = splits.assign(frame.iloc[order].reset_index(drop=True), TITLED, seed=3)
    np.testing.assert_array_equal(shuffled, split[order])
    assert (splits.assign(frame, TITLED, seed=4) != split).mean() > 0.1

    few = [[f"h{rng.integers(10**6)}"] for _ in titles[:-40]] + [["a"], ["b"]] * 20
    split = splits.assign(frame, TITLED, few)
    shuffled = splits.assign(
        frame.iloc[order].reset_index(drop=True), TITLED, [few[row] for row in order]
    )
    np.testing.assert_array_equal(shuffled, split[order])

    component = oracle_components(titles, hashes)
    assert np.bincount(component).max() > 1000  # one group takes nearly everything
    with pytest.raises(UserError, match="is empty .rows of one group stay together"):
        splits.assign(frame, TITLED, hashes)


def test_rows_added_later_leave_the_others_where_they_were():
    titles = words(500)
    before = splits.assign(frame_of(title=titles[:400]), TITLED)
    after = splits.assign(frame_of(title=titles), TITLED)
    np.testing.assert_array_equal(after[:400], before)


@pytest.mark.parametrize("fractions", [(0.8, 0.1, 0.1), (0.5, 0.2, 0.3)])
def test_fractions_are_met_on_many_rows(fractions):
    split = splits.assign(frame_of(title=words(20_000)), TITLED, fractions=fractions)
    shares = [(split == name).mean() for name in splits.SPLITS]
    # Three standard deviations of a binomial share are below 0.011.
    np.testing.assert_allclose(shares, fractions, atol=0.011)


def test_photos_tie_rows_unless_the_schema_says_no():
    titles, hashes = words(300), [[f"h{i // 2}"] for i in range(300)]
    frame = frame_of(title=titles)
    tied = splits.assign(frame, TITLED, hashes)
    assert (tied[::2] == tied[1::2]).all()
    free = splits.assign(frame, Schema((), group=Group(("title",), False)), hashes)
    assert (free[::2] != free[1::2]).any()
    alone = splits.assign(frame, Schema(()), hashes)
    assert (alone[::2] == alone[1::2]).all()


def test_without_groups_the_id_or_else_the_content_decides():
    frame = frame_of(id=[str(i) for i in range(200)], price=["1"] * 200)
    by_id = splits.assign(frame, Schema((), id="id"))
    other = splits.assign(frame.assign(price="2"), Schema((), id="id"))
    np.testing.assert_array_equal(by_id, other)
    content = splits.assign(frame, Schema(()))
    twin = splits.assign(pd.concat([frame, frame], ignore_index=True), Schema(()))
    np.testing.assert_array_equal(twin, [*content, *content])


def test_a_split_column_is_taken_as_it_is():
    frame = frame_of(fold=["test", "train", "validation", "train"])
    split = splits.assign(frame, Schema((), split="fold"), seed=9)
    assert split.tolist() == ["test", "train", "validation", "train"]
    with pytest.raises(UserError, match="the validation split of 2 rows is empty"):
        splits.assign(frame.iloc[:2], Schema((), split="fold"))


def test_by_time_trains_on_the_past_and_keeps_moments_together():
    times = np.array([5, 1, 2, 3, 4, 6, 7, 8, 9, 9.0])
    schema = Schema((), time="sold")
    frame = pd.DataFrame({"sold": times})
    split = splits.assign(frame, schema, None, (0.6, 0.2, 0.2), by_time=True)
    expected = np.where(times <= 6, "train", np.where(times <= 8, "validation", "test"))
    np.testing.assert_array_equal(split, expected)
    # With (0.7, 0.2, 0.1) the cut would part the two rows of moment 9.
    split = splits.assign(
        pd.DataFrame({"sold": [*times, 10]}),
        schema,
        None,
        (0.7, 0.2, 0.1),
        by_time=True,
    )
    assert split[8] == split[9] == "validation" and split[10] == "test"


def test_by_time_needs_times():
    with pytest.raises(UserError, match='set "time" in the schema'):
        splits.assign(pd.DataFrame({"sold": [1.0]}), Schema(()), by_time=True)
    frame = pd.DataFrame({"sold": [1.0, np.nan]})
    with pytest.raises(UserError, match="column 'sold': 1 rows have no time"):
        splits.assign(frame, Schema((), time="sold"), by_time=True)


@pytest.mark.parametrize(
    "fractions", [(0.9, 0.1, 0.1), (1.0, 0.0, 0.0), (0.5, 0.5), (0.5, 0.6, -0.1)]
)
def test_fractions_must_be_shares(fractions):
    with pytest.raises(UserError, match="three shares above 0 that sum to 1"):
        splits.assign(frame_of(title=words(9)), TITLED, fractions=fractions)


def test_leakage_counts_texts_and_photos():
    frame = frame_of(title=["Ring 1", "Bead", "RING 2", "pin", None, "cup"])
    hashes = [["a"], ["b"], ["c"], ["a", "d"], [], ["e"]]
    split = np.array(["train", "train", "test", "test", "test", "validation"], object)
    found = splits.leakage(frame, TITLED, split, hashes)
    assert found == splits.Leakage(rows=3, text=1, photo=1, either=2)
    found = splits.leakage(frame, TITLED, split, hashes, of="validation")
    assert found == splits.Leakage(rows=1, text=0, photo=0, either=0)
    assert splits.leakage(frame, Schema(()), split).either == 0


@pytest.mark.skipif(not SALES.exists(), reason="the real sales are not here")
def test_real_sales_leak_by_row_and_not_by_group():
    table = read_table(SALES)
    schema = inference.infer(table)
    frame, _ = check_rows(table, schema)
    split = splits.assign(frame, schema)
    assert splits.leakage(frame, schema, split).either == 0
    shares = [(split == name).mean() for name in splits.SPLITS]
    np.testing.assert_allclose(shares, (0.8, 0.1, 0.1), atol=0.02)
    drawn = np.random.default_rng(0).choice(list(splits.SPLITS), len(frame), p=shares)
    found = splits.leakage(frame, schema, drawn)
    assert 0.18 < found.text / found.rows < 0.28


def relistings(count=300):
    """Pairs of rows of one listing, with another title and photo each."""
    ids = [f"L-{row // 2}" for row in range(count)]
    return frame_of(listing_id=ids, title=words(count)), [
        [str(i)] for i in range(count)
    ]


@pytest.mark.parametrize(
    "schema",
    [
        Schema((), group=Group(("title", "listing_id"))),
        Schema((), group=Group(("title",)), id="listing_id"),
        Schema((), id="listing_id"),
    ],
)
def test_rows_of_one_listing_stay_together(schema):
    frame, hashes = relistings()
    split = splits.assign(frame, schema, hashes)
    assert set(split) == set(splits.SPLITS)
    np.testing.assert_array_equal(split[::2], split[1::2])
    for of in ("validation", "test"):
        assert splits.leakage(frame, schema, split, hashes, of=of).either == 0
    # A split that parts them leaks, and is told to.
    parted = np.where(np.arange(len(frame)) % 2, "test", "train").astype(object)
    found = splits.leakage(frame, schema, parted, hashes)
    assert (found.id, found.text, found.photo, found.either) == (150, 0, 0, 150)


def test_ids_that_do_not_repeat_leave_the_split_as_it_is():
    frame, hashes = relistings()
    frame["row"] = pd.Series([str(i) for i in range(300)], dtype=TEXT)
    schema = Schema((), group=Group(("title",)))
    plain = splits.assign(frame, schema, hashes)
    with_id = dataclasses.replace(schema, id="row")
    np.testing.assert_array_equal(splits.assign(frame, with_id, hashes), plain)
    assert splits.exact_columns(frame, with_id) == []
    # A row that repeats an id follows the first one, which stays where it was.
    extra = frame_of(listing_id=["new"], title=["quite another"], row=["17"])
    more = pd.concat([frame, extra], ignore_index=True)
    longer = splits.assign(more, with_id, [*hashes, ["new"]])
    assert longer[-1] == longer[17]
    np.testing.assert_array_equal(np.delete(longer[:-1], 17), np.delete(plain, 17))
    assert splits.exact_columns(more, with_id) == ["row"]


def test_codes_are_compared_as_they_are_and_titles_by_their_words():
    frame = frame_of(
        sku=["A-1", "A-2", "a-1", "A-1", None],
        title=["Ring 1", "ring 2", "lamp", "vase", "RING"],
        number=["12", "13", "12", "14", "15"],
    )
    for column, groups in (("sku", 4), ("title", 3), ("number", 4)):
        schema = Schema((), group=Group((column,)))
        names = splits.name_groups(frame, schema, None)
        assert len(set(names)) == groups, column
    schema = Schema((), group=Group(("title", "sku", "number", "gone")), id="number")
    assert splits.exact_columns(frame, schema) == ["sku", "number"]


@pytest.mark.parametrize(
    ("title", "near"),
    [
        ("gold ring with a large ruby", 0),  # the same: counted as text
        ("Ruby large! Gold ring, with a", 1),  # another order
        ("gold ring with a small ruby", 1),  # one word is another
        ("gold ring with a large ruby, new", 1),  # one word more
        ("gold ring with large ruby", 1),  # one word less
        ("gold ring without any ruby", 0),
        ("lamp", 0),
        (None, 0),
    ],
)
def test_titles_that_are_nearly_those_of_training_are_counted(title, near):
    frame = frame_of(title=["Gold ring with a large ruby 5", "red lamp", None, title])
    split = np.array(["train", "train", "train", "test"], object)
    found = splits.leakage(frame, TITLED, split)
    assert found.near == near
    assert found.text == (title == "gold ring with a large ruby")


def test_a_group_that_makes_up_much_of_a_split_is_named():
    titles = ["Ring"] * 6 + [*words(44)]
    frame = frame_of(title=titles, id=[str(max(i, 44)) for i in range(50)])
    hashes = [["p"] if 10 <= i < 30 else [] for i in range(50)]
    split = np.array(["test"] * 10 + ["train"] * 40, object)
    schema = Schema((), group=Group(("title",)), id=None)
    lines = splits.describe_large_groups(frame, schema, split, hashes)
    assert lines == [
        "6 of 10 test rows (60%) are one group: 6 have title 'ring'",
        "20 of 40 train rows (50%) are one group: 20 have one photo",
    ]
    by_id = splits.describe_large_groups(frame, Schema((), id="id"), split, None)
    assert by_id[1] == "10 of 10 test rows (100%) are one group: 45 have id '44'"
    with pytest.raises(UserError, match="is empty .* 45 have id '44'"):
        splits.assign(frame, Schema((), id="id"))
