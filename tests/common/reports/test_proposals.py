import dataclasses

import pytest

from common.config.configs import check_bounds, knob
from common.reports import proposals
from common.reports.proposals import Pace


@dataclasses.dataclass(frozen=True)
class Loop:
    steps: int = knob(2000, "steps", low=1)
    eval_every: int = knob(200, "steps", low=1)


@dataclasses.dataclass(frozen=True)
class Config:
    train: Loop = Loop()
    side: int = knob(128, "pixels", low=8, high=128)

    def __post_init__(self):
        check_bounds(self)


def test_a_run_of_steps_evaluations_and_what_is_there_once():
    # 30 + 450 * 2 + 3 * 10 with an evaluation at 200, 400 and the end.
    assert Pace(2.0, 10.0, 30.0).total(450, 200) == 960
    # (130 - 30 - 5 * 10) / 2.
    assert Pace(2.0, 10.0, 30.0).steps_within(130) == 25
    assert Pace(2.0, 10.0, 30.0).steps_within(60) < 1


def propose(pace, paces=None, smaller=(), limit=10.0):
    asked = []

    def measure(config):
        asked.append(config.side)
        return paces[config.side]

    return proposals.propose(Config(), limit, pace, smaller, measure), asked


def test_nothing_is_said_of_a_run_that_ends_in_time():
    proposal, asked = propose(Pace(0.29))
    assert proposal.lines() == [] and not asked


def test_fewer_steps_are_tried_first():
    # 2,000 steps of a second are 33 minutes; 480 of them 8, with 5 evaluations.
    proposal, asked = propose(Pace(1.0), smaller=({"side": 64},))
    assert not asked
    assert proposal.changes == {"train.steps": 480, "train.eval_every": 96}
    (line,) = proposal.lines()
    assert line == (
        "training takes about 33 minutes here, more than --check.minutes=10. In about"
        " 8 minutes: --train.steps=480 --train.eval_every=96"
    )


def test_then_smaller_things_until_one_fits():
    paces = {64: Pace(20.0), 32: Pace(0.5, 2.0, 30.0), 16: Pace(0.1)}
    smaller = ({"side": 4}, {"side": 64}, {"side": 32}, {"side": 16})
    proposal, asked = propose(Pace(66.0), paces, smaller)
    assert asked == [64, 32]  # a side of 4 can't be had, and 16 was not needed
    # (480 - 30 - 5 * 2) / 0.5 steps.
    assert proposal.changes == {
        "side": 32,
        "train.steps": 880,
        "train.eval_every": 176,
    }
    assert proposal.expected == pytest.approx(8.0)
    assert proposal.minutes == pytest.approx(2200)


def test_where_nothing_fits_it_says_so():
    proposal, asked = propose(Pace(66.0), {64: Pace(30.0)}, ({"side": 64},))
    assert asked == [64] and not proposal.changes
    (line,) = proposal.lines()
    assert line == (
        "training takes about 2,200 minutes here, more than --check.minutes=10; use"
        " fewer rows, or a faster machine"
    )


def test_only_what_is_larger_is_lowered():
    assert proposals.lower(Config(), {"side": 64, "train.steps": 5000}) == {"side": 64}
