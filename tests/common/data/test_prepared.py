"""Prepared directories: read by TFDS alone, refused where damaged."""

import json
import pickle
import subprocess
import sys
import textwrap

import cloudpickle
import pytest

from common.data import ingest, prepared
from common.errors import UserError


@pytest.fixture
def listings(market):
    cells = {(3, "photo"): "3.jpg|4.jpg", (5, "photo"): ""}
    market.write(30, cells)
    return ingest.load(market.config(bad_image="blank"), market.said.append)


def test_tfds_reads_the_records_without_our_code(market, listings, tmp_path):
    script = textwrap.dedent("""
        import pickle, sys
        import tensorflow_datasets as tfds

        builder = tfds.builder_from_directory(sys.argv[1])
        records = {}
        for split in ("train", "validation", "test"):
            source = builder.as_data_source(split)
            for i in range(len(source)):
                record = source[i]
                records[int(record["row"])] = list(record["images"])
        assert "common" not in sys.modules and "tensorflow" not in sys.modules
        pickle.dump(records, open(sys.argv[2], "wb"))
    """)
    out = tmp_path / "records"
    # Away from the repository, and without its path.
    command = [sys.executable, "-I", "-c", script, str(listings.directory), str(out)]
    subprocess.run(command, check=True, cwd=tmp_path)
    records = pickle.loads(out.read_bytes())
    assert len(records) == 30
    assert records[3] == [market.jpeg(3), market.jpeg(4)]
    assert records[5] == []
    assert records[29] == [market.jpeg(29)]


def test_records_lie_in_the_order_of_the_table(listings):
    import tensorflow_datasets as tfds

    builder = tfds.builder_from_directory(listings.directory)
    for split in ("train", "validation", "test"):
        rows = [record["row"] for record in builder.as_data_source(split)]
        assert rows == list(listings.indices(split))


@pytest.mark.parametrize("library", [pickle, cloudpickle])
def test_a_source_pickles(market, listings, library):
    source = library.loads(library.dumps(listings.rows("train")))
    first = listings.indices("train")[0]
    assert source[0] == listings.source[first]
    assert len(library.dumps(listings.source)) < 20_000


def test_a_prepared_directory_may_move(market, listings):
    moved = listings.directory.rename(market.folder / "moved")
    again = prepared.load_prepared(moved)
    assert again.source[29]["images"] == [market.jpeg(29)]
    assert again.fingerprint == listings.fingerprint


def damage_cases(directory):
    names = sorted(path.name for path in directory.iterdir())
    for name in names:
        if name == "prepared.json":
            continue
        yield f"no {name}", lambda file=directory / name: file.unlink()
        yield f"cut {name}", lambda file=directory / name: file.write_bytes(b"x")


def test_damage_is_a_user_error(listings):
    directory = listings.directory
    files = {path: path.read_bytes() for path in directory.iterdir()}
    cases = list(damage_cases(directory))
    assert len(cases) == 18
    for name, damage in cases:
        damage()
        with pytest.raises(UserError, match="delete it and prepare it again"):
            prepared.load_prepared(directory)
        for path, content in files.items():
            path.write_bytes(content)
        assert len(prepared.load_prepared(directory).frame) == 30, name


def test_same_size_damage_is_a_user_error(listings):
    directory = listings.directory
    for name in ("listings.parquet", "dataset_info.json", "features.json"):
        file = directory / name
        content = file.read_bytes()
        file.write_bytes(b"\0" * len(content))
        with pytest.raises(UserError, match="damaged"):
            prepared.load_prepared(directory)
        file.write_bytes(content)


def test_facts_are_checked(listings):
    file = listings.directory / "prepared.json"
    facts = json.loads(file.read_text())
    file.write_text(json.dumps(facts | {"format": 0}))
    with pytest.raises(UserError, match="another version"):
        prepared.load_prepared(listings.directory)
    for text in ("", "[]", "{}", '{"format": 1, "files": 3}', "\xff"):
        file.write_text(text, encoding="latin-1")
        with pytest.raises(UserError, match="damaged"):
            prepared.load_prepared(listings.directory)
    file.write_text(json.dumps({k: v for k, v in facts.items() if k != "rejected"}))
    with pytest.raises(UserError, match="damaged"):
        prepared.load_prepared(listings.directory)
    file.unlink()
    with pytest.raises(UserError, match="no prepared listings there"):
        prepared.load_prepared(listings.directory)
    with pytest.raises(UserError, match="no prepared listings there"):
        prepared.load_prepared(listings.directory / "nowhere")


def test_a_damaged_record_is_a_user_error(listings):
    (file,) = listings.directory.glob("*-train.array_record-*")
    content = bytearray(file.read_bytes())
    start = content.index(b"\xff\xd8\xff")  # the first photo
    content[start : start + 200] = b"\0" * 200
    file.write_bytes(bytes(content))
    source = prepared.load_prepared(listings.directory).rows("train")
    with pytest.raises(UserError, match="is damaged; delete the directory"):
        for i in range(len(source)):
            source[i]
