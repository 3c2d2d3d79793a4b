"""`--mode=train`."""

from common.cli.app import Command
from common.parallel.processes import is_first_process
from common.reports import result_tables
from rerank import report, train
from rerank.config import Config


def run(config: Config, command: Command) -> None:
    """Trains both networks, evaluates their orders of test, prints a short table."""
    values = train.train_and_evaluate(config, command.workdir, say=command.say)
    if not is_first_process():
        return
    command.show(result_tables.to_markdown(report.short_table(values, "test")))
    command.show(f"report: {command.workdir / report.FILE}")
