import json
import shutil

import pandas as pd
import pytest

from common.config import configs
from common.tables import schema as schemas
from pricer.main import main


def call(*flags):
    with pytest.raises(SystemExit) as ended:
        main(["pricer", *map(str, flags)])
    return ended.value.code


def test_training_prints_a_short_table(run, tmp_path, capsys):
    flagfile = tmp_path / "tiny.flags"
    flagfile.write_text("\n".join(configs.flag_lines(run.config)))
    assert call(f"--flagfile={flagfile}", f"--workdir={run.workdir}") == 0
    out = capsys.readouterr().out
    assert f"{run.values['test/male']:.3f}" in out
    assert "median price of the category" in out
    rival = run.values["test/rival/male"]
    assert rival < run.values["test/median_male"]  # attributes tell something
    for told in (
        "| linear rival ",
        f"linear rival without a photo: MALE of all items {rival:.3f};",
    ):
        assert told in out
    page = (run.workdir / "report.html").read_text()
    assert "Is the network worth it?" in page
    assert "14 of 14 statistics of the prices sold before, and what the 3 most" in page


def test_evaluation_gives_the_figures_of_training(run, capsys):
    assert call("--mode=evaluate", f"--workdir={run.workdir}") == 0
    values = json.loads((run.workdir / "metrics_test.json").read_text())
    for name, value in values.items():
        assert value == pytest.approx(run.values[name], rel=0.02, abs=2e-3), name
    assert f"{values['test/male_all']:.3f}" in capsys.readouterr().out


def test_evaluation_says_that_the_data_are_others(run, shop, tmp_path, capsys):
    rows = pd.read_csv(shop.folder / "table.csv", dtype=str)
    rows["price"] = rows["price"].astype(float) * 2
    rows.to_csv(tmp_path / "table.csv", index=False)
    workdir = shutil.copytree(run.workdir, tmp_path / "run")
    flags = ("--mode=evaluate", f"--workdir={workdir}")
    assert call(*flags, f"--data.path={tmp_path / 'table.csv'}") == 0
    told = capsys.readouterr().err
    assert told.count("note: the data are not those that") == 1
    values = json.loads((workdir / "metrics_test.json").read_text())
    assert values["other_data"] is True


def test_prediction_writes_a_table_and_counts(run, shop, tmp_path, capsys):
    flags = [
        "--mode=predict",
        f"--workdir={run.workdir}",
        f"--input={shop.folder / 'table.csv'}",
        f"--images={shop.folder / 'photos'}",
    ]
    assert call(*flags, f"--output={tmp_path / 'out.csv'}") == 0
    found = pd.read_csv(tmp_path / "out.csv")
    accepted = int(found["accepted"].sum())
    text = f"{accepted} suggestions, {149 - accepted} refused, 0 errors"
    assert text in capsys.readouterr().out
    assert call(*flags, f"--output={tmp_path / 'out.parquet'}") == 0
    again = pd.read_parquet(tmp_path / "out.parquet")
    assert again["item"].tolist() == found["item"].astype(str).tolist()


def test_explain_draws_rows_of_a_table_and_of_a_split(run, shop, tmp_path, capsys):
    three = tmp_path / "three.csv"
    shop.table.head(3).to_csv(three, index=False)
    flags = ["--mode=explain", f"--workdir={run.workdir}", f"--output={tmp_path / 'a'}"]
    photos = f"--images={shop.folder / 'photos'}"
    assert call(*flags, f"--input={three}", photos) == 0
    names = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert names == ["row_0.png", "row_1.png", "row_2.png"]
    assert "3 rows drawn" in capsys.readouterr().out


def test_export_writes_a_program(run, tmp_path, capsys):
    output = tmp_path / "served"
    assert call("--mode=export", f"--workdir={run.workdir}", f"--output={output}") == 0
    assert (output / "serve.py").exists()
    assert f"exported: {output}" in capsys.readouterr().out


def test_the_schema_is_inferred(shop, tmp_path):
    table = f"--data.path={shop.folder / 'table.csv'}"
    assert call("--mode=schema", table, f"--output={tmp_path / 's.json'}") == 0
    found = schemas.load(tmp_path / "s.json")
    assert found.target.column == "price" and found.images.columns == ("photo",)


@pytest.mark.parametrize(
    "flags, message",
    [
        (["--gate.percentil=0.5"], "gate.percentile"),
        (["--gate.percentile=2"], "gate.percentile"),
        (["--mode=forecast"], "--mode=forecast"),
        (["--data.path=nowhere.csv"], "nowhere.csv"),
        (["--networks.weights=nowhere.safetensors"], "nowhere.safetensors"),
        (["--labels.brand=brnd"], "--labels.brand=brnd"),
        (["--mode=evaluate"], "config.json"),
        (["--mode=predict", "--input=x.csv"], "--output"),
        (["--train.batch_size=7", "--parallel.devices=2"], "multiple of 2"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(flags, message, shop, tmp_path, capsys):
    tiny = [line for line in configs.flag_lines(shop.config())]
    trained = any(flag.startswith("--mode") for flag in flags)
    assert call(*([] if trained else tiny), f"--workdir={tmp_path}", *flags) == 2
    out, err = capsys.readouterr()
    lines = [line for line in err.splitlines() if line.startswith("error: ")]
    assert out == "" and len(lines) == 1 and message in lines[0]
    assert "Traceback" not in err
