"""The words of the listings' texts, as further inputs of regression and gate; ours."""

import dataclasses

import numpy as np
import pandas as pd

from common.data.listings import Listings
from common.errors import UserError
from common.tables.cells import quoted
from common.tables.encoders import Encoders


def fit(listings: Listings, rows: np.ndarray, *, use: bool) -> Encoders:
    """Encoders of the attributes of kind text.

    Args:
      listings: all rows.
      rows: int [n] that are fitted on.
      use: whether texts are read at all; else there are no encoders.

    Raises:
      UserError: there is no such attribute.
    """
    if not use:
        return Encoders(())
    schema = listings.schema
    texts = tuple(a for a in schema.attributes if a.kind == "text")
    if not texts:
        raise UserError(
            f"{listings.directory}: the schema names no attribute of kind text; add one,"
            " or leave --model.texts off"
        )
    schema = dataclasses.replace(schema, attributes=texts)
    return Encoders.fit(listings.frame.iloc[rows], schema)


def encode(encoders: Encoders, frame: pd.DataFrame) -> dict[str, np.ndarray]:
    """The words of rows.

    Args:
      encoders: of texts, as `fit` made them.
      frame: n typed rows.

    Returns:
      word_ids int32 and word_weights float32 [n, sum L]; {} without texts.

    Raises:
      UserError: the rows lack the column of a text.
    """
    if not encoders.attributes:
        return {}
    for fitted in encoders.attributes:
        column = fitted.attribute.columns[0]
        if column not in frame:
            raise UserError(
                f"no column {quoted(column)} of kind text: the model reads its words, so"
                " name it in the schema"
            )
    arrays = encoders.encode(frame)
    return {name: arrays[name] for name in ("word_ids", "word_weights")}
