"""Schema files, edited by hand or damaged."""

import copy
import dataclasses
import json
from collections.abc import Callable, Iterator
from typing import Any

from common.tables import schema as schemas
from tests.integration.bad_input import damage, tables
from tests.integration.bad_input.bench import REFUSED, REJECTED, WORKS, Bench, Case

ROWS = 8
NAME = "schema.json"


@dataclasses.dataclass(frozen=True)
class _SchemaCase:
    """Prepares a good table by a schema file."""

    content: bytes | None
    wanted: tuple[str, ...] = (REFUSED,)
    about: tuple[str, ...] = (NAME,)

    def __call__(self, bench: Bench) -> str:
        table = bench.write("table.csv", tables.plain_text(ROWS))
        path = bench.folder / NAME
        if self.content is not None:
            path.write_bytes(self.content)
        ending = tables.load(bench, table, self.about, schema=str(path))
        outcome = tables.check_load(ending, ROWS)
        assert outcome in self.wanted, f"{outcome}: {ending.message}"
        return outcome


def _edits() -> Iterator[tuple[str, Callable[[Any], Any], str]]:
    """(name, what is done to the JSON value, what the refusal must name)."""

    def put(*path: Any) -> Callable[[Any], Any]:
        *folders, key, value = path

        def change(schema: Any) -> None:
            place = schema
            for folder in folders:
                place = place[folder]
            place[key] = value

        return change

    kinds = {"attributes": "attributes", "target": "target", "split": "split"}
    kinds |= {"images": "images", "group": "group", "time": "time", "id": "id"}
    for key in (*kinds, "ignored"):
        for value in (5, "text" if key not in ("split", "time", "id") else [], True):
            yield f"{key} is {value!r}", put(key, value), key
        yield f"{key} misspelt", put(key + "s", None), key + "s"
    yield "no attributes", lambda s: s.pop("attributes"), "attributes"
    for key in ("name", "kind", "columns"):
        yield (
            f"attribute without {key}",
            lambda s, key=key: s["attributes"][0].pop(key),
            key,
        )
        for value in (None, 7, {}):
            yield f"{key} is {value!r}", put("attributes", 0, key, value), key
    yield "unknown kind", put("attributes", 0, "kind", "categoric"), "categorical"
    yield "name empty", put("attributes", 0, "name", ""), "name"
    yield "name twice", put("attributes", 0, "name", "carat"), "carat"
    yield "no columns", put("attributes", 0, "columns", []), "column"
    yield "columns too many", put("attributes", 0, "columns", ["kind", "title"]), "one"
    yield "column twice", put("attributes", 1, "columns", ["carat", "carat"]), "twice"
    yield "column missing", put("attributes", 0, "columns", ["kinds"]), "kind"
    yield "column that is no text", put("attributes", 0, "columns", [1]), "columns[0]"
    yield "set without separator", put("attributes", 2, "separator", ""), "separator"
    yield "separator for one", put("attributes", 0, "separator", "|"), "separator"
    yield "logarithm of categories", put("attributes", 0, "log", True), "log"
    yield "logarithm as text", put("attributes", 1, "log", "yes"), "log"
    yield "unknown key", put("attributes", 0, "cells", 3), "cells"
    yield "target without column", put("target", {}), "column"
    yield "target empty", put("target", "column", ""), "target.column"
    yield "target missing", put("target", "column", "prices"), "prices"
    yield "target twice", put("attributes", 1, "columns", ["price"]), "price"
    yield "currency in words", put("target", "currency", "dollars"), "currency"
    yield "currency in signs", put("target", "currency", "$"), "currency"
    yield "group empty", put("group", {"columns": [], "photo_hash": False}), "group"
    yield "group missing", put("group", "columns", ["titles"]), "titles"
    yield "photos without column", put("images", {"columns": []}), "images"
    yield "photos without folder", put("images", {"columns": ["title"]}), "photos"
    yield "time missing", put("time", "date"), "date"
    yield "time is the target", put("time", "price"), "price"
    yield "split missing", put("split", "fold"), "fold"
    yield "split of other values", put("split", "kind"), "column kind"
    yield "id missing", put("id", "key"), "key"
    yield "id is the target", put("id", "price"), "price"
    yield "ignored is a list", put("ignored", ["x"]), "ignored"
    yield "ignored without reason", put("ignored", {"x": None}), "ignored"
    yield "escape codes", put("id", "\x1b[31m"), "column"
    yield "long name", put("id", "x" * 10_000), "column"


def _schemas() -> Iterator[tuple[str, _SchemaCase]]:
    text = schemas.dumps(tables.SCHEMA)
    whole = json.loads(text)
    yield "missing", _SchemaCase(None)
    for name, change, about in _edits():
        value = copy.deepcopy(whole)
        change(value)
        yield name, _SchemaCase(json.dumps(value).encode(), about=(about,))
    for value in ("null", "[]", "5", '"text"', "true", "{}", '[{"attributes": []}]'):
        yield value, _SchemaCase(value.encode())
    plain = text.encode()
    yield "empty", _SchemaCase(b"")
    yield "comma behind", _SchemaCase(plain.replace(b"\n}", b",\n}"))
    yield "comment", _SchemaCase(b"// mine\n" + plain)
    yield "single quotes", _SchemaCase(plain.replace(b'"', b"'"))
    yield "NaN", _SchemaCase(plain.replace(b"null", b"NaN"))
    yield "twice", _SchemaCase(plain + plain)
    yield "key twice", _SchemaCase(plain.replace(b'"id"', b'"time"', 1))
    yield "deep", _SchemaCase(b'{"attributes":' * 100_000)
    yield "deep lists", _SchemaCase(b"[" * 100_000)
    yield "half a character", _SchemaCase(plain.replace(b'"id"', b'"\\ud800"'))
    yield (
        "NUL",
        _SchemaCase(plain.replace(b"title", b"ti\\u0000tle"), about=("ti\\x00tle",)),
    )
    yield "huge number", _SchemaCase(b'{"attributes": 1' + b"0" * 5000 + b"}")
    for encoding in ("utf-16", "utf-32", "cp500"):
        yield encoding, _SchemaCase(text.encode(encoding))
    yield "Latin-1", _SchemaCase(plain.replace(b"kind", b"gr\xfcn"))
    yield "BOM", _SchemaCase(b"\xef\xbb\xbf" + plain, (WORKS, REFUSED))
    yield "CSV", _SchemaCase(tables.plain_text(2).encode())
    for seed in range(40):
        way = damage.WAYS[seed % len(damage.WAYS)]
        yield (
            f"{way.__name__} {seed}",
            _SchemaCase(
                way(plain, seed),
                (WORKS, REJECTED, REFUSED),
                (NAME, "table.csv", "schema"),
            ),
        )


def schema_cases(count: int) -> Iterator[Case]:
    """Schema files by field, then as files."""
    found = list(_schemas())
    assert len(found) >= count, len(found)
    # All that is written out, and as many damaged ones as are left.
    for name, run in found[:count]:
        yield Case("schema files", name, run)
