import numpy as np
import pytest

from common.config.configs import replace
from common.errors import UserError
from common.tables.faults import read_rejected
from common.tables.table import from_rows
from rerank import data
from rerank.config import Config, Modality

SPLIT = {"data.split_fractions": (0.5, 0.25, 0.25)}
ITEMS = "item,title,category,brand,price\n" + "".join(
    f"i{n},{('red', 'blue')[n % 2]} {('hat', 'coat', '')[n % 3]},c{n % 2},b{n % 4},{n}\n"
    for n in range(1, 13)
)


def log(extra="", requests=40):
    """Lists of three with one bought; the items of one request follow each other."""
    lines = ["request,item,query,position,click,purchase,age,match,history"]
    for r in range(requests):
        for k in range(3):
            clicked, bought = int(k < 2), int(k == r % 2)
            lines.append(
                f"r{r},i{1 + (r + k) % 12},red hat of {r % 20},{k},"
                f"{clicked},{bought},{20 + r},{k / 2},i{1 + r % 5}|i9"
            )
    return "\n".join(lines) + "\n" + extra


@pytest.fixture
def make(tmp_path):
    """Writes tables and gives a config that reads them."""

    def write(requests=None, items=ITEMS, name="log.csv", **changes):
        (tmp_path / name).write_text(requests or log())
        options = {**SPLIT, "data.requests": str(tmp_path / name)}
        if items:
            (tmp_path / "items.csv").write_text(items)
            options["data.items"] = str(tmp_path / "items.csv")
        changes = {key.replace("__", "."): value for key, value in changes.items()}
        return replace(Config(), {**options, **changes})

    return write


def test_own_tables(make, tmp_path):
    config = make(data__features=("match",), data__context=("age",))
    corpus = data.load(config, rejected_file=tmp_path / "rejected.csv")
    train, sizes = corpus.splits["train"], corpus.sizes
    assert sum(map(len, corpus.splits.values())) == 40 and corpus.rejected == 0
    assert (sizes.fields, sizes.context, sizes.length, sizes.history) == (2, 1, 3, 2)
    assert sizes.query_words == corpus.encoder.size
    assert sizes.modalities == (Modality("text", 0, corpus.encoder.size),)
    # Standardised on training alone.
    np.testing.assert_allclose(train.context.mean(), 0, atol=1e-6)
    np.testing.assert_allclose(train.pair_features.std(), 1, atol=1e-5)
    assert abs(corpus.splits["test"].context.mean()) > 1e-3
    queries = {name: set(part.queries) for name, part in corpus.splits.items()}
    assert not queries["train"] & queries["test"]
    seen = corpus.items.fields[np.unique(train.items)]
    np.testing.assert_allclose(seen.mean(axis=0), 0, atol=1e-6)
    assert read_rejected(tmp_path / "rejected.csv") == []


def test_words_are_those_of_training(make):
    corpus = data.load(make())
    train = corpus.splits["train"]
    titles = corpus.items.titles[np.unique(train.items)]
    assert corpus.encoder.texts == len(set(train.queries)) + (titles != "").sum()


def test_items_may_stand_in_the_log(make):
    lines = log().splitlines()
    joined = [f"{lines[0]},title,price"] + [f"{line},blue hat,5" for line in lines[1:]]
    corpus = data.load(make("\n".join(joined), items=""))
    assert len(corpus.items) == 12 and corpus.items.field_names == ("price",)
    assert set(corpus.items.titles) == {"blue hat"}


def test_rejected_rows_of_both_tables_are_listed(make, tmp_path):
    bad = "r0,i99,red hat of 0,3,0,0,20,1,i1|i9\n"
    items = ITEMS + "i1,again,c,b,1\n"
    config = make(log(bad), items, data__max_rejected_fraction=0.1)
    rejected = tmp_path / "rejected.csv"
    corpus = data.load(config, rejected_file=rejected)
    found = read_rejected(rejected)
    assert corpus.rejected == 2
    assert [(row.file.rpartition("/")[2], row.line) for row in found] == [
        ("items.csv", 14),
        ("log.csv", 122),
    ]
    assert "'i99'" in found[1].reason
    with pytest.raises(UserError, match="1 of 13 rows can't be used"):
        data.load(replace(config, {"data.max_rejected_fraction": 0.001}))


def test_a_column_that_the_user_names_must_be_there(make):
    with pytest.raises(UserError, match=r"no column 'clicks'.*did you mean 'click'"):
        data.load(make(data__click="clicks"))
    with pytest.raises(UserError, match="no column 'weight'"):
        data.load(make(data__fields=("weight",)))


def test_what_does_not_go_together_is_refused(make, tmp_path):
    np.save(tmp_path / "text.npy", np.zeros((12, 3)))
    vectors = str(tmp_path / "text.npy")
    with pytest.raises(UserError, match="vectors need --data.items"):
        data.load(make(items="", data__text_vectors=vectors))
    lines = [line.split(",") for line in log().splitlines()]
    clicks = "\n".join(",".join(parts[:5] + parts[6:]) for parts in lines)
    with pytest.raises(UserError, match="no row has a purchase"):
        data.load(make(clicks))
    data.load(make(clicks, loss__target="click"))


def test_vectors_take_the_place_of_titles(make, tmp_path):
    array = np.random.default_rng(0).standard_normal((12, 3))
    array[3] = np.nan
    np.save(tmp_path / "v.npy", array)
    path = str(tmp_path / "v.npy")
    corpus = data.load(make(data__text_vectors=path, data__image_vectors=path))
    assert corpus.sizes.modalities == (Modality("text", 3), Modality("image", 3))
    assert corpus.items.words is None and corpus.sizes.query_words > 0
    assert corpus.items.present["text"].tolist() == [n != 3 for n in range(12)]


def test_libsvm_becomes_pairs(make):
    lines = [
        f"{(r + k) % 3} qid:{r} 1:{k} 2:{r * k % 5}"
        for r in range(40)
        for k in range(4)
    ]
    corpus = data.load(make("\n".join(lines), items="", name="train.txt"))
    assert len(corpus.items) == 160 and corpus.sizes.fields == 2
    assert corpus.sizes.modalities == () and corpus.pair_names == ("1", "2")
    grades = np.concatenate([part.purchases for part in corpus.splits.values()])
    assert sorted(set(grades)) == [0, 0.5, 1]


def test_requests_of_one_candidate_are_kept_and_told(make):
    said = []
    extra = "r99,i1,red hat of 0,0,0,0,1,1,i1|i9\n"
    corpus = data.load(make(log(extra)), said.append)
    assert sum(map(len, corpus.splits.values())) == 41
    assert any("1 requests have one candidate" in line for line in said)


def test_new_requests_are_read_as_those_of_training(make):
    renamed = log().replace("click", "clicked", 1)
    config = make(
        renamed,
        data__click="clicked",
        data__features=("match",),
        data__context=("age",),
    )
    corpus = data.load(config)
    table = from_rows(
        [
            {"request": "r0", "item": i, "query": "red hat of 0", "age": 20, "match": m}
            for i, m in (("i1", 0.0), ("i2", 0.5), ("i99", 0))
        ]
    )
    requests, rejected = data.read_unlabelled(config, corpus, table)
    (split,) = [p for p in corpus.splits.values() if "r0" in p.ids]
    known = split.select(np.flatnonzero(split.ids == "r0"))
    np.testing.assert_array_equal(requests.context, known.context)
    np.testing.assert_array_equal(requests.pair_features, known.pair_features[:2])
    np.testing.assert_array_equal(requests.words.ids, known.words.ids)
    assert requests.items.tolist() == known.items[:2].tolist()
    assert [row.line for row in rejected] == [3]
    plain = table.frame.drop(columns=["query"]).to_dict("records")
    without, _ = data.read_unlabelled(config, corpus, from_rows(plain))
    assert without.queries.tolist() == [""] and not without.words.weights.any()


def test_the_built_in_set():
    small = {"serp.train_count": 30, "serp.validation_count": 10, "serp.test_count": 10}
    config = replace(Config(), small)
    corpus = data.load(config)
    assert {name: len(part) for name, part in corpus.splits.items()} == {
        "train": 30,
        "validation": 10,
        "test": 10,
    }
    assert "train 30" in data.describe(config, corpus)[0]
    numbers = corpus.splits["test"].items[:2]
    rows = [{"request": "r", "item": corpus.items.ids[n], "c": 0.5} for n in numbers]
    requests, rejected = data.read_unlabelled(config, corpus, from_rows(rows))
    assert rejected == [] and requests.context.tolist() == [[0.5]]
    assert requests.items.tolist() == numbers.tolist()


def test_describe(make):
    lines = data.describe(Config(), data.load(make()))
    assert "(0 rows rejected); 3.0 candidates each, at most 3; 66.7% clicks" in lines[0]
    assert "33.3% purchases" in lines[0]
    assert lines[1].startswith("12 items, with text of ")


def test_photos_are_named_and_a_missing_folder_is_told_at_once(make, tmp_path):
    items = ITEMS.replace("price\n", "price,photo\n", 1).replace(
        "b1,1\n", "b1,1,a.jpg\n"
    )
    lines = items.splitlines()
    full = [line if line.count(",") == 5 else line + "," for line in lines]
    config = make(items="\n".join(full) + "\n", data__images=str(tmp_path / "photos"))
    with pytest.raises(UserError, match="there are no photos there"):
        data.load(config)
    (tmp_path / "photos").mkdir()
    photos = data.load(config).items.photos
    assert photos.tolist() == ["a.jpg"] + [""] * 11
