"""`--mode=evaluate`."""

from common.cli.app import Command
from common.errors import UserError
from common.reports import result_tables
from common.training import workdirs
from common.training.data_identity import note_other_data
from forecast import data, evaluation, report, saved_model, train
from forecast.config import Config
from forecast.run import prepare
from forecast.step import State


def run(config: Config, command: Command) -> None:
    """Scores the trained model on windows of a split; writes metrics_<split>.json.

    Those of the test are at the end of the table as it is now: a table that has grown
    since is a new test. See `evaluation.windows_of` for the others. With
    --backtest.refit each window has a network of its own, trained on all rows before it,
    and the file is metrics_<split>_refit.json.
    """
    backtest = data.load(config, command.say)
    saved = saved_model.load(command.workdir, config)
    run = prepare(config, backtest)
    if (run.learner.sizes, backtest.panel.ids) != (saved.sizes, saved.ids):
        raise UserError(
            "the table has other series, covariates or gaps than the one that"
            f" {command.workdir} was trained on: restore it or train again"
        )
    split, panel, model = command.split, backtest.panel, config.model.name
    file = f"metrics_{split}.json"
    if config.backtest.refit:
        file, folder = f"metrics_{split}_refit.json", command.workdir / f"refit_{split}"
        paths = train.sample_refitted(run, split, folder, command.say)
        found = evaluation.evaluate_paths(run, paths, split)
    else:
        state = run.execution.replicate(State(**saved.variables, optimizer=()))
        found = evaluation.evaluate(run, state, split)
    values = dict(found.values)
    values |= note_other_data(command.workdir, panel.fingerprint, command.say)
    workdirs.write_metrics(command.workdir / file, values)
    command.show(result_tables.to_markdown(report.short_table(values, model, split)))
    if sums := report.sums_table(values, model, panel, split):
        command.show(result_tables.to_markdown(sums))
