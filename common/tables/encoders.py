"""Attributes as numbers: vocabularies and statistics fitted on the training rows."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeAlias, get_args

import numpy as np

from common.errors import UserError
from common.tables import set_cells
from common.tables.schema import Attribute, Kind, Schema
from common.tables.whole_numbers import distinct_with_digits
from common.text.encoder import TextEncoder

if TYPE_CHECKING:  # models import this module where pandas may be absent
    import pandas as pd

UNKNOWN = 0  # id of a category that the training rows did not show
MISSING = 1  # id of an empty cell
RESERVED = 2  # ids before the first category

# Standardised values are clipped here, in standard deviations: a typing error in
# one cell (1e30) must not overflow a network. Far beyond what real columns show.
LIMIT = 1000.0


@dataclasses.dataclass(frozen=True)
class AttributeSize:
    """What a model must know of one attribute.

    Attributes:
      name: of the attribute.
      kind: "categorical", "continuous", "set" or "text".
      size: number of variables of a continuous attribute, of ids of a text; else number
        of categories, the reserved ones (unknown, missing) included.
      length: L, entries of a text; 0 for other kinds.
    """

    name: str
    kind: Kind
    size: int
    length: int = 0


@dataclasses.dataclass(frozen=True)
class AttributeSpec:
    """Names, kinds and sizes of the attributes: a hashable field for modules.

    Attributes:
      attributes: one entry an attribute, in the order of the attribute axis A.
    """

    attributes: tuple[AttributeSize, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The attributes' names in order."""
        return tuple(attribute.name for attribute in self.attributes)

    def slices(self) -> list[tuple[AttributeSize, slice]]:
        """Where each attribute's columns stand in the array of its kind.

        Attributes of one kind stand side by side in the order of the spec.

        Returns:
          (attribute, slice) in order; a categorical attribute has one column, a text L.
        """
        end: dict[str, int] = collections.defaultdict(int)
        slices = []
        for attribute in self.attributes:
            start = end[attribute.kind]
            width = 1 if attribute.kind == "categorical" else attribute.size
            if attribute.kind == "text":
                width = attribute.length
            end[attribute.kind] = start + width
            slices.append((attribute, slice(start, start + width)))
        return slices

    def texts(self) -> list[tuple[int, AttributeSize, slice]]:
        """(place among the attributes, attribute, columns) of each text."""
        slices = enumerate(self.slices())
        return [(i, a, columns) for i, (a, columns) in slices if a.kind == "text"]

    def arrays(self) -> dict[str, tuple[int, type]]:
        """Width and type of each array that `Encoders.encode` makes."""
        width = dict.fromkeys(get_args(Kind), 0)
        for attribute, columns in self.slices():
            width[attribute.kind] = columns.stop
        arrays: dict[str, tuple[int, type]] = {
            "categorical": (width["categorical"], np.int32),
            "continuous": (width["continuous"], np.float32),
            "missing": (width["continuous"], np.float32),
            "sets": (width["set"], np.float32),
        }
        if width["text"]:
            arrays["word_ids"] = width["text"], np.int32
            arrays["word_weights"] = width["text"], np.float32
        return arrays


@dataclasses.dataclass(frozen=True)
class Vocabulary:
    """Categories of one categorical or set attribute.

    Attributes:
      attribute: its description.
      categories: most frequent first, equally frequent ones by name; category i has
        id i + 2.
    """

    attribute: Attribute
    categories: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Scaling:
    """Statistics of the variables of one continuous attribute.

    Attributes:
      attribute: its description.
      fill: [V] mean of the known values, stands in for missing ones.
      center: [V] mean after filling and the logarithm.
      scale: [V] standard deviation after filling and the logarithm; 1 for constants.
    """

    attribute: Attribute
    fill: tuple[float, ...]
    center: tuple[float, ...]
    scale: tuple[float, ...]


@dataclasses.dataclass(frozen=True)
class Words:
    """Words of one text attribute.

    Attributes:
      attribute: its description.
      encoder: of its cells.
    """

    attribute: Attribute
    encoder: TextEncoder


Fitted: TypeAlias = Vocabulary | Scaling | Words


@dataclasses.dataclass(frozen=True)
class Encoders:
    """Turns checked rows into the arrays that a model reads.

    Attributes:
      attributes: what was fitted of each attribute, in order.
    """

    attributes: tuple[Fitted, ...]

    @classmethod
    def fit(
        cls, frame: pd.DataFrame, schema: Schema, *, min_count: int = 1
    ) -> Encoders:
        """Fits vocabularies and statistics.

        Args:
          frame: training rows, and only those, as `tables.check_rows` returns them.
          schema: which attributes to encode.
          min_count: a category seen less often than this is left to the unknown row.
        """
        fitted: list[Fitted] = []
        for attribute in schema.attributes:
            if attribute.kind == "continuous":
                fitted.append(_fit_scaling(frame, attribute))
            elif attribute.kind == "text":
                cells = frame[attribute.columns[0]]
                fitted.append(Words(attribute, TextEncoder.fit(cells)))
            else:
                fitted.append(_fit_vocabulary(frame, attribute, min_count))
        return cls(tuple(fitted))

    def spec(self) -> AttributeSpec:
        """Sizes for the model."""
        sizes = []
        for fitted in self.attributes:
            length = 0
            if isinstance(fitted, Scaling):
                size = len(fitted.fill)
            elif isinstance(fitted, Words):
                size, length = fitted.encoder.size, fitted.encoder.length
            else:
                size = RESERVED + len(fitted.categories)
            attribute = fitted.attribute
            sizes.append(AttributeSize(attribute.name, attribute.kind, size, length))
        return AttributeSpec(tuple(sizes))

    def encode(self, frame: pd.DataFrame) -> dict[str, np.ndarray]:
        """Encodes rows; total: any checked row has an encoding.

        A continuous value x becomes (s(fill(x)) - center) / scale, with
        s(x) = sign(x) log(1 + |x|) where the schema asks for the logarithm, which is
        log(1 + x) for the values above zero that it is meant for, and the identity
        elsewhere. Source of the order (mean fill, logarithm, standardise): ICAN,
        section 5.2.

        Args:
          frame: N rows as `tables.check_rows` returns them.

        Returns:
          categorical: int32 [N, Ac], 0 unknown, 1 missing, then the vocabulary.
          continuous: float32 [N, V], all variables side by side, within +-1000.
          missing: float32 [N, V], 1 where the cell was empty.
          sets: float32 [N, S] multi-hot, all set attributes side by side, each with
            unknown, missing and its vocabulary.
          word_ids: int32 [N, sum L], word_weights: float32 [N, sum L], all texts side by
            side, see `TextEncoder.encode`; only where there are texts.
        """
        rows = len(frame)
        columns: dict[str, list[np.ndarray]] = collections.defaultdict(list)
        for fitted in self.attributes:
            if isinstance(fitted, Scaling):
                values, missing = _encode_continuous(frame, fitted)
                columns["continuous"].append(values)
                columns["missing"].append(missing)
            elif isinstance(fitted, Words):
                cells = frame[fitted.attribute.columns[0]]
                words = fitted.encoder.encode(cells.tolist())
                columns["word_ids"].append(words["ids"])
                columns["word_weights"].append(words["weights"])
            elif fitted.attribute.kind == "set":
                columns["sets"].append(_encode_set(frame, fitted))
            else:
                columns["categorical"].append(_encode_categorical(frame, fitted))
        return {
            key: np.concatenate([np.zeros((rows, 0), dtype), *columns[key]], axis=1)
            for key, (_, dtype) in self.spec().arrays().items()
        }

    def to_json(self) -> dict[str, Any]:
        """A JSON value that `from_json` turns back into equal encoders."""
        return {"attributes": [dataclasses.asdict(item) for item in self.attributes]}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Encoders:
        """Rebuilds encoders.

        Raises:
          UserError: the value was not written by `to_json`.
        """
        try:
            return cls(tuple(_fitted_from_json(item) for item in value["attributes"]))
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(
                "the encoders' file is damaged: copy it anew or train again"
            ) from error


def count_unseen(
    arrays: Mapping[str, np.ndarray], spec: AttributeSpec
) -> dict[str, int]:
    """Number of rows with a category that the vocabulary does not hold.

    Args:
      arrays: what `Encoders.encode` returned.
      spec: of the same encoders.

    Returns:
      {attribute name: rows}, only attributes that have any.
    """
    counts = {}
    for attribute, columns in spec.slices():
        if attribute.kind == "categorical":
            unknown = arrays["categorical"][:, columns.start] == UNKNOWN
        elif attribute.kind == "set":
            unknown = arrays["sets"][:, columns.start + UNKNOWN] > 0
        else:
            continue
        if unknown.any():
            counts[attribute.name] = int(unknown.sum())
    return counts


def replace_unseen(
    record: Mapping[str, np.ndarray],
    rng: np.random.Generator,
    rate: float,
    spec: AttributeSpec,
) -> dict[str, np.ndarray]:
    """Hides known categories at random, so that the reserved row gets trained.

    Each known category, and each known member of a set, turns into the unknown one
    with the given probability. Missing values stay missing.

    Args:
      record: one row of `Encoders.encode`: categorical [Ac], sets [S]; other keys
        pass through.
      rng: source of the draws; every record takes the same number of them.
      rate: probability in [0, 1].
      spec: of the encoders.

    Returns:
      A new record; the one given is left as it is.
    """
    ids, sets = record["categorical"], record["sets"].copy()
    hide = (rng.random(ids.shape) < rate) & (ids >= RESERVED)
    drop = (rng.random(sets.shape) < rate) & (sets > 0)
    for attribute, columns in spec.slices():
        if attribute.kind == "set":
            known = slice(columns.start + RESERVED, columns.stop)
            if drop[known].any():
                sets[known][drop[known]] = 0
                sets[columns.start + UNKNOWN] = 1
    hidden = np.where(hide, UNKNOWN, ids).astype(ids.dtype)
    return {**record, "categorical": hidden, "sets": sets}


def _fit_vocabulary(
    frame: pd.DataFrame, attribute: Attribute, min_count: int
) -> Vocabulary:
    cells = frame[attribute.columns[0]].dropna()
    counts: collections.Counter[str] = collections.Counter()
    for cell, count in cells.value_counts().items():
        if attribute.kind == "set":
            for member in set(set_cells.members(cell, attribute.separator)):
                counts[member] += count
        else:
            counts[cell] += count
    kept = [name for name, count in counts.items() if count >= min_count]
    return Vocabulary(attribute, tuple(sorted(kept, key=lambda n: (-counts[n], n))))


def _fit_scaling(frame: pd.DataFrame, attribute: Attribute) -> Scaling:
    fill, center, scale = [], [], []
    for column in attribute.columns:
        values = frame[column].to_numpy(np.float64)
        known = ~np.isnan(values)
        mean = float(values[known].mean()) if known.any() else 0.0
        filled = _compress(np.where(known, values, mean), attribute.log)
        fill.append(mean)
        center.append(float(filled.mean()) if len(filled) else 0.0)
        deviation = float(filled.std()) if len(filled) else 0.0
        # Below rounding error of the values a column is as good as constant.
        constant = deviation <= 1e-12 * max(1.0, abs(center[-1]))
        scale.append(1.0 if constant else deviation)
    return Scaling(attribute, tuple(fill), tuple(center), tuple(scale))


def _compress(values: np.ndarray, log: bool) -> np.ndarray:
    return np.sign(values) * np.log1p(np.abs(values)) if log else values


def _encode_continuous(
    frame: pd.DataFrame, scaling: Scaling
) -> tuple[np.ndarray, np.ndarray]:
    raw = [frame[name].to_numpy(np.float64) for name in scaling.attribute.columns]
    values = np.stack(raw, axis=1)  # [N, V]
    missing = np.isnan(values)
    filled = np.where(missing, np.array(scaling.fill)[None, :], values)
    compressed = _compress(filled, scaling.attribute.log)
    centered = compressed - np.array(scaling.center)[None, :]
    standard = np.clip(centered / np.array(scaling.scale)[None, :], -LIMIT, LIMIT)
    return standard.astype(np.float32), missing.astype(np.float32)


def _encode_categorical(frame: pd.DataFrame, vocabulary: Vocabulary) -> np.ndarray:
    index = {name: i + RESERVED for i, name in enumerate(vocabulary.categories)}
    codes, uniques = frame[vocabulary.attribute.columns[0]].factorize()
    # The code of an empty cell is -1, the last entry.
    ids = np.array([*(index.get(name, UNKNOWN) for name in uniques), MISSING])
    return ids[codes].astype(np.int32)[:, None]  # [N, 1]


def _encode_set(frame: pd.DataFrame, vocabulary: Vocabulary) -> np.ndarray:
    attribute = vocabulary.attribute
    index = {name: i + RESERVED for i, name in enumerate(vocabulary.categories)}
    codes, uniques = frame[attribute.columns[0]].factorize()
    hot = np.zeros((len(uniques) + 1, RESERVED + len(index)), np.float32)
    for row, cell in enumerate(uniques):
        for member in set_cells.members(cell, attribute.separator):
            hot[row, index.get(member, UNKNOWN)] = 1
    # The code of an empty cell is -1; one without members is as good as empty.
    hot[~hot.any(axis=1), MISSING] = 1
    return hot[codes]  # [N, n]


def _fitted_from_json(item: Mapping[str, Any]) -> Fitted:
    fields = dict(item["attribute"])
    attribute = Attribute(**{**fields, "columns": tuple(fields["columns"])})
    if attribute.kind == "text":
        return Words(attribute, TextEncoder.from_json(item["encoder"]))
    if attribute.kind != "continuous":
        return Vocabulary(attribute, tuple(distinct_with_digits(item["categories"])))
    fill, center, scale = (
        tuple(map(float, item[key])) for key in ("fill", "center", "scale")
    )
    return Scaling(attribute, fill, center, scale)
