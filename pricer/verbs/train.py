"""`--mode=train`."""

from common.cli.app import Command
from common.reports import result_tables
from pricer import report, train
from pricer.config import Config


def run(config: Config, command: Command) -> None:
    """Trains, evaluates, prints a short table."""
    values = train.train_and_evaluate(config, command.workdir, say=command.say)
    command.show(result_tables.to_markdown(report.short_table(values, "test")))
    whole, area = values["test_whole/male"], values["test/aurc"]
    notes = [
        f"{values['test/n']:,.0f} test rows, outliers left out; with them MALE {whole:.3f}.",
        f"area under the risk-coverage curve: {area:.3f}; without a gate"
        + f" {values['test/male_all']:.3f}, the best {values['test/aurc_best']:.3f}.",
    ]
    if line := report.describe_rival(values):
        notes.append(line)
    if "test/gate_auc" in values:
        notes.append(
            f"the gate ranks readable photos first: AUC {values['test/gate_auc']:.3f}."
        )
    command.show("\n".join([*notes, f"report: {command.workdir / report.FILE}"]))
