"""`--mode=evaluate`."""

from common.cli.app import Command
from common.reports import result_tables
from common.training import workdirs
from common.training.data_identity import note_other_data
from ican import data, evaluation
from ican.config import Config
from ican.verbs.predict import Model


def run(config: Config, command: Command) -> None:
    """Measures the trained model on a split; writes metrics_<split>.json."""
    model, listings = Model(command.workdir, config), data.load_listings(config)
    rows = listings.indices(command.split)
    outcome = evaluation.measure(
        model.outputs_of(listings.frame, listings.source, rows),
        data.prices_of(listings)[rows],
        model.trained.ensemble.zones,
        model.trained.calibration,
    )
    values = evaluation.with_prefix(command.split, outcome.scalars)
    values |= note_other_data(command.workdir, listings.fingerprint, command.say)
    workdirs.write_metrics(command.workdir / f"metrics_{command.split}.json", values)
    command.show(result_tables.to_markdown([outcome.scalars]))
