import dataclasses
import types

import pandas as pd
import pytest

from common.cli import verbs
from common.cli.app import Command
from common.errors import UserError


class Doubler:
    """A model that doubles the column x of a table."""

    def __init__(self, workdir, config):
        self.factor = config

    def predict(self, rows, images, *, allow_missing_columns):
        table = pd.read_csv(rows)
        if allow_missing_columns:
            table = table.assign(x=0)
        errors = ["" if x >= 0 else "below 0" for x in table["x"]]
        return pd.DataFrame({"y": self.factor * table["x"], "error": errors})


PREDICT = verbs.predict_rows(Doubler, lambda table: f"{len(table)} rows")


@pytest.fixture
def command(tmp_path):
    (tmp_path / "in.csv").write_text("x\n1\n-2\n")
    return Command("toy", "predict", tmp_path, input=tmp_path / "in.csv")


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_predictions_go_into_the_file_of_the_output(ending, command, capsys):
    path = command.workdir / f"out.{ending}"
    PREDICT.run(2, dataclasses.replace(command, output=path))
    read = pd.read_csv if ending == "csv" else pd.read_parquet
    table = read(path)
    assert table["y"].tolist() == [2, -4]
    assert table["error"].fillna("").tolist() == ["", "below 0"]
    assert capsys.readouterr().out == f"2 rows: {path}\n"


def test_missing_columns_are_allowed_by_a_flag(command, capsys):
    path = command.workdir / "out.csv"
    PREDICT.run(
        2, dataclasses.replace(command, output=path, allow_missing_columns=True)
    )
    assert pd.read_csv(path)["y"].tolist() == [0, 0]


def test_the_guess_says_what_is_amiss(tmp_path, capsys):
    table = tmp_path / "t.csv"
    rows = ["price,km,kind", *(f"{i} - {i + 5},1.{i:03},a" for i in range(20)), "1,2"]
    table.write_text("\n".join(rows))
    config = types.SimpleNamespace(data=types.SimpleNamespace(path=str(table)))
    verbs.infer_schema(config, Command("toy", "schema"))
    out, err = capsys.readouterr()
    ragged, target, doubt = err.splitlines()
    assert "1 of 21 rows can't be read; the first is line 22: has 2 fields" in ragged
    assert "names no target; set target.column" in target
    assert "column 'price' is named a price, but '0 - 5' can't be read" in target
    assert "column 'km' can be read in two ways" in doubt and '"decimal"' in doubt
    assert "named a price" in out


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("out.txt", "must end with .csv or .parquet"),
        ("missing/out.csv", "there is no folder"),
    ],
)
def test_outputs_that_can_not_be_written_are_refused_first(name, message, command):
    def refuse(workdir, config):
        raise AssertionError("the model was loaded")

    mode = verbs.predict_rows(refuse, lambda table: "")
    output = command.workdir / name
    with pytest.raises(UserError, match=message):
        mode.run(2, dataclasses.replace(command, output=output))


def test_an_export_goes_into_the_workdir_unless_told_otherwise(command, capsys):
    folders = []
    mode = verbs.export(lambda config, command, folder: folders.append(folder))
    mode.run(None, command)
    mode.run(None, dataclasses.replace(command, output=command.workdir / "other"))
    assert folders == [command.workdir / "export", command.workdir / "other"]
    assert f"exported: {folders[1]}; see serve.py there" in capsys.readouterr().out


def test_a_check_shows_its_summary_and_where_the_page_is(command, capsys):
    page = command.workdir / "check.html"
    verbs.check(lambda config, workdir, say: (page, f"rows {config}")).run(7, command)
    assert capsys.readouterr().out == f"rows 7\nreport: {page}\n"


def test_tables_are_shown_in_their_order(command, capsys):
    def run(config, workdir, say):
        say("running")
        (workdir / "tables").mkdir()
        for name in ("b", "a"):
            (workdir / "tables" / f"{name}.md").write_text(f"table {name}")
        return ["b", "a"]

    verbs.reproduce(run).run(None, command)
    assert capsys.readouterr() == ("table b\ntable a\n", "running\n")


def test_a_schema_needs_a_table(command):
    config = types.SimpleNamespace(data=types.SimpleNamespace(path=""))
    with pytest.raises(UserError, match="--mode=schema needs --data.path=TABLE"):
        verbs.schema().run(config, command)


def test_rows_that_could_not_be_read_are_said_with_their_lines(command, capsys):
    frame = pd.DataFrame({"line": [2.0, 3.0], "error": ["", "no photo"]})
    verbs.say_errors(frame, command)
    assert capsys.readouterr().err == "line 3: no photo\n"


@pytest.mark.parametrize("name", ["train", "evaluate", "predict", "explain"])
def test_modes_run_what_a_system_has(name, command):
    calls = []
    mode = getattr(verbs, name)(lambda *given: calls.append(given))
    mode.run("config", command)
    assert calls == [("config", command)]
    assert mode.trained == (name != "train")
