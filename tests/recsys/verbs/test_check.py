"""`--mode=check` on tables whose figures are known."""

import numpy as np
import pandas as pd
import pytest

from common.config import configs
from recsys import data
from recsys.config import Config
from recsys.corpus.interactions import Interactions
from recsys.main import main
from recsys.verbs import check

# Nine pairs of four users with items a to f; g has none.
USERS = ["ann", "ann", "ann", "bob", "bob", "cem", "cem", "dan", "dan"]
ITEMS = ["a", "b", "c", "a", "d", "b", "e", "c", "f"]
# By time: five pairs train, two validate, and dan's (c, f) test; training has c.
FLAGS = (
    "--data.interactions=taken.csv",
    "--data.items=items.csv",
    "--data.category=level1,level2",
    "--data.features=features.npy",
    "--data.time=time",
    "--data.split=temporal_global",
    "--data.split_fractions=0.5,0.25,0.25",
    "--data.max_rejected_fraction=0.5",
    "--model.width=4",
    "--train.batch_size=4",
    "--train.steps=60",
    "--parallel.devices=1",
)
WIDTH = 3


@pytest.fixture
def shop(tmp_path, monkeypatch):
    """A row of an unknown item, two repeats and an item without a category."""
    monkeypatch.chdir(tmp_path)
    taken = pd.DataFrame(
        {
            "user": [*USERS, "ann", "dan", "cem"],
            "item": [*ITEMS, "a", "f", "zebra"],
            "time": range(1, 13),
        }
    )
    taken.to_csv("taken.csv", index=False)
    items = pd.DataFrame(
        {
            "item": [*"abcdefgh"],
            "level1": ["men", "men", "men", "toys", "toys", "toys", "toys", None],
            "level2": [
                "coats",
                "shoes",
                "coats",
                "cars",
                "cars",
                "dolls",
                "cars",
                None,
            ],
        }
    )
    items.to_csv("items.csv", index=False)
    features = np.ones((8, WIDTH), np.float32)
    features[[2, 6]] = 0  # of c and g; that of h, which is rejected, does not count
    features[7] = 0
    np.save("features.npy", features)
    return tmp_path


def call(*flags):
    """Exit code; of two equal flags the later one counts."""
    with pytest.raises(SystemExit) as ended:
        main(["recsys", "--mode=check", "--workdir=run", *FLAGS, *flags])
    return ended.value.code


def summary_of(out):
    rows = [line.split("|")[1:3] for line in out.splitlines() if line.startswith("|")]
    return {name.strip(): value.strip() for name, value in rows}


def test_what_is_said_of_tables_is_what_is_in_them(shop, capsys):
    assert call() == 0
    out = capsys.readouterr().out
    summary = summary_of(out)
    expected = {
        "interactions read": "12",
        "rejected interactions": "1",
        "repeated interactions": "2",
        "users": "4",
        "items": "7",
        "rejected items": "1",
        "categories": "4",
        "interactions of a user, median": "2.000",
        "interactions of an item, median": "1.000",
        "items without interactions": "1",
        "items without features": "2",
        "users without a test item": "3",
        "pairs in more than one split (must be 0)": "0",
        "test interactions": "2",
        "of these, with an item that training has": "50.0%",
        "of these, with a copy of one (equal features)": "50.0%",  # f, like a and b
        "of these, of one user at most": "100.0% (dan)",
        "of these, with one item at most": "50.0% (c)",
    }
    assert {name: summary[name] for name in expected} == expected
    seconds, minutes = "seconds a step, data included", "minutes for all steps"
    # Of 60 steps: a minute for each second that one takes.
    assert float(summary[seconds]) == pytest.approx(float(summary[minutes]), abs=2e-3)
    assert int(summary["parameters"].replace(",", "")) > 4 * 7
    assert float(summary["features, MiB"]) == pytest.approx(0, abs=1e-3)
    assert float(summary["peak memory, GiB"]) > 0.01
    text = (shop / "run" / "check.html").read_text(encoding="utf-8")
    assert "4 users, 7 items (1 rows rejected) in 4 categories" in text
    assert "unknown item" in text and "no category" in text and "<img" in text
    assert len(pd.read_csv(shop / "run" / "rejected.csv")) == 2
    assert str(shop / "run" / "check.html") in out or "run/check.html" in out
    # Nothing is left behind that looks like a run.
    assert not (shop / "run" / "config.json").exists()


def test_flags_that_end_in_time_are_proposed(shop, capsys):
    assert call("--check.minutes=5", "--train.steps=1000000000") == 0
    out = capsys.readouterr().out
    (line,) = (x for x in out.splitlines() if x.startswith("training takes"))
    assert "more than --check.minutes=5. In about" in line
    assert "--train.steps=" in line and "--train.eval_every=" in line


def test_what_is_tried_gets_cheaper():
    users, drawn, narrow = check.smaller(
        configs.replace(Config(), {"row_optimizer": "dense"})
    )
    assert users == {"ranking.validation_users": 1000}
    light = {"loss.softmax": "sampled", "row_optimizer": "lazy"}
    assert drawn == users | light and narrow == drawn | {"model.width": 32}
    for changes in (users, drawn, narrow):
        configs.replace(Config(), changes)


def test_a_pair_in_two_splits_is_found(shop):
    config = configs.replace(
        Config(),
        {
            "data.interactions": "taken.csv",
            "data.items": "items.csv",
            "data.category": ("level1", "level2"),
            "data.features": "features.npy",
            "data.max_rejected_fraction": 0.5,
            "data.split_fractions": (0.5, 0.25, 0.25),
        },
    )
    corpus = data.load(config)
    assert check.count_shared(corpus)["pairs in more than one split (must be 0)"] == 0
    train, test = corpus.splits["train"], corpus.splits["test"]
    users, items = (
        np.append(test.users, train.users[:1]),
        np.append(test.items, train.items[:1]),
    )
    corpus.splits["test"] = Interactions(users, items)
    assert check.count_shared(corpus)["pairs in more than one split (must be 0)"] == 1


def test_copies_of_training_items_are_found(shop):
    np.save("features.npy", np.ones((8, 3), np.float32))
    config = configs.replace(
        Config(),
        {
            "data.interactions": "taken.csv",
            "data.items": "items.csv",
            "data.category": ("level1", "level2"),
            "data.features": "features.npy",
            "data.max_rejected_fraction": 0.5,
            "data.split_fractions": (0.5, 0.25, 0.25),
        },
    )
    corpus = data.load(config)
    np.testing.assert_array_equal(check.find_copies(corpus), ~corpus.seen)
    # One kind of features for each item: none is a copy.
    np.save("features.npy", np.arange(1, 25, dtype=np.float32).reshape(8, 3))
    assert not check.find_copies(data.load(config)).any()


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("--data.max_rejected_fraction=0.05", "1 of 8 rows can't be used"),
        ("--data.features=none.npy", "none.npy"),
        ("--data.items=", "--data.items=TABLE"),
    ],
)
def test_a_mistake_is_one_line(shop, flag, message, capsys):
    assert call(flag) == 2
    out, err = capsys.readouterr()
    assert out == "" and message in err.splitlines()[-1]
    assert not (shop / "run" / "check.html").exists()
