"""The typed description of a listing table, kept as an editable JSON file."""

from __future__ import annotations

import dataclasses
import difflib
import json
import pathlib
import re
from collections.abc import Callable, Iterable
from typing import Any, Literal, get_args

from common.errors import UserError
from common.tables import set_cells

Kind = Literal["categorical", "continuous", "set", "text"]

NOT_READ = "text, not used by this system yet"


@dataclasses.dataclass(frozen=True)
class Images:
    """Where a row names its photos.

    Attributes:
      columns: columns that hold file names, in the order the photos are shown.
      separator: what stands between several names in one cell; " " for any blanks,
        "json" where each cell is a list as JSON or Python writes it, "" for one name a
        cell; see `photo_cells.names`.
    """

    columns: tuple[str, ...]
    separator: str = ""


@dataclasses.dataclass(frozen=True)
class Attribute:
    """One attribute of an item.

    Attributes:
      name: unique name, used in figures and weights.
      kind: "categorical" (one of a vocabulary), "continuous" (numbers), "set" (any
        number of a vocabulary) or "text" (a title, a description: words).
      columns: one column; a continuous attribute may hold several variables, such
        as the carat and the diameter of one stone.
      separator: what stands between the members of a set; "json" where each cell is
        a JSON object {"Fabric": "Cotton"}, whose members are "Fabric: Cotton" and so
        on, or a JSON list ["white", "cotton"].
      log: whether log(1 + x) is taken of a continuous attribute.
      decimal: what stands before the decimals of a continuous one, "." or ","; "" to
        let the cells of each column tell, see `decimals`. Parquet's numbers need none.
    """

    name: str
    kind: Kind
    columns: tuple[str, ...]
    separator: str = ""
    log: bool = False
    decimal: str = ""


@dataclasses.dataclass(frozen=True)
class Target:
    """What is to be predicted.

    Attributes:
      column: of finite numbers above zero.
      currency: ISO 4217 code of the prices; "" where unknown.
      currency_column: column of the currency of each row; rows of another one than
        `currency` are left out. "" where all prices are in one.
      decimal: as in `Attribute`.
    """

    column: str
    currency: str = ""
    currency_column: str = ""
    decimal: str = ""


@dataclasses.dataclass(frozen=True)
class Group:
    """Rows that must stay on one side of a split.

    Attributes:
      columns: rows with the same text in one of these belong together, normalised or, in
        a column of codes, as it is.
      photo_hash: whether rows that share a photo belong together too.
    """

    columns: tuple[str, ...]
    photo_hash: bool = True


@dataclasses.dataclass(frozen=True)
class Schema:
    """What the columns of a table mean.

    Attributes:
      attributes: model inputs, in the order of the model's attribute axis.
      images: where the photos are named; None for a table without photos.
      target: None for rows that are only to be predicted.
      group: None where rows are independent.
      time: column of dates or times; None where there is none.
      split: column of train / validation / test; None to split by hash.
      id: column that names a row in outputs, rows of one id belong together; None to
        number rows.
      ignored: (column, reason) of what was left out, for the reader of the file.
    """

    attributes: tuple[Attribute, ...]
    images: Images | None = None
    target: Target | None = None
    group: Group | None = None
    time: str | None = None
    split: str | None = None
    id: str | None = None
    ignored: tuple[tuple[str, str], ...] = ()

    def __post_init__(self):
        _check_attributes(self.attributes)
        _check_roles(self)

    def input_columns(self) -> tuple[str, ...]:
        """The columns that a prediction needs: id, photos, attributes; each once."""
        name = (self.id,) if self.id else ()
        images = self.images.columns if self.images else ()
        inputs = [column for a in self.attributes for column in a.columns]
        return tuple(dict.fromkeys([*name, *images, *inputs]))

    def columns(self) -> tuple[str, ...]:
        """All columns that have a role, inputs first; each once."""
        target: tuple[str, ...] = ()
        if self.target:
            target = (self.target.column, self.target.currency_column)
        group = self.group.columns if self.group else ()
        single = [column for column in (self.time, self.split) if column]
        names = [*self.input_columns(), *filter(None, target), *group, *single]
        return tuple(dict.fromkeys(names))

    def name_columns(self) -> tuple[str, ...]:
        """The columns of names: of the row, its group, its categories; each once."""
        name = (self.id,) if self.id else ()
        group = self.group.columns if self.group else ()
        kinds = [a.columns[0] for a in self.attributes if a.kind == "categorical"]
        return tuple(dict.fromkeys([*name, *group, *kinds]))


def leave_out_texts(schema: Schema) -> tuple[Schema, list[str]]:
    """For a system that reads no texts yet.

    Returns:
      (the schema without its attributes of kind text, their columns).
    """
    kept = tuple(a for a in schema.attributes if a.kind != "text")
    columns = [a.columns[0] for a in schema.attributes if a.kind == "text"]
    without = dataclasses.replace(schema, attributes=kept)
    added = [(c, NOT_READ) for c in columns if c not in without.columns()]
    return dataclasses.replace(without, ignored=(*schema.ignored, *added)), columns


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A hint to the closest known word, " (did you mean 'x'?)", or ""."""
    close = difflib.get_close_matches(word, list(known), n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""


def _check_attributes(attributes: tuple[Attribute, ...]) -> None:
    names = set()
    for index, attribute in enumerate(attributes):
        where = f"attributes[{index}]"
        if not attribute.name:
            raise UserError(f"{where}.name is empty: give the attribute a name")
        if attribute.name in names:
            raise UserError(f"{where}.name {attribute.name!r} is taken: rename one")
        names.add(attribute.name)
        if attribute.kind not in get_args(Kind):
            kinds = ", ".join(get_args(Kind))
            hint = did_you_mean(str(attribute.kind), get_args(Kind))
            raise UserError(
                f"{where}.kind {attribute.kind!r} is not one of {kinds}{hint}"
            )
        several = attribute.kind == "continuous"
        if not attribute.columns or (len(attribute.columns) > 1 and not several):
            wanted = "at least one column" if several else "exactly one column"
            raise UserError(f"{where}.columns: a {attribute.kind} one needs {wanted}")
        if len(set(attribute.columns)) < len(attribute.columns):
            raise UserError(f"{where}.columns names a column twice")
        if attribute.kind == "set" and not attribute.separator:
            raise UserError(f'{where}.separator is missing: write, say, "|"')
        if _is_misspelt_json(attribute.separator):
            raise UserError(f'{where}.separator: write "json" in small letters')
        if attribute.kind != "set" and attribute.separator:
            raise UserError(f"{where}.separator is for sets, not {attribute.kind} ones")
        for field in ("log", "decimal"):
            if getattr(attribute, field) and attribute.kind != "continuous":
                raise UserError(f"{where}.{field} is for continuous attributes only")
        _check_decimal(attribute.decimal, where)


def _check_decimal(decimal: str, where: str) -> None:
    if decimal not in ("", ".", ","):
        raise UserError(f'{where}.decimal {decimal!r}: write ".", "," or ""')


def _is_misspelt_json(separator: str) -> bool:
    return separator.lower() == set_cells.SEPARATOR != separator


def _check_roles(schema: Schema) -> None:
    if schema.images and not schema.images.columns:
        raise UserError("images.columns is empty: name a column, or set images to null")
    if schema.images and _is_misspelt_json(schema.images.separator):
        raise UserError('images.separator: write "json" in small letters')
    if schema.group and not (schema.group.columns or schema.group.photo_hash):
        raise UserError("group.columns is empty: name a column, or set group to null")
    if schema.target and not schema.target.column:
        raise UserError("target.column is empty: name the column to predict")
    currency = schema.target.currency if schema.target else ""
    if currency and not re.fullmatch("[A-Z]{3}", currency):
        raise UserError(
            f'target.currency {currency!r}: write a code such as USD, or "" if unknown'
        )
    if schema.target:
        _check_decimal(schema.target.decimal, "target")
    _check_numbers(schema)


def _check_numbers(schema: Schema) -> None:
    """Refuses a second role for columns of numbers: the target is no input, say."""
    numbers: list[tuple[str, str]] = []
    if schema.target:
        numbers.append(("target", schema.target.column))
    if schema.time:
        numbers.append(("time", schema.time))
    texts: list[tuple[str, str]] = []
    for index, attribute in enumerate(schema.attributes):
        found = numbers if attribute.kind == "continuous" else texts
        found.extend((f"attributes[{index}]", column) for column in attribute.columns)
    if schema.images:
        texts.extend(("images", column) for column in schema.images.columns)
    if schema.group:
        texts.extend(("group", column) for column in schema.group.columns)
    if schema.target and schema.target.currency_column:
        texts.append(("target.currency_column", schema.target.currency_column))
    if schema.split:
        texts.append(("split", schema.split))
    if schema.id:
        texts.append(("id", schema.id))
    taken = {column: role for role, column in reversed(numbers)}
    for role, column in [*numbers, *texts]:
        if taken.get(column, role) != role:
            raise UserError(f"column {column!r} is both {taken[column]} and {role}")


def save(schema: Schema, path: str | pathlib.Path) -> None:
    """Writes a schema as JSON, one attribute a line, to be read and edited.

    Raises:
      UserError: the file can't be written.
    """
    try:
        pathlib.Path(path).write_text(dumps(schema), encoding="utf-8")
    except OSError as error:
        raise UserError(f"{path}: can't write the schema: {error.strerror}") from error
    except ValueError as error:  # a NUL in the name
        raise UserError(f"{path}: can't write the schema: {error}") from error


def load(path: str | pathlib.Path) -> Schema:
    """Reads a schema file.

    Raises:
      UserError: names the file and the field that is wrong.
    """
    try:
        text = pathlib.Path(path).read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise UserError(f"{path}: can't read the schema: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 at byte {error.start}") from error
    except ValueError as error:  # a NUL in the name
        raise UserError(f"{path}: can't read the schema: {error}") from error
    try:
        return loads(text)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error


def dumps(schema: Schema) -> str:
    """The JSON text of a schema, one attribute and one ignored column a line."""
    fields = dataclasses.asdict(schema)
    attributes = [_json(_own_fields(a)) for a in fields.pop("attributes")]
    if fields["target"]:
        _drop_empty(fields["target"], "currency_column", "decimal")
    ignored = [f"{_json(name)}: {_json(why)}" for name, why in fields.pop("ignored")]
    entries = [f'  "{key}": {_json(value)}' for key, value in fields.items()]
    entries.append(f'  "attributes": [{_lines(attributes)}]')
    entries.append(f'  "ignored": {{{_lines(ignored)}}}')
    return "{\n" + ",\n".join(entries) + "\n}\n"


def loads(text: str) -> Schema:
    """Reads the JSON text of a schema.

    Raises:
      UserError: names the field that is wrong.
    """
    try:
        value = json.loads(text, object_pairs_hook=_unique_keys)
        _json(value).encode("utf-8")
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise UserError(f"not valid JSON at {where}: {error.msg}") from error
    except UnicodeEncodeError as error:
        raise UserError("not a schema: holds half a character (\\ud800…)") from error
    except RecursionError as error:
        raise UserError("not a schema: nested too deeply") from error
    except ValueError as error:  # Python reads no longer ones
        raise UserError("not a schema: holds a number of too many digits") from error
    return _read_object(Schema, value, "the schema")


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _lines(items: list[str]) -> str:
    return "".join(f"\n    {item}," for item in items)[:-1] + "\n  " if items else ""


def _own_fields(attribute: dict[str, Any]) -> dict[str, Any]:
    """An attribute without the fields that its kind does not have."""
    if attribute["kind"] != "set":
        del attribute["separator"]
    if attribute["kind"] != "continuous":
        del attribute["log"]
    return _drop_empty(attribute, "decimal")


def _drop_empty(fields: dict[str, Any], *names: str) -> dict[str, Any]:
    """Leaves out what few files have, so that the others stay as they were."""
    for name in names:
        if not fields[name]:
            del fields[name]
    return fields


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise UserError(f"the key {twice!r} stands twice in one object")
    return found


def _read_object(cls: type, value: Any, where: str) -> Any:
    """Builds one of the dataclasses above from a JSON object."""
    if not isinstance(value, dict):
        raise UserError(
            f"{where} must be an object {{…}}, not {json.dumps(value)[:40]}"
        )
    fields = {field.name: field for field in dataclasses.fields(cls)}
    for key in value:
        if key not in fields:
            hint = did_you_mean(key, fields)
            raise UserError(f"{where} has an unknown key {key!r}{hint}")
    prefix = "" if cls is Schema else f"{where}."
    built = {}
    for name, field in fields.items():
        if name in value:
            built[name] = _READERS[field.type](value[name], prefix + name)
        elif field.default is dataclasses.MISSING:
            raise UserError(f"{where} lacks the key {name!r}")
    return cls(**built)


def _read_text(value: Any, where: str) -> str:
    if not isinstance(value, str):
        raise UserError(
            f"{where} must be a text in quotes, not {json.dumps(value)[:40]}"
        )
    return value


def _read_flag(value: Any, where: str) -> bool:
    if not isinstance(value, bool):
        raise UserError(f"{where} must be true or false, not {json.dumps(value)[:40]}")
    return value


def _read_names(value: Any, where: str) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise UserError(f'{where} must be a list of column names such as ["title"]')
    return tuple(_read_text(name, f"{where}[{i}]") for i, name in enumerate(value))


def _read_attributes(value: Any, where: str) -> tuple[Attribute, ...]:
    if not isinstance(value, list):
        raise UserError(f"{where} must be a list […] of attributes")
    return tuple(
        _read_object(Attribute, item, f"{where}[{i}]") for i, item in enumerate(value)
    )


def _read_ignored(value: Any, where: str) -> tuple[tuple[str, str], ...]:
    if not isinstance(value, dict):
        raise UserError(f'{where} must be an object {{"column": "reason", …}}')
    return tuple((key, _read_text(value[key], f"{where}.{key}")) for key in value)


def _optional(read: Callable[[Any, str], Any]) -> Callable[[Any, str], Any]:
    return lambda value, where: None if value is None else read(value, where)


def _object(cls: type) -> Callable[[Any, str], Any]:
    return lambda value, where: _read_object(cls, value, where)


# By the annotation of the field.
_READERS: dict[Any, Callable[[Any, str], Any]] = {
    "str": _read_text,
    "bool": _read_flag,
    "Kind": _read_text,
    "str | None": _optional(_read_text),
    "tuple[str, ...]": _read_names,
    "tuple[Attribute, ...]": _read_attributes,
    "tuple[tuple[str, str], ...]": _read_ignored,
    "Images | None": _optional(_object(Images)),
    "Target | None": _optional(_object(Target)),
    "Group | None": _optional(_object(Group)),
}
