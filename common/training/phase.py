"""What a system gives the training loop: phases."""

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import jax

from common.data import pipeline
from common.parallel.execution import Execution
from common.training import metrics
from common.training.loop_config import LoopConfig

Metrics = dict[str, metrics.Pair]


@dataclasses.dataclass(frozen=True)
class Phase:
    """One stage of training.

    Attributes:
      name: of its checkpoint folder and of its lines in metrics.jsonl.
      steps: how many calls of `step`.
      init: previous -> state, a pure function that is compiled. `previous` is the best
        state of the phase before; for the first phase it is what `run` got as `start`.
      step: (state, batch, key) -> (state, metrics), pure. metrics is
        {name: (sum, weight)} of scalars over the global batch (`devices.sum`) and has
        "loss".
      batches: first step -> endless iterator over this process' rows of the batches
        from that step on. Batch k must be a function of the seed and k alone. Host
        arrays, or what `execution.put` or `execution.replicate` made of them.
      evaluate: state in device form -> {name: number}, the same on all processes.
      parameters: state -> what of it counts in the norm of the parameters.
    """

    name: str
    steps: int
    init: Callable[[Any], Any]
    step: Callable[[Any, Any, jax.Array], tuple[Any, Metrics]]
    batches: Callable[[int], Iterable[Any]]
    evaluate: Callable[[Any], Mapping[str, float]]
    parameters: Callable[[Any], Any] = lambda state: getattr(state, "params", state)


SplitEvaluator = Callable[[Any, str], dict[str, float]]


def supervised_phase(
    name: str,
    learner: Any,
    rows: Any,
    config: LoopConfig,
    execution: Execution,
    evaluate: SplitEvaluator | None = None,
) -> Phase:
    """The phase of a model that learns from rows and is measured on others.

    Args:
      name: of the phase.
      learner: has `init` and `step` as in `Phase`, and `evaluate`: (state, batch) ->
        {name: (sum, weight)} over the real rows of a padded batch.
      rows: has `train_batches(config, first step)` and
        `eval_batches(split, batch size)`, both contexts.
      config: of the loop; its steps are those of the phase.
      execution: what to run on.
      evaluate: what `make_evaluator` gave, where it serves other splits as well.
    """
    measure = evaluate or make_evaluator(learner, rows, config, execution)

    def batches(first_step: int) -> Iterable[Any]:
        host = rows.train_batches(config, first_step)
        return pipeline.device_prefetch(host, execution.put)

    return Phase(
        name,
        config.steps,
        learner.init,
        learner.step,
        batches,
        lambda state: measure(state, "validation"),
    )


def make_evaluator(
    learner: Any, rows: Any, config: LoopConfig, execution: Execution
) -> SplitEvaluator:
    """Compiles (state, split) -> {name: mean over the split}.

    Arguments as of `supervised_phase`.
    """
    evaluate_batch = execution.compile_eval(learner.evaluate)

    def evaluate(state: Any, split: str) -> dict[str, float]:
        with rows.eval_batches(split, config.batch_size) as host:
            return metrics.sum_over(evaluate_batch, state, host).means()

    return evaluate
