import pytest

from benchmarks import text


def test_both_sides_do_the_work():
    pytest.importorskip("sklearn")
    titles = text.make_titles(50)
    assert len(set(titles)) == 50
    (comparison,) = text.compare(titles)
    assert comparison.ours[1]() == comparison.other[1]() == 50
    assert comparison.bar == 1.5
