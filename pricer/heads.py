"""Two-stage training of regression and gate on stored features (paper, section 3.4)."""

import dataclasses
import pathlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import jax
import numpy as np
from absl import logging

from common.data import pipeline
from common.parallel.execution import Execution
from common.training import checkpointing, metrics, train_loop
from pricer import gate
from pricer.config import Config
from pricer.data import HeadRows
from pricer.model import Suggestion
from pricer.step import Scales, Task

WARM_UP, JOINT = "warm_up", "joint"


@dataclasses.dataclass(frozen=True, eq=False)
class Heads:
    """Regression and gate, what they learn from and what they run on.

    Attributes:
      config: of the run.
      rows: features, statistics and prices of all rows.
      train_rows: int64 [n], kept training rows.
      validation_rows: int64 [m], kept validation rows.
      execution: what to run on.
      identity: what may not change when the run is continued.
    """

    config: Config
    rows: HeadRows
    train_rows: np.ndarray
    validation_rows: np.ndarray
    execution: Execution
    identity: Mapping[str, Any]

    def task(self, *, warm_up: bool) -> Task:
        """The networks in one of the stages."""
        return Task(
            self.config,
            self.rows.features.width,
            self.rows.statistics.shape[1],
            warm_up,
            self.execution.devices,
        )

    def train(self, workdir: pathlib.Path) -> Any:
        """Runs both stages, going on from where an earlier process ended.

        Between them beta is measured, once, on the training rows.

        Args:
          workdir: gets checkpoints and metrics.jsonl.

        Returns:
          The best state of the second stage on validation, in device form.

        Raises:
          UserError: see `train_loop.run`.
        """
        scales = self.scales()
        joint = self.task(warm_up=False)
        if not self.config.warm_up.use:
            beta = self.config.gate.beta or gate.SAFETY * float(scales.price_scale) ** 2

            def begin(scales: Scales) -> Any:
                return joint.go_on(joint.init(scales), beta)

            return self._run(
                [self._phase(JOINT, joint, self.config.train.steps, begin)],
                workdir,
                scales,
            )
        warm = self.task(warm_up=True)
        first = self._phase(WARM_UP, warm, self.config.warm_up.steps, warm.init)
        if (checkpointing.latest_step(workdir, WARM_UP) or 0) < first.steps:
            self._run([first], workdir, scales)
        abstract = jax.eval_shape(warm.init, scales)
        best = checkpointing.load_best(workdir, WARM_UP, abstract, self.execution)
        beta = self.config.gate.beta or self._measure_beta(best.state)
        second = self._phase(
            JOINT,
            joint,
            self.config.train.steps,
            lambda state: joint.go_on(state, beta),
        )
        return self._run([first, second], workdir, scales)

    def scales(self) -> Scales:
        """Means, deviations and quantiles over the training rows."""
        mean, scale = self.rows.features.moments(self.train_rows)
        prices = self.rows.log_prices[self.train_rows]
        values = (mean, scale, prices.mean(), prices.std() or 1.0)
        scales = Scales(*(np.asarray(value, np.float32) for value in values))
        return scales._replace(statistic_edges=self._edges())

    def _edges(self) -> np.ndarray | None:
        """Quantiles of the statistics [S, T + 1], where these are encoded by pieces."""
        bins = self.config.statistics.bins
        if not bins or not self.rows.statistics.shape[1]:
            return None
        places = np.linspace(0, 1, bins + 1)
        return np.quantile(self.rows.statistics[self.train_rows], places, axis=0).T

    def see(self, state: Any, rows: np.ndarray) -> Suggestion:
        """What a state says of some rows: host arrays [n]."""
        look = self.execution.compile_predict(self.task(warm_up=False).see)
        size = self.config.train.batch_size
        parts = [
            look(state, self.execution.put(batch))
            for batch in self.rows.eval_batches(rows, size)
        ]
        return Suggestion(
            *(
                np.concatenate(column)[: len(rows)]
                for column in zip(*parts, strict=True)
            )
        )

    def _measure_beta(self, state: Any) -> float:
        said = self.see(state, self.train_rows)
        errors = self.rows.log_prices[self.train_rows] - said.log_price
        share = self.config.gate.share
        found = gate.error_at_quantile(said.gate_logit, errors**2, share)
        logging.info("squared error at the quantile %g: %g", share, found)
        return gate.SAFETY * found

    def _run(
        self, phases: list[train_loop.Phase], workdir: pathlib.Path, scales: Scales
    ) -> Any:
        return train_loop.run(
            phases,
            self.config.train,
            workdir,
            self.execution,
            identity=self.identity,
            start=scales,
        ).state

    def _phase(
        self, name: str, task: Task, steps: int, init: Callable[[Any], Any]
    ) -> train_loop.Phase:
        judge = self.execution.compile_eval(task.judge)
        loop = self.config.train

        def batches(first_step: int) -> Iterable[Any]:
            rows = self.rows.train_batches(self.train_rows, loop, first_step)
            return pipeline.device_prefetch(rows, self.execution.put)

        def evaluate(state: Any) -> dict[str, float]:
            rows = self.rows.eval_batches(self.validation_rows, loop.batch_size)
            return metrics.sum_over(judge, state, rows).means()

        return train_loop.Phase(name, steps, init, task.step, batches, evaluate)
