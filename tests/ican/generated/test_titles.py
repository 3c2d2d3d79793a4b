import numpy as np
import pytest

from common.text.tokens import tokenize
from ican.generated import catalogue, titles

COUNT = 12_000
MANY = titles.sample(0, np.arange(COUNT))
TELLING, FILLERS = catalogue.TELLING.names, catalogue.FILLERS


def test_every_word_is_one_token_and_stands_in_one_list():
    words = [*TELLING, *FILLERS]
    assert len(set(words)) == len(words)
    assert [tokenize(word) for word in words] == [[word] for word in words]


def test_one_word_tells_and_stands_where_the_truth_says():
    for row, title in enumerate(MANY.write()[:500]):
        words = title.split()
        place = MANY.place[row]
        assert words[place] == TELLING[MANY.telling[row]]
        others = words[:place] + words[place + 1 :]
        assert 8 <= len(others) <= 14 and set(others) <= set(FILLERS)
        assert len(set(others)) == len(others) == MANY.count[row]


def test_words_come_as_often_as_the_catalogue_says():
    found = np.bincount(MANY.telling, minlength=len(TELLING)) / COUNT
    shares = catalogue.TELLING.shares
    sigma = np.sqrt(shares * (1 - shares) / COUNT)
    assert np.all(np.abs(found - shares) < 4.5 * sigma)
    assert np.all(np.abs(np.bincount(MANY.count)[8:] / COUNT - 1 / 7) < 0.015)
    # Each filler is as likely as any other: 11 of them on average.
    used = np.concatenate([MANY.fillers[i, :n] for i, n in enumerate(MANY.count)])
    shares = np.bincount(used, minlength=len(FILLERS)) / COUNT
    np.testing.assert_allclose(shares, 11 / len(FILLERS), atol=0.016)


def test_the_telling_word_is_anywhere():
    share = (MANY.place + 0.5) / (MANY.count + 1)
    np.testing.assert_allclose(
        np.histogram(share, 4, (0, 1))[0] / COUNT, 0.25, atol=0.05
    )
    assert (MANY.place <= MANY.count).all()
    short = MANY.count == 8
    np.testing.assert_allclose(
        np.bincount(MANY.place[short]) / short.sum(), 1 / 9, atol=0.03
    )


def test_a_title_does_not_depend_on_its_company():
    several = titles.sample(3, np.array([7, 1234, 2_000_001])).write()
    assert [titles.sample(3, np.array([1234])).write()[0]] == several[1:2]
    assert titles.sample(4, np.array([1234])).write() != several[1:2]
    assert titles.sample(3, np.array([], int)).write() == []


@pytest.mark.parametrize("name", ["shares", "effects"])
def test_worths_are_standardised(name):
    table = catalogue.TELLING
    expected = {"shares": 1.0, "effects": 0.0}[name]
    weights = table.shares if name == "effects" else 1.0
    assert np.sum(weights * getattr(table, name)) == pytest.approx(expected)
    assert np.sum(table.shares * table.effects**2) == pytest.approx(1)
