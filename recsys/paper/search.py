"""Settings of the rows of a table, chosen on the validation rows of the first split.

Each row tries nine settings of its own, no more and no fewer than any other, and all
seeds are run with the best of them. The test rows have no part in it.
"""

import itertools
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from common.config import configs
from common.training import workdirs
from common.training.workdirs import Say
from recsys import evaluation, train
from recsys.config import Config
from recsys.corpus.corpus import Corpus
from recsys.paper.tables import METRIC, Row
from recsys.run import prepare

Settings = Mapping[str, Any]  # knobs by dotted name

_NAME = f"validation/{METRIC}"


def _product(**values: Sequence[Any]) -> tuple[Settings, ...]:
    names = [name.replace("__", ".") for name in values]
    return tuple(
        dict(zip(names, chosen, strict=True))
        for chosen in itertools.product(*values.values())
    )


_OF_RIVALS: Mapping[str, tuple[Settings, ...]] = {
    "item-knn": (
        *_product(item_knn__neighbours=(20, 100, 1000), item_knn__shrink=(10, 100)),
        *_product(item_knn__neighbours=(20, 100, 1000), item_knn__similarity=("bm25",)),
    ),
    "als": _product(als__regularization=(1, 10, 100), als__alpha=(1, 10, 40)),
    "bpr": _product(
        bpr__learning_rate=(0.003, 0.03, 0.1), bpr__iterations=(30, 100, 300)
    ),
}
_OF_MODELS = _product(
    optimizer__learning_rate=(0.003, 0.01, 0.03), optimizer__weight_decay=(0.01, 1, 10)
)


def is_searched(row: Row, config: Config) -> bool:
    """Whether the settings of a row are chosen, not given."""
    return {"all": True, "rivals": bool(row.rival), "none": False}[
        config.reproduce.search
    ]


def choose_settings(
    row: Row, config: Config, corpus: Corpus, folder: pathlib.Path, say: Say
) -> tuple[Settings, dict[str, Any]]:
    """Tries the settings of a row; what was tried is not tried again.

    Args:
      row: of the tables.
      config: of all runs.
      corpus: of the first seed's split.
      folder: gets one folder a setting.
      say: prints a line of progress.

    Returns:
      (the best settings, a row of the table of them).
    """
    tried = []
    for number, settings in enumerate(_OF_RIVALS.get(row.rival, _OF_MODELS)):
        changed = configs.replace(row.apply(config, 0), settings)
        trial = folder / row.name / str(number)
        with workdirs.recording(trial, "recsys", changed, train.FREE) as record:
            if not record.has_ended:
                say(f"{row.name}, tries {describe(settings)}")
                record.finish({_NAME: validate(changed, corpus, trial)})
        tried.append((workdirs.read_metrics(trial)[_NAME] or 0.0, settings))
    value, best = max(tried, key=lambda one: one[0])  # the first of equal ones
    return best, {
        "row": row.title,
        "settings": describe(best),
        f"{METRIC}, validation": f"{value:.4f}",
        "worst of those tried": f"{min(tried, key=lambda one: one[0])[0]:.4f}",
        "tried": len(tried),
    }


def validate(config: Config, corpus: Corpus, folder: pathlib.Path) -> float:
    """NDCG@10 of one setting on validation."""
    run = prepare(config, corpus)
    params = train.fit(run, folder)
    lists = evaluation.evaluate(config, corpus, run.ranker, params, "validation")
    return lists.values[METRIC]


def describe(settings: Settings) -> str:
    """Settings as flags."""
    return " ".join(f"--{name}={value}" for name, value in settings.items())
