"""`--mode=evaluate`."""

from common.cli.app import Command
from common.errors import UserError
from common.reports import result_tables
from common.training import workdirs
from common.training.data_identity import note_other_data
from rerank import data, evaluation, report, saved_model
from rerank.config import Config
from rerank.ordering.ranker import Ranker
from rerank.run import prepare


def run(config: Config, command: Command) -> None:
    """Measures the trained model on a split; writes metrics_<split>.json."""
    corpus = data.load(config, command.say)
    saved = saved_model.load(command.workdir, config)
    run = prepare(config, corpus)
    if corpus.sizes != saved.sizes:
        raise UserError(
            "the tables have other columns, words or lengths of lists than those that"
            f" {command.workdir} was trained on: restore them or train again"
        )
    params = run.execution.replicate(dict(saved.params))
    reranker = Ranker(config, run.learners, run.execution)
    split, fitted = command.split, saved.calibration
    outputs = evaluation.predict(run, reranker, params, fitted, split)
    values = {
        "searches": float(fitted.searches(config)),
        **evaluation.summarise(run, split, outputs, fitted)[0],
    }
    values |= note_other_data(command.workdir, corpus.fingerprint, command.say)
    workdirs.write_metrics(command.workdir / f"metrics_{split}.json", values)
    command.show(result_tables.to_markdown(report.short_table(values, split)))
