"""The built-in generated data set `rings`: drawn photos, attributes and prices.

It follows what the paper tells of its own data: the attributes of Table 1 with their
category counts, the sizes of the splits, long-tailed prices over the zones of Table 2.
And it plants the effects that the paper claims, each with a switch (`RingsConfig`), so
that a model which works can be told from one that doesn't, and a claim must fail where
its effect is switched off. Parameters and generator are fixed before any training on
the rings.

Every ring shows three stones of equal standing. The listing names the kind of the
centre stone, and so tells which of the three counts; one of the others may be the side
stone, the rest is coloured glass.

What is switched off, and the claim that must fail then:

| off | claim |
|---|---|
| `attributes_only` | attributes alone beat the photo alone |
| `photo_only` and `interactions` | both modalities together beat the better one |
| the same two | bilinear fusions beat simple ones; co-attention beats bilinear |
| `interactions` | attention finds the stone more often than the best constant place |
| `off_centre` | the same: the best constant place is then always right |
| `words` | words help; attention finds the telling word |

Titles are off by default (`titles`), and then the last row says nothing. A title has one
word that tells part of the price, at a random place (`ican.generated.titles`); with
`words` off it stands there all the same and tells nothing.

For the second and third to fail fully, `missing_or_wrong` must be off as well: where an
attribute is missing the photo still tells some of it. `interactions` alone does not
undo the third where the backbone is frozen: what only the photo shows stands in the
pattern and the gloss of the band, which a linear map of a pooled feature vector reads
badly and attention to the band reads well. Bilinear fusions keep a small lead even with
all three off, for the simple ones are linear in the attributes. Both are measured in
docs/results/ican/rings.md.

Source: Yamaura et al., "The Resale Price Prediction of Secondhand Jewelry Items".
"""

from collections.abc import Iterator

import numpy as np

from common.data import generated
from common.data.generated import Row
from common.tables.schema import Attribute, Images, Schema, Target
from ican.generated import catalogue, latents
from ican.generated import drawing as ring_drawing
from ican.generated.parameters import (
    ATTRIBUTES_PARTS,
    GENERATOR_VERSION,
    INTERACTION_PARTS,
    PHOTO_PARTS,
    TITLE_KNOBS,
    RingsConfig,
)
from ican.generated.values import log_prices

__all__ = [
    "GENERATOR_VERSION",
    "RingsConfig",
    "draw",
    "fingerprint",
    "rows",
    "schema",
    "truth",
]

_COLUMNS = {
    "size": ("size",),
    "weight": ("weight_ounce",),
    "center stone size": ("center_carat", "center_inch"),
    "side stone size": ("side_carat", "side_inch"),
    "grading report": ("grading_report",),
    "identification report": ("identification_report",),
    "center stone": ("center_stone",),
    "side stone": ("side_stone",),
    "metal": ("metal",),
    "degree of use": ("degree_of_use",),
    "notices of repair": ("notices_of_repair",),
    "notices of defects": ("notices_of_defects",),
    "month of purchase": ("month_of_purchase",),
}
TITLE = "title"  # column and attribute
_CONTINUOUS = ("size", "weight", "center stone size", "side stone size")


def schema(*, titles: bool = False) -> Schema:
    """The schema of the rings: 13 attributes with 6 continuous variables (Table 1).

    Args:
      titles: whether a text attribute comes last.
    """
    attributes = [
        Attribute(
            name,
            "continuous" if name in _CONTINUOUS else "categorical",
            columns,
            log=name in _CONTINUOUS,
        )
        for name, columns in _COLUMNS.items()
    ]
    if titles:
        attributes.append(Attribute(TITLE, "text", (TITLE,)))
    return Schema(
        attributes=tuple(attributes),
        images=Images(("photo",)),
        target=Target("price", "USD"),
        split="split",
        id="ring",
    )


def fingerprint(config: RingsConfig) -> str:
    """Hash of all that decides the rows: generator, its parameters and the config."""
    parts = [ATTRIBUTES_PARTS, PHOTO_PARTS, INTERACTION_PARTS]
    without = () if config.titles else TITLE_KNOBS
    return generated.fingerprint(GENERATOR_VERSION, parts, config, without)


def rows(config: RingsConfig, workers: int = 1) -> Iterator[Row]:
    """Yields train, validation and test rows, one after another.

    Args:
      config: of the data set.
      workers: processes that draw; the rows are the same for any number. More than one
        are started afresh ("spawn"), so the calling script needs its `__main__` guard.

    Returns:
      Iterator of (row, [JPEG]): attribute columns (None where missing), `title` where
      there are titles, `photo` (a file name),
      `price` in dollars, `split`, `ring` (its number), and with the prefix `truth_`
      what `truth` tells (None for NaN).
    """
    return generated.rows(_block_rows, config, workers)


def _block_rows(job: tuple[RingsConfig, str, np.ndarray]) -> Iterator[Row]:
    """The rows of a block of rings: (config, split, numbers)."""
    config, split, block = job
    rings = latents.sample(config, block)
    columns = _listing(rings)
    if config.titles:
        columns[TITLE] = rings.titles.write()
    hidden = _truth(config, rings)
    for name, values in hidden.items():
        columns[f"truth_{name}"] = [
            None if np.isnan(value) else value for value in values.tolist()
        ]
    for index, number in enumerate(block):
        drawing = _draw(config, rings, index, int(number))
        row = {name: values[index] for name, values in columns.items()}
        row |= {
            "ring": str(number),
            "photo": f"{number}.jpg",
            "price": round(float(np.exp(hidden["log_price"][index])), 2),
            "split": split,
        }
        yield row, [generated.encode_jpeg(drawing.image)]


def draw(config: RingsConfig, number: int) -> ring_drawing.Drawing:
    """Draws the photo of one ring, by its number (see `RingsConfig.numbers`)."""
    rings = latents.sample(config, np.array([number]))
    return _draw(config, rings, 0, number)


def _draw(
    config: RingsConfig, rings: latents.Rings, index: int, number: int
) -> ring_drawing.Drawing:
    colour = catalogue.METAL_COLOUR[rings.true.metal[index]]
    return ring_drawing.draw(
        rings.appearance[index],
        catalogue.METAL_COLOURS[colour],
        config.pixels,
        generated.generator(config.seed, number, stream=1),
    )


def truth(config: RingsConfig, wanted: np.ndarray) -> dict[str, np.ndarray]:
    """What no model is told about the rings with these numbers.

    Args:
      config: of the data set.
      wanted: [N] numbers, as in the column `ring`.

    Returns:
      {"x", "y", "radius"}: the stone that counts in shares of the photo's side, NaN for
      rings without a centre stone; {"log_price"}: log price before rounding; with
      titles {"telling_word"}: place of that word in the title, from 0; [N] each.
    """
    return _truth(config, latents.sample(config, wanted))


def _truth(config: RingsConfig, rings: latents.Rings) -> dict[str, np.ndarray]:
    stones = []
    for index, kind in enumerate(rings.true.kind):
        places = ring_drawing.Placement(rings.appearance[index])
        stone = (*places.centres[0], places.radii[0])
        stones.append(stone if kind > 0 else (np.nan, np.nan, np.nan))
    x, y, radius = np.array(stones).T
    logs = log_prices(config, rings)
    hidden = {"x": x, "y": y, "radius": radius, "log_price": logs}
    if config.titles:
        hidden["telling_word"] = rings.titles.place
    return hidden


def _listing(rings: latents.Rings) -> dict[str, list]:
    """The attribute columns as a shop would write them; None where missing."""
    listed = rings.listed
    circumference = catalogue.CIRCUMFERENCES[listed.size] / 53.0
    density = catalogue.METAL_DENSITY[listed.metal]
    weight = 0.14 * circumference**2 * density * np.exp(0.25 * listed.heft)
    center = np.where(listed.kind > 0, 0.5 * np.exp(0.55 * listed.carat), 0.0)
    side = np.where(listed.side_kind > 0, 0.2 * np.exp(0.6 * listed.side_carat), 0.0)
    values = {
        "size": catalogue.RING_SIZES[listed.size],
        "weight_ounce": np.round(weight, 4),
        "center_carat": np.round(center, 3),
        "center_inch": np.round(0.253 * np.cbrt(center), 3),
        "side_carat": np.round(side, 3),
        "side_inch": np.round(0.253 * np.cbrt(side), 3),
        "grading_report": _names(catalogue.REPORT, listed.grading),
        "identification_report": _names(catalogue.REPORT, listed.identification),
        "center_stone": _names(catalogue.KIND.names, listed.kind),
        "side_stone": _names(catalogue.KIND.names, listed.side_kind),
        "metal": _names(catalogue.METAL.names, listed.metal),
        "degree_of_use": _names(catalogue.USE.names, listed.use),
        "notices_of_repair": _names(catalogue.REPAIR.names, listed.repair),
        "notices_of_defects": _names(catalogue.DEFECT.names, listed.defects),
        "month_of_purchase": _names(catalogue.MONTH.names, listed.month),
    }
    columns = {}
    for attribute, names in _COLUMNS.items():
        for name in names:
            missing = rings.missing[attribute]
            if name == "center_carat":
                missing = missing | (rings.one_size == 2)
            elif name == "center_inch":
                missing = missing | (rings.one_size == 1)
            columns[name] = [
                None if lost else value
                for lost, value in zip(
                    missing, np.asarray(values[name]).tolist(), strict=True
                )
            ]
    return columns


def _names(names: tuple[str, ...], indices: np.ndarray) -> np.ndarray:
    return np.array(names)[indices.astype(int)]
