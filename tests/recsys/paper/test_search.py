import pytest

from common.config import configs
from common.training import workdirs
from recsys import data, report
from recsys.config import RIVALS, Config
from recsys.paper import search, tables
from recsys.verbs import reproduce
from tests.recsys import saved_models

SMOKE = {
    **saved_models.CLOSET,
    "reproduce.rows": ("vbpr", "item-knn"),
    "reproduce.seeds": 1,
}
BY_NAME = {row.name: row for row in tables.ROWS}


def make_config(folder, **changes):
    named = {key.replace("__", "."): value for key, value in changes.items()}
    return configs.replace(Config(), {**SMOKE, "data.cache": str(folder), **named})


@pytest.mark.parametrize(("kind", "rows"), [("none", ()), ("rivals", RIVALS)])
def test_which_rows_are_searched(kind, rows, tmp_path):
    config = make_config(tmp_path, reproduce__search=kind)
    found = [row.name for row in tables.ROWS if search.is_searched(row, config)]
    assert found == list(rows)
    every = make_config(tmp_path, reproduce__search="all")
    assert all(search.is_searched(row, every) for row in tables.ROWS)


@pytest.mark.parametrize("name", ["vbpr", "coarse-fine", *RIVALS])
def test_every_row_tries_nine_settings_of_its_own(name, tmp_path, monkeypatch):
    """The best on validation is taken, the first of equal ones."""
    config = make_config(tmp_path)
    tried = []

    def validate(changed, corpus, folder):
        assert corpus == "the corpus"
        tried.append(changed)
        return [0.1, 0.2, 0.4, 0.3, 0.4, 0.0, 0.1, 0.1, 0.1][len(tried) - 1]

    monkeypatch.setattr(search, "validate", validate)
    row = BY_NAME[name]
    best, cells = search.choose_settings(
        row, config, "the corpus", tmp_path / "search", lambda text: None
    )
    assert len(set(map(repr, tried))) == len(tried) == 9
    section = {"vbpr": "optimizer", "coarse-fine": "optimizer"}.get(name, name)
    assert {key.split(".")[0] for key in best} == {section.replace("-", "_")}
    plain = row.apply(config, 0)
    assert configs.replace(plain, best) == tried[2] != plain
    assert (cells["ndcg@10, validation"], cells["tried"]) == ("0.4000", 9)
    assert cells["worst of those tried"] == "0.0000"


def test_a_search_is_on_validation_and_not_made_again(tmp_path, monkeypatch):
    config = make_config(tmp_path / "cache")
    monkeypatch.setattr(report, "write", lambda *args: None)
    names = reproduce.reproduce(config, tmp_path / "run", lambda text: None)
    assert names[-1] == "settings"
    table = (tmp_path / "run" / "tables" / "settings.md").read_text()
    assert "ItemKNN" in table and "VBPR" not in table
    # The run of the row has the settings that did best on validation rows.
    trials = [tmp_path / "run" / "search" / "item-knn" / str(k) for k in range(9)]
    values = [workdirs.read_metrics(t)["validation/ndcg@10"] for t in trials]
    best = workdirs.read_record(trials[values.index(max(values))])["config"]
    folder = tmp_path / "run" / "runs" / "item-knn" / "seed0"
    assert workdirs.read_record(folder)["config"]["item_knn"] == best["item_knn"]
    found = workdirs.read_metrics(folder)
    assert found["validation/ndcg@10"] == max(values) > min(values)

    def refuse(*args, **kwargs):
        raise AssertionError("something was tried again")

    monkeypatch.setattr(search, "validate", refuse)
    # All that the second call reads is there.
    assert reproduce.reproduce(config, tmp_path / "run", lambda text: None) == names


def test_a_model_is_validated_as_it_is_trained(tmp_path):
    config = make_config(tmp_path / "cache", model__name="vbpr")
    corpus = data.load(config)
    value = search.validate(config, corpus, tmp_path / "trial")
    lines = (tmp_path / "trial" / "metrics.jsonl").read_text()
    assert f'"validation/ndcg@10": {value:.6f}'[:-2] in lines
