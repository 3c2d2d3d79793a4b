import sys

import pytest

from common.cli import late_imports


def test_a_name_comes_from_its_module_when_it_is_asked_for():
    find = late_imports.of("shop", {"Fraction": "fractions"})
    sys.modules.pop("fractions", None)
    found = find("Fraction")
    assert found is sys.modules["fractions"].Fraction


def test_an_unknown_name_is_no_attribute():
    find = late_imports.of("shop", {"Fraction": "fractions"})
    with pytest.raises(AttributeError, match="module 'shop' has no attribute 'x'"):
        find("x")
