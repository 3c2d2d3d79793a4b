import shutil

import numpy as np
import pandas as pd
import pytest
from scipy import optimize, stats

from common.config import configs
from common.errors import UserError
from common.training import workdirs
from recsys import data, report, saved_model, train
from recsys.main import main
from recsys.verbs.predict import COLUMNS, Model
from tests.recsys import saved_models
from tests.recsys.saved_models import EVERYTHING, plain_scores

ITEM_COUNT = 30
NAMES = ("coarse-fine", "vbpr")


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    return saved_models.open_shop(tmp_path_factory.mktemp("shop [1]"), ITEM_COUNT)


@pytest.fixture(scope="module")
def drawn(shop, tmp_path_factory):
    """Workdirs of models with drawn weights, by name."""
    folder = tmp_path_factory.mktemp("drawn")
    return {name: shop.save(folder / name, name) for name in NAMES}


@pytest.fixture(scope="module")
def models(drawn):
    return {name: Model(drawn[name]) for name in NAMES}


def numbers_of(shop, users):
    names = sorted({user for user, _ in shop.pairs})
    return [names.index(user) if user in names else -1 for user in users]


def rows_of(table, user):
    rows = table[table["user"] == user]
    return rows["item"].tolist(), rows["score"].to_numpy()


@pytest.mark.parametrize("name", NAMES)
def test_lists_are_the_plain_ranking_without_what_was_taken(models, shop, name):
    users = ["owl", "kite", "wren"]
    model = models[name]
    table = model.recommend(users, 5)
    scores = plain_scores(
        model.network, model.trained.params, shop, numbers_of(shop, users)
    )
    assert table["user"].tolist() == [user for user in users for _ in range(5)]
    assert table["rank"].tolist() == [1, 2, 3, 4, 5] * 3
    for row, user in enumerate(users):
        left = scores.loc[row].drop(list(shop.taken(user)))
        best = left.sort_values(ascending=False).head(5)
        items, values = rows_of(table, user)
        assert items == best.index.tolist()
        np.testing.assert_allclose(values, best, rtol=1e-4)
    assert (table["user_is"] == "known").all() and (table["error"] == "").all()


def test_all_users_of_training_are_listed_where_none_are_named(models, shop):
    model = models["coarse-fine"]
    table = model.recommend(length=3)
    names = sorted({user for user, _ in shop.pairs})
    assert list(dict.fromkeys(table["user"])) == names
    some = model.recommend(["dove", "crow"], 3)
    for user in ("dove", "crow"):
        assert rows_of(some, user)[0] == rows_of(table, user)[0]


def test_a_list_ends_where_all_is_taken(models, shop):
    table = models["coarse-fine"].recommend(["owl", EVERYTHING, "wren"], ITEM_COUNT + 9)
    for user in ("owl", "wren"):
        rows = table[table["user"] == user]
        assert rows["rank"].tolist() == list(range(1, ITEM_COUNT - 8 + 1))
        assert set(rows["item"]) == set(shop.items["item"]) - shop.taken(user)
        assert (np.diff(rows["score"]) <= 0).all()
    (row,) = table[table["user"] == EVERYTHING].to_dict("records")
    assert (row["rank"], row["item"], row["user_is"]) == (1, "", "known")
    assert np.isnan(row["score"])
    assert row["error"] == "there is no item left for this user"


@pytest.mark.parametrize("name", NAMES)
def test_an_unknown_user_gets_what_all_users_have_in_common(models, shop, name):
    model = models[name]
    table = model.recommend(["nobody", "noone"], ITEM_COUNT)
    scores = plain_scores(model.network, model.trained.params, shop, [-1]).loc[0]
    for user in ("nobody", "noone"):
        items, values = rows_of(table, user)
        assert items == scores.sort_values(ascending=False).index.tolist()
        np.testing.assert_allclose(values, scores[items], rtol=1e-4, atol=1e-5)
    assert (table["user_is"] == "unknown").all()
    assert set(table["note"]) == {"unknown user: what all users have in common"}


def test_new_interactions_are_left_out_of_the_users_own_list(models):
    model = models["coarse-fine"]
    before = model.recommend(["owl", "wren"], ITEM_COUNT)
    (first, second, *rest), _ = rows_of(before, "owl")
    new = [("owl", second), ("owl", first), ("owl", second), ("owl", "no such item")]
    after = model.recommend(["owl", "wren"], ITEM_COUNT, new_interactions=new)
    assert rows_of(after, "owl")[0] == rest
    assert rows_of(after, "wren")[0] == rows_of(before, "wren")[0]
    assert (after["user_is"] == "known").all()
    notes = after.groupby("user")["note"].agg(set).to_dict()
    assert notes == {"owl": {"1 of 3 items unknown: no such item"}, "wren": {""}}


def test_who_is_named_twice_has_one_list_and_nobody_has_none(models):
    model = models["coarse-fine"]
    once = model.recommend(["wren", "owl"], 2)
    pd.testing.assert_frame_equal(model.recommend(["wren", "owl", "wren"], 2), once)
    empty = model.recommend([], 2)
    assert empty.empty and tuple(empty.columns) == COLUMNS


def test_a_note_names_what_is_unknown(models):
    items = [*(f"x{k}" for k in range(12)), "i3", "x0"]
    new = [("kite", item) for item in items]
    new += [("new", "i1|i2|i3"), ("new", "x1"), ("both", "i4"), ("both", "y;z")]
    users = ["kite", "new", "owl,wren", "both", "owl"]
    table = models["vbpr"].recommend(users, 2, new_interactions=new)
    some = ", ".join(items[:10])
    several = " (several ids in one? give each a row of its own)"
    nobody = "unknown user: what all users have in common"
    assert table["note"].tolist()[::2] == [
        f"12 of 13 items unknown: {some}, …",
        f"{nobody}; 2 of 2 items unknown: i1|i2|i3, x1{several}",
        f"{nobody}{several}",
        "1 of 2 items unknown: y;z",
        "",
    ]
    kinds = ["known", "unknown", "unknown", "folded in", "known"]
    assert table["user_is"].tolist()[::2] == kinds


@pytest.mark.parametrize("name", NAMES)
def test_lists_are_exact_among_the_items_that_may_be_shown(models, shop, name):
    model = models[name]
    users = ["owl", "nobody", EVERYTHING]
    new = [("owl", "i3"), ("new", "i3"), ("new", "i8")]
    some = shop.items["item"].sample(20, random_state=1).tolist()
    shoes = shop.items.query("top == 'men' and middle == 'shoes'")["item"].tolist()
    scores = plain_scores(
        model.network, model.trained.params, shop, numbers_of(shop, users)
    )
    choices = [
        ({"items": some}, some),
        ({"category": "men > shoes"}, shoes),
        ({"items": iter(some), "category": ["men > shoes"]}, {*some} & {*shoes}),
    ]
    for given, shown in choices:
        table = model.recommend([*users, "new"], 99, new_interactions=new, **given)
        for row, user in enumerate(users):
            taken = shop.taken(user) | ({"i3"} if user == "owl" else set())
            left = scores.loc[row, sorted(set(shown) - taken)]
            items, values = rows_of(table, user)
            if not len(left):
                assert user == EVERYTHING and items == [""]
                continue
            best = left.sort_values(ascending=False)
            assert items == best.index.tolist()
            np.testing.assert_allclose(values, best, rtol=1e-4, atol=1e-5)
        # Folding in does not ask what may be shown.
        everything, usual = rows_of(
            model.recommend(["new"], 99, new_interactions=new), "new"
        )
        items, values = rows_of(table, "new")
        kept = [place for place, item in enumerate(everything) if item in set(shown)]
        assert items == [everything[place] for place in kept]
        np.testing.assert_allclose(values, usual[kept], rtol=1e-4, atol=1e-5)
        assert {"i3", "i8"}.isdisjoint(items)


def test_unknown_items_that_may_be_shown_are_told_in_python(models):
    with pytest.warns(UserWarning, match=r"2 of the .* \(items=?\) .*: x, y$"):
        table = models["vbpr"].recommend(["owl"], 3, items=["x", "i1", "y"])
    assert table["item"].tolist() in (["i1"], [""])


def test_without_hiding_lists_hold_what_was_taken(drawn, shop):
    config = workdirs.load_config(drawn["vbpr"], type(shop.config()), "recsys")
    config = configs.replace(config, {"ranking.hide_training": False})
    model = Model(drawn["vbpr"], config)
    users = ["owl", EVERYTHING]
    scores = plain_scores(
        model.network, model.trained.params, shop, numbers_of(shop, users)
    )
    table = model.recommend(users, 99, new_interactions=[("owl", "i3"), ("new", "i3")])
    for row, user in enumerate(users):
        best = scores.loc[row].sort_values(ascending=False)
        assert rows_of(table, user)[0] == best.index.tolist()


@pytest.mark.parametrize(
    "given, told",
    [
        ({"users": "owl"}, "users='owl' is one text: give a list of ids"),
        ({"users": ["owl", None]}, "users: entry 1 (counted from 0) is None"),
        ({"users": [1.5]}, "users: entry 0 (counted from 0) is 1.5"),
        ({"users": [float("nan")]}, "entry 0 (counted from 0) is nan"),
        ({"length": 0}, "length=0: give a whole number of at least 1"),
        ({"length": -3}, "length=-3"),
        ({"length": 2.5}, "length=2.5"),
        ({"new_interactions": ["i1"]}, "is 'i1', not a pair (user, item)"),
        ({"new_interactions": ("owl", "i1")}, "is 'owl', not a pair (user, item)"),
        ({"new_interactions": [("owl", None)]}, "its item is None"),
        ({"items": "i1"}, "items='i1' is one text"),
        ({"items": [None]}, "items: entry 0 (counted from 0) is None"),
        ({"items": ["x"]}, "none of the 1 items that may be shown, such as x"),
        ({"category": "mens"}, "no category 'mens'; did you mean 'men'"),
        ({"category": 5}, "category=5: give a list of ids"),
        ({"users": [], "length": 0}, "length=0"),
    ],
)
def test_a_mistake_in_python_is_one_clear_error(models, given, told):
    with pytest.raises(UserError) as raised:
        models["vbpr"].recommend(**{"users": ["owl"], **given})
    assert told in str(raised.value) and "\n" not in str(raised.value)


def test_no_list_is_longer_than_the_catalogue(models):
    table = models["vbpr"].recommend(["nobody"], 10**12)  # not as much memory, either
    assert table["rank"].tolist() == list(range(1, ITEM_COUNT + 1))


@pytest.mark.parametrize("name", NAMES)
def test_a_new_item_is_ranked_by_its_features_and_its_category(
    drawn, shop, name, tmp_path
):
    """Like the old item that it is a copy of, but for what was learnt of that alone."""
    copies = shop.items.iloc[[3, 0, 7]].copy()
    names = {f"new {old}": old for old in copies["item"]}
    copies["item"] = list(names)
    strange = pd.DataFrame([{"item": "strange", "top": "cars", "row": 0}])
    items = pd.concat([copies, shop.items.iloc[::-2], strange], ignore_index=True)
    items.to_csv(tmp_path / "new.csv", index=False)
    trained_with = workdirs.load_config(drawn[name], type(shop.config()), "recsys")
    changes = {"data.items": str(tmp_path / "new.csv")}
    model = Model(drawn[name], configs.replace(trained_with, changes))
    (lost,) = model.left_out
    assert lost.reason == "training had no item of 'cars'"
    assert lost.line == len(items) + 1  # the last row below the header
    assert model.catalogue.item_ids.tolist() == items["item"].tolist()[:-1]
    users = ["owl", "nobody"]
    table = model.recommend(users, ITEM_COUNT)
    expected = [
        plain_scores(
            model.network, model.trained.params, shop, numbers_of(shop, users), known
        )
        for known in (True, False)
    ]
    for row, user in enumerate(users):
        own, bare = (scores.loc[row] for scores in expected)
        found, values = rows_of(table, user)
        assert set(found) == set(items["item"][:-1]) - shop.taken(user)
        scores = [bare[names[i]] if i in names else own[i] for i in found]
        np.testing.assert_allclose(values, scores, rtol=1e-4, atol=1e-5)
        alike = np.isclose(own[list(names.values())], bare[list(names.values())])
        assert alike.all() if name == "coarse-fine" else not alike.any()


def test_a_new_user_turns_to_the_leaf_of_the_given_items(tmp_path):
    """Two leaves, and a score of +p in one and -p in the other.

    With a share f of the negatives in the other leaf the loss is f softplus(-2 p) and
    a constant; with n = 2 interactions, p is where 2 f sigmoid(-2 p) = penalty p / n.
    """
    leaves = ["hats"] * 4 + ["shoes"] * 8
    names = [f"{leaf} {number}" for number, leaf in enumerate(leaves)]
    items = pd.DataFrame({"item": names, "top": leaves, "row": range(12)})
    pairs = [("ann", name) for name in names[:4]] + [
        ("ben", name) for name in names[4:]
    ]
    shop = saved_models.write_shop(tmp_path, items, pairs, np.ones((12, 3), np.float32))
    config = shop.config(
        data__category=("top",),
        model__width=2,
        fold_in__penalty=0.5,
        fold_in__negatives=2000,
        fold_in__steps=300,
    )
    corpus = data.load(config)
    assert corpus.catalogue.tree.leaves == (("hats",), ("shoes",))
    zeros = np.zeros((2, 1), np.float32)
    params = {
        "user_preference": np.array([[2, 0], [-2, 0]], np.float32),
        "user_bias": np.zeros((2, 2), np.float32),
        "category_base": np.array([[1], [-1]], np.float32),
        "leaf_matrix": np.zeros((2, 1, 3), np.float32),
        "leaf_item_bias": zeros,
        "leaf_user_bias": zeros,
    }
    workdirs.start_record(tmp_path / "run", "recsys", config, train.FREE)
    saved_model.save(tmp_path / "run", corpus, params)
    model = Model(tmp_path / "run")
    # A user with both would be the same at p = 0.
    given = {"cat": ["hats 1", "hats 3"], "dan": ["shoes 5", "shoes 11"]}
    new = [(user, item) for user, taken in given.items() for item in taken]
    table = model.recommend(["dan", "eve", "cat"], 12, new_interactions=new)
    assert table.groupby("user")["user_is"].first().to_dict() == {
        "cat": "folded in",
        "dan": "folded in",
        "eve": "unknown",
    }
    # 2 and 6 of the 10 free items are in the leaf of what was given.
    for user, own, share in (("cat", "hats", 8 / 10), ("dan", "shoes", 4 / 10)):
        found, scores = rows_of(table, user)
        left = [name for name in names if name not in given[user]]
        assert found == sorted(
            left, key=lambda n: (n.split()[0] != own, names.index(n))
        )

        def slope(p, share=share):
            return 2 * share / (1 + np.exp(2 * p)) - 0.5 * p / 2

        expected = optimize.brentq(slope, 0, 10)
        there = np.array([name.startswith(own) for name in found])
        np.testing.assert_allclose(
            scores, np.where(there, expected, -expected), rtol=0.02
        )
    np.testing.assert_array_equal(rows_of(table, "eve")[1], 0)


@pytest.fixture(scope="module")
def learnt(tmp_path_factory):
    """A model that was trained on users who like two of six leaves each."""
    rng = np.random.default_rng(5)
    folder = tmp_path_factory.mktemp("learnt [1]")
    tops = np.repeat(["men", "women"], 60)
    middles = np.tile(np.repeat(["bags", "hats", "shoes"], 20), 2)
    names = np.array([f"i{number}" for number in range(120)])
    items = pd.DataFrame(
        {"item": names, "top": tops, "middle": middles, "row": range(120)}
    )
    pairs = []
    for user in range(30):
        liked = rng.choice(6, 2, replace=False)
        own = np.flatnonzero(np.isin(np.arange(120) // 20, liked))
        taken = rng.choice(own, 12, replace=False)
        pairs += [(f"u{user}", str(name)) for name in names[taken]]
    features = rng.normal(size=(120, 5)).astype(np.float32)
    shop = saved_models.write_shop(folder, items, pairs, features)
    config = shop.config(
        data__category=("top", "middle"),
        negatives__kind="uniform",
        optimizer__learning_rate=0.03,
        optimizer__weight_decay=0.01,
        optimizer__schedule="constant",
        negatives__count=4,
        train__steps=60,
        train__batch_size=64,
        train__eval_every=60,
        train__checkpoint_every=60,
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(report, "write", lambda *args: None)
        train.train_and_evaluate(config, folder / "run")
        return shop, Model(folder / "run")


def test_a_folded_in_user_is_like_the_one_whose_items_were_given(learnt):
    shop, model = learnt
    old = [f"u{number}" for number in range(0, 30, 3)]
    new = [(f"new {user}", item) for user, item in shop.pairs if user in old]
    asked = [*old, *(f"new {user}" for user in old), "nobody"]
    table = model.recommend(asked, 120, new_interactions=new)
    scores = table.pivot(index="item", columns="user", values="score")
    gains = []
    for user in old:
        left = scores[user].notna()
        known, folded, nobody = (
            scores.loc[left, name] for name in (user, f"new {user}", "nobody")
        )
        like = stats.spearmanr(known, folded).statistic
        gains.append(like - stats.spearmanr(known, nobody).statistic)
        assert like > 0.5
    assert min(gains) > 0.2


def test_a_folded_in_list_does_not_depend_on_who_else_is_asked_for(learnt):
    _, model = learnt
    new = [("x", "i3"), ("x", "i7"), ("y", "i90"), ("y", "i3"), ("y", "i5")]
    both = model.recommend(["y", "x"], 9, new_interactions=new)
    alone = model.recommend(["x"], 9, new_interactions=new)
    assert rows_of(both, "x")[0] == rows_of(alone, "x")[0]
    np.testing.assert_allclose(rows_of(both, "x")[1], rows_of(alone, "x")[1], rtol=1e-3)


def call(*flags):
    with pytest.raises(SystemExit) as ended:
        main(["recsys", *map(str, flags)])
    return ended.value.code


def predict(workdir, asked, output):
    flags = ("--mode=predict", f"--workdir={workdir}", f"--input={asked}")
    return call(*flags, f"--output={output}")


def test_predict_writes_lists_and_says_what_it_could_not_read(
    drawn, models, tmp_path, capsys
):
    asked = tmp_path / "asked.csv"
    asked.write_text(
        "user,item\nwren,\nnew,i3\n,i4\nowl,i5\nnew,i6\nnobody,\nowl,i999\n"
    )
    assert predict(drawn["coarse-fine"], asked, tmp_path / "out.parquet") == 0
    expected = models["coarse-fine"].recommend(
        ["wren", "new", "owl", "nobody"],
        4,
        new_interactions=[("new", "i3"), ("new", "i6"), ("owl", "i5")],
    )
    found = pd.read_parquet(tmp_path / "out.parquet")
    assert tuple(found.columns) == COLUMNS
    lists, failed = found.iloc[:-1], found.iloc[-1]
    assert len(lists) == 4 * 4
    for column in ("user", "rank", "item", "user_is", "error"):
        assert lists[column].tolist() == expected[column].tolist(), column
    np.testing.assert_allclose(lists["score"], expected["score"], rtol=1e-4)
    notes = dict(zip(lists["user"], lists["note"], strict=True))
    assert notes == {
        "wren": "",
        "new": "",
        "owl": "1 of 2 items unknown: i999",
        "nobody": "unknown user: what all users have in common",
    }
    assert failed["note"] == ""
    assert failed["user"] == "" and failed["error"].startswith("line 4: an empty cell")
    said, noted = capsys.readouterr()
    assert "lists of 4 for 4 users" in said and "1 errors" in said
    (told,) = [line for line in noted.splitlines() if "do not count" in line]
    assert told.startswith("note: 1 interactions ") and told.endswith(": i999")
    assert "2 known" in said and "1 folded in" in said and "1 unknown" in said

    assert predict(drawn["coarse-fine"], asked, tmp_path / "out.csv") == 0
    text = pd.read_csv(tmp_path / "out.csv", keep_default_na=False)
    assert text["item"].tolist() == [*expected["item"], ""]
    assert text["error"].tolist() == found["error"].tolist()
    ranks = [int(float(rank)) for rank in text["rank"][:-1]]
    assert ranks == expected["rank"].tolist()
    scores = text["score"][:-1].astype(float)
    np.testing.assert_allclose(scores, expected["score"], rtol=1e-4)


def test_items_that_can_not_be_recommended_are_listed_with_their_reasons(
    drawn, shop, tmp_path, capsys
):
    good = shop.items.iloc[:6]
    bad = pd.DataFrame(
        [
            {"item": "strange", "top": "cars", "row": 0},
            {"item": good["item"][0], "top": "cars", "row": 0},
        ]
    )
    pd.concat([good, bad]).to_csv(tmp_path / "new.csv", index=False)
    (tmp_path / "asked.csv").write_text("user\nowl\n")
    flags = {
        "--mode": "predict",
        "--workdir": drawn["coarse-fine"],
        "--input": tmp_path / "asked.csv",
        "--output": tmp_path / "out.csv",
        "--data.items": tmp_path / "new.csv",
        "--data.max_rejected_fraction": 0.5,
    }
    assert call(*(f"{name}={value}" for name, value in flags.items())) == 0
    listed = tmp_path / "out_left_out_items.csv"
    assert f"2 rows of items are left out, each with its reason: {listed}" in (
        capsys.readouterr().err
    )
    found = pd.read_csv(listed)
    assert found["line"].tolist() == [8, 9]
    assert found["reason"][0] == "training had no item of 'cars'"
    assert found["reason"][1].startswith("the item stands in line 2 already")


def ask(workdir, folder, text, *flags):
    """The table that predict writes for an --input."""
    (folder / "asked.csv").write_text(text)
    given = ["--mode=predict", f"--workdir={workdir}", f"--input={folder}/asked.csv"]
    assert call(*given, f"--output={folder}/out.csv", *flags) == 0
    return pd.read_csv(folder / "out.csv", keep_default_na=False)


def test_predict_shows_some_items_alone(drawn, models, shop, tmp_path, capsys):
    some = ["i2", "i29", "i7", "i11", "i3", "x9"]
    shown = tmp_path / "in stock.csv"
    shown.write_text("price,item\n" + "".join(f"5,{i}\n" for i in [*some, "", "i2"]))
    model, taken = models["vbpr"], shop.taken("owl")
    table = ask(drawn["vbpr"], tmp_path, "user\nowl\n", f"--predict.items={shown}")
    expected = model.recommend(["owl"], 4, items=some[:-1])
    assert table["item"].tolist() == expected["item"].tolist()
    assert set(table["item"]) <= set(some) - taken
    noted = capsys.readouterr().err
    not_there = f"note: 1 of the items that may be shown ({shown}) are not in the cata"
    assert not_there in noted and noted.count("x9") == 1
    assert f"1 rows of {shown} can't be used, the first is line 8: an empty" in noted
    both = ask(
        drawn["vbpr"],
        tmp_path,
        "user\nwren\n",
        f"--predict.items={shown}",
        "--predict.category=men|women",
    )
    given = {"items": some[:-1], "category": ["men", "women"]}
    expected = model.recommend(["wren"], 4, **given)
    assert both["item"].tolist() == expected["item"].tolist()
    paths = shop.items.set_index("item")["top"]
    assert set(paths[both["item"]]) <= {"men", "women"}


def test_predict_says_what_is_hidden_and_hides_nothing_where_told(
    drawn, shop, tmp_path, capsys
):
    text = f"user\n{EVERYTHING}\n"
    table = ask(drawn["vbpr"], tmp_path, text, "--noranking.hide_validation")
    assert table["error"].tolist() == ["there is no item left for this user"]
    assert "leave out all that a user has in the tables of training" in (
        capsys.readouterr().err
    )
    table = ask(drawn["vbpr"], tmp_path, text, "--noranking.hide_training")
    assert table["rank"].tolist() == [1, 2, 3, 4] and set(table["error"]) == {""}
    assert "--noranking.hide_validation" not in capsys.readouterr().err


def test_cells_of_several_items_are_met_with_a_hint(drawn, tmp_path, capsys):
    ask(drawn["vbpr"], tmp_path, "user,item\nnew,i1|i2|i3\nowl,i5\nowl,i6|i7\n")
    hint = "hint: 2 cells seem to hold several items, such as 'i1|i2|i3': give each"
    assert hint in capsys.readouterr().err


@pytest.fixture(scope="module")
def numbered(tmp_path_factory):
    """A shop whose users and items are numbers, and a model of it."""
    folder = tmp_path_factory.mktemp("numbered")
    plain_shop = saved_models.open_shop(folder / "plain")
    number = {name: 5000 + k for k, name in enumerate(plain_shop.items["item"])}
    users = sorted({user for user, _ in plain_shop.pairs})
    pairs = [(str(users.index(u)), str(number[i])) for u, i in plain_shop.pairs]
    items = plain_shop.items.assign(item=plain_shop.items["item"].map(number))
    shop = saved_models.write_shop(folder / "shop", items, pairs, plain_shop.features)
    return shop.save(folder / "run", "coarse-fine")


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_ids_may_be_floats(numbered, tmp_path, capsys, ending):
    asked = pd.DataFrame({"user": [1.0, 99.0, 99.0], "item": [None, 5003.0, 5007.0]})
    path = tmp_path / f"asked.{ending}"
    asked.to_csv(path, index=False) if ending == "csv" else asked.to_parquet(path)
    assert predict(numbered, path, tmp_path / "out.csv") == 0
    said, noted = capsys.readouterr()
    assert "1 known" in said and "1 folded in" in said and "0 errors" in said
    assert "do not count" not in noted and "warning" not in noted
    found = pd.read_csv(tmp_path / "out.csv", dtype=str)
    assert set(found["user"]) == {"1", "99"}
    model = Model(numbered)
    from_python = model.recommend(
        [1.0, np.float64(99)], 4, new_interactions=[(99.0, 5003), (99, 5007.0)]
    )
    assert from_python["item"].tolist() == found["item"].tolist()


def test_a_model_of_an_earlier_version_knows_its_float_ids(numbered, tmp_path):
    run = shutil.copytree(numbered, tmp_path / "run")
    arrays = dict(np.load(run / saved_model.ARRAYS))
    for name in ("user_ids", "item_ids"):
        arrays[name] = np.char.add(arrays[name], ".0")
    for name in ("sketch_items", "sketch_sums"):  # which it did not keep
        del arrays[name]
    np.savez(run / saved_model.ARRAYS, **arrays)
    expected = Model(numbered).recommend(["1", "2.0"], 4)
    pd.testing.assert_frame_equal(Model(run).recommend(["1.0", "2"], 4), expected)


def test_most_users_and_items_unknown_is_told(numbered, tmp_path, capsys):
    asked = tmp_path / "asked.csv"
    asked.write_text("user,item\nu1,i5000\nu2,i5001\n1,5001\n")
    assert predict(numbered, asked, tmp_path / "out.csv") == 0
    lines = [x for x in capsys.readouterr().err.splitlines() if "warning" in x]
    asks = "are ids written as in training, such as"
    assert lines == [
        f"warning: 2 of 3 users are unknown, such as u1, u2: {asks} 0, 1, 2?",
        f"warning: 2 of 3 items are unknown, such as i5000, i5001: {asks} 5000, 5001,"
        + " 5002?",
    ]
    asked.write_text("user,item\nu1,i5000\n2,5001\n1,5001\n")
    assert predict(numbered, asked, tmp_path / "out.csv") == 0
    assert "warning" not in capsys.readouterr().err


def test_features_of_other_rows_are_refused(drawn, shop, tmp_path, capsys):
    np.save(tmp_path / "reversed.npy", shop.features[::-1])
    (tmp_path / "asked.csv").write_text("user\nowl\n")
    flags = {
        "predict": [
            f"--input={tmp_path / 'asked.csv'}",
            f"--output={tmp_path / 'o.csv'}",
        ],
        "evaluate": [],
        "export": [f"--output={tmp_path / 'export'}"],
    }
    for mode, more in flags.items():
        given = [f"--mode={mode}", f"--workdir={drawn['coarse-fine']}", *more]
        given.append(f"--data.features={tmp_path / 'reversed.npy'}")
        assert call(*given) == 2, mode
        err = capsys.readouterr().err
        (line,) = [x for x in err.splitlines() if x.startswith("error: ")]
        assert "30 of 30 items have other features than in training" in line
        assert "--allow_other_features" in line
    assert call(*given, "--allow_other_features") == 0
    noted = capsys.readouterr().err
    assert "note: 30 of 30 items have other features than in training" in noted
    # A few new photos are no other rows.
    some = shop.features.copy()
    some[:3] += 1
    np.save(tmp_path / "reversed.npy", some)
    assert call(*given) == 0
    assert "note: 3 of 30 items have other features" in capsys.readouterr().err


def test_another_catalogue_is_told(drawn, shop, tmp_path, capsys):
    items = shop.items.iloc[4:].copy()
    items["item"] = ["new", *items["item"].tolist()[1:]]
    items.to_csv(tmp_path / "new.csv", index=False)
    (tmp_path / "asked.csv").write_text("user\nowl\n")
    flags = [
        "--mode=predict",
        f"--workdir={drawn['coarse-fine']}",
        f"--input={tmp_path / 'asked.csv'}",
        f"--output={tmp_path / 'out.csv'}",
    ]
    assert call(*flags) == 0
    assert "catalogue" not in capsys.readouterr().err
    assert call(*flags, f"--data.items={tmp_path / 'new.csv'}") == 0
    assert (
        "note: the catalogue is not that of training: 1 of its 26 items are new, and 5"
        " of the 30 of training are not in it"
    ) in capsys.readouterr().err


def test_evaluate_says_that_the_data_are_others(drawn, shop, tmp_path, capsys):
    run = shutil.copytree(drawn["coarse-fine"], tmp_path / "run")
    corpus = data.load(workdirs.load_config(run, type(shop.config()), "recsys"))
    workdirs.add_facts(run, {"data": corpus.fingerprint})
    assert call("--mode=evaluate", f"--workdir={run}") == 0
    assert "not those that" not in capsys.readouterr().err
    path = run / "metrics_test.json"
    assert "other_data" not in path.read_text()
    assert call("--mode=evaluate", f"--workdir={run}", "--data.split_seed=1") == 0
    assert capsys.readouterr().err.count("note: the data are not those that") == 1
    assert '"other_data": true' in path.read_text()


def test_a_table_without_a_good_row_gives_errors_alone(drawn, tmp_path, capsys):
    pd.DataFrame({"user": [None, ""], "item": ["i1", "i2"]}).to_parquet(
        tmp_path / "asked.parquet"
    )
    workdir = drawn["coarse-fine"]
    assert predict(workdir, tmp_path / "asked.parquet", tmp_path / "out.csv") == 0
    found = pd.read_csv(tmp_path / "out.csv", keep_default_na=False)
    assert [text[:7] for text in found["error"]] == ["line 1:", "line 2:"]
    assert "0 users" in capsys.readouterr().out


@pytest.mark.parametrize(
    "text, flags, message",
    [
        ("user\nowl\n", ["--input=nowhere.csv"], "nowhere.csv"),
        ("user\nowl\n", ["--output=out.txt"], "must end with .csv or .parquet"),
        ("user\nowl\n", ["--output=no/such/out.csv"], "no folder no/such"),
        ("usr\nowl\n", [], "no column 'user' (did you mean 'usr'?)"),
        ("user\n", [], "asked.csv"),
        ("user\nowl\n", ["--data.items=nowhere.csv"], "nowhere.csv"),
        ("user\nowl\n", ["--workdir=no/such/run"], "no/such/run"),
        ("user\nowl\n", ["--predict.items=nowhere.csv"], "nowhere.csv"),
        ("user\nowl\n", ["--predict.category=Men"], "did you mean 'men'"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(
    drawn, tmp_path, capsys, text, flags, message
):
    (tmp_path / "asked.csv").write_text(text)
    given = {
        "--mode": "predict",
        "--workdir": drawn["coarse-fine"],
        "--input": tmp_path / "asked.csv",
        "--output": tmp_path / "out.csv",
    } | dict(flag.split("=") for flag in flags)
    assert call(*(f"{name}={value}" for name, value in given.items())) == 2
    out, err = capsys.readouterr()
    lines = [line for line in err.splitlines() if line.startswith("error: ")]
    assert out == "" and len(lines) == 1 and message in lines[0]
    assert "Traceback" not in err and not (tmp_path / "out.csv").exists()


def test_parameters_of_another_form_are_told(drawn, tmp_path):
    """Such as those of an earlier version, whose matrices lay the other way."""
    shutil.copytree(drawn["vbpr"], tmp_path / "run")
    path = tmp_path / "run" / saved_model.PARAMS
    params = dict(np.load(path))
    params["visual_matrix"] = params["visual_matrix"].T
    np.savez(path, **params)
    with pytest.raises(UserError, match="an earlier version wrote it; train again"):
        Model(tmp_path / "run")


def test_an_unfinished_or_damaged_run_is_told(drawn, tmp_path):
    names = ("config.json", "model.json", "corpus.npz", "params.npz")
    for name in names[:-1]:
        (tmp_path / name).write_bytes((drawn["vbpr"] / name).read_bytes())
    with pytest.raises(UserError, match="params.npz is missing: run --mode=train"):
        Model(tmp_path)
    whole = (drawn["vbpr"] / "params.npz").read_bytes()
    (tmp_path / "params.npz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match="is damaged") as told:
        Model(tmp_path)
    assert "\n" not in str(told.value)
    (tmp_path / "params.npz").write_bytes(whole)
    text = (tmp_path / "model.json").read_text()
    (tmp_path / "model.json").write_text(text.replace("boots", "bouts"))
    with pytest.raises(UserError, match="is damaged"):
        Model(tmp_path)
