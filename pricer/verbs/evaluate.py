"""`--mode=evaluate`."""

from common.cli.app import Command
from common.reports import result_tables
from common.training import workdirs
from common.training.data_identity import note_other_data
from pricer import data, evaluation, report
from pricer.config import Config
from pricer.verbs.predict import Model


def run(config: Config, command: Command) -> None:
    """Measures the trained model on a split; writes metrics_<split>.json."""
    model, listings = Model(command.workdir, config), data.load_listings(config)
    examples = data.make_examples(config, listings)
    rows = examples.rows(command.split)
    context = model.context_of(examples, rows)
    outputs = model.outputs_of(listings.frame, listings.source, rows, context)
    measured = evaluation.measure(
        outputs.suggestion,
        examples.log_prices[rows],
        model.trained.calibration,
        config.loss.band,
    )
    values = {f"{command.split}/{name}": value for name, value in measured.items()}
    values |= note_other_data(command.workdir, listings.fingerprint, command.say)
    workdirs.write_metrics(command.workdir / f"metrics_{command.split}.json", values)
    command.show(result_tables.to_markdown(report.short_table(values, command.split)))
