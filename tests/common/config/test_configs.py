import dataclasses
import math
from typing import Literal

import hypothesis
import pytest
from absl import flags
from hypothesis import strategies as st

from common.config import configs
from common.config.configs import check_bounds, knob
from common.errors import UserError


@dataclasses.dataclass(frozen=True)
class Inner:
    cells: int = knob(3, "cells", low=1, high=64)
    kind: Literal["block", "mfb"] = knob("mfb", "kind of fusion")
    rate: float = knob(0.1, "dropout", low=0.0)
    on: bool = knob(True, "a switch")

    def __post_init__(self):
        check_bounds(self)


@dataclasses.dataclass(frozen=True)
class Outer:
    model: Inner = Inner()
    other: Inner = Inner(cells=5)
    seed: int = knob(0, "seed")
    name: str = knob("", "any text")
    limit: int | None = knob(7, "an optional number")
    label: str | None = knob(None, "an optional text")
    sizes: tuple[int, ...] = knob((1, 2), "numbers", low=0)
    crop: tuple[float, float] = knob((0.5, 1.0), "two numbers")
    words: tuple[str, ...] = knob((), "texts")
    maybe: bool | None = knob(None, "true, false or none")
    level: int = knob(1, "a choice", choices=(1, 2, 4))

    def __post_init__(self):
        check_bounds(self)


def parse(*words):
    flag_values = flags.FlagValues()
    configs.define_flags(Outer(), flag_values, "test")
    flag_values(["test", *words])
    return configs.from_flags(Outer, flag_values)


def test_flags_build_the_config():
    got = parse(
        "--model.cells=4",
        "--nomodel.on",
        "--other.kind=block",
        "--limit=none",
        "--sizes=",
        "--crop=-1e-3, 2",
        "--words=a,b c",
        "--maybe=false",
        "--level=4",
    )
    assert got == Outer(
        model=Inner(cells=4, on=False),
        other=Inner(cells=5, kind="block"),
        limit=None,
        sizes=(),
        crop=(-0.001, 2.0),
        words=("a", "b c"),
        maybe=False,
        level=4,
    )


def test_flag_defaults_are_those_of_the_config_not_of_the_class():
    assert parse() == Outer()
    assert parse().other.cells == 5


texts = st.text(max_size=8)
configurations = st.builds(
    Outer,
    model=st.builds(
        Inner,
        cells=st.integers(1, 64),
        kind=st.sampled_from(["block", "mfb"]),
        rate=st.floats(min_value=0, allow_nan=False, allow_infinity=False),
        on=st.booleans(),
    ),
    seed=st.integers(-(2**63), 2**63 - 1),
    name=texts,
    limit=st.none() | st.integers(-5, 5),
    label=st.none() | texts | st.just("none"),
    sizes=st.lists(st.integers(0, 9), max_size=3).map(tuple),
    crop=st.tuples(*[st.floats(allow_nan=False, allow_infinity=False)] * 2),
    words=st.lists(texts, max_size=3).map(tuple),
    maybe=st.none() | st.booleans(),
    level=st.sampled_from([1, 2, 4]),
)


@hypothesis.given(configurations)
def test_flag_lines_read_back_exactly_or_are_refused(config):
    try:
        lines = configs.flag_lines(config)
    except UserError as error:
        strings = [config.name, config.label, *config.words]
        odd = any(
            s != s.strip()
            or s in ("none", "")
            or "," in s
            or not s.isprintable()
            or s.lower() == "none"
            for s in strings
            if s is not None
        )
        assert odd, error
    else:
        assert parse(*lines) == config
        # As text files are read.
        assert "\n".join(lines).splitlines() == lines


@hypothesis.given(configurations)
def test_dict_reads_back_exactly(config):
    assert configs.from_dict(Outer, configs.to_dict(config)) == config


def test_flag_lines_write_every_knob_in_order():
    assert configs.flag_lines(Outer())[:4] == [
        "--model.cells=3",
        "--model.kind=mfb",
        "--model.rate=0.1",
        "--model.on=true",
    ]
    assert configs.flag_lines(Outer())[8:] == [
        "--seed=0",
        "--name=",
        "--limit=7",
        "--label=none",
        "--sizes=1,2",
        "--crop=0.5,1.0",
        "--words=",
        "--maybe=none",
        "--level=1",
    ]


@pytest.mark.parametrize(
    ("cls", "name", "value"),
    [
        (Inner, "cells", 0),
        (Inner, "cells", 65),
        (Inner, "cells", 2.0),
        (Inner, "cells", True),
        (Inner, "cells", None),
        (Inner, "rate", math.nan),
        (Inner, "rate", "0.1"),
        (Inner, "kind", "mbf"),
        (Inner, "on", 1),
        (Outer, "seed", 2**63),
        (Outer, "sizes", [1, 2]),
        (Outer, "sizes", (1, -1)),
        (Outer, "crop", (1.0,)),
        (Outer, "level", 3),
        (Outer, "model", None),
    ],
)
def test_no_config_with_a_bad_value_can_exist(cls, name, value):
    with pytest.raises(UserError, match=f"{cls.__name__}.{name}"):
        cls(**{name: value})


def test_a_class_without_check_is_still_checked_at_the_flag():
    with pytest.raises(flags.IllegalFlagValueError, match="an integer from 1 to 64"):
        parse("--model.cells=65")
    with pytest.raises(flags.IllegalFlagValueError, match="a number of at least 0"):
        parse("--model.rate=nan")


def test_replace_changes_dotted_names_together():
    got = configs.replace(Outer(), {"model.cells": 9, "model.kind": "block", "seed": 1})
    assert got == Outer(model=Inner(cells=9, kind="block"), seed=1)
    whole = configs.replace(Outer(), {"other": Inner(), "other.cells": 2})
    assert whole.other == Inner(cells=2)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("model.cels", "did you mean model.cells?"),
        ("cells", "did you mean model.cells or other.cells?"),
        ("seed.x", "unknown config field seed.x"),
        ("moddel.cells", "did you mean model.cells"),
    ],
)
def test_replace_refuses_unknown_names(name, hint):
    with pytest.raises(UserError, match=hint.replace("?", r"\?")):
        configs.replace(Outer(), {name: 1})


def test_a_name_of_the_same_group_is_meant_before_one_of_another():
    known = ["data.user", "simulation.users", "simulation.seed"]
    assert configs.hint("simulation.user", known) == "; did you mean simulation.users?"
    assert configs.hint("simulate.user", known) == "; did you mean data.user?"


def test_differences_name_the_knobs():
    other = configs.replace(Outer(), {"model.cells": 4, "limit": None})
    assert configs.differences(Outer(), other) == {
        "model.cells": (3, 4),
        "limit": (7, None),
    }
    assert configs.differences(other, other) == {}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"modle": {}}, "unknown config field modle; did you mean model?"),
        ({"model": {"cels": 1}}, "unknown config field model.cels"),
        ({"model": 3}, "model.: expected an object"),
        ({"model": {"cells": 0}}, "model.cells=0: must be an integer from 1 to 64"),
        ({"crop": [1, "x"]}, "crop="),
        ([], "config: expected an object"),
    ],
)
def test_from_dict_names_what_is_wrong(data, message):
    with pytest.raises(UserError) as error:
        configs.from_dict(Outer, data)
    assert str(error.value).startswith(message)


def test_from_dict_fills_in_what_is_absent():
    assert configs.from_dict(Outer, {"model": {"cells": 8}}) == Outer(
        model=Inner(cells=8)
    )


def test_a_type_that_no_flag_can_hold_is_refused():
    @dataclasses.dataclass(frozen=True)
    class Bad:
        number: complex = knob(0, "a type without a notation")

    with pytest.raises(TypeError, match="complex"):
        configs.define_flags(Bad(), flags.FlagValues())
