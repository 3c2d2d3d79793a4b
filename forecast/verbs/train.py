"""`--mode=train`."""

from common.cli.app import Command
from common.parallel.processes import is_first_process
from common.reports import result_tables
from forecast import report, train
from forecast.config import Config


def run(config: Config, command: Command) -> None:
    """Trains a network, scores its forecasts of test, prints a short table."""
    values = train.train_and_evaluate(config, command.workdir, say=command.say)
    if not is_first_process():
        return
    table = report.short_table(values, config.model.name)
    command.show(result_tables.to_markdown(table))
    command.show(f"report: {command.workdir / report.FILE}")
