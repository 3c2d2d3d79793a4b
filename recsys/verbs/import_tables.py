"""`--mode=import`: RecBole's atomic files turned into tables."""

from common.cli.app import Command
from recsys.config import Config
from recsys.corpus import recbole


def run(config: Config, command: Command) -> None:
    """Turns RecBole's atomic files into tables of interactions and items."""
    atomic = config.atomic
    counts = recbole.import_atomic(
        command.need("input"),
        command.need("output"),
        atomic.category,
        atomic.rating_at_least,
        separator={"blank": " ", "comma": ", "}[atomic.separator],
        max_rejected_fraction=config.data.max_rejected_fraction,
    )
    command.show(counts)
