"""A path is a path, whatever characters its folders have."""

import contextlib
import io
import pathlib
import tarfile
import tempfile

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from etils import epath
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from common import literal_paths
from common.cli import outputs, verbs
from common.data import image_files, ingest
from common.data.configs import ListingsConfig
from common.parallel.execution import make_execution
from common.parallel.processes import ParallelConfig
from common.tables import schema as schemas
from common.training import checkpointing
from common.training.checkpointing import Checkpoints
from tests.integration import toy_training

ODD = pathlib.Path("a[1]", "b*?", "{c} d", "50%20#ü", "[!x]", "e[0:1]")


@pytest.fixture
def odd(tmp_path):
    """A folder below others with names that patterns, templates and URLs would read."""
    folder = tmp_path / ODD
    folder.mkdir(parents=True)
    return folder


def photo(number):
    """An encoded photo."""
    stream = io.BytesIO()
    Image.new("RGB", (4, 4), (number, 0, 0)).save(stream, "PNG")
    return stream.getvalue()


@given(st.text("[]*?!-{}^ #%é1a", min_size=1, max_size=8))
def test_only_the_pattern_is_a_pattern(name):
    literal_paths.take_literally()
    with tempfile.TemporaryDirectory() as root:
        folder = pathlib.Path(root, name)
        (folder / "below").mkdir(parents=True)
        for file in ("process_0", "process_1", "below/process_2"):
            (folder / file).touch()
        found = list(epath.Path(folder).glob("process_*"))
        assert {path.name for path in found} == {"process_0", "process_1"}
        assert all(path.exists() for path in found)
        (below,) = epath.Path(folder).glob("below/process_*")
        assert below.parent.parent == epath.Path(folder)


def test_checkpoints_come_back(odd):
    execution = make_execution(ParallelConfig(devices=2))
    state = {"kernel": jnp.arange(6.0).reshape(2, 3)}
    abstract = jax.eval_shape(lambda: state)
    about = {"identity": {}, "phase_number": 0}
    folder = checkpointing.phase_directory(odd, "train")
    with contextlib.closing(Checkpoints(folder)) as checkpoints:
        made = execution.init(lambda _: state, None)
        checkpoints.save(1, made, about, execution, 0.5)
    best = checkpointing.load_best(odd, "train", abstract, execution)
    arrays = checkpointing.load_arrays(odd)
    for kernel in (best.state["kernel"], arrays["kernel"]):
        np.testing.assert_array_equal(kernel, np.arange(6.0).reshape(2, 3))
    with contextlib.closing(Checkpoints(folder)) as checkpoints:
        assert checkpoints.restore_latest(abstract, execution, {}).step == 1


def test_a_run_is_trained_continued_and_read(odd):
    toy_training.train(odd, toy_training.Toy(steps=8))
    result = toy_training.train(odd, toy_training.Toy(steps=14))
    assert result.last_step == 14
    kernel = result.state["variables"]["params"]["Dense_0"]["kernel"]
    arrays = checkpointing.load_arrays(odd)
    found = arrays["variables/params/Dense_0/kernel"]
    np.testing.assert_array_equal(found, kernel)


def test_listings_are_prepared_and_opened_again(odd):
    (odd / "photos").mkdir()
    rows = []
    for number in range(12):
        (odd / "photos" / f"p[{number}].png").write_bytes(photo(number))
        rows.append((f"p[{number}].png", "xyz"[number % 3], 10 + number))
    table = odd / "table[1].csv"
    pd.DataFrame(rows, columns=["photo", "kind", "price"]).to_csv(table, index=False)
    schema = schemas.Schema(
        (schemas.Attribute("kind", "categorical", ("kind",)),),
        schemas.Images(("photo",)),
        schemas.Target("price", "USD"),
    )
    schemas.save(schema, odd / "schema[1].json")
    config = ListingsConfig(
        path=str(table),
        images=str(odd / "photos"),
        schema=str(odd / "schema[1].json"),
        cache=str(odd / "cache"),
        split_fractions=(0.5, 0.25, 0.25),
    )
    listings = ingest.load(config, say=lambda text: None)
    again = ingest.load_prepared(listings.directory)
    assert len(again.frame) == 12 and again.rejected == 0
    for row in range(12):
        assert again.source[row]["images"] == [photo(row)]


def test_photos_of_an_archive_are_read(odd):
    (odd / "p[1].png").write_bytes(photo(1))
    with tarfile.open(odd / "photos[1].tar", "w") as archive:
        archive.add(odd / "p[1].png", "x[1]/p*.png")
    with contextlib.closing(image_files.open_images(odd / "photos[1].tar")) as store:
        assert store.read("x[1]/p*.png") == photo(1)


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_tables_are_written(odd, ending):
    path = odd / f"out[1].{ending}"
    outputs.check_file(path, table=True)
    outputs.check_folder(odd / "export[1]")
    verbs.write_table(pd.DataFrame({"x": [1]}), path)
    read = pd.read_csv if ending == "csv" else pd.read_parquet
    assert read(path)["x"].tolist() == [1]
