"""Training and evaluation of one model."""

import pathlib
from collections.abc import Generator
from typing import Any

from common.config import configs
from common.parallel import processes
from common.parallel.processes import is_first_process
from common.training import activity, loop_config, train_loop, workdirs
from common.training.phase import Phase
from common.training.workdirs import RunRecord, Say
from recsys import data, evaluation, report, rivals, saved_model
from recsys.batches import Batches
from recsys.config import Config
from recsys.evaluation import EvaluatedLists
from recsys.run import Run, prepare
from recsys.step import State

REJECTED = "rejected.csv"

# What may change when a run is continued.
FREE = (
    *loop_config.FREE,
    "data.cache",
    "reproduce.",
    "check.",
    "fold_in.",
    "predict.",
    "ranking.",
    "allow_other_features",
)


def train_and_evaluate(
    config: Config,
    workdir: str | pathlib.Path,
    *,
    say: Say = lambda text: None,
) -> dict[str, Any]:
    """Trains a model and evaluates its lists on test.

    Continues by itself where the workdir holds checkpoints.

    Args:
      config: of the run.
      workdir: folder for everything it writes.
      say: prints a line of progress.

    Returns:
      The contents of metrics.json: "test/ndcg@10", "test/unseen/ndcg@10", ….

    Raises:
      UserError: whatever the user can mend.
    """
    configs.check_together(config)
    workdir = pathlib.Path(workdir)
    processes.start(config.parallel)
    with workdirs.recording(workdir, "recsys", config, FREE) as record:
        corpus = data.load(config, say, workdir / REJECTED)
        for line in data.describe(config, corpus):
            say(line)
        values = train_prepared(prepare(config, corpus), record)
        record.finish(values)
        if warning := report.find_warning(config, workdir, values):
            say(f"warning: {warning}")
    return values


def train_prepared(run: Run, record: RunRecord) -> dict[str, Any]:
    """Trains and evaluates a run; saves its model and report.

    Args:
      run: before its first step.
      record: of its workdir.

    Returns:
      The contents of metrics.json.
    """
    workdir = record.workdir
    record.add_data(run.corpus.fingerprint)
    params = fit(run, workdir)
    values, evaluated = evaluate(run, params)
    host = run.host_params(params)
    if is_first_process():
        saved_model.save(workdir, run.corpus, host)
        by_user = evaluation.by_user(run.config, run.corpus, evaluated["test"])
        report.write(run, workdir, evaluated["test"], by_user, values)
    return values


def fit(run: Run, workdir: pathlib.Path) -> Any:
    """The parameters of a run as its ranker takes them; arguments as of `train`."""
    if run.config.model.is_rival:
        return run.put_params(rivals.fit(run.config, run.corpus))
    return train(run, workdir)


def train(run: Run, workdir: pathlib.Path) -> Any:
    """Trains, going on from where an earlier process ended.

    Args:
      run: before its first step.
      workdir: gets checkpoints and metrics.jsonl.

    Returns:
      The best parameters on validation, in device form.
    """

    def current_params(state: State) -> Any:
        return run.execution.init(run.learner.current_params, state)

    def validate(state: State) -> dict[str, float]:
        params = current_params(state)
        return evaluation.evaluate(
            run.config, run.corpus, run.ranker, params, "validation"
        ).values

    phase = Phase(
        saved_model.PHASE,
        run.config.train.steps,
        run.learner.init,
        run.learner.step,
        lambda first_step: device_batches(run, first_step),
        validate,
    )
    result = train_loop.run(
        [phase],
        run.config.train,
        workdir,
        run.execution,
        identity={"data": run.corpus.fingerprint},
    )
    return current_params(result.state)


@activity.doing("evaluating on validation and test")
def evaluate(run: Run, params: Any) -> tuple[dict[str, Any], dict[str, EvaluatedLists]]:
    """Evaluates lists on validation and test, beside those of the most popular items.

    Args:
      run: prepared.
      params: of the model, in device form.

    Returns:
      ({"test/ndcg@10": …, "popularity/test/ndcg@10": …}, {split: lists}).
    """
    config, corpus = run.config, run.corpus
    values: dict[str, Any] = {}
    by_split = {}
    for split in ("validation", "test"):
        lists = evaluation.evaluate(config, corpus, run.ranker, params, split)
        popular = evaluation.evaluate_lists(
            config,
            corpus,
            lists.users,
            evaluation.popular_lists(config, corpus, split, lists.users),
            split,
        )
        for prefix, evaluated in (("", lists), ("popularity/", popular)):
            values |= {f"{prefix}{split}/{k}": v for k, v in evaluated.values.items()}
        by_split[split] = lists
    values |= {f"{name}/n": len(part) for name, part in corpus.splits.items()}
    return values, by_split


def device_batches(run: Run, first_step: int) -> Generator[Any, None, None]:
    """Training batches in device form, from the one of a step on; close it."""
    host = Batches(run.config, run.corpus, run.learner.model)
    batches = host.iterate(first_step, *processes.this_process())
    try:
        for batch in batches:
            rows = run.execution.put(batch.rows)
            yield {**rows, **run.execution.replicate(batch.shared)}
    finally:
        batches.close()  # type: ignore[attr-defined]
