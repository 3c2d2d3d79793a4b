import itertools
import json

import numpy as np
import pandas as pd
import pytest

from common.config import configs
from common.errors import UserError
from common.reports import paper_rows
from common.training import workdirs
from recsys import data, report, train
from recsys.config import Config
from recsys.paper import figures, tables
from recsys.verbs import reproduce
from tests.recsys import saved_models

BY_NAME = {row.name: row for row in tables.ROWS}
PAPER = [row.name for row in tables.ROWS if not row.rival]


def apply(name, seed=0, **changes):
    named = {key.replace("__", "."): value for key, value in changes.items()}
    return BY_NAME[name].apply(configs.replace(Config(), named), seed)


@pytest.mark.parametrize(
    ("metric", "row", "subset", "length", "printed"),
    [
        ("ndcg", "coarse-fine", "men", 10, 0.056),
        ("accuracy", "coarse-fine", "women", 20, 0.336),
        ("f1", "sherlock-ii", "women", 5, 0.038),
        ("accuracy", "vbpr", "women", 5, 0.003),
        ("auc", "deepstyle-ii", "artworks", 20, 0.166),
        ("ndcg", "coarse-fine-s", "mix", 5, 0.067),
        ("f1", "vbpr-i", "kids", 5, 0.0),
    ],
)
def test_figures_of_the_paper(metric, row, subset, length, printed):
    assert figures.figure(metric, row, subset, length) == printed


def test_what_the_paper_has_no_figure_of_is_none():
    known = ("ndcg", "vbpr", "men", 10)
    others = ("recall", "als", "whole", 15)
    assert figures.figure(*known) == 0.0
    for place, other in enumerate(others):
        asked = [*known[:place], other, *known[place + 1 :]]
        assert figures.figure(*asked) is None


def test_figures_of_the_paper_are_whole_and_hang_together():
    """All 11 rows and 15 columns; and longer lists hold more."""
    assert set(figures.FIGURES) == set(tables.METRICS)
    for metric, rows in figures.FIGURES.items():
        assert list(rows) == PAPER
        cells = np.array(list(rows.values())).reshape(11, 5, 3)
        assert cells.min() >= 0 and cells.max() < 0.4
        if metric in ("accuracy", "auc"):
            assert (np.diff(cells, axis=2) >= 0).all()
    accuracy, auc = (
        np.array(list(figures.FIGURES[name].values())) for name in ("accuracy", "auc")
    )
    assert (auc <= accuracy).all()  # a list without a hit has neither


def test_a_second_variant_is_the_first_on_both_tasks():
    for name in tables.BASELINES:
        one, two = apply(f"{name}-i", 3), apply(f"{name}-ii", 3)
        assert (one.task_weights, two.task_weights) == ((1.0, 0.0), (0.75, 0.25))
        assert one.model.score == two.model.score == f"{name}-i"
        assert configs.replace(two, {"model": one.model}) == one
        assert apply(name).model.score == apply(name).model.name == name


@pytest.mark.parametrize("name", PAPER)
def test_a_model_by_its_name_is_the_row(name):
    """What `--model.name` alone trains."""
    named = configs.replace(Config(), {"model.name": name, "reproduce.resplit": False})
    assert apply(name, reproduce__resplit=False) == named
    assert (named.task_weights == (0.75, 0.25)) == (
        name in ("coarse-fine", "vbpr-ii", "sherlock-ii", "deepstyle-ii")
    )


@pytest.mark.parametrize("name", ["vbpr", "sherlock-i", "deepstyle-i", "coarse-fine-s"])
def test_a_row_on_one_task_has_the_first_at_its_full_weight(name):
    given = {"loss__item_weight": 0.6, "loss__user_weight": 0.4}
    config = apply(name, **given, loss__penalty=0.5)
    assert (config.task_weights, config.loss.penalty) == ((1.0, 0.0), 0.5)
    assert apply("vbpr-ii", **given).task_weights == (0.6, 0.4)


@pytest.mark.parametrize(
    ("name", "item", "user", "weights"),
    [
        ("vbpr", None, None, (1.0, 0.0)),
        ("vbpr", None, 0.5, (1.0, 0.5)),
        ("coarse-fine", None, 0.0, (0.75, 0.0)),
        ("deepstyle-ii", 0.0, None, (0.0, 0.25)),
    ],
)
def test_weights_that_are_given_count_with_every_name(name, item, user, weights):
    changes = {"model.name": name, "loss.item_weight": item, "loss.user_weight": user}
    assert configs.replace(Config(), changes).task_weights == weights


def test_our_model_and_its_single_task_differ_in_their_tasks_alone():
    ours, single = apply("coarse-fine", 2), apply("coarse-fine-s", 2)
    assert configs.replace(single, {"model": ours.model}) == ours
    assert ours.model.score == single.model.score == "coarse-fine"
    assert (ours.task_weights, single.task_weights) == ((0.75, 0.25), (1.0, 0.0))


def test_each_seed_has_a_split_of_its_own_where_wanted():
    config = apply("vbpr", 4)
    assert (config.train.seed, config.data.split_seed) == (4, 4)
    config = apply("vbpr", 4, reproduce__resplit=False, data__split_seed=9)
    assert (config.train.seed, config.data.split_seed) == (4, 9)


def test_widths_of_levels_are_of_the_model_they_were_given_for():
    widths = {"model__width": 12, "model__level_widths": (3, 3, 3)}
    assert apply("coarse-fine-s", **widths).model.level_widths == (3, 3, 3)
    assert apply("sherlock", **widths).model.level_widths == ()


def test_rows_by_name_come_in_the_order_of_the_tables():
    assert [row.name for row in tables.choose_rows(())] == PAPER
    chosen = tables.choose_rows(["coarse-fine", "vbpr-ii"])
    assert [row.name for row in chosen] == ["vbpr-ii", "coarse-fine"]
    with pytest.raises(UserError, match="no row 'vbpr-iii'") as told:
        tables.choose_rows(["vbpr", "vbpr-iii"])
    assert "\n" not in str(told.value) and "vbpr-ii" in str(told.value)


def runs(values, unseen=(0.1, 0.1, 0.1), popular=0.05):
    return [
        {
            "test/ndcg@10": value,
            "test/unseen/ndcg@10": other,
            "popularity/test/ndcg@10": popular,
        }
        for value, other in zip(values, unseen, strict=True)
    ]


def verdicts_of(results):
    verdicts = paper_rows.verdicts(tables.CLAIMS, results)
    return {verdict.claim: verdict for verdict in verdicts}


def test_claims_by_hand():
    """With three seeds the quantile of Student's t is 4.3027."""
    verdicts = verdicts_of(
        {
            "coarse-fine": runs([0.30, 0.32, 0.31], unseen=[0.2, 0.3, 0.2]),
            "coarse-fine-s": runs([0.20, 0.20, 0.20], unseen=[0.2, 0.1, 0.1]),
        }
    )
    assert len(verdicts) == 3
    claim = verdicts["OurModel > OurModel-S, all items"]
    half = 4.302653 * 0.01 / np.sqrt(3)
    assert claim.held and claim.difference == pytest.approx(0.11)
    assert (claim.low, claim.high) == pytest.approx((0.11 - half, 0.11 + half))
    # Differences of 0, 0.2 and 0.1: the interval reaches below 0.
    claim = verdicts["OurModel > OurModel-S, unseen items"]
    assert not claim.held and claim.difference == pytest.approx(0.1)
    assert claim.low == pytest.approx(0.1 - 4.302653 * 0.1 / np.sqrt(3))
    popular = verdicts["OurModel > most popular items, all items"]
    assert popular.held and popular.difference == pytest.approx(0.26)


def test_every_claim_of_the_paper_is_judged():
    results = {name: runs([0.1, 0.2, 0.3]) for name in PAPER}
    order = (
        "VBPR-I > VBPR",
        "VBPR-II > VBPR-I",
        "OurModel > VBPR-II",
        "Sherlock-I > Sherlock",
        "Sherlock-II > Sherlock-I",
        "OurModel > Sherlock-II",
        "DeepStyle-I > DeepStyle",
        "DeepStyle-II > DeepStyle-I",
        "OurModel > DeepStyle-II",
        "OurModel-S > VBPR-I",
        "OurModel-S > Sherlock-I",
        "OurModel-S > DeepStyle-I",
        "OurModel > OurModel-S",
    )
    expected = {
        f"{claim}, {where} items"
        for claim, where in itertools.product(order, ("all", "unseen"))
    }
    verdicts = verdicts_of(results)
    assert expected <= set(verdicts)
    # Equal figures bear no claim out.
    assert not any(verdicts[claim].held for claim in expected)
    # All and unseen items, and VBPR beside the most popular ones.
    assert len(verdicts_of({"vbpr": results["vbpr"], "vbpr-i": results["vbpr-i"]})) == 3


def test_a_figure_that_is_not_known_bears_no_claim_out():
    """Where training has all items of the test, none of these are unseen."""
    verdicts = verdicts_of(
        {
            "vbpr": runs([0.1, 0.1, 0.1], unseen=[None, None, None]),
            "vbpr-i": runs([0.3, 0.31, 0.32], unseen=[None, 0.2, 0.3]),
        }
    )
    assert verdicts["VBPR-I > VBPR, all items"].held
    verdict = verdicts["VBPR-I > VBPR, unseen items"]
    assert not verdict.held and np.isnan(verdict.difference)


def test_a_table_by_hand():
    config = configs.replace(
        Config(), {"ranking.lengths": (10, 15), "closet.subset": "women"}
    )
    chosen = tables.choose_rows(["coarse-fine", "vbpr"])
    results = {
        name: [
            {"test/f1@10": a, "test/f1@15": 0.5, **popular}
            for a, popular in zip(values, most, strict=True)
        ]
        for name, values, most in (
            ("vbpr", (0.1, 0.3), [{"popularity/test/f1@10": p} for p in (0.2, 0.2)]),
            ("coarse-fine", (0.35, 0.45), [{}, {}]),
        )
    }
    table = tables.metric_table("f1", "", chosen, results, config)
    # Standard errors are |a - b| / 2.
    first = {"row": "VBPR", "@10": "0.200 ± 0.100", "@15": "0.500 ± 0.000"}
    second = {"row": "OurModel", "@10": "0.400 ± 0.050", "@15": "0.500 ± 0.000"}
    popular = {"row": "most popular items", "@10": "0.200 ± 0.000", "@15": ""}
    assert table == [
        first | {"paper @10": "0.000"},
        second | {"paper @10": "0.038"},
        popular,
    ]
    own = configs.replace(config, {"data.interactions": "table.csv"})
    assert tables.metric_table("f1", "", chosen, results, own) == [
        first,
        second,
        popular,
    ]


ROWS = ("vbpr-i", "vbpr-ii")
SMOKE = {
    **saved_models.CLOSET,
    "reproduce.rows": ROWS,
    "reproduce.seeds": 2,
}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Two rows with two seeds: (config, workdir, names of the tables)."""
    workdir = tmp_path_factory.mktemp("reproduce")
    config = configs.replace(Config(), {**SMOKE, "data.cache": str(workdir / "cache")})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(report, "write", lambda *args: None)
        return config, workdir, reproduce.reproduce(config, workdir, lambda text: None)


def metrics_of(workdir, row):
    folders = [workdir / "runs" / row / f"seed{seed}" for seed in range(2)]
    return [json.loads((folder / "metrics.json").read_text()) for folder in folders]


def test_tables_hold_means_and_errors_over_seeds(finished):
    _, workdir, names = finished
    written = sorted(path.name for path in (workdir / "tables").iterdir())
    kinds = [f"table{k}{group}" for k in (2, 3, 4, 5) for group in ("", "_unseen")]
    assert names == [*kinds, "claims"]
    assert written == sorted(f"{name}.{e}" for name in names for e in ("md", "csv"))
    table = pd.read_csv(workdir / "tables" / "table4.csv", index_col="row")
    assert list(table.index) == ["VBPR-I", "VBPR-II", "most popular items"]
    for row, title in zip(ROWS, table.index, strict=False):
        for length in (5, 10, 20):
            a, b = (run[f"test/ndcg@{length}"] for run in metrics_of(workdir, row))
            text = f"{(a + b) / 2:.3f} ± {abs(a - b) / 2:.3f}"
            assert table.loc[title, f"@{length}"] == text
    a, b = (run["popularity/test/ndcg@5"] for run in metrics_of(workdir, ROWS[0]))
    popular = table.loc["most popular items"]
    assert popular["@5"] == f"{(a + b) / 2:.3f} ± {abs(a - b) / 2:.3f}"
    # The paper's figures of kids.
    assert table.loc["VBPR-II", "paper @10"] == 0.017
    text = (workdir / "tables" / "table4.md").read_text()
    sizes = [metrics_of(workdir, ROWS[0])[0][f"{s}/n"] for s in ("train", "test")]
    assert f"{sizes[0]:,} / " in text and f" / {sizes[1]:,} interactions" in text
    assert "sub-dataset kids" in text and "2 seeds" in text and "2 steps of 32" in text


def test_claims_are_judged_over_the_same_seeds(finished):
    _, workdir, _ = finished
    table = pd.read_csv(workdir / "tables" / "claims.csv", index_col="claim")
    assert list(table.index) == [
        "VBPR-II > VBPR-I, all items",
        "VBPR-II > VBPR-I, unseen items",
        "VBPR-II > VBPR-I, needs of branches",
    ]
    names = "test/ndcg@10", "test/unseen/ndcg@10", "test/branch_need@10"
    for claim, name in zip(table.index, names, strict=True):
        one, two = (
            np.array([run[name] for run in metrics_of(workdir, r)]) for r in ROWS
        )
        assert table.loc[claim, "difference"] == pytest.approx(
            (two - one).mean(), abs=6e-4
        )
        half = 12.7062 * abs(np.diff(two - one)[0]) / 2
        mean = (two - one).mean()
        here = "held" if mean > half else "lost" if mean < -half else "not held"
        assert table.loc[claim, "here"] == here


def test_each_run_has_the_config_of_its_row_and_seed(finished):
    _, workdir, _ = finished
    for row, seed in itertools.product(ROWS, range(2)):
        folder = workdir / "runs" / row / f"seed{seed}"
        record = workdirs.read_record(folder)
        config = record["config"]
        assert (config["model"]["name"], config["train"]["seed"]) == (row, seed)
        assert config["data"]["split_seed"] == seed
    # The data of a seed are those of all rows, and others than those of another seed.
    hashes = [
        [
            workdirs.read_record(workdir / "runs" / row / f"seed{seed}")["facts"]
            for row in ROWS
        ]
        for seed in range(2)
    ]
    assert all(one == two and len(one["data"]) == 16 for one, two in hashes)
    assert hashes[0] != hashes[1]
    for one, two in zip(*(metrics_of(workdir, row) for row in ROWS), strict=True):
        for name, value in one.items():
            if name.startswith("popularity/") or name.endswith("/n"):
                assert two[name] == value, name  # the same split
    first, second = metrics_of(workdir, ROWS[0])
    assert first["popularity/test/ndcg@10"] != second["popularity/test/ndcg@10"]


def test_what_has_ended_is_not_run_again(finished, monkeypatch):
    config, workdir, names = finished
    before = (workdir / "tables" / "table2.md").read_bytes()

    def refuse(*args, **kwargs):
        raise AssertionError("something was run again")

    monkeypatch.setattr(train, "train_prepared", refuse)
    with monkeypatch.context() as patch:
        patch.setattr(data, "load", refuse)
        assert reproduce.reproduce(config, workdir, lambda text: None) == names
    assert (workdir / "tables" / "table2.md").read_bytes() == before
    # One more seed: it alone is run, over a split of its own.
    asked = []

    def give(run, record):
        folder = record.workdir
        asked.append((folder.parent.name, folder.name, run.config.data.split_seed))
        known = metrics_of(workdir, folder.parent.name)[0]
        return {k: np.nan if v is None else v for k, v in known.items()}

    monkeypatch.setattr(train, "train_prepared", give)
    more = configs.replace(config, {"reproduce.seeds": 3})
    reproduce.reproduce(more, workdir, lambda text: None)
    assert asked == [("vbpr-i", "seed2", 2), ("vbpr-ii", "seed2", 2)]


def test_lists_without_the_length_of_the_claims_are_refused(tmp_path):
    changes = {"ranking.lengths": (5, 20), "train.best_metric": "ndcg@5"}
    config = configs.replace(Config(), {**SMOKE, **changes})
    with pytest.raises(UserError, match="--ranking.lengths.*ndcg@10"):
        reproduce.reproduce(config, tmp_path, lambda text: None)
    assert not list(tmp_path.iterdir())
