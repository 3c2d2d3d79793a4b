"""A thousand bad inputs: none ends in a traceback, and no row is lost."""

import collections
import functools
import pathlib
import shutil
import subprocess
import sys

import pytest

from common.tables import schema as schemas
from ican import main as ican_main
from ican.verbs.predict import Model
from tests.integration.bad_input import (
    archive_cases,
    command_cases,
    photo_cases,
    row_cases,
    schema_cases,
    table_file_cases,
    tables,
    weights_cases,
    workdir_cases,
)
from tests.integration.bad_input.bench import OUTCOMES, Bench, Trained

KINDS = {
    "rows": (row_cases.row_cases, 90),
    "rows in Python": (row_cases.python_cases, 46),
    "headers": (table_file_cases.header_cases, 53),
    "encodings": (table_file_cases.encoding_cases, 74),
    "Parquet files": (table_file_cases.parquet_cases, 40),
    "photos": (photo_cases.photo_cases, 138),
    "names of photos": (photo_cases.name_cases, 74),
    "archives": (archive_cases.archive_cases, 62),
    "flags": (command_cases.flag_cases, 90),
    "flag files": (command_cases.flagfile_cases, 62),
    "schema files": (schema_cases.schema_cases, 108),
    "prepared folders": (workdir_cases.prepared_cases, 36),
    "workdirs": (workdir_cases.workdir_cases, 92),
    "weights": (weights_cases.weights_cases, 35),
}
FLAGS = (
    "--zones.kind=quantile",
    "--zones.count=4",
    "--ensemble.classifiers=4",
    "--train.steps=4",
    "--train.batch_size=8",
    "--train.eval_every=2",
    "--train.checkpoint_every=2",
    "--train.tensorboard=false",
    "--train.progress=false",
)


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """Training runs by name, each done once."""
    root = tmp_path_factory.mktemp("trained")

    @functools.cache
    def train(name: str) -> Trained:
        workdir = root / name
        flags = (*FLAGS, *_give_data(root, name))
        with pytest.raises(SystemExit) as caught:
            ican_main.main(["ican", f"--workdir={workdir}", *flags])
        assert caught.value.code == 0, name
        return Trained(workdir, flags, Model(workdir))

    return train


def _give_data(root: pathlib.Path, name: str) -> list[str]:
    """Writes the listings that a model is trained on; returns their flags."""
    folder = root / f"{name}_data"
    folder.mkdir()
    schema = tables.SCHEMA
    text = tables.plain_text(48)
    flags = ["--model.kind=attributes", "--model.attributes.width=8"]
    if name == "photos":
        schema = photo_cases.SCHEMA
        rows = [photo_cases.plain_row(i, f"{i % 4}.jpg") for i in range(48)]
        text = "".join(map(tables.csv_line, (photo_cases.COLUMNS, *rows)))
        for file, data in photo_cases.plain_photos().items():
            (folder / file).write_bytes(data)
        weights = folder / "weights.safetensors"
        weights_cases.write_backbone(weights)
        flags = [
            "--model.kind=concatenation",
            "--backbone.depth=tiny",
            f"--backbone.weights={weights}",
            "--backbone.frozen",
            f"--backbone.cache={folder / 'features'}",
            "--photos.resize=32",
            "--photos.crop=32",
            f"--data.images={folder}",
        ]
    (folder / "table.csv").write_text(text)
    schemas.save(schema, folder / "schema.json")
    flags += [f"--data.path={folder / 'table.csv'}"]
    flags += [f"--data.schema={folder / 'schema.json'}"]
    return [*flags, f"--data.cache={folder / 'cache'}"]


@pytest.mark.parametrize("kind", KINDS)
def test_bad_input(kind, trained, tmp_path, record_property):
    make, count = KINDS[kind]
    bench = Bench(tmp_path, trained)
    outcomes: collections.Counter[str] = collections.Counter()
    failures = []
    for case in make(count):
        with bench.new_folder():
            try:
                outcomes[case.run(bench)] += 1
            except (Exception, SystemExit) as error:  # noqa: BLE001
                failures.append(f"{case.name}: {type(error).__name__}: {error}")
    # Printed by tests/conftest.py when all tests are done.
    columns = [kind, sum(outcomes.values()), *(outcomes[name] for name in OUTCOMES)]
    record_property("bad input", columns)
    assert not failures, f"{len(failures)} of {count}:\n" + "\n".join(failures)
    assert columns[1] == count


def test_there_are_a_thousand():
    assert sum(count for _, count in KINDS.values()) == 1000


def test_the_cases_are_the_same_every_time():
    for make, count in KINDS.values():
        names = [case.name for case in make(count)]
        assert names == [case.name for case in make(count)]


@pytest.mark.parametrize("file", ["state/d/*", "_CHECKPOINT_METADATA"])
def test_the_screen_of_a_real_process_stays_clean(file, trained, tmp_path):
    """Libraries print from threads and at exit, where a bench does not look."""
    run = trained("attributes")
    shutil.copytree(run.workdir, tmp_path / "run")
    (path,) = tmp_path.glob(f"run/checkpoints/train/4/{file}")
    path.write_bytes(b"")
    words = [f"--workdir={tmp_path / 'run'}", "--mode=export"]
    done = subprocess.run(
        [sys.executable, "-m", "experiments.ican_main", *words],
        capture_output=True,
        text=True,
        check=False,
    )
    # What goes on is said where a slow machine takes more than five seconds.
    goes_on = "--mode=export"
    lines = [x for x in done.stderr.splitlines() if not x.startswith(goes_on)]
    if done.returncode == 0:
        assert lines == []
    else:
        assert done.returncode == 2
        assert (
            len(lines) == 1 and lines[0].startswith("error: ") and "damaged" in lines[0]
        )
