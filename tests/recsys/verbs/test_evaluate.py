"""`--mode=evaluate --input=…`: lists held against pairs of one's own."""

import json

import numpy as np
import pandas as pd
import pytest

from common.config import configs
from common.errors import UserError
from common.training import workdirs
from recsys.corpus.interactions import Interactions
from recsys.main import main
from recsys.verbs.evaluate import evaluate_pairs
from recsys.verbs.predict import Model
from tests.recsys import saved_models
from tests.recsys.saved_models import EVERYTHING, plain_scores

USERS = ["crow", "dove", "finch", "kite", EVERYTHING, "owl", "wren"]  # by number


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    return saved_models.open_shop(tmp_path_factory.mktemp("shop"))


@pytest.fixture(scope="module")
def drawn(shop, tmp_path_factory):
    return shop.save(tmp_path_factory.mktemp("drawn") / "run", "vbpr")


@pytest.fixture(scope="module")
def model(drawn):
    return Model(drawn)


def evaluate(workdir, table, *flags):
    with pytest.raises(SystemExit) as ended:
        main(
            [
                "recsys",
                "--mode=evaluate",
                f"--workdir={workdir}",
                f"--input={table}",
                *map(str, flags),
            ]
        )
    return ended.value.code


def ranks_in_full(model, shop, tests, hide=True):
    """{user: rank of each test item by the plain scores, among what is not hidden}."""
    scores = plain_scores(
        model.network, model.trained.params, shop, list(range(len(USERS)))
    )
    found = {}
    for user, items in tests.items():
        left = scores.loc[USERS.index(user)]
        if hide:
            left = left.drop(sorted(shop.taken(user) - set(items)))
        order = left.sort_values(ascending=False).index.tolist()
        found[user] = [order.index(item) + 1 for item in items]
    return found


def check_values(values, ranks):
    """Hit rate, recall and MRR at 2 and 4, written out."""
    for k in (2, 4):
        firsts = [min(own) for own in ranks.values()]
        hits = [sum(rank <= k for rank in own) for own in ranks.values()]
        expected = {
            "accuracy": np.mean([hit > 0 for hit in hits]),
            "recall": np.mean(
                [h / len(r) for h, r in zip(hits, ranks.values(), strict=True)]
            ),
            "mrr": np.mean([1 / first if first <= k else 0 for first in firsts]),
        }
        for name, value in expected.items():
            assert values[f"input/{name}@{k}"] == pytest.approx(value), name


def test_lists_are_held_against_the_pairs_of_a_table(
    drawn, model, shop, tmp_path, capsys
):
    """Some pairs the user has taken in training, some not; all rows are accounted for."""
    free = {u: sorted(set(shop.items["item"]) - shop.taken(u)) for u in USERS}
    tests = {user: free[user][2:6] for user in ("owl", "wren", "kite")}
    tests["owl"] += sorted(shop.taken("owl"))[:2]
    rows = [(user, item) for user, items in tests.items() for item in items]
    rows += [rows[0], ("nobody", "i1"), ("owl", "x7"), ("dove", "i1|i2"), ("no", "x7")]
    path = tmp_path / "test.csv"
    table = pd.DataFrame([*rows, ("", "i4")], columns=["user", "item"])
    table.to_csv(path, index=False)
    assert evaluate(drawn, path, "--data.max_rejected_fraction=0.1") == 0
    out, err = capsys.readouterr()
    values = json.loads((drawn / "metrics_input.json").read_text())
    ranks = ranks_in_full(model, shop, tests)
    assert any(min(own) <= 4 for own in ranks.values())  # or nothing would be tested
    check_values(values, ranks)
    assert (values["input/users"], values["input/pairs"]) == (3, 14)
    assert (values["input/known_pairs"], values["input/rejected"]) == (2, 5)
    assert not [name for name in values if "seen/" in name]
    assert "this model" in out and "never seen" not in out
    listed = drawn / "metrics_input_rejected.csv"
    assert (
        f"note: 5 of 20 rows of {path} do not count (2 unknown users: nobody, no; 2"
        f" unknown items: x7, i1|i2), each with its reason: {listed}"
    ) in err
    assert "hint: 1 cells seem to hold several items, such as 'i1|i2'" in err
    assert "note: 2 of 14 pairs are in the tables of training" in err
    rejected = pd.read_csv(listed)
    assert rejected["line"].tolist() == [17, 18, 19, 20, 21]
    assert rejected["column"].tolist() == ["user", "item", "item", "user", "user"]
    assert rejected["reason"].tolist() == [
        "training has no user 'nobody'",
        "the catalogue has no item 'x7'",
        "the catalogue has no item 'i1|i2'",
        "training has no user 'no'",
        "an empty cell where an id must stand",
    ]
    # A call without such rows leaves no list of them.
    table.iloc[:4].to_csv(path, index=False)
    assert evaluate(drawn, path) == 0 and not listed.exists()


def test_without_hiding_nothing_is_left_out(drawn, shop):
    config = workdirs.load_config(drawn, type(shop.config()), "recsys")
    config = configs.replace(config, {"ranking.hide_training": False})
    model = Model(drawn, config)
    tests = {EVERYTHING: ["i3", "i4", "i5"], "wren": ["i7", "i20"]}
    pairs = [(USERS.index(u), i) for u, items in tests.items() for i in items]
    users, items = zip(*pairs, strict=True)
    given = Interactions(np.array(users), model.item_ids.get_indexer(items))
    check_values(evaluate_pairs(model, given), ranks_in_full(model, shop, tests, False))


def test_users_without_a_pair_count_where_told(model):
    """With them the mean is over five users, not two."""
    item = model.item_ids.get_indexer(["i3", "i4"])
    given = Interactions(np.array([1, 3]), item)
    alone = evaluate_pairs(model, given)
    config = configs.replace(model.config, {"ranking.count_without_test": True})
    model.config, usual = config, model.config
    try:
        among = evaluate_pairs(model, given, np.array([0, 1, 3, 5, 6]))
    finally:
        model.config = usual
    assert (alone["input/users"], among["input/users"]) == (2, 5)
    for name in ("accuracy@4", "recall@2", "ndcg@4"):
        assert among[f"input/{name}"] == pytest.approx(alone[f"input/{name}"] * 2 / 5)


def test_the_catalogue_may_be_another_one(drawn, shop, tmp_path, capsys):
    """A new item, the copy of an old one, is found by its features and category."""
    copy = shop.items.iloc[[3]].assign(item="new")
    items = pd.concat([copy, shop.items.iloc[10:]])
    items.to_csv(tmp_path / "items.csv", index=False)
    (tmp_path / "test.csv").write_text(f"user,item\nwren,new\nwren,{copy.index[0]}\n")
    flags = [f"--data.items={tmp_path / 'items.csv'}", "--ranking.lengths=4,21"]
    assert evaluate(drawn, tmp_path / "test.csv", *flags) == 0
    err = capsys.readouterr().err
    assert "1 of its 21 items are new, and 10 of the 30 of training are not" in err
    values = json.loads((drawn / "metrics_input.json").read_text())
    assert values["input/pairs"] == 1 and values["input/recall@21"] == 1


@pytest.mark.parametrize(
    "text, flags, told",
    [
        ("user,item\nowl,i1\n", ["--split=validation"], "leave out --split=validation"),
        ("user\nowl\n", [], "no column 'item'"),
        (
            "user,item\nx,i1\nowl,x\n",
            [],
            "no row has a user of training, such as crow,",
        ),
        ("user,item\nowl,i1\n,i2\n", [], "more than max_rejected_fraction=0.05"),
        ("user,item\n", [], "test.csv"),
    ],
)
def test_a_mistake_is_one_line(drawn, tmp_path, capsys, text, flags, told):
    (drawn / "metrics_input.json").unlink(missing_ok=True)
    (tmp_path / "test.csv").write_text(text)
    assert evaluate(drawn, tmp_path / "test.csv", *flags) == 2
    err = capsys.readouterr().err
    (line,) = [line for line in err.splitlines() if line.startswith("error: ")]
    assert told in line and "Traceback" not in err
    assert not (drawn / "metrics_input.json").exists()


def test_pairs_of_unknown_numbers_are_no_pairs(model):
    with pytest.raises(UserError, match="number -1"):
        evaluate_pairs(model, Interactions(np.array([0]), np.array([-1])))
