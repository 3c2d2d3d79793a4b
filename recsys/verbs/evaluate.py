"""`--mode=evaluate`."""

from common.cli.app import Command
from common.errors import UserError
from common.reports import result_tables
from common.training import workdirs
from common.training.data_identity import note_other_data
from recsys import data, evaluation, report, saved_model
from recsys.config import Config
from recsys.run import prepare


def run(config: Config, command: Command) -> None:
    """Evaluates the trained model's lists on a split; writes metrics_<split>.json."""
    if command.split == "train":
        raise UserError("--split=train: lists leave out what users have in training")
    corpus = data.load(config, command.say)
    saved = saved_model.load(command.workdir, config)
    if not saved.is_of(corpus):
        raise UserError(
            "users, items or interactions are not those that"
            f" {command.workdir} was trained on: restore the tables or train again"
        )
    for note in saved.check_features(corpus.catalogue):
        command.say(note)
    run = prepare(config, corpus)
    params = run.execution.replicate(dict(saved.params))
    lists = evaluation.evaluate(config, corpus, run.ranker, params, command.split)
    values = {f"{command.split}/{name}": value for name, value in lists.values.items()}
    values |= note_other_data(command.workdir, corpus.fingerprint, command.say)
    workdirs.write_metrics(command.workdir / f"metrics_{command.split}.json", values)
    for length in config.ranking.lengths:
        table = report.short_table(values, command.split, length)
        command.show(result_tables.to_markdown(table, digits=report.DIGITS))
    if warning := report.find_warning(config, command.workdir):
        command.show(warning)
        command.say(f"warning: {warning}")
