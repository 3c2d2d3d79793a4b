"""Tables 3 and 4 of the paper: their rows, its figures, and what it claims of them.

Which switch of the built-in rings must undo which claim is told in `ican.generated.rings`.
"""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from common.reports import claims, result_tables
from ican.config import Config


@dataclasses.dataclass(frozen=True)
class Row:
    """One row of a table.

    Attributes:
      name: short, for flags and folders: "block", "ican3".
      title: as the paper has it.
      kind: of the network, a value of `--model.kind`; "boosting" and
        "boosting_attributes" are gradient boosting, see `ican.paper.rivals`.
      cells: L, for the kind ican.
      paper: top-3, top-5 and top-7 accuracy in percent; () where it has none.
    """

    name: str
    title: str
    kind: str
    cells: int = 0
    paper: tuple[float, ...] = ()

    @property
    def is_boosting(self) -> bool:
        """Whether the row is no network."""
        return self.kind.startswith("boosting")

    def apply(self, config: Config, seed: int) -> Config:
        """The config of one run of this row, if it is a network."""
        ican = config.model.ican
        if self.cells:
            ican = dataclasses.replace(ican, cells=self.cells)
        model = dataclasses.replace(config.model, kind=self.kind, ican=ican)
        config = with_seed(config, seed)
        return dataclasses.replace(config, model=model, compare="none")


def with_seed(config: Config, seed: int) -> Config:
    """The config of runs with a seed, and with its own split where that is asked."""
    train, data = dataclasses.replace(config.train, seed=seed), config.data
    if config.reproduce.resplit:
        data = dataclasses.replace(data, split_seed=data.split_seed + seed)
    return dataclasses.replace(config, train=train, data=data)


ROWS = (
    Row("visual", "visual-alone", "visual", paper=(41.6, 59.9, 73.6)),
    Row("attributes", "attributes-alone", "attributes", paper=(46.6, 66.0, 78.9)),
    Row("concatenation", "concatenation", "concatenation", paper=(50.4, 69.9, 82.8)),
    Row("concatenation_mlp", "concatenation, MLP", "concatenation_mlp"),
    Row("addition", "element-wise addition", "addition", paper=(49.3, 69.0, 82.6)),
    Row("product", "element-wise product", "product", paper=(52.2, 71.7, 84.3)),
    Row("mfb", "MFB", "mfb", paper=(52.3, 71.7, 85.1)),
    Row("mfh", "MFH", "mfh", paper=(52.9, 73.5, 85.5)),
    Row("mutan", "MUTAN", "mutan", paper=(52.8, 72.8, 85.7)),
    Row("block", "BLOCK", "block", paper=(53.1, 73.9, 86.4)),
    Row("ican1", "ICAN, L = 1", "ican", 1, (57.8, 77.1, 88.6)),
    Row("ican2", "ICAN, L = 2", "ican", 2, (58.7, 77.3, 88.3)),
    Row("ican3", "ICAN, L = 3", "ican", 3, (59.0, 77.6, 88.8)),
    Row("ican4", "ICAN, L = 4", "ican", 4, (58.6, 77.4, 88.9)),
    Row("ican5", "ICAN, L = 5", "ican", 5, (57.6, 77.1, 88.7)),
    Row("boosting_attributes", "boosting on the attributes", "boosting_attributes"),
    Row("boosting", "boosting on attributes and photo vector", "boosting"),
)


def choose_rows(names: Sequence[str]) -> tuple[Row, ...]:
    """Rows by name, in the order of the table; all networks where none is named.

    Raises:
      UserError: for a name that no row has.
    """
    result_tables.check_rows(names, [row.name for row in ROWS])
    return tuple(
        row for row in ROWS if row.name in names or not (names or row.is_boosting)
    )


@dataclasses.dataclass(frozen=True)
class Claim:
    """Something that section 5.5 says of the table.

    Attributes:
      text: what is claimed.
      better: rows that are said to be better, by name.
      worse: rows that are said to be worse.
      than_any: whether `better` is said to beat the best of `worse`, not their mean.
    """

    text: str
    better: tuple[str, ...]
    worse: tuple[str, ...]
    than_any: bool = False


_SIMPLE = ("concatenation", "addition", "product")
_BILINEAR = ("mfb", "mfh", "mutan", "block")

CLAIMS = (
    Claim(
        "attributes alone beat the photo alone",
        ("attributes",),
        ("visual",),
    ),
    Claim(
        "simple fusions beat the photo alone",
        _SIMPLE,
        ("visual",),
    ),
    Claim(
        "simple fusions beat the attributes alone",
        _SIMPLE,
        ("attributes",),
    ),
    Claim(
        "bilinear fusions beat the simple ones",
        _BILINEAR,
        _SIMPLE,
    ),
    Claim(
        "BLOCK is the best bilinear fusion", ("block",), _BILINEAR[:3], than_any=True
    ),
    Claim(
        "co-attention helps: ICAN with one cell beats BLOCK",
        ("ican1",),
        ("block",),
    ),
    Claim(
        "ICAN with three cells beats BLOCK",
        ("ican3",),
        ("block",),
    ),
    Claim(
        "ICAN with three cells beats the best bilinear fusion",
        ("ican3",),
        _BILINEAR,
        than_any=True,
    ),
    Claim(
        "ICAN with three cells beats concatenation with an MLP",
        ("ican3",),
        ("concatenation_mlp",),
    ),
    Claim(
        "ICAN with three cells beats gradient boosting on the same inputs",
        ("ican3",),
        ("boosting",),
    ),
    Claim("iterating helps: three cells beat one", ("ican3",), ("ican1",)),
    Claim("three cells are enough: they beat five", ("ican3",), ("ican5",)),
)


def verdicts(figures: Mapping[str, Sequence[float]]) -> list[claims.Verdict]:
    """Judges every claim whose rows are all there.

    Where a claim is about several rows, each seed's figure is their mean; where it
    says that one is the best, it is the figure of the row with the best mean.

    Args:
      figures: {name of a row: a figure for each seed}.
    """
    judged = []
    for claim in CLAIMS:
        if all(name in figures for name in claim.better + claim.worse):
            better = np.mean([figures[name] for name in claim.better], axis=0)
            rivals = np.array([figures[name] for name in claim.worse])  # [rows, seeds]
            if claim.than_any:
                worse = rivals[rivals.mean(1).argmax()]
            else:
                worse = rivals.mean(0)
            judged.append(claims.judge(claim.text, better, worse))
    return judged
