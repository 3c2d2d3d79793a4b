"""Tables and photos in; every row accounted for."""

import dataclasses
import os
import pathlib
import signal
import subprocess
import sys
import tarfile
import tempfile
import textwrap

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.data import ingest, prepared
from common.data.configs import PhotosConfig
from common.data.photos import describe_unused
from common.errors import UserError
from common.tables import schema as schemas
from common.tables.table import from_rows

BROKEN = b"\xff\xd8\xff\xe0 cut off"
WORDS = [
    f"{word} and {other}"
    for word in ("amber", "bronze", "copper", "coral", "garnet", "jade")
    for other in ("ivory", "jet", "onyx", "opal", "pearl", "ruby", "shell", "wood")
]


def load(market, **options):
    market.said.clear()
    return ingest.load(market.config(**options), market.said.append)


def point(schema):
    """The schema of plain numbers, with what the column told of them."""
    kind, carat = schema.attributes
    carat = dataclasses.replace(carat, decimal=".")
    return dataclasses.replace(schema, attributes=(kind, carat))


def test_rows_and_photos_keep_the_order_of_the_table(market):
    market.write(30)
    listings = load(market)
    assert list(listings.frame["id"]) == [f"n{i}" for i in range(30)]
    np.testing.assert_array_equal(listings.frame["carat"], np.arange(30) / 2)
    np.testing.assert_array_equal(listings.frame["price"], np.arange(30) + 10)
    assert len(listings.source) == 30
    for i in (29, 0, 7):
        assert listings.source[i] == {"row": i, "images": [market.jpeg(i)]}
    rows = [listings.indices(split) for split in ("train", "validation", "test")]
    np.testing.assert_array_equal(np.sort(np.concatenate(rows)), np.arange(30))
    assert all(len(row) for row in rows)
    test = listings.rows("test")
    assert [record["row"] for record in test] == list(listings.indices("test"))
    with pytest.raises(ValueError, match="no split 'dev'"):
        listings.indices("dev")


def test_a_second_call_reads_what_the_first_wrote(market):
    market.write(30)
    first = load(market)
    assert "preparing" in market.said[0]
    written = {p: p.stat().st_mtime_ns for p in first.directory.iterdir()}
    second = load(market)
    assert market.said[0].startswith("already prepared")
    assert {p: p.stat().st_mtime_ns for p in second.directory.iterdir()} == written
    pd.testing.assert_frame_equal(first.frame, second.frame)
    assert first.fingerprint == second.fingerprint
    assert first.schema == second.schema == point(market.schema)


def test_everything_that_matters_is_in_the_fingerprint(market):
    market.write(30)
    seen = {load(market).fingerprint}

    def expect_new(**options):
        fingerprint = load(market, **options).fingerprint
        assert fingerprint not in seen
        seen.add(fingerprint)

    expect_new(split_seed=1)
    expect_new(split_fractions=(0.6, 0.2, 0.2))
    expect_new(bad_image="blank")
    (market.photos / "3.jpg").write_bytes(market.jpeg(99))
    expect_new()
    market.schema = dataclasses.replace(market.schema, group=None)
    expect_new()
    market.write(31)
    expect_new()
    assert load(market, max_rejected_fraction=0.5).fingerprint in seen


def test_a_foreign_file_among_the_photos_is_none_of_the_data(market):
    market.write(30)
    fingerprint = load(market).fingerprint
    (market.photos / ".DS_Store").write_bytes(b"x")
    (market.photos / "99.jpg").write_bytes(market.jpeg(99))
    assert load(market).fingerprint == fingerprint


def test_rows_of_one_id_stay_together_and_change_the_fingerprint(market):
    ids = {(row, "id"): str(row // 2 * 7) for row in range(40)}
    market.write(40, ids)
    once = load(market)
    sides = once.frame.groupby("id")["split"].nunique()
    assert len(sides) == 20 and (sides == 1).all()
    assert set(once.frame["split"]) == {"train", "validation", "test"}


def test_an_archive_gives_the_same_as_a_folder(market):
    market.write(30)
    folder = load(market)
    archive = market.folder / "photos.tar.xz"
    with tarfile.open(archive, "w:xz") as file:
        for path in sorted(market.photos.iterdir()):
            file.add(path, path.name)
    packed = load(market, images=str(archive))
    pd.testing.assert_frame_equal(packed.frame, folder.frame)
    assert [packed.source[i] for i in range(30)] == list(folder.source)


def test_several_photos_a_row_and_columns(market):
    market.write(30, {(4, "photo"): "4.jpg| 5.jpg ||1.jpg", (5, "photo"): "6.jpg"})
    listings = load(market)
    images = listings.source[4]["images"]
    assert images == [market.jpeg(4), market.jpeg(5), market.jpeg(1)]
    # Rows that share a photo are on one side: 4 with 1, 5 with 6.
    split = listings.frame["split"]
    assert split[4] == split[1]
    assert split[5] == split[6]


def test_bad_photos_skip_their_rows(market):
    market.write(
        30,
        {
            (3, "photo"): "none.jpg",
            (5, "photo"): "",
            (8, "photo"): "8.jpg|../table.csv",
            (9, "price"): "cheap",
        },
    )
    (market.photos / "6.jpg").write_bytes(BROKEN)
    listings = load(market, max_rejected_fraction=0.2)
    assert listings.rejected == 5
    found = market.rejected(listings.directory / "rejected.csv")
    assert [(line, column) for line, column, _ in found] == [
        (5, "photo"),
        (7, "photo"),
        (8, "photo"),
        (10, "photo"),
        (11, "price"),
    ]
    reasons = [reason for _, _, reason in found]
    assert reasons[0] == "photo 'none.jpg': no such file"
    assert reasons[1] == "no photo named"
    assert reasons[2] == "photo '6.jpg': truncated"
    assert reasons[3] == "photo '../table.csv': path leaves the image folder"
    kept = [i for i in range(30) if i not in (3, 5, 6, 8, 9)]
    assert list(listings.frame["id"]) == [f"n{i}" for i in kept]
    for row, i in enumerate(kept):
        assert listings.source[row] == {"row": row, "images": [market.jpeg(i)]}


def test_bad_photos_are_left_out_under_blank(market):
    market.write(30, {(3, "photo"): "none.jpg|3.jpg", (5, "photo"): ""})
    (market.photos / "6.jpg").write_bytes(BROKEN)
    listings = load(market, bad_image="blank")
    assert (listings.rejected, len(listings.frame)) == (0, 30)
    assert listings.source[3]["images"] == [market.jpeg(3)]
    assert listings.source[5]["images"] == []
    assert listings.source[6]["images"] == []
    facts = market.facts(listings)
    assert facts["dropped_photos"] == 2
    assert facts["rows_without_photo"] == 2
    dropped = market.rejected(listings.directory / "dropped_photos.csv")
    assert [line for line, _, _ in dropped] == [5, 8]
    assert (listings.dropped_photos, listings.rows_without_photo) == (2, 2)
    assert "2 unreadable photos left out, 2 rows without a photo" in market.said[-1]


@pytest.mark.parametrize(
    ("separator", "cell"),
    [
        ("|", "4.jpg|5.jpg"),
        (",", "4.jpg, 5.jpg"),
        (",", "4.jpg,5.jpg"),
        (" ", "4.jpg  5.jpg"),
        ("json", '["4.jpg", "5.jpg"]'),
        ("json", "['4.jpg', '5.jpg']"),
    ],
)
def test_photos_in_one_cell_in_training_and_prediction(market, separator, cell):
    described = schemas.Images(("photo",), separator)
    market.schema = dataclasses.replace(market.schema, images=described)
    table = market.write(30, {(4, "photo"): cell})
    wanted = [market.jpeg(4), market.jpeg(5)]
    assert load(market).source[4]["images"] == wanted
    for rows in (table, from_rows([{"photo": cell}]), from_rows([{"photo": AB}])):
        new = ingest.read_rows(rows, market.photos, schema_of_photos(market))
        assert new.source[4 if rows is table else 0]["images"] == wanted


AB = ["4.jpg", "5.jpg"]


def schema_of_photos(market):
    return dataclasses.replace(market.schema, attributes=(), id=None)


def test_a_cell_that_is_no_list_of_photos_rejects_its_row(market):
    described = schemas.Images(("photo",), "json")
    market.schema = dataclasses.replace(market.schema, images=described)
    market.write(30, {(4, "photo"): "[4.jpg]"})
    listings = load(market)
    ((line, column, reason),) = market.rejected(listings.directory / "rejected.csv")
    assert (line, column) == (6, "photo")
    assert reason.startswith("'[4.jpg]' is no list of names such as")


@pytest.mark.parametrize("archive", [False, True])
def test_photos_under_another_name_are_taken_and_counted(market, archive):
    market.write(30)
    before = load(market)
    assert before.renamed_photos == 0
    assert not (before.directory / "renamed_photos.csv").exists()
    cells = {(3, "photo"): "3.JPG", (4, "photo"): "4|5.png", (6, "photo"): "6.JPG|x"}
    market.write(30, cells, "renamed.csv")
    images = market.photos
    if archive:
        images = market.folder / "photos.tar"
        with tarfile.open(images, "w") as file:
            for path in sorted(market.photos.iterdir()):
                file.add(path, path.name)
    path = str(market.folder / "renamed.csv")
    listings = load(market, path=path, images=str(images))
    # Row 6 names a photo that is not there; what is rejected is not counted.
    assert (listings.rejected, listings.renamed_photos) == (1, 3)
    assert listings.source[3]["images"] == [market.jpeg(3)]
    assert listings.source[4]["images"] == [market.jpeg(4), market.jpeg(5)]
    text = "3 photos taken under a name of another case, ending or Unicode form"
    assert text in market.said[-1]
    assert market.rejected(listings.directory / "renamed_photos.csv") == [
        (5, "photo", "photo '3.JPG': taken from '3.jpg'"),
        (6, "photo", "photo '4': taken from '4.jpg'"),
        (6, "photo", "photo '5.png': taken from '5.jpg'"),
    ]
    assert load(market, path=path, images=str(images)).renamed_photos == 3


def test_photos_beyond_those_that_a_network_takes_are_named(market, capsys):
    market.write(30, {(4, "photo"): "4.jpg|5.jpg|1.jpg", (5, "photo"): "5.jpg|6.jpg"})
    listings = load(market)

    def said(count, **options):
        config, rows = PhotosConfig(count=count), (listings.frame, listings.schema)
        ingest.say_unused_photos(*rows, config, **options)
        return capsys.readouterr().err

    assert said(1) == "3 of 33 photos unused; --photos.count=3 uses them\n"
    assert said(2) == "1 of 33 photos unused; --photos.count=3 uses them\n"
    assert said(3) == ""
    assert said(1, trained=True) == (
        "3 of 33 photos unused; the model was trained with --photos.count=1\n"
    )


def test_columns_of_photos_beyond_those_that_a_network_takes_are_named():
    columns = tuple("abcd")
    full = {name: f"{name}.jpg" for name in columns}
    frame = pd.DataFrame([full, full | {"b": None}])

    def unused(count, **changes):
        images = schemas.Images(columns)
        return "; ".join(describe_unused(frame.assign(**changes), images, count))

    assert unused(1) == "3 of 4 photo columns unused; --photos.count=4 uses them"
    assert unused(3) == "1 of 4 photo columns unused; --photos.count=4 uses them"
    assert unused(4) == unused(9) == "; "
    assert unused(1, c=None, d=None) == (
        "1 of 2 photo columns unused; --photos.count=2 uses them"
    )
    assert unused(1, b=None, c=None, d=None) == "; "
    assert describe_unused(frame, None, 1) == ("", "")


def test_bad_photos_stop_under_raise(market):
    market.write(30)
    (market.photos / "6.jpg").write_bytes(BROKEN)
    with pytest.raises(
        UserError, match=r"line 8, column photo: photo '6.jpg': truncated"
    ):
        load(market, bad_image="raise")
    assert not list(market.cache.glob("*/prepared.json"))


def test_too_many_rejected_rows_stop_with_a_list(market):
    market.write(30, {(3, "photo"): "x.jpg", (7, "price"): "-1"})
    with pytest.raises(UserError) as caught:
        load(market)
    message = str(caught.value)
    assert "2 of 30 rows" in message
    assert "max_rejected_fraction=0.05" in message
    assert "line 5, column photo: photo 'x.jpg': no such file" in message
    file = message.rsplit(" ", 1)[1]
    assert [line for line, _, _ in market.rejected(file)] == [5, 9]
    assert not list(market.cache.glob("*/prepared.json"))
    # A looser limit goes on, a stricter one later is kept too.
    assert load(market, max_rejected_fraction=0.07).rejected == 2
    with pytest.raises(UserError, match="2 of 30 rows"):
        load(market)


def test_rows_that_break_the_table_are_rejected_too(market):
    path = market.write(30)
    lines = path.read_text().splitlines()
    lines[4] += ",one,more"
    path.write_text("\n".join(lines) + "\n")
    listings = load(market)
    assert listings.rejected == 1
    assert market.rejected(listings.directory / "rejected.csv")[0][0] == 5
    assert "n3" not in set(listings.frame["id"])


NAMES = ["0.jpg", "1.jpg|2.jpg", "none.jpg", "", "broken.jpg", "../x", "a\\b.jpg", "|"]
PRICES = ["5", "", "-1", "nan", "x"]


@settings(max_examples=30)
@given(
    st.lists(
        st.tuples(st.sampled_from(NAMES), st.sampled_from(PRICES)),
        min_size=1,
        max_size=12,
    ),
    st.sampled_from(["skip", "blank"]),
)
def test_every_row_is_accepted_or_rejected(new_market, cases, policy):
    with tempfile.TemporaryDirectory() as folder:
        market = new_market(pathlib.Path(folder))
        cells = {}
        for row, (name, price) in enumerate(cases):
            cells |= {(row, "photo"): name, (row, "price"): price}
        count = len(cases) + 30
        market.write(count, cells)
        (market.photos / "broken.jpg").write_bytes(BROKEN)
        listings = load(market, max_rejected_fraction=1.0, bad_image=policy)
        kept = [
            row
            for row, (name, price) in enumerate(cases)
            if price == "5" and (policy == "blank" or name in NAMES[:2])
        ]
        kept += range(len(cases), count)
        assert list(listings.frame["id"]) == [f"n{row}" for row in kept]
        lines = [r[0] for r in market.rejected(listings.directory / "rejected.csv")]
        assert lines == sorted(set(range(2, count + 2)) - {row + 2 for row in kept})


def test_no_usable_row_is_an_error(market):
    market.write(3, {(i, "photo"): "x.jpg" for i in range(3)})
    with pytest.raises(UserError, match="3 of 3 rows can't be used, none is left"):
        load(market, max_rejected_fraction=1.0)


def test_an_empty_split_is_an_error(market):
    market.write(2)
    with pytest.raises(UserError, match="split"):
        load(market)
    assert not list(market.cache.glob("*.partial"))


def test_photos_and_schema_must_agree(market):
    market.write(30)
    with pytest.raises(UserError, match="no image folder or archive"):
        load(market, images="")
    with pytest.raises(UserError, match="no image folder or archive there"):
        load(market, images=str(market.folder / "none"))
    market.schema = dataclasses.replace(market.schema, images=None)
    with pytest.raises(UserError, match="names no column for them"):
        load(market)
    with pytest.raises(UserError, match="no table given"):
        load(market, path="")
    listings = load(market, images="")
    assert listings.source[0] == {"row": 0, "images": []}


def test_a_schema_may_be_inferred(market):
    market.write(40)
    listings = load(market, schema="")
    assert listings.schema.images.columns == ("photo",)
    assert listings.schema.target.column == "price"


TITLED = schemas.Attribute("title", "text", ("title",))


@pytest.mark.parametrize("given", [True, False], ids=["given", "guessed"])
def test_texts_are_attributes_for_systems_that_read_them(market, given):
    """By a schema and by the guess; others leave them out with a line."""
    attributes = (*market.schema.attributes, TITLED)
    market.schema = dataclasses.replace(market.schema, attributes=attributes)
    names = [(i, "title", f"a golden ring of {word}") for i, word in enumerate(WORDS)]
    market.write(len(names), {(row, column): cell for row, column, cell in names})
    options = {} if given else {"schema": ""}
    config = market.config(**options)
    read = ingest.load(config, market.said.append, texts=True)
    assert [a.kind for a in read.schema.attributes if a.name == "title"] == ["text"]
    assert read.frame["title"].tolist() == [cell for _, _, cell in names]
    again = market.config(path=str(read.directory), images="", schema="")
    assert ingest.load(again, market.said.append, texts=True).schema == read.schema
    left = ingest.load(again, market.said.append)
    assert TITLED not in left.schema.attributes
    assert sum(schemas.NOT_READ in line for line in market.said) == 1
    unread = load(market, **options)
    assert TITLED not in unread.schema.attributes
    assert unread.fingerprint != read.fingerprint


def test_how_the_column_writes_decimals_is_kept(market):
    """Prices and carats by a decimal comma, some of which tell and some do not."""
    cells = {(i, "carat"): f"1.{i:03}" for i in range(30)} | {(3, "carat"): "948,00"}
    cells |= {(i, "price"): f"1.{i:03},- USD" for i in range(30)}
    cells |= {(4, "price"): "12,50"}
    market.write(30, cells)
    listings = load(market)
    assert listings.rejected == 0
    carats = [948 if i == 3 else 1000 + i for i in range(30)]
    np.testing.assert_array_equal(listings.frame["carat"], carats)
    assert listings.frame["price"].tolist()[:5] == [1000, 1001, 1002, 1003, 12.5]
    assert listings.schema.attributes[1].decimal == ","
    again = ingest.load(market.config(path=str(listings.directory)))
    assert again.schema == listings.schema
    row = {"id": "n", "photo": "1.jpg", "kind": "a", "carat": "1.031"}
    new = ingest.read_rows(from_rows([row]), market.photos, listings.schema)
    new.source.close()
    assert new.frame["carat"].tolist() == [1031]
    # The same table without a cell that tells is refused before anything is prepared.
    market.write(30, cells | {(3, "carat"): "7"})
    with pytest.raises(UserError, match="column 'carat' can be read in two ways"):
        load(market)


def test_rows_of_another_currency_are_listed_and_do_not_stop_a_run(market):
    market.write(30, {(i, "kind"): "EUR" for i in range(0, 30, 2)})
    target = schemas.Target("price", "EUR", "kind")
    market.schema = dataclasses.replace(market.schema, target=target)
    listings = load(market, max_rejected_fraction=0.0)
    assert (len(listings.frame), listings.rejected) == (15, 15)
    assert market.rejected(listings.directory / "rejected.csv")[0] == (
        *(3, "kind"),
        "left out: in B, not EUR",
    )
    assert "15 rejected" in market.said[-1]


def test_a_folder_of_parts_is_a_table(market):
    frame = pd.read_csv(market.write(30))
    parts = market.folder / "parts"
    parts.mkdir()
    frame[:20].to_parquet(parts / "0.parquet")
    frame[20:].to_parquet(parts / "1.parquet")
    whole, found = load(market), load(market, path=str(parts))
    # Lines of a CSV file begin below its header.
    assert (found.frame["line"] == whole.frame["line"] - 1).all()
    pd.testing.assert_frame_equal(
        found.frame.drop(columns="line"), whole.frame.drop(columns="line")
    )
    frame[20:29].to_parquet(parts / "1.parquet")
    assert load(market, path=str(parts)).fingerprint != found.fingerprint


def test_a_column_named_split_must_be_the_split(market):
    path = market.write(30)
    text = path.read_text().replace("kind", "split", 1)
    path.write_text(text)
    attributes = (schemas.Attribute("kind", "categorical", ("split",)),)
    market.schema = dataclasses.replace(market.schema, attributes=attributes)
    with pytest.raises(UserError, match="column named 'split' must hold"):
        load(market)
    path.write_text(text.replace(",a,", ",Train,").replace(",b,", ",dev,"))
    market.schema = dataclasses.replace(market.schema, attributes=(), split="split")
    with pytest.raises(UserError, match="test"):
        load(market)  # no test rows
    text = path.read_text()
    path.write_text(text.replace("5.jpg,dev", "5.jpg,test"))
    listings = load(market)
    np.testing.assert_array_equal(listings.indices("train"), np.arange(0, 30, 2))
    np.testing.assert_array_equal(listings.indices("test"), [5, 15, 25])


def test_features_of_photos_outlive_another_split_or_schema(market):
    """What is computed of photos is kept under `photos`, not under the fingerprint."""
    market.write(30)
    first, other = load(market), load(market, split_seed=7)
    assert first.fingerprint != other.fingerprint
    assert first.photos == other.photos != ""
    fewer = load(market, where="kind=a")
    assert fewer.photos != first.photos


def test_an_unwritable_cache_is_an_error(market):
    market.write(30)
    (market.folder / "file").write_text("")
    with pytest.raises(UserError, match="choose another cache folder"):
        load(market, cache=str(market.folder / "file" / "cache"))


def test_a_split_by_time_needs_times(market):
    market.write(30)
    with pytest.raises(UserError, match="time"):
        load(market, split_by_time=True)


def test_a_prepared_directory_is_a_path(market):
    market.write(30)
    listings = load(market)
    again = load(market, path=str(listings.directory), images="", schema="")
    pd.testing.assert_frame_equal(again.frame, listings.frame)
    with pytest.raises(UserError, match="no prepared listings there"):
        load(market, path=str(market.photos))


def test_processes_that_start_together_prepare_once(market):
    market.write(60)
    script = textwrap.dedent("""
        import sys
        from common.data import ingest
        from common.data.configs import ListingsConfig

        path, images, schema, cache = sys.argv[1:]
        config = ListingsConfig(path=path, images=images, schema=schema, cache=cache)
        ingest.load(config, print)
    """)
    config = market.config()
    command = [sys.executable, "-c", script]
    command += [config.path, config.images, config.schema, config.cache]
    root = os.path.join(os.path.dirname(ingest.__file__), "..", "..")
    environment = os.environ | {"PYTHONPATH": root}
    runs = [
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    said = [run.communicate()[0] for run in runs]
    assert [run.returncode for run in runs] == [0, 0]
    assert sum("prepared in" in text for text in said) == 1
    assert len(load(market).frame) == 60


def test_a_kill_leaves_no_half_data_set(market):
    market.write(30)
    directory = market.cache / "data"
    script = textwrap.dedent("""
        import pathlib, sys, time
        from common.data import prepared

        def fill(partial):
            (partial / "half").write_text("half")
            print("here", flush=True)
            time.sleep(600)

        prepared.find_or_make(pathlib.Path(sys.argv[1]), fill)
    """)
    root = os.path.join(os.path.dirname(ingest.__file__), "..", "..")
    with subprocess.Popen(
        [sys.executable, "-c", script, str(directory)],
        env=os.environ | {"PYTHONPATH": root},
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout.readline() == "here\n"
        process.send_signal(signal.SIGKILL)
    assert not directory.exists()

    def fill(partial):
        assert list(partial.iterdir()) == []
        (partial / "whole").write_text("whole")

    assert prepared.find_or_make(directory, fill)
    assert [path.name for path in directory.iterdir()] == ["whole"]
    assert not prepared.find_or_make(directory, fill)


@pytest.mark.parametrize("name", ["line", "error"])
def test_columns_that_predictions_add_are_refused(name, market):
    table = market.write(4)
    table.write_text(table.read_text().replace("kind", name, 1))
    attribute = schemas.Attribute(name, "categorical", (name,))
    market.schema = dataclasses.replace(market.schema, attributes=(attribute,))
    with pytest.raises(UserError, match=f"a column '{name}' of their own; rename"):
        ingest.load(market.config(), say=market.said.append)
