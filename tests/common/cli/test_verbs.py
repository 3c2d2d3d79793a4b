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
    PREDICT(2, dataclasses.replace(command, output=path))
    read = pd.read_csv if ending == "csv" else pd.read_parquet
    table = read(path)
    assert table["y"].tolist() == [2, -4]
    assert table["error"].fillna("").tolist() == ["", "below 0"]
    assert capsys.readouterr().out == f"2 rows: {path}\n"


def test_missing_columns_are_allowed_by_a_flag(command, capsys):
    path = command.workdir / "out.csv"
    PREDICT(2, dataclasses.replace(command, output=path, allow_missing_columns=True))
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

    run = verbs.predict_rows(refuse, lambda table: "")
    output = command.workdir / name
    with pytest.raises(UserError, match=message):
        run(2, dataclasses.replace(command, output=output))


def test_an_export_goes_into_the_workdir_unless_told_otherwise(command, capsys):
    """And where the folder has a server, it is named."""
    folders = []

    def write(config, command, folder):
        folders.append(folder)
        if command.output is not None:
            folder.mkdir()
            (folder / "serve.py").touch()

    run = verbs.export(write)
    run(None, command)
    run(None, dataclasses.replace(command, output=command.workdir / "other"))
    assert folders == [command.workdir / "export", command.workdir / "other"]
    told = f"exported: {folders[0]}\nexported: {folders[1]}; see serve.py there\n"
    assert capsys.readouterr().out == told


def test_a_check_shows_its_summary_and_where_the_page_is(command, capsys):
    page = command.workdir / "check.html"
    verbs.check(lambda config, workdir, say: (page, f"rows {config}"))(7, command)
    assert capsys.readouterr().out == f"rows 7\nreport: {page}\n"


def test_tables_are_shown_in_their_order(command, capsys):
    def run(config, workdir, say):
        say("running")
        (workdir / "tables").mkdir()
        for name in ("b", "a"):
            (workdir / "tables" / f"{name}.md").write_text(f"table {name}")
        return ["b", "a"]

    verbs.reproduce(run)(None, command)
    assert capsys.readouterr() == ("table b\ntable a\n", "running\n")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.01, "0.01"),
        (0.1234567, "0.123457"),
        (999_999.7, "1000000"),
        (949_000.0, "949000"),
        (1_450_000.0, "1450000"),
        (1_234_567.8, "1234568"),
        (2.5e9, "2500000000"),
    ],
)
def test_numbers_of_a_table_stand_in_full(value, text, tmp_path):
    path = tmp_path / "out.csv"
    verbs.write_table(pd.DataFrame({"price": [value]}), path)
    assert path.read_text() == f"price\n{text}\n"


def test_a_table_that_can_not_be_written_leaves_the_old_one(tmp_path, monkeypatch):
    path = tmp_path / "out.csv"
    path.write_text("old")

    def fail(*arguments, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pd.DataFrame, "to_csv", fail)
    with pytest.raises(UserError, match=r"out.csv: can't be written \(No space left"):
        verbs.write_table(pd.DataFrame({"x": [1]}), path)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_pictures_of_an_earlier_call_do_not_stay_beside_new_ones(command):
    folder = command.workdir / "figures" / "explain"
    assert verbs.drawing_folder(command) == folder and not folder.exists()
    folder.mkdir(parents=True)
    for name in ("row_1.png", "notes.txt"):
        (folder / name).touch()
    assert verbs.drawing_folder(command) == folder
    assert [path.name for path in folder.iterdir()] == ["notes.txt"]
    own = dataclasses.replace(command, output=command.workdir / "own")
    assert verbs.drawing_folder(own) == own.output
