import json
import re
import shutil

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from common.config import configs
from common.tables import inference
from common.tables import schema as schemas
from common.tables.table import read_table
from ican.main import main
from ican.verbs import explain
from ican.verbs.predict import Model


def call(*flags):
    """Exit code of a command line."""
    with pytest.raises(SystemExit) as ended:
        main(["ican", *map(str, flags)])
    return ended.value.code


def flagfile(config, folder):
    path = folder / "tiny.flags"
    path.write_text("\n".join(["# Tiny.", *configs.flag_lines(config)]) + "\n")
    return f"--flagfile={path}"


def one_line(capsys):
    """The one line that a user's mistake gets."""
    out, err = capsys.readouterr()
    assert out == ""
    (line,) = err.splitlines()
    assert line.startswith("error: ")
    return line


def test_train_prints_two_kinds_beside_the_majority(shop, tmp_path, capsys):
    config = shop.cached_config(model__kind="attributes", compare="visual")
    run = tmp_path / "run"
    assert call(flagfile(config, tmp_path), f"--workdir={run}") == 0
    out = capsys.readouterr().out
    values = json.loads((run / "metrics.json").read_text())
    other = json.loads((run / "compare_visual" / "metrics.json").read_text())
    models = [line.split("|")[1].strip() for line in out.splitlines() if "| " in line]
    assert models[2:] == ["attributes", "visual", "majority"]
    for share in (
        values["test/top3"],
        other["test/top3"],
        values["test/majority/top3"],
    ):
        assert f"{share:.3f} ± {np.sqrt(share * (1 - share) / 13):.3f}" in out
    ratio = values["test/top3"] / values["test/majority/top3"]
    assert f"top-3 of attributes is {ratio:.2f} x that of the majority" in out
    hits = [
        pd.read_csv(folder / "predictions_test.csv")["rank_of_zone"] < 3
        for folder in (run, run / "compare_visual")
    ]
    gains = hits[0].astype(float) - hits[1]
    told = f"{gains.mean():+.3f} ± {gains.std() / np.sqrt(13):.3f}."
    assert f"attributes minus visual, paired over 13 test rows: {told}" in out
    assert out.rstrip().endswith(f"report: {run / 'report.html'}")
    page = (run / "report.html").read_text()
    assert re.search(rf">visual</td>\s*<td[^>]*>{other['test/top1']:.3f} ±", page)
    assert (run / "flags.txt").exists() and (run / "config.json").exists()


def test_predictions_name_the_rows_of_the_table(photo_run, shop):
    table = pd.read_csv(photo_run.workdir / "predictions_test.csv")
    rows = shop.positions("test")
    assert table["id"].tolist() == [shop.rows[row]["id"] for row in rows]
    assert table["line"].tolist() == [row + 2 for row in rows]  # the header is line 1
    assert table["price"].tolist() == [shop.rows[row]["price"] for row in rows]


def test_evaluate_finds_what_training_found(photo_run, capsys):
    assert call("--mode=evaluate", f"--workdir={photo_run.workdir}") == 0
    saved = json.loads((photo_run.workdir / "metrics_test.json").read_text())
    assert saved.keys() >= {"test/top3", "test/male", "test/ece", "test/n"}
    for name, value in saved.items():
        wanted = photo_run.values[name]
        assert value is None or value == pytest.approx(wanted, rel=1e-4, abs=1e-6)
    out = capsys.readouterr().out
    assert f"{saved['test/top3']:.3f}" in out
    flags = ("--mode=evaluate", "--split=validation")
    assert call(*flags, f"--workdir={photo_run.workdir}") == 0
    saved = json.loads((photo_run.workdir / "metrics_validation.json").read_text())
    assert saved["validation/n"] == 23


def test_evaluate_says_that_the_data_are_others(photo_run, shop, tmp_path, capsys):
    table = (shop.folder / "table.csv").read_text()
    (tmp_path / "table.csv").write_text(table.replace("gold", "silver"))
    workdir = shutil.copytree(photo_run.workdir, tmp_path / "run")
    flags = ("--mode=evaluate", f"--workdir={workdir}")
    assert call(*flags, f"--data.path={tmp_path / 'table.csv'}") == 0
    told = capsys.readouterr().err
    assert told.count("note: the data are not those that") == 1
    saved = json.loads((workdir / "metrics_test.json").read_text())
    assert saved["other_data"] is True and saved["test/n"] == 13
    assert call(*flags) == 0
    assert "not those that" not in capsys.readouterr().err
    assert "other_data" not in json.loads((workdir / "metrics_test.json").read_text())


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_predict_writes_a_table(ending, photo_run, shop, tmp_path, capsys):
    rows = [dict(row) for row in shop.rows[:4]]
    rows[2]["photo"] = "nowhere.png"
    pd.DataFrame(rows).to_csv(tmp_path / "new.csv", index=False)
    output = tmp_path / f"predictions.{ending}"
    flags = [f"--workdir={photo_run.workdir}", f"--input={tmp_path / 'new.csv'}"]
    flags += [f"--images={shop.folder / 'photos'}", f"--output={output}"]
    assert call("--mode=predict", *flags) == 0
    assert f"3 predictions, 1 errors: {output}" in capsys.readouterr().out
    read = pd.read_csv if ending == "csv" else pd.read_parquet
    found = read(output)
    wanted = Model(photo_run.workdir).predict(rows, shop.folder / "photos")
    assert list(found.columns) == list(wanted.columns)
    assert found["id"].tolist() == [row["id"] for row in rows]
    np.testing.assert_allclose(found["price"], wanted["price"].astype(float), rtol=1e-5)
    assert "nowhere.png" in found["error"][2]


def test_predict_checks_where_to_write_before_it_computes(
    photo_run, shop, tmp_path, capsys
):
    flags = ["--mode=predict", f"--workdir={photo_run.workdir}"]
    flags += [f"--input={shop.folder / 'table.csv'}"]
    assert call(*flags, "--output=a.xlsx") == 2
    assert "must end with .csv or .parquet" in one_line(capsys)
    assert call(*flags, f"--output={tmp_path / 'no' / 'a.csv'}") == 2
    assert "there is no folder" in one_line(capsys)
    flags[-1] = f"--input={tmp_path / 'a.csv'}"
    assert call(*flags, f"--output={tmp_path / 'b.csv'}") == 2
    assert "a.csv: there is no such file" in one_line(capsys)


def test_explain_draws_rows_of_a_split(photo_run, shop, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(explain, "EXPLAINED", 3)
    flags = ["--mode=explain", f"--workdir={photo_run.workdir}"]
    assert call(*flags, f"--output={tmp_path}") == 0
    drawn = {path.name for path in tmp_path.glob("*.png")}
    assert drawn == {f"row_{row}.png" for row in shop.positions("test")[:3]}
    assert f"3 rows drawn (of 13): {tmp_path}" in capsys.readouterr().out


def test_explain_draws_new_rows_and_names_those_it_cannot(
    photo_run, shop, tmp_path, capsys
):
    rows = [dict(row) for row in shop.rows[:3]]
    rows[1]["photo"] = "nowhere.png"
    pd.DataFrame(rows).to_csv(tmp_path / "new.csv", index=False)
    flags = ["--mode=explain", f"--workdir={photo_run.workdir}"]
    flags += [f"--input={tmp_path / 'new.csv'}", f"--images={shop.folder / 'photos'}"]
    assert call(*flags, f"--output={tmp_path / 'drawn'}") == 0
    out, err = capsys.readouterr()
    assert "2 rows drawn" in out
    assert "line 3: photo: " in err and "nowhere.png" in err
    pictures = sorted((tmp_path / "drawn").iterdir())
    assert [path.name for path in pictures] == ["row_0.png", "row_2.png"]
    with Image.open(pictures[0]) as picture:
        assert min(picture.size) > 100
    pd.DataFrame(rows[1:2]).to_csv(tmp_path / "new.csv", index=False)
    assert call(*flags) == 2
    assert "no row that can be read" in capsys.readouterr().err


def test_explain_does_not_mix_its_pictures_with_others(photo_run, tmp_path, capsys):
    (tmp_path / "row_1.png").touch()
    flags = ["--mode=explain", f"--workdir={photo_run.workdir}"]
    assert call(*flags, f"--output={tmp_path}") == 2
    assert "holds row_1.png already" in one_line(capsys)


def test_explain_needs_attention(attributes_run, capsys):
    assert call("--mode=explain", f"--workdir={attributes_run.workdir}") == 2
    assert "kind attributes has no attention to draw" in one_line(capsys)


def test_export_writes_a_folder(attributes_run, tmp_path, capsys):
    flags = ("--mode=export", f"--workdir={attributes_run.workdir}")
    assert call(*flags, f"--output={tmp_path / 'out'}") == 0
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"program.stablehlo", "weights.npz", "metadata.json", "serve.py"}
    assert f"exported: {tmp_path / 'out'}" in capsys.readouterr().out


def test_schema_is_printed_or_written(shop, tmp_path, capsys):
    table = shop.folder / "table.csv"
    wanted = inference.infer(read_table(table))
    assert call("--mode=schema", f"--data.path={table}") == 0
    assert schemas.loads(capsys.readouterr().out) == wanted
    output = tmp_path / "schema.json"
    assert call("--mode=schema", f"--data.path={table}", f"--output={output}") == 0
    assert schemas.load(output) == wanted
    assert f"--data.schema={output}" in capsys.readouterr().out
    assert call("--mode=schema") == 2
    assert "needs --data.path=TABLE" in one_line(capsys)


def test_reproduce_prints_its_tables(shop, tmp_path, capsys):
    config = shop.config(
        reproduce__rows=("attributes",), reproduce__seeds=1, train__steps=2
    )
    flags = (flagfile(config, tmp_path), f"--workdir={tmp_path / 'runs'}")
    assert call("--mode=reproduce", *flags) == 0
    out, err = capsys.readouterr()
    assert "attributes, seed 0" in err
    for name in ("results", "prices", "claims"):
        assert (tmp_path / "runs" / "tables" / f"{name}.md").read_text() in out


@pytest.mark.parametrize(
    "flags, message",
    [
        (["--model.kin=block"], "model.kind"),
        (["--model.kind=blok"], "model.kind"),
        (["--mode=trian"], "train"),
        (["--train.steps=0"], "train.steps"),
        (["stray"], "stray"),
        (["--mode=predict"], "needs --"),
        (["--data.path=nowhere.csv"], "nowhere.csv"),
        (["--flagfile=nowhere.flags"], "nowhere.flags"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(flags, message, tmp_path, capsys):
    assert call(f"--workdir={tmp_path / 'run'}", *flags) == 2
    assert message in one_line(capsys)


@pytest.mark.parametrize("mode", ["evaluate", "explain", "export"])
def test_a_folder_without_a_run_is_one_line(mode, tmp_path, capsys):
    assert call(f"--mode={mode}", f"--workdir={tmp_path}") == 2
    assert str(tmp_path) in one_line(capsys)


def test_another_config_does_not_continue_a_run(attributes_run, tmp_path, capsys):
    config = configs.replace(attributes_run.config, {"optimizer.momentum": 0.5})
    flags = (flagfile(config, tmp_path), f"--workdir={attributes_run.workdir}")
    assert call(*flags) == 2
    assert "optimizer.momentum is 0.9 there and 0.5 now" in one_line(capsys)
