"""`--mode=train`."""

from common.cli.app import Command
from common.parallel.processes import is_first_process
from common.reports import result_tables
from common.training import workdirs
from ican import evaluation, report, train
from ican.config import Config
from ican.paper import rivals


def run(config: Config, command: Command) -> None:
    """Trains, evaluates, prints a short table and the path of the report."""
    kind, workdir = config.model.kind, command.workdir
    values = train.train_and_evaluate(
        config, workdir, init_from=command.init_from, say=command.say
    )
    if not is_first_process():
        return  # the first has written what is read now
    notes, compared = [], {}
    if values["test/majority/top3"]:
        ratio = values["test/top3"] / values["test/majority/top3"]
        notes = [f"top-3 of {kind} is {ratio:.2f} x that of the majority baseline."]
    if config.compare != "none":
        folder = train.compared_folder(config, workdir)
        compared[config.compare] = workdirs.read_metrics(folder)
        gain, error = evaluation.paired_difference(
            *(train.read_ranks(path) < 3 for path in (workdir, folder))
        )
        notes.append(
            f"{kind} minus {config.compare}, paired over {values['test/n']:,} test"
            f" rows: {gain:+.3f} ± {error:.3f}."
        )
    if line := rivals.describe_linear(kind, values):
        notes.append(line)
    command.show(result_tables.to_markdown(report.short_table(kind, values, compared)))
    command.show("\n".join([*notes, f"report: {workdir / report.FILE}"]))
