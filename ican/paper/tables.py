"""Tables 3 and 4 of the paper: their rows, its figures, and what it claims of them.

Which switch of the built-in rings must undo which claim is told in
`ican.generated.rings`.
"""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

from common.config import configs
from common.reports import paper_rows
from common.reports.paper_rows import Claim

METRIC = "test/top3"
MARGIN = 0.01  # by which a figure may lie behind and count as level


@dataclasses.dataclass(frozen=True)
class Row(paper_rows.Row):
    """One row of Tables 3 and 4.

    `paper` holds top-3, top-5 and top-7 accuracy in percent; `rival` names model and
    inputs, see `ican.paper.rivals`.

    Attributes:
      on_request: whether it is run only where it is named.
    """

    on_request: bool = False

    def apply(self, config: Any, seed: int) -> Any:
        """The config of one run: kind, cells and seed, and its own split if asked."""
        config = configs.replace(
            super().apply(config, seed), {"compare": "none", "rival": "none"}
        )
        if not config.reproduce.resplit:
            return config
        return configs.replace(
            config, {"data.split_seed": config.data.split_seed + seed}
        )


def _fusion(name: str, title: str, *paper: float) -> Row:
    return Row(name, title, {"model.kind": name}, paper=paper)


def _ican(cells: int, *paper: float) -> Row:
    changes = {"model.kind": "ican", "model.ican.cells": cells}
    return Row(f"ican{cells}", f"ICAN, L = {cells}", changes, paper=paper)


def _rival(name: str, title: str, rival: str) -> Row:
    return Row(name, title, rival=rival)


ROWS = (
    _fusion("visual", "visual-alone", 41.6, 59.9, 73.6),
    _fusion("attributes", "attributes-alone", 46.6, 66.0, 78.9),
    _fusion("concatenation", "concatenation", 50.4, 69.9, 82.8),
    _fusion("concatenation_mlp", "concatenation, MLP"),
    _fusion("addition", "element-wise addition", 49.3, 69.0, 82.6),
    _fusion("product", "element-wise product", 52.2, 71.7, 84.3),
    _fusion("mfb", "MFB", 52.3, 71.7, 85.1),
    _fusion("mfh", "MFH", 52.9, 73.5, 85.5),
    _fusion("mutan", "MUTAN", 52.8, 72.8, 85.7),
    _fusion("block", "BLOCK", 53.1, 73.9, 86.4),
    _ican(1, 57.8, 77.1, 88.6),
    _ican(2, 58.7, 77.3, 88.3),
    _ican(3, 59.0, 77.6, 88.8),
    _ican(4, 58.6, 77.4, 88.9),
    _ican(5, 57.6, 77.1, 88.7),
    Row(
        "ican3_without_texts",
        "ICAN, L = 3, without texts",
        {**_ican(3).changes, "model.texts": False},
        on_request=True,
    ),
    _rival("linear_words", "linear models on the words", "linear words"),
    _rival(
        "linear", "linear models on attributes and words", "linear attributes words"
    ),
    _rival("boosting_attributes", "boosting on the attributes", "boosting attributes"),
    _rival(
        "boosting_words",
        "boosting on attributes and words",
        "boosting attributes words",
    ),
    _rival(
        "boosting",
        "boosting on attributes and photo vector",
        "boosting attributes photo",
    ),
    _rival(
        "boosting_words_photo",
        "boosting on attributes, words and photo vector",
        "boosting attributes words photo",
    ),
)


def choose_rows(names: Sequence[str]) -> tuple[paper_rows.Row, ...]:
    """Rows by name; those of the paper where none is named.

    See `paper_rows.choose_rows`.
    """
    usual = [row.name for row in ROWS if not (row.rival or row.on_request)]
    return paper_rows.choose_rows(ROWS, names, lambda row: row.name in usual)


_SIMPLE = ("concatenation", "addition", "product")
_BILINEAR = ("mfb", "mfh", "mutan", "block")


def _claim(
    text: str,
    better: str | tuple[str, ...],
    worse: str | tuple[str, ...],
    than_any: bool = False,
) -> Claim:
    first, second = (x if isinstance(x, tuple) else (x,) for x in (better, worse))
    return Claim(text, first, second, METRIC, than_any=than_any)


def _not_behind(rival: str, worse: str, figure: str, metric: str) -> Claim:
    text = (
        f"ICAN with words, attributes and photo is not behind {rival} in {figure}"
        f" (margin {MARGIN})"
    )
    lower = metric == "test/male"
    return Claim(text, ("ican3",), (worse,), metric, lower=lower, margin=MARGIN)


CLAIMS = (
    _claim("attributes alone beat the photo alone", "attributes", "visual"),
    _claim("simple fusions beat the photo alone", _SIMPLE, "visual"),
    _claim("simple fusions beat the attributes alone", _SIMPLE, "attributes"),
    _claim("bilinear fusions beat the simple ones", _BILINEAR, _SIMPLE),
    _claim("BLOCK is the best bilinear fusion", "block", _BILINEAR[:3], than_any=True),
    _claim("co-attention helps: ICAN with one cell beats BLOCK", "ican1", "block"),
    _claim("ICAN with three cells beats BLOCK", "ican3", "block"),
    _claim(
        "ICAN with three cells beats the best bilinear fusion",
        "ican3",
        _BILINEAR,
        than_any=True,
    ),
    _claim(
        "ICAN with three cells beats concatenation with an MLP",
        "ican3",
        "concatenation_mlp",
    ),
    _claim(
        "ICAN with three cells beats gradient boosting on the same inputs",
        "ican3",
        "boosting",
    ),
    _not_behind("linear models on the words", "linear_words", "top-3", METRIC),
    _not_behind("linear models on the words", "linear_words", "MALE", "test/male"),
    _not_behind(
        "boosting on the same inputs", "boosting_words_photo", "MALE", "test/male"
    ),
    Claim(
        "ICAN's interval is not wider, by an interval, than that of a constant factor",
        ("ican3",),
        ("ican3",),
        "test/width",
        of_worse="test/width_constant",
        lower=True,
        margin=math.inf,
    ),
    _claim("iterating helps: three cells beat one", "ican3", "ican1"),
    _claim("three cells are enough: they beat five", "ican3", "ican5"),
    _claim("words help: ICAN beats ICAN without texts", "ican3", "ican3_without_texts"),
    *(
        Claim(
            f"attention finds the telling word more often than the best constant place ({row})",
            (row,),
            (row,),
            "test/word_pointing",
            of_worse="test/word_pointing_prior",
        )
        for row in ("ican1", "ican3")
    ),
    *(
        Claim(
            f"attention finds the stone more often than the best constant place ({row})",
            (row,),
            (row,),
            "test/pointing",
            of_worse="test/pointing_prior",
        )
        for row in ("ican1", "ican2", "ican3", "ican4", "ican5")
    ),
)
