"""The built-in generated data set `bazaar`: listings with a drawn photo and a price.

It follows what the paper tells of its own data: the 13 classes in the proportions of
Table 1, long-tailed prices over three months of sales, category, brand, attributes and
specification that are partly missing or wrong, and the four ways in which a photo fails
(section 1). And it plants the effects that the paper's claims rest on, each with a
switch (`BazaarConfig`), so that a model which works can be told from one that doesn't,
and a claim must fail where its effect is switched off. Parameters and generator are
fixed before any training on the bazaar.

A photo shows the item's category by its shape, colour and material by colour and
pattern, the brand by a mark, the specification by a label and a slip, and wear, which
no column tells. A photo with a defect hides all of it that has a price of its own, but
for the colour and the shape where the item can be seen. So the price of such an item
is much less certain, and a gate has something to learn; mild blur, shade and
other things are in all photos, so that no pixel test does the gate's work.

What is switched off, and the claim that must fail then:

| off | claim |
|---|---|
| `blur`, `darkness`, `clutter`, `missing_information`, all | the gate finds bad photos |
| the same four | accepted items have a clearly lower error than all items |
| one of the four | the gate finds photos with that defect: there are none |
| `label_effects` | four networks (MSTFE) give better features than one (STFE) |
| `sellers` | price statistics of the seller help |
| `drift` | recent price statistics are better than older ones |

With `label_effects` off the wear alone is hidden in bad photos, so the gate's gain
shrinks with it.

Source: Han et al., "Vision-based Price Suggestion for Online Second-hand Items".
"""

import datetime
from collections.abc import Iterator

import numpy as np

from common.data import generated
from common.data.generated import Row
from common.tables.schema import Attribute, Images, Schema, Target
from pricer.generated import catalogue, drawing, latents
from pricer.generated.parameters import (
    ATTRIBUTES_PARTS,
    DEFECTS,
    FIRST_DAY,
    GENERATOR_VERSION,
    SHARES,
    SPECIFICATION_PARTS,
    BazaarConfig,
)
from pricer.generated.values import expected_errors, log_prices

__all__ = [
    "GENERATOR_VERSION",
    "BazaarConfig",
    "draw",
    "fingerprint",
    "rows",
    "schema",
    "truth",
]

SEPARATOR = "|"  # between the members of attributes and specification


def schema() -> Schema:
    """The schema of the bazaar: what the four networks learn, and the seller."""
    return Schema(
        attributes=(
            Attribute("class", "categorical", ("class",)),
            Attribute("category", "categorical", ("category",)),
            Attribute("brand", "categorical", ("brand",)),
            Attribute("attributes", "set", ("attributes",), separator=SEPARATOR),
            Attribute("specification", "set", ("specification",), separator=SEPARATOR),
            Attribute("seller", "categorical", ("seller",)),
        ),
        images=Images(("photo",)),
        target=Target("price", "CNY"),
        time="sold_at",
        split="split",
        id="item",
    )


def fingerprint(config: BazaarConfig) -> str:
    """Hash of all that decides the rows: generator, its parameters and the config."""
    parts = [SHARES, ATTRIBUTES_PARTS, SPECIFICATION_PARTS]
    return generated.fingerprint(GENERATOR_VERSION, parts, config)


def rows(config: BazaarConfig, workers: int = 1) -> Iterator[Row]:
    """Yields train, validation and test rows, one after another.

    Args:
      config: of the data set.
      workers: processes that draw; the rows are the same for any number. More than one
        are started afresh ("spawn"), so the calling script needs its `__main__` guard.

    Returns:
      Iterator of (row, [JPEG]): the columns of `schema` (None where missing), `photo` a file name,
      `price` in CNY, `sold_at` an ISO time, and with the prefix `truth_` what `truth`
      tells.
    """
    return generated.rows(_block_rows, config, workers)


def _block_rows(job: tuple[BazaarConfig, str, np.ndarray]) -> Iterator[Row]:
    """The rows of a block of items: (config, split, numbers)."""
    config, split, block = job
    items = latents.sample(config, block)
    hidden = _truth(config, items)
    columns = _listing(items)
    columns |= {f"truth_{name}": values.tolist() for name, values in hidden.items()}
    for index, number in enumerate(block):
        row = {name: values[index] for name, values in columns.items()}
        row |= {
            "item": str(number),
            "photo": f"{number}.jpg",
            "price": round(float(np.exp(hidden["log_price"][index])), 2),
            "split": split,
        }
        yield row, [generated.encode_jpeg(_draw(config, items, index, int(number)))]


def draw(config: BazaarConfig, number: int) -> np.ndarray:
    """Draws the photo of one item, by its number; uint8 [pixels, pixels, 3]."""
    items = latents.sample(config, np.array([number]))
    return _draw(config, items, 0, number)


def _draw(
    config: BazaarConfig, items: latents.Items, index: int, number: int
) -> np.ndarray:
    rng = generated.generator(config.seed, number, stream=1)
    return drawing.draw(items, index, config.pixels, rng)


def truth(config: BazaarConfig, numbers: np.ndarray) -> dict[str, np.ndarray]:
    """What no model is told about the items with these numbers.

    Args:
      config: of the data set.
      numbers: [N] numbers, as in the column `item`.

    Returns:
      {"readable"}: whether the photo has none of the defects; {"blur", "darkness",
      "clutter", "missing_information"}: whether it has this one; {"log_price"}: before
      rounding; {"expected_error"}: least mean absolute error of the log price, given
      what the photo shows and the category, the seller and the day; [N] each.
    """
    return _truth(config, latents.sample(config, numbers))


def _truth(config: BazaarConfig, items: latents.Items) -> dict[str, np.ndarray]:
    return {
        "readable": items.readable,
        **{name: items.defects[name] for name in DEFECTS},
        "log_price": log_prices(config, items),
        "expected_error": expected_errors(config, items),
    }


def _listing(items: latents.Items) -> dict[str, list]:
    """The columns as a seller would fill them in; None where missing."""
    count = len(items.category)
    classes = items.item_class
    cells: dict[str, list] = {
        "class": [catalogue.CLASSES[which] for which in classes],
        "category": [
            catalogue.CATEGORY.names[which] for which in items.listed_category
        ],
        "brand": [catalogue.BRANDS[which] for which in items.brand],
        "attributes": [
            SEPARATOR.join(
                (
                    catalogue.COLOUR.names[items.colour[row]],
                    catalogue.MATERIALS[classes[row]][items.material[row]],
                )
            )
            for row in range(count)
        ],
        "specification": [
            SEPARATOR.join(_specification(items, row)) for row in range(count)
        ],
        "seller": [f"seller {which + 1}" for which in items.seller],
        "sold_at": [_time(day) for day in items.day.tolist()],
    }
    for name, missing in items.missing.items():
        cells[name] = [
            None if lost else cell
            for lost, cell in zip(missing, cells[name], strict=True)
        ]
    return cells


def _specification(items: latents.Items, row: int) -> list[str]:
    members = [catalogue.GRADES[items.item_class[row]][items.grade[row]]]
    members += [catalogue.PACK] if items.pack[row] else []
    members += [catalogue.RECEIPT] if items.receipt[row] else []
    return members


def _time(day: float) -> str:
    moment = datetime.datetime.fromisoformat(FIRST_DAY) + datetime.timedelta(days=day)
    return moment.isoformat(timespec="seconds")
