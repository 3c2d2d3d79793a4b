"""Training and evaluation of one model."""

import pathlib
from collections.abc import Iterable, Iterator
from typing import Any

import jax

from common.parallel import processes
from common.parallel.execution import Execution
from common.training import loop_config, train_loop, workdirs
from recsys import data, evaluation, report, saved_model
from recsys.batches import Batches, HostBatch
from recsys.config import Config
from recsys.corpus.corpus import Corpus
from recsys.evaluation import Judged
from recsys.run import Run, Say, prepare
from recsys.step import State

REJECTED = "rejected.csv"


# What may change when a run is continued.
FREE = (*loop_config.FREE, "reproduce.", "fold_in.", "ranking.")


def train_and_evaluate(
    config: Config,
    workdir: str | pathlib.Path,
    *,
    say: Say = lambda text: None,
) -> dict[str, Any]:
    """Trains a model and judges its lists on test.

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
    workdir = pathlib.Path(workdir)
    processes.start(config.parallel)
    if jax.process_index() == 0:
        workdirs.start_record(workdir, "recsys", config, FREE)
    corpus = data.load(config, say, workdir / REJECTED)
    for line in data.describe(config, corpus):
        say(line)
    values = run_once(config, corpus, workdir)
    if jax.process_index() == 0:
        # Last: it says that the run has ended.
        workdirs.write_metrics(workdir / workdirs.METRICS, values)
    return values


def run_once(config: Config, corpus: Corpus, workdir: pathlib.Path) -> dict[str, Any]:
    """Trains and judges one model over data that are there; saves it and its report.

    Args:
      config: of the run.
      corpus: users, items, interactions.
      workdir: of the run; its record has been started.

    Returns:
      The contents of metrics.json.
    """
    run = prepare(config, corpus)
    params = train(run, workdir)
    values, judged = judge(run, params)
    host = run.execution.to_host(params)
    if jax.process_index() == 0:
        saved_model.save(workdir, corpus, host)
        figures = evaluation.by_user(config, corpus, judged["test"])
        report.write(run, workdir, judged["test"], figures, values)
    return values


def train(run: Run, workdir: pathlib.Path) -> Any:
    """Trains, going on from where an earlier process ended.

    Args:
      run: prepared.
      workdir: gets checkpoints and metrics.jsonl.

    Returns:
      The best parameters on validation, in device form.
    """
    batches = Batches(run.config, run.corpus, run.task.model)

    def feed(first_step: int) -> Iterable[Any]:
        return _put(run.execution, batches.iterate(first_step, *_process()))

    def current(state: State) -> Any:
        return run.execution.init(run.task.current_params, state)

    def evaluate(state: State) -> dict[str, float]:
        params = current(state)
        return evaluation.judge(
            run.config, run.corpus, run.ranker, params, "validation"
        ).values

    phase = train_loop.Phase(
        saved_model.PHASE,
        run.config.train.steps,
        run.task.init,
        run.task.step,
        feed,
        evaluate,
    )
    result = train_loop.run(
        [phase],
        run.config.train,
        workdir,
        run.execution,
        identity={"data": run.corpus.fingerprint},
    )
    return current(result.state)


def judge(run: Run, params: Any) -> tuple[dict[str, Any], dict[str, Judged]]:
    """Judges lists on validation and test, beside those of the most popular items.

    Args:
      run: prepared.
      params: of the model, in device form.

    Returns:
      ({"test/ndcg@10": …, "popularity/test/ndcg@10": …}, {split: lists}).
    """
    config, corpus = run.config, run.corpus
    values: dict[str, Any] = {}
    found = {}
    for split in ("validation", "test"):
        judged = evaluation.judge(config, corpus, run.ranker, params, split)
        popular = evaluation.popular_lists(config, corpus, split, judged.users)
        rival = evaluation.judge_lists(config, corpus, judged.users, popular, split)
        values |= {f"{split}/{name}": value for name, value in judged.values.items()}
        values |= {
            f"popularity/{split}/{name}": value for name, value in rival.values.items()
        }
        found[split] = judged
    values |= {f"{name}/n": len(part) for name, part in corpus.splits.items()}
    return values, found


def _process() -> tuple[int, int]:
    return jax.process_index(), jax.process_count()


def _put(execution: Execution, batches: Iterator[HostBatch]) -> Iterator[Any]:
    """Batches in device form."""
    try:
        for batch in batches:
            rows = execution.put(batch.rows)
            shared = execution.replicate(batch.shared)
            yield {**rows, **shared}
    finally:
        batches.close()  # type: ignore[attr-defined]
