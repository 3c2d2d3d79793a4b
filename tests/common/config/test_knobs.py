import typing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.config import knobs


@pytest.mark.parametrize(
    ("annotation", "metadata", "words"),
    [
        (int, {}, "an integer"),
        (int, {"low": 1}, "an integer of at least 1"),
        (float, {"high": 2.5}, "a number of at most 2.5"),
        (float, {"low": 0, "high": 1}, "a number from 0 to 1"),
        (str | None, {}, "text, or none"),
        (typing.Optional[bool], {}, "true or false, or none"),  # noqa: UP045
        (typing.Literal["a", "b"], {}, "one of a, b"),
        (int, {"choices": (1, 2)}, "one of 1, 2"),
        (
            tuple[int, ...],
            {"low": 0},
            "any number of entries separated by commas, each an integer of at least 0",
        ),
        (
            tuple[float, float],
            {},
            "2 entries separated by commas, each a number",
        ),
    ],
)
def test_description(annotation, metadata, words):
    assert knobs.values_of(annotation, metadata).describe() == words


@pytest.mark.parametrize(
    ("annotation", "text", "value"),
    [
        (int, "1_000", 1000),
        (int, " 3 ", 3),
        (float, "3e-4", 0.0003),
        (bool, "YES", True),
        (bool, "0", False),
        (int | None, "None", None),
        (tuple[int, ...], " 1, 2 ,3", (1, 2, 3)),
        (tuple[int, ...], "", ()),
        (tuple[int, int] | None, "none", None),
        (str, " a ", " a "),
    ],
)
def test_reading(annotation, text, value):
    got = knobs.values_of(annotation, {}).parse(text)
    assert got == value and type(got) is type(value)


@pytest.mark.parametrize(
    ("annotation", "text"),
    [
        (int, "1e3"),
        (int, "1.0"),
        (int, ""),
        (int, "none"),
        (int, "9" * 5000),
        (int, str(2**63)),
        (float, "nan"),
        (float, "-inf"),
        (float, "0.1  # a comment"),
        (bool, "maybe"),
        (tuple[int, ...], "(1,2)"),
        (tuple[int, ...], "1,,2"),
        (tuple[int, int], "1"),
        (typing.Literal["a", "b"], "A"),
    ],
)
def test_refusing(annotation, text):
    values = knobs.values_of(annotation, {})
    with pytest.raises(ValueError, match="must be"):
        values.parse(text)


def test_a_misspelt_choice_gets_a_hint():
    values = knobs.values_of(typing.Literal["block", "mutan"], {})
    with pytest.raises(ValueError, match="did you mean mutan?"):
        values.parse("muttan")


@given(st.text())
def test_one_line_means_one_line(text):
    if knobs.is_one_line(text):
        assert "\n" not in text and len(f"<{text}>".splitlines()) == 1


@pytest.mark.parametrize(
    "annotation", [dict, int | str, tuple[int, str], typing.Literal[1, 2], list[int]]
)
def test_types_without_a_notation(annotation):
    with pytest.raises(TypeError):
        knobs.values_of(annotation, {})
