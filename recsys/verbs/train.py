"""`--mode=train`."""

from common.cli.app import Command
from common.parallel.processes import is_first_process
from common.reports import result_tables
from recsys import report, train
from recsys.config import Config


def run(config: Config, command: Command) -> None:
    """Trains, evaluates the lists of test users, prints a short table."""
    values = train.train_and_evaluate(config, command.workdir, say=command.say)
    if not is_first_process():
        return
    length = report.middle_length(config)
    table = report.short_table(values, "test", length)
    command.show(result_tables.to_markdown(table, digits=report.DIGITS))
    if warning := report.find_warning(config, command.workdir, values):
        command.show(warning)
    command.show(f"report: {command.workdir / report.FILE}")
