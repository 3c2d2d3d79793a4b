"""`--mode=check` on tables whose figures are known."""

import numpy as np

from common.config.configs import replace
from rerank.config import Config
from rerank.corpus.corpus import Corpus, Scaling
from rerank.verbs import check
from tests.rerank.stores import make_items, make_requests

LOG = "request,item,click,purchase\n" + "".join(
    f"r{r},{item},{int(k == 0)},{int(k == 0 and r % 2)}\n"
    for r in range(40)
    for k, item in enumerate("abc")
)


def test_the_page_is_written(tmp_path):
    (tmp_path / "log.csv").write_text(LOG + "r0,a,1,0\nr1,d,7,0\n")
    config = replace(
        Config(),
        {
            "data.requests": str(tmp_path / "log.csv"),
            "data.max_rejected_fraction": 0.5,
            "data.split_fractions": (0.5, 0.25, 0.25),
        },
    )
    path, summary = check.write(config, tmp_path / "run", print)
    text = path.read_text()
    for words in (
        "Clicks and purchases by place",
        "stands in the list already",
        "click",
    ):
        assert words in text
    assert (tmp_path / "run" / "rejected.csv").is_file()
    assert "| rejected rows" in summary and "candidates without price" in summary


def make_corpus() -> Corpus:
    names = ("red hat", "coat", "", "Red  HAT")
    train = make_requests(
        ((0, 1, 2), (3, 4)),
        ((), (1,)),
        queries=np.array(names[:2]),
        times=np.array([1.0, 5.0]),
    )
    test = make_requests(
        ((0, 1), (4,)),
        ((2,), ()),
        queries=np.array(names[2:]),
        times=np.array([4.0, 6.0]),
    )
    splits = {"train": train, "validation": train, "test": test}
    return Corpus(make_items(), splits, Scaling({}, {}), rejected=3)


def test_counts_by_hand():
    counts = check.count_requests(make_corpus())
    assert counts["requests, train"] == 2 and counts["rejected rows"] == 3
    assert counts["candidates of a list, median"] == 2
    assert counts["candidates of a list, most"] == 3
    assert counts["lists of one candidate"] == 1
    # Clicks stand at the even places of all lists joined: every list has one.
    assert counts["lists without a click"] == "0.0%"
    assert counts["lists in random order"] == "50.0%"


def test_lists_without_a_click_are_counted():
    corpus = make_corpus()
    clicks = np.array([0, 0, 0, 0, 1], np.float32)
    quiet = make_requests(((0, 1, 2), (3, 4)), ((), ()), clicks=clicks)
    splits = dict.fromkeys(("train", "validation", "test"), quiet)
    counts = check.count_requests(Corpus(corpus.items, splits, corpus.scaling))
    assert counts["lists without a click"] == "50.0%"


def test_missing_parts_by_hand():
    missing = check.count_missing(make_corpus())
    # 13 candidates; item 3 lacks text, item 1 an image, item 2 a price.
    assert missing["candidates without text"] == "15.4%"
    assert missing["candidates without image"] == "23.1%"
    assert missing["candidates without price"] == "15.4%"
    assert missing["candidates without category"] == "0.0%"
    assert missing["requests without a history"] == "50.0%"


def test_what_the_test_shares_with_training():
    assert check.count_shared(make_corpus()) == {
        "test candidates that training shows": "100.0%",
        "test requests with a query of training": "50.0%",
        "test requests before the last of training": "50.0%",
    }


def test_places_by_hand():
    rows = check.count_places(make_corpus().splits["train"])
    # Clicks 1 0 1 | 0 1, purchases 1 0 0 | 0 1.
    assert rows == [
        {"place": 1, "lists": 2, "clicks": 0.5, "purchases": 0.5},
        {"place": 2, "lists": 2, "clicks": 0.5, "purchases": 0.5},
        {"place": 3, "lists": 1, "clicks": 1.0, "purchases": 0.0},
    ]
