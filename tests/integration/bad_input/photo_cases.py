"""Photos and the names that rows give them."""

import dataclasses
import itertools
import os
import pathlib
import socket
from collections.abc import Iterator

from common.data import ingest
from common.tables import schema as schemas
from tests.integration.bad_input import photo_files, tables
from tests.integration.bad_input.bench import REFUSED, WORKS, Bench, Case

COLUMNS = ("id", "photo", "kind", "price", "split")
SCHEMA = schemas.Schema(
    attributes=(schemas.Attribute("kind", "categorical", ("kind",)),),
    images=schemas.Images(("photo",), separator="|"),
    target=schemas.Target("price", "USD"),
    split="split",
    id="id",
)
# What is known of the photos of a row beforehand.
GOOD, BAD, ABSENT, OPEN = "good", "bad", "absent", "open"


def plain_row(index: int, photo: str | None = None) -> list[str]:
    """A row with a photo of its own, or with another one."""
    photo = f"{index}.jpg" if photo is None else photo
    return [
        f"n{index}",
        photo,
        "ab"[index % 2],
        str(20 + 7 * index),
        tables.SPLITS[index % 4],
    ]


def write_table(bench: Bench, cells: list[str]) -> pathlib.Path:
    """Writes a table: four plain rows, then one for each of the photo cells."""
    rows = [plain_row(i) for i in range(4)]
    rows += [plain_row(4 + i, cell) for i, cell in enumerate(cells)]
    text = "".join(tables.csv_line(row) for row in (COLUMNS, *rows))
    return bench.write("table.csv", text)


def plain_photos() -> dict[str, bytes]:
    """The photos of the four plain rows."""
    return {f"{i}.jpg": photo_files.encode(quality=60 + i) for i in range(4)}


def check(
    bench: Bench, table: pathlib.Path, images: pathlib.Path, states: list[str]
) -> str:
    """Ingests a table, sometimes under two policies, and reads it for prediction.

    Args:
      bench: the doors.
      table: four plain rows and one for each state.
      images: folder or archive.
      states: of the photos of the rows behind the plain ones.
    """
    schema = str(tables.write_schema(bench, SCHEMA))
    options = {"images": str(images), "schema": schema}
    bad = [6 + i for i, state in enumerate(states) if state in (BAD, ABSENT)]
    known = None if OPEN in states else bad
    about = (table.name, images.name)
    count = 4 + len(states)
    ending = tables.load(bench, table, about, **options)
    outcome = tables.check_load(ending, count, known)
    if outcome == REFUSED:
        return outcome
    found = tables.rejected_lines(ending.value)
    _check_policies(bench, table, about, options, found, ABSENT in states)
    read = bench.call(lambda: ingest.read_rows(table, images, SCHEMA), about)
    rows = read.value
    assert len(rows.frame) == count
    wrong = rows.frame["error"] != ""
    assert rows.frame.loc[wrong, "line"].tolist() == found
    assert all(rows.source[row]["images"] for row in rows.usable)
    rows.source.close()
    return outcome


def _check_policies(bench, table, about, options, found, absent) -> None:
    """Ingests under another policy for bad photos in every third case."""
    if bench.number % 6 == 0:
        blank = tables.load(bench, table, about, bad_image="blank", **options)
        assert tables.check_load(blank, len(blank.value.frame), []) == WORKS
    elif bench.number % 6 == 3:
        lines = tuple(f"line {line}" for line in found)
        strict = tables.load(bench, table, lines, bad_image="raise", **options)
        # A row that names no photo is rejected, which is no reason to stop.
        assert strict.outcome == (REFUSED if found and not absent else WORKS)


@dataclasses.dataclass(frozen=True)
class _PhotoCase:
    """Ingests a few photos, then has the network see what was accepted."""

    photos: list[tuple[bytes, str]]
    predicts: bool

    def __call__(self, bench: Bench) -> str:
        names = [f"odd{i}.jpg" for i in range(len(self.photos))]
        for name, content in plain_photos().items():
            bench.write(f"photos/{name}", content)
        for name, (content, _) in zip(names, self.photos, strict=True):
            bench.write(f"photos/{name}", content)
        table, folder = write_table(bench, names), bench.folder / "photos"
        states = [state for _, state in self.photos]
        if not self.predicts:
            return check(bench, table, folder, states)
        model = bench.trained("photos").model
        ids = [f"n{i}" for i in range(4 + len(states))]
        bad = [4 + i for i, state in enumerate(states) if state == BAD]
        ending = bench.call(lambda: model.predict(table, folder))
        assert ending.outcome == WORKS, ending.message
        return tables.check_predicted(ending, ids, None if OPEN in states else bad)


def photo_cases(count: int) -> Iterator[Case]:
    """Photos one by one; every fourth case goes on to the network."""
    sources = ((photo_files.good_photos, GOOD), (photo_files.bad_photos, BAD))
    sources += ((photo_files.damaged_photos, OPEN),)
    found = [(name, data, state) for make, state in sources for name, data in make()]
    assert len(found) >= count, len(found)
    for number, (name, content, state) in enumerate(found[:count]):
        run = _PhotoCase([(content, state)], number % 4 == 3)
        yield Case("photos", name, run)


def _lay_out(bench: Bench) -> pathlib.Path:
    """A folder with all that a name could lead to, and a secret beside it."""
    root = bench.folder / "photos"
    content = photo_files.encode()
    for name, data in plain_photos().items():
        bench.write(f"photos/{name}", data)
    for name in ("a b.jpg", "été.jpg", "🙂.jpg", "sub/c.jpg", ".hidden.jpg", "d"):
        bench.write(f"photos/{name}", content)
    for name in ("x,y.jpg", "quote'.jpg", "A.JPG", "-rf.jpg", "%2e.jpg", "*.jpg"):
        bench.write(f"photos/{name}", content)
    bench.write("secret.jpg", content)
    bench.write("photos2/secret.jpg", content)
    links = {
        "inside.jpg": "0.jpg",
        "chain.jpg": "inside.jpg",
        "outside.jpg": "../secret.jpg",
        "absolute.jpg": str(bench.folder / "secret.jpg"),
        "twice.jpg": "outside.jpg",
        "parent": "..",
        "sibling": "../photos2",
        "loop.jpg": "loop.jpg",
        "broken.jpg": "nothing.jpg",
        "zero.jpg": "/dev/zero",
        "subfolder": "sub",
    }
    for name, target in links.items():
        (root / name).symlink_to(target)
    os.mkfifo(root / "pipe.jpg")
    with socket.socket(socket.AF_UNIX) as server:
        folder = os.open(root, os.O_RDONLY)
        server.bind(f"/proc/self/fd/{folder}/socket.jpg")
        os.close(folder)
    return root


_GOOD_NAMES = ["a b.jpg", "été.jpg", "🙂.jpg", "sub/c.jpg", ".hidden.jpg", "d"]
_GOOD_NAMES += ["x,y.jpg", "quote'.jpg", "A.JPG", "-rf.jpg", "%2e.jpg", "*.jpg"]
_GOOD_NAMES += ["./0.jpg", ".//0.jpg", "sub//c.jpg", "sub/./c.jpg", " 0.jpg ", "0.jpg/"]
_GOOD_NAMES += ["inside.jpg", "chain.jpg", "subfolder/c.jpg", "0.jpg|1.jpg", "|0.jpg|"]
_GOOD_NAMES += ["0.JPG", "e\u0301te\u0301.jpg", "a B.png", "Sub/C.webp", "d.jpeg"]
_BAD_NAMES = ["../secret.jpg", "/etc/passwd", "//etc/passwd", "sub/../../secret.jpg"]
_BAD_NAMES += ["..", ".", "/", "sub", "sub/", "../photos/0.jpg", "sub/../0.jpg"]
_BAD_NAMES += ["C:\\x.jpg", "C:0.jpg", "..\\secret.jpg", "\\\\server\\x", "sub\\c.jpg"]
_BAD_NAMES += ["~/secret.jpg", "$HOME/x.jpg", "file:///etc/passwd", "http://a.b/c.jpg"]
_BAD_NAMES += ["outside.jpg", "absolute.jpg", "twice.jpg", "parent/secret.jpg"]
_BAD_NAMES += ["sibling/secret.jpg", "loop.jpg", "broken.jpg", "zero.jpg", "pipe.jpg"]
_BAD_NAMES += ["socket.jpg", "nothing.jpg", "0.jpg/x", "?.jpg", "0.gpj", "Broken.JPG"]
_BAD_NAMES += ["x" * 300, "x/" * 3000, "0.jpg\u200b", "\u202egpj.0", "0.jpg;1.jpg"]
_BAD_NAMES += ["0.jpg|../secret.jpg", "%2e%2e/secret.jpg", "`id`", "parent"]
_BAD_NAMES += [
    "photos/0.jpg",
    "\x1b[2J0.jpg",
    "file://0.jpg",
    "0 .jpg",
]


@dataclasses.dataclass(frozen=True)
class _NameCase:
    """Rows with names of photos, some to be refused."""

    names: list[tuple[str, str]]

    def __call__(self, bench: Bench) -> str:
        root = _lay_out(bench)
        table = write_table(bench, [name for name, _ in self.names])
        return check(bench, table, root, [state for _, state in self.names])


def name_cases(count: int) -> Iterator[Case]:
    """Names of photos: a bad one beside a good one."""
    good = itertools.cycle(_GOOD_NAMES)
    odd = [(name, BAD) for name in _BAD_NAMES]
    odd += [(name, ABSENT) for name in ("", "|", " | |")]
    odd += [(name, GOOD) for name in _GOOD_NAMES]
    assert len(odd) >= count, len(odd)
    for name, state in odd[:count]:
        run = _NameCase([(next(good), GOOD), (name, state)])
        yield Case("names of photos", f"{name[:40]!a}", run)
