"""Flags that let a run end in the time that its user has, on this machine."""

import dataclasses
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from common.config import configs
from common.errors import UserError

Changes = Mapping[str, Any]

EVALUATIONS = 5  # of a proposed run
LEAST_STEPS = 300  # fewer teach a network little: something smaller is tried first
# What is aimed at, of the time there is: other programs run on the machine, too.
SHARE = 0.8


@dataclasses.dataclass(frozen=True)
class Pace:
    """What a training takes.

    Attributes:
      seconds: of a step.
      evaluation: seconds of an evaluation on the validation rows.
      once: seconds of what does not grow with the steps: compiling, the test rows.
    """

    seconds: float
    evaluation: float = 0.0
    once: float = 0.0

    def total(self, steps: int, eval_every: int) -> float:
        """Seconds of a run."""
        evaluations = math.ceil(steps / eval_every)
        return self.once + steps * self.seconds + evaluations * self.evaluation

    def steps_within(self, seconds: float) -> int:
        """Steps that fit into so many seconds, with `EVALUATIONS`; below 1 for none."""
        rest = seconds - self.once - EVALUATIONS * self.evaluation
        return math.floor(rest / self.seconds)


@dataclasses.dataclass(frozen=True)
class Proposal:
    """What is said of the time that a run takes.

    Attributes:
      minutes: that the run would take as it is.
      limit: minutes that there are.
      changes: knobs that make it fit; empty where it does or nothing was found.
      expected: minutes of the run with the changes.
    """

    minutes: float
    limit: float
    changes: Changes = dataclasses.field(default_factory=dict)
    expected: float = 0.0

    def lines(self) -> list[str]:
        """What to tell the user; nothing where the run ends in time."""
        if self.minutes <= self.limit:
            return []
        long = (
            f"training takes about {self.minutes:,.0f} minutes here, more than"
            f" --check.minutes={self.limit:g}"
        )
        if not self.changes:
            return [f"{long}; use fewer rows, or a faster machine"]
        flags = " ".join(f"--{name}={value}" for name, value in self.changes.items())
        return [f"{long}. In about {self.expected:,.0f} minutes: {flags}"]


def propose(
    config: Any,
    limit: float,
    pace: Pace,
    smaller: Iterable[Changes],
    measure: Callable[[Any], Pace],
    section: str = "train",
) -> Proposal:
    """Finds flags with which a run ends in time: fewer steps, then smaller things.

    Args:
      config: of the run.
      limit: minutes that there are.
      pace: of the run as it is.
      smaller: changes to try one after the other, from small ones to large ones.
      measure: config -> its pace; called for as few as possible.
      section: of the knobs "steps" and "eval_every".
    """
    loop = getattr(config, section)
    proposal = Proposal(pace.total(loop.steps, loop.eval_every) / 60, limit)
    if proposal.minutes <= limit:
        return proposal
    seconds = SHARE * 60 * limit
    tried: list[Changes] = []
    for changes in ({}, *smaller):
        if changes in tried:
            continue
        tried.append(changes)
        try:
            changed = configs.replace(config, changes)
        except UserError:  # such as a pool that the smaller map can't have
            continue
        if changes:
            pace = measure(changed)
        steps = min(pace.steps_within(seconds), loop.steps)
        if steps < min(LEAST_STEPS, loop.steps):
            continue
        every = math.ceil(steps / EVALUATIONS)
        found = {
            **changes,
            f"{section}.steps": steps,
            f"{section}.eval_every": every,
        }
        return dataclasses.replace(
            proposal, changes=found, expected=pace.total(steps, every) / 60
        )
    return proposal


def lower(config: Any, most: Changes) -> dict[str, Any]:
    """Those of the knobs that are above what is given, with that: {name: most}."""
    values = {name: value for name, value, *_ in configs.leaves(config)}
    return {name: value for name, value in most.items() if values[name] > value}
