"""Two-stage training of regression and gate on stored features (paper, section 3.4)."""

import dataclasses
import functools
import pathlib
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
from absl import logging

from common.parallel.execution import Execution
from common.text import linear_models
from common.training import checkpointing, train_loop
from common.training.phase import Phase, supervised_phase
from common.training.workdirs import Say
from pricer import gate
from pricer.config import Config
from pricer.data import HeadRows
from pricer.model import Suggestion
from pricer.step import Learner, Scales, State

WARM_UP, JOINT = "warm_up", "joint"


@dataclasses.dataclass(frozen=True, eq=False)
class Heads:
    """Regression and gate, what they learn from and what they run on.

    Attributes:
      config: of the run.
      rows: features, statistics, words and prices of all rows.
      execution: what to run on.
      identity: what may not change when the run is continued.
    """

    config: Config
    rows: HeadRows
    execution: Execution
    identity: Mapping[str, Any]

    @property
    def train_rows(self) -> np.ndarray:
        """Positions int64 [n] of the kept training rows."""
        return self.rows.splits["train"]

    def learner(self, *, warm_up: bool) -> Learner:
        """The networks in one of the stages."""
        return Learner(
            self.config,
            self.rows.features.width,
            self.rows.statistics.shape[1],
            warm_up,
            self.execution.devices,
            self.rows.spec,
        )

    def train(self, workdir: pathlib.Path, say: Say = lambda text: None) -> Any:
        """Runs both stages, going on from where an earlier process ended.

        Between them beta is measured, once, on the training rows.

        Args:
          workdir: gets checkpoints and metrics.jsonl.
          say: prints which way the price starts, where there are texts.

        Returns:
          The best state of the second stage on validation, in device form.

        Raises:
          UserError: see `train_loop.run`.
        """
        scales = self.scales()
        start = self.start_from_words(workdir, scales, say)
        joint = self.learner(warm_up=False)
        second = self._phase(JOINT, joint, self.config.train.steps)
        if not self.config.warm_up.use:
            beta = self.config.gate.beta or gate.SAFETY * float(scales.price_scale) ** 2

            def begin(scales: Scales) -> State:
                return joint.go_on(joint.init(scales, start), beta)

            only = dataclasses.replace(second, init=begin)
            return self._run([only], workdir, scales)
        warm = self.learner(warm_up=True)
        first = self._phase(WARM_UP, warm, self.config.warm_up.steps)
        first = dataclasses.replace(
            first, init=functools.partial(warm.init, start=start)
        )
        if (checkpointing.latest_step(workdir, WARM_UP) or 0) < first.steps:
            self._run([first], workdir, scales)
        abstract = jax.eval_shape(warm.init, scales)
        best = checkpointing.load_best(workdir, WARM_UP, abstract, self.execution)
        beta = self.config.gate.beta or self._measure_beta(best.state)
        second = dataclasses.replace(
            second, init=lambda state: joint.go_on(state, beta)
        )
        return self._run([first, second], workdir, scales)

    def start_from_words(
        self, workdir: pathlib.Path, scales: Scales, say: Say
    ) -> dict[str, Any]:
        """Parameters with which the price begins as ridge regression on words.

        The wide path gets its weights, what leads to the price otherwise its bias and
        zeros. {} where there are no texts, where words tell less on the validation rows
        than the mean price, or where the run has begun.

        Args:
          workdir: of the run.
          scales: of the training rows.
          say: prints which way it is.
        """
        spec, words = self.rows.spec, self.rows.words
        steps = [checkpointing.latest_step(workdir, name) for name in (WARM_UP, JOINT)]
        if not spec.texts() or any(step is not None for step in steps):
            return {}
        splits = [self.rows.splits[split] for split in ("train", "validation")]
        prices = (self.rows.log_prices - scales.price_mean) / scales.price_scale
        model = linear_models.fit_numbers(
            [linear_models.word_rows(words, spec, rows) for rows in splits],
            [prices[rows] for rows in splits],
        )
        say(model.describe("log price"))
        if not model.helps:
            return {}
        state = jax.eval_shape(self.learner(warm_up=False).init, scales)
        inputs = state.params["regression"]["output"]["kernel"].shape[0]
        regression = {"output": model.output(inputs)}
        return {"regression": regression, **model.wide("wide_price", spec)}

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
        shares = np.linspace(0, 1, bins + 1)
        return np.quantile(self.rows.statistics[self.train_rows], shares, axis=0).T

    def predict(self, state: Any, rows: np.ndarray) -> Suggestion:
        """What a state suggests for some rows: host arrays [n]."""
        with self.rows.batches_of(rows, self.config.train.batch_size) as batches:
            suggestion: Suggestion = self._predict(state, batches, len(rows))
        return suggestion

    @functools.cached_property
    def _predict(self) -> Callable[..., Any]:
        return self.execution.predict_all(self.learner(warm_up=False).predict)

    def _measure_beta(self, state: Any) -> float:
        suggestion = self.predict(state, self.train_rows)
        errors = self.rows.log_prices[self.train_rows] - suggestion.log_price
        share = self.config.gate.share
        error = gate.error_at_quantile(suggestion.gate_logit, errors**2, share)
        logging.info("squared error at the quantile %g: %g", share, error)
        return gate.SAFETY * error

    def _run(self, phases: list[Phase], workdir: pathlib.Path, scales: Scales) -> Any:
        return train_loop.run(
            phases,
            self.config.train,
            workdir,
            self.execution,
            identity=self.identity,
            start=scales,
        ).state

    def _phase(self, name: str, learner: Learner, steps: int) -> Phase:
        loop = dataclasses.replace(self.config.train, steps=steps)
        return supervised_phase(name, learner, self.rows, loop, self.execution)
