import numpy as np
import pytest

from common.config import configs
from common.errors import UserError
from common.reports import paper_rows
from ican.config import Config
from ican.paper import tables


def verdicts(top3):
    """Of the claims, with each seed's top-3 accuracy by row."""
    results = {
        row: [{tables.METRIC: value} for value in values]
        for row, values in top3.items()
    }
    return paper_rows.verdicts(tables.CLAIMS, results)


def test_rows_carry_the_papers_figures():
    rows = {row.name: row for row in tables.ROWS}
    assert rows["ican3"].paper == (59.0, 77.6, 88.8)
    assert rows["block"].paper == (53.1, 73.9, 86.4)
    assert [rows[f"ican{n}"].paper[0] for n in range(1, 6)] == [
        57.8,
        58.7,
        59.0,
        58.6,
        57.6,
    ]
    assert rows["concatenation_mlp"].paper == ()


def test_a_row_sets_kind_cells_and_seed_alone():
    config = tables.choose_rows(["ican5"])[0].apply(Config(), seed=4)
    assert (config.model.kind, config.model.ican.cells) == ("ican", 5)
    assert config.train.seed == 4
    block = tables.choose_rows(["block"])[0].apply(Config(), seed=0)
    assert block.model.ican == Config().model.ican


def test_rows_by_name_keep_the_order_of_the_table():
    chosen = tables.choose_rows(["ican3", "visual"])
    assert [row.name for row in chosen] == ["visual", "ican3"]
    networks = tuple(row for row in tables.ROWS if not (row.rival or row.on_request))
    assert len(networks) == 15  # of Tables 3 and 4, and an MLP
    assert tables.choose_rows([]) == networks
    with pytest.raises(
        UserError, match="no row 'ican9'; there are visual, .*; did you mean ican"
    ):
        tables.choose_rows(["ican9"])


def test_claims_are_judged_where_all_their_rows_are_there():
    figures = {"attributes": [0.5, 0.51, 0.52], "visual": [0.4, 0.41, 0.42]}
    (verdict,) = verdicts(figures)
    assert verdict.claim == "attributes alone beat the photo alone"
    assert verdict.held and verdict.difference == pytest.approx(0.1)


def test_a_claim_about_several_rows_compares_their_means():
    simple = {
        "concatenation": [0.5, 0.5],
        "addition": [0.4, 0.4],
        "product": [0.6, 0.6],
    }
    judged = verdicts({**simple, "visual": [0.3, 0.4]})
    (verdict,) = (v for v in judged if v.claim == "simple fusions beat the photo alone")
    assert verdict.difference == pytest.approx(np.mean([0.2, 0.1]))


def test_the_best_must_beat_the_best_of_the_others():
    figures = {
        "block": [0.5, 0.6],
        "mfb": [0.1, 0.2],
        "mfh": [0.45, 0.57],  # best by its mean, 0.51
        "mutan": [0.55, 0.40],
    }
    judged = {v.claim: v for v in verdicts(figures)}
    verdict = judged["BLOCK is the best bilinear fusion"]
    assert verdict.difference == pytest.approx(np.mean([0.05, 0.03]))


def test_every_claim_names_rows_that_exist():
    names = {row.name for row in tables.ROWS}
    for claim in tables.CLAIMS:
        assert set(claim.better + claim.worse) <= names


def test_words_help_where_a_row_without_texts_stands_beside():
    (row,) = tables.choose_rows(["ican3_without_texts"])
    config = row.apply(Config(), seed=1)
    assert Config().model.texts and not config.model.texts
    assert (config.model.kind, config.model.ican.cells) == ("ican", 3)
    figures = {"ican3": [0.6, 0.62, 0.61], "ican3_without_texts": [0.4, 0.41, 0.42]}
    (verdict,) = verdicts(figures)
    assert verdict.claim.startswith("words help") and verdict.held


def test_pointing_at_words_is_judged_where_there_are_titles():
    run = {"test/word_pointing": 0.5, "test/word_pointing_prior": 0.1}
    results = {"ican3": [run, {**run, "test/word_pointing": 0.51}]}
    (verdict,) = paper_rows.verdicts(tables.CLAIMS, results)
    assert "telling word" in verdict.claim and verdict.held
    stones = {"test/pointing": 0.5, "test/pointing_prior": 0.1}
    judged = paper_rows.verdicts(tables.CLAIMS, {"ican3": [stones, stones]})
    assert not any("word" in verdict.claim for verdict in judged)


def test_each_seed_may_have_its_own_split():
    config = configs.replace(Config(), {"data.split_seed": 10})
    (row,) = tables.choose_rows(["block"])
    assert row.apply(config, seed=4).data.split_seed == 10
    config = configs.replace(config, {"reproduce.resplit": True})
    found = row.apply(config, seed=4)
    assert (found.data.split_seed, found.train.seed) == (14, 4)
