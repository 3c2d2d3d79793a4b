"""Serves an exported model; needs jax, numpy and flatbuffers, and Pillow for files.

This file stands beside program.stablehlo, weights.npz and metadata.json:

    import serve
    model = serve.Predictor("export")
    model.describe()                                      # what goes in and comes out
    model.predict_one({"metal": "gold", "title": "A ring, 18k"}, photo=pixels)
    model.predict(records, photo=batch_of_pixels)
    model.predict_one({"metal": "gold", "photo": "ring.jpg"}, images="photos/")

A text such as the title is given as it was written; of other languages and with words
that training did not show too. For a file of JSON records (one a line) and arrays of
pixels, or files of photos:

    python serve.py --records=rows.jsonl --array photo=photos.npy
    python serve.py --records=rows.jsonl --images=photos/
"""

import argparse
import decimal
import difflib
import functools
import hashlib
import importlib.util
import json
import pathlib
import re
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.export
import numpy as np

# As the training code has them.
UNKNOWN, MISSING, RESERVED = 0, 1, 2
LIMIT = 1000.0
JSON = "json"
PHOTO_FILES = "photo_files.py"  # beside this file; reads photos
WORDS = "words.py"  # beside this file; reads texts
PHOTO_INPUTS = ("photo", "photos", "photo_mask")
NO_NUMBER = frozenset({"", "-", "na", "n/a", "nan", "none", "null"})

_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,3})?")
# Thousands to some, decimals to others.
_DOUBTFUL = re.compile(r"[+-]?[1-9][0-9]{0,2}\.[0-9]{3}")
_DECIMAL_COMMA = re.compile(r"[+-]?([0-9]+|[1-9][0-9]{0,2}(\.[0-9]{3})+)(,[0-9]+)?")
_LARGEST = float(np.finfo(np.float32).max)
# Whole numbers that are written as floats, see common/tables/whole_numbers.py.
_WHOLE = r"(?:0|[1-9][0-9]*)"
_FLOAT = re.compile(
    rf"-?(?:{_WHOLE}\.0+|{_WHOLE}(?:\.[0-9]+)?[eE]\+[0-9]{{1,3}}"
    rf"|{_WHOLE}\.[0-9]+[eE][0-9]{{1,3}})"
)


class InputError(ValueError):
    """An input that the model can't take; the message says which and why."""


class AttributeEncoder:
    """Turns raw records into the arrays of the model, as training did.

    Args:
      fitted: vocabularies and statistics, the "encoders" of metadata.json.
    """

    def __init__(self, fitted: Mapping[str, Any]):
        self.items = fitted["attributes"]
        self.columns = [c for item in self.items for c in item["attribute"]["columns"]]
        self.indices = [
            {name: i + RESERVED for i, name in enumerate(item.get("categories", ()))}
            for item in self.items
        ]
        self.texts = [
            (item["attribute"]["columns"][0], _read_encoder(item["encoder"]))
            for item in self.items
            if item["attribute"]["kind"] == "text"
        ]
        self.widths = {name: len(row) for name, row in self._encode_one({}).items()}
        self.inputs = tuple(self.encode([]))

    def encode(self, records: Sequence[Mapping[str, Any]]) -> dict[str, np.ndarray]:
        """Encodes records.

        Args:
          records: B dicts from column to raw value. None, "" and an absent key are
            missing values; a set is one text with its separator, or a list, or, where
            the separator is "json", a dict, a list, or the JSON text of one.

        Returns:
          categorical int32 [B, Ac], continuous and missing float32 [B, V], sets
          float32 [B, S]; where there are texts, word_ids int32 and word_weights float32
          [B, sum L] too.

        Raises:
          InputError: naming record and column.
        """
        rows: dict[str, list[list[float]]] = {name: [] for name in self.widths}
        texts: list[list[str]] = []
        for number, record in enumerate(records):
            try:
                encoded = self._encode_one(record)
                texts.append([_read_text(c, record.get(c)) for c, _ in self.texts])
            except InputError as error:
                raise InputError(f"record {number}: {error}") from None
            for name, values in encoded.items():
                rows[name].append(values)
        arrays = {
            name: np.array(
                values, np.int32 if name == "categorical" else np.float32
            ).reshape(len(records), self.widths[name])
            for name, values in rows.items()
        }
        return {**arrays, **self._encode_texts(texts)}

    def _encode_texts(self, texts: list[list[str]]) -> dict[str, np.ndarray]:
        """Words of the texts of each record, side by side."""
        words = [
            encoder.encode([row[place] for row in texts])
            for place, (_, encoder) in enumerate(self.texts)
        ]
        return {
            f"word_{name}": np.concatenate([each[name] for each in words], axis=1)
            for name in (("ids", "weights") if words else ())
        }

    def _encode_one(self, record: Mapping[str, Any]) -> dict[str, list[float]]:
        row: dict[str, list[float]] = {
            "categorical": [],
            "continuous": [],
            "missing": [],
            "sets": [],
        }
        for item, index in zip(self.items, self.indices, strict=True):
            attribute = item["attribute"]
            values = [record.get(column) for column in attribute["columns"]]
            if attribute["kind"] == "continuous":
                standard, missing = _encode_numbers(item, values)
                row["continuous"] += standard
                row["missing"] += missing
            elif attribute["kind"] == "set":
                row["sets"] += _encode_set(attribute, index, values[0])
            elif attribute["kind"] == "categorical":
                text = _digits(_read_text(attribute["columns"][0], values[0]))
                known = index.get(text, UNKNOWN)
                row["categorical"].append(known if text else MISSING)
        return row


def _read_encoder(fitted: Mapping[str, Any]) -> Any:
    """A `TextEncoder`, whose code stands beside this file."""
    return _load_beside(WORDS, "texts").TextEncoder.from_json(fitted)


def _encode_numbers(
    item: Mapping[str, Any], raw: Sequence[Any]
) -> tuple[list[float], list[float]]:
    """Mean fill, signed log(1 + |x|) where asked for, standardise, clip."""
    standard, missing = [], []
    columns = item["attribute"]["columns"]
    statistics = zip(item["fill"], item["center"], item["scale"], strict=True)
    for column, value, (fill, center, scale) in zip(
        columns, raw, statistics, strict=True
    ):
        number = _read_number(column, value, item["attribute"].get("decimal", ""))
        missing.append(float(number is None))
        filled = np.float64(fill if number is None else number)
        if item["attribute"]["log"]:
            filled = np.sign(filled) * np.log1p(np.abs(filled))
        standard.append(float(np.clip((filled - center) / scale, -LIMIT, LIMIT)))
    return standard, missing


def _encode_set(
    attribute: Mapping[str, Any], index: Mapping[str, int], raw: Any
) -> list[float]:
    column, separator = attribute["columns"][0], attribute["separator"]
    if separator == JSON:
        members = _json_members(column, raw)
    elif isinstance(raw, list | tuple):
        members = [_read_text(column, member) for member in raw]
    else:
        members = _read_text(column, raw).split(separator)
    members = list(map(str.strip, members))
    if separator != JSON:  # a text in quotes within JSON is left as it is
        members = list(map(_digits, members))
    hot = [0.0] * (RESERVED + len(index))
    for member in filter(None, members):
        hot[index.get(member, UNKNOWN)] = 1.0
    if not any(hot):
        hot[MISSING] = 1.0
    return hot


def _json_members(column: str, raw: Any) -> list[str]:
    """Members "key: value" of an object, or the values of a list, as in training."""
    value = raw
    if not isinstance(raw, Mapping | list | tuple):
        try:
            value = json.loads(_read_text(column, raw) or "null")
            # Refuses what Python reads beyond JSON: NaN, half characters.
            json.dumps(value, allow_nan=False, ensure_ascii=False).encode("utf-8")
        except (ValueError, RecursionError):
            value = raw
        if not isinstance(value, dict | list | None):
            raise InputError(f"{column}={raw!r:.60}: give a JSON object or list")
    members = []
    for key, entry in value.items() if isinstance(value, Mapping) else [(None, value)]:
        prefix = "" if key is None else f"{str(key).strip()}: "
        for item in entry if isinstance(entry, list | tuple) else [entry]:
            text = _read_text(column, item)
            members += [prefix + text] if text else []
    return members


def _read_text(column: str, value: Any) -> str:
    """The text that a table would hold for a value; "" if it is missing."""
    value = value.item() if isinstance(value, np.generic) else value
    if value is None or (isinstance(value, float) and np.isnan(value)):
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str | int):
        return str(value).strip()
    if isinstance(value, float):
        return _digits(str(value))
    raise InputError(f"{column}={value!r}: give a text")


def _digits(text: str) -> str:
    """The digits of a whole number that is written as a float; else the text itself."""
    if not _FLOAT.fullmatch(text):
        return text
    number = decimal.Decimal(text)
    exact = number == number.to_integral_value() and abs(number) < 2**53
    return str(int(number)) if exact else text


def _read_number(column: str, value: Any, decimal: str) -> float | None:
    """A finite number; None if it is missing. Texts are read as in training."""
    value = value.item() if isinstance(value, np.generic) else value
    if isinstance(value, str):
        text = value.strip()
        if text.lower() in NO_NUMBER:
            return None
        if decimal == "," and _DECIMAL_COMMA.fullmatch(text):
            text = text.replace(".", "").replace(",", ".")
        elif not decimal and _DOUBTFUL.fullmatch(text):
            raise InputError(
                f"{column}={value!r} can be read in two ways: give a number, not a text"
            )
        if not _NUMBER.fullmatch(text):
            raise InputError(f"{column}={value!r}: not a number; write it as 1234.5")
        value = float(text)
    if value is None or (isinstance(value, float) and np.isnan(value)):
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InputError(f"{column}={value!r}: give a number")
    if not -_LARGEST <= value <= _LARGEST:
        raise InputError(f"{column}={value!r} is too large")
    return float(value)


class Predictor:
    """A model ready to predict.

    Attributes:
      metadata: what metadata.json holds; "inputs" and "outputs" describe the arrays,
        "about" what the makers of the model added, such as names of classes.

    Args:
      directory: the export folder.
      strict: whether a key of a record that the model does not know is an error, so
        that a misspelt one is not taken for a missing value.
      max_batch: most items computed at once. Batches are padded to a power of two, so
        few programs are compiled.
    """

    def __init__(
        self,
        directory: str | pathlib.Path = ".",
        *,
        strict: bool = True,
        max_batch: int = 64,
    ):
        folder = pathlib.Path(directory)
        self.metadata = json.loads(_read(folder / "metadata.json"))
        if self.metadata["format"] != 1:
            raise InputError(f"{folder} was written for a newer serve.py")
        for name, digest in self.metadata["sha256"].items():
            if hashlib.sha256(_read(folder / name)).hexdigest() != digest:
                raise InputError(f"{folder / name} does not belong to metadata.json")
        program = jax.export.deserialize(bytearray(_read(folder / "program.stablehlo")))
        with np.load(folder / "weights.npz", allow_pickle=False) as weights:
            self._weights = jax.device_put(dict(weights))
        self._call = jax.jit(program.call)
        fitted = self.metadata["encoders"]
        self._encoder = AttributeEncoder(fitted) if fitted else None
        self._photos = self.metadata.get("photos")
        self._strict = strict
        self._max_batch = max_batch

    def describe(self) -> str:
        """Says in words what goes in and what comes out."""
        lines = ["arrays in, one item each:"]
        encoded = self._encoder.inputs if self._encoder else ()
        for name, item in self.metadata["inputs"].items():
            if name not in encoded:
                note = f"  {item['about']}" if item["about"] else ""
                lines.append(f"  {name}: {item['dtype']} {item['shape']}{note}")
        if self._encoder or self._photos:
            lines.append("keys of a record:")
            for fitted in self._encoder.items if self._encoder else ():
                attribute = fitted["attribute"]
                columns = ", ".join(attribute["columns"])
                lines.append(f"  {columns}: {attribute['kind']}")
            for column in self._photos["columns"] if self._photos else ():
                lines.append(f"  {column}: file of a photo, where no pixels are given")
        lines.append("arrays out, one item each:")
        for name, item in self.metadata["outputs"].items():
            lines.append(f"  {name}: {item['dtype']} {item['shape']}")
        return "\n".join(lines)

    def predict(
        self,
        records: Sequence[Mapping[str, Any]] | None = None,
        *,
        images: str | pathlib.Path = ".",
        **arrays: Any,
    ) -> dict[str, np.ndarray]:
        """Predicts for a batch.

        Args:
          records: B dicts of raw attributes; None for a model without attributes. Where
            no arrays are given, they name the photos too: a file, its bytes, or a list
            of these.
          images: folder of these files.
          **arrays: the other inputs by name, each [B, ...], such as photo.

        Returns:
          {output: array [B, ...]}.

        Raises:
          InputError: naming the input and what is expected.
        """
        files = bool(self._photos and records is not None and not arrays)
        inputs = self._check(records, arrays, files)
        count = len(records or ()) if files else len(next(iter(inputs.values())))
        parts = []
        for start in range(0, count, self._max_batch):
            rows = min(self._max_batch, count - start)
            size = min(self._max_batch, 1 << (rows - 1).bit_length())
            # Padding repeats the last row; what comes out for it is cut off.
            part = {name: a[start : start + rows] for name, a in inputs.items()}
            if files and records:
                part |= self._read_photos(records[start : start + rows], images, start)
            take = np.minimum(np.arange(size), rows - 1)
            padded = {name: array[take] for name, array in part.items()}
            outputs = jax.device_get(self._call(self._weights, padded))
            parts.append({name: value[:rows] for name, value in outputs.items()})
        if not parts:
            return {
                name: np.zeros([0, *item["shape"]], item["dtype"])
                for name, item in self.metadata["outputs"].items()
            }
        return {
            name: np.concatenate([part[name] for part in parts]) for name in parts[0]
        }

    def predict_one(
        self,
        record: Mapping[str, Any] | None = None,
        *,
        images: str | pathlib.Path = ".",
        **arrays: Any,
    ) -> dict[str, Any]:
        """Predicts for one item; inputs and outputs as in `predict`, without B."""
        records = None if record is None else [record]
        batch = {name: np.asarray(array)[None] for name, array in arrays.items()}
        outputs = self.predict(records, images=images, **batch)
        return {name: value[0] for name, value in outputs.items()}

    def _read_photos(
        self,
        records: Sequence[Mapping[str, Any]],
        images: str | pathlib.Path,
        first: int,
    ) -> dict[str, np.ndarray]:
        """Inputs of the program from the photos that records name."""
        reader = _load_photo_reader()
        try:
            photos, mask = reader.read_photos(records, self._photos, images, first)
        except reader.ImageError as error:
            raise InputError(str(error)) from None
        found = {"photo": photos[:, 0], "photos": photos, "photo_mask": mask}
        return {name: found[name] for name in self.metadata["inputs"] if name in found}

    def _check(
        self,
        records: Sequence[Mapping[str, Any]] | None,
        arrays: Mapping[str, Any],
        files: bool,
    ) -> dict[str, np.ndarray]:
        """Inputs of the program but photos of files, checked; attributes encoded."""
        wanted = {
            name: item
            for name, item in self.metadata["inputs"].items()
            if not (files and name in PHOTO_INPUTS)
        }
        given = {name: np.asarray(array) for name, array in arrays.items()}
        if records is not None and (self._encoder or files):
            self._check_keys(records, self._photos["columns"] if files else ())
        if self._encoder:
            if records is None:
                raise InputError("records are missing: this model reads attributes")
            encoded = self._encoder.encode(records)
            given.update((k, v) for k, v in encoded.items() if k in wanted)
        elif records is not None and not files:
            raise InputError("this model reads no records")
        for name in given:
            if name not in wanted:
                raise InputError(f"unknown input {name!r}{_hint(name, wanted)}")
        for name, item in wanted.items():
            if name not in given:
                raise InputError(f"input {name!r} is missing: {_expected(item)}")
            array = given[name]
            if array.dtype != item["dtype"] or list(array.shape[1:]) != item["shape"]:
                raise InputError(
                    f"input {name!r} is {array.dtype} {list(array.shape)}, expected"
                    f" {_expected(item)}"
                )
        counts = {name: len(array) for name, array in given.items()}
        if len(set(counts.values())) > 1:
            raise InputError(f"inputs hold different numbers of items: {counts}")
        return given

    def _check_keys(
        self, records: Sequence[Mapping[str, Any]], photos: Sequence[str]
    ) -> None:
        if isinstance(records, Mapping) or not all(
            isinstance(record, Mapping) for record in records
        ):
            raise InputError("records must be a list of dicts, one for each item")
        known = {*(self._encoder.columns if self._encoder else ()), *photos}
        for number, record in enumerate(records if self._strict else ()):
            for key in record:
                if key not in known:
                    raise InputError(
                        f"record {number}: unknown key {key!r}{_hint(key, known)}"
                    )


def _load_photo_reader() -> Any:
    """The code that reads files of photos; late, since only it needs Pillow."""
    try:
        return _load_beside(PHOTO_FILES, "photo files")
    except ModuleNotFoundError as error:
        raise InputError(
            f"photo files need Pillow ({error}): pip install pillow, or give pixels"
        ) from None


@functools.cache
def _load_beside(name: str, what: str) -> Any:
    """A module of the export that `what` needs, executed once."""
    path = pathlib.Path(__file__).resolve().with_name(name)
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None  # both know a .py file
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}; {what} need it") from None
    return module


def _expected(item: Mapping[str, Any]) -> str:
    shape = ", ".join(["B", *map(str, item["shape"])])
    return f"{item['dtype']} [{shape}]" + (
        f"; {item['about']}" if item["about"] else ""
    )


def _hint(word: Any, known: Any) -> str:
    close = difflib.get_close_matches(str(word), list(known), n=1)
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; known are {', '.join(sorted(known))}" if known else ""


def _read(path: pathlib.Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from None


def _read_records(path: str) -> list[Any]:
    try:
        text = _read(pathlib.Path(path)).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InputError(f"{path} is not UTF-8 text") from None
    records = []
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            try:
                records.append(json.loads(line))
            except (ValueError, RecursionError):
                raise InputError(f"{path}:{number}: not a JSON object") from None
    return records


def _read_array(text: str) -> tuple[str, np.ndarray]:
    name, _, path = text.partition("=")
    try:
        return name, np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise InputError(f"--array {text}: no .npy file ({error})") from None


def main(argv: Sequence[str] | None = None) -> int:
    """Predicts for files; writes one JSON object a line to stdout."""
    here = pathlib.Path(__file__).resolve().parent
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--model", default=here, help="the export folder")
    parser.add_argument(
        "--records", help="attributes and texts: one JSON object a line"
    )
    parser.add_argument(
        "--array", action="append", default=[], metavar="NAME=FILE.npy",
        help="an input array [B, ...], such as photo=photos.npy",
    )  # fmt: skip
    parser.add_argument(
        "--images", default=".", help="folder of the photos that the records name"
    )
    parser.add_argument("--describe", action="store_true", help="say what goes in")
    options = parser.parse_args(argv)
    try:
        model = Predictor(options.model)
        if options.describe:
            print(model.describe())
            return 0
        records = None if options.records is None else _read_records(options.records)
        arrays = dict(map(_read_array, options.array))
        outputs = model.predict(records, images=options.images, **arrays)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    for number in range(len(next(iter(outputs.values())))):
        row = {name: values[number].tolist() for name, values in outputs.items()}
        print(json.dumps(row))
    return 0


if __name__ == "__main__":
    sys.exit(main())
