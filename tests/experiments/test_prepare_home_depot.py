import math

import pandas as pd
import pytest

from experiments import prepare_home_depot
from experiments.prepare_home_depot import FEATURES, Titles

ROWS = [
    ("Steel Hammer 16 oz.", "hammer", 3.0),
    ("Hammer Drill", "hammer", 1.67),
    ("Hammer Drill", "drill bit", 2.0),
    ("Red Paint", "paint", 2.33),  # a list of one
    ("Steel Hammer 16 oz.", "hammer", 3.0),  # stands there twice
]


@pytest.fixture
def tables(tmp_path):
    frame = pd.DataFrame(ROWS, columns=["product_title", "search_term", "relevance"])
    frame["product_uid"] = frame["product_title"].factorize()[0] + 100001
    (tmp_path / "in").mkdir()
    frame.to_csv(tmp_path / "in" / "query_product_relevance.csv.gz", index=False)
    line = prepare_home_depot.write(tmp_path / "in", tmp_path / "out")
    assert line.startswith("1 queries, 2 rows, 2 items")
    read = [
        pd.read_parquet(tmp_path / "out" / f"{name}.parquet")
        for name in ("requests", "items")
    ]
    return read


def test_lists_are_those_with_an_order_to_find(tables):
    requests, items = tables
    assert requests["item"].tolist() == [100001, 100002]
    assert requests["purchase"].tolist() == pytest.approx([2.0, 0.67])
    # The shorter title has the higher BM25.
    assert requests["position"].tolist() == [2, 1]
    assert items["title"].tolist() == ["Steel Hammer 16 oz.", "Hammer Drill"]


def test_features_by_hand():
    titles = Titles([["steel", "hammer", "16", "oz"], ["hammer", "drill"]])
    found = dict(
        zip(
            FEATURES,
            titles.features(["hammer", "drill", "18"], ["hammer", "drill"]),
            strict=True,
        )
    )
    # hammer stands in both titles, drill in one; the mean length is 3.
    hammer, drill, none = (math.log(1 + x) for x in (0.5 / 2.5, 1.5 / 1.5, 2.5 / 0.5))
    scale = 1.2 * (0.25 + 0.75 * 2 / 3)
    assert found["bm25"] == pytest.approx((hammer + drill) * 2.2 / (1 + scale))
    total = hammer + drill + none
    assert found["shared_idf"] == pytest.approx((hammer + drill) / total)
    square = hammer**2 + drill**2
    assert found["cosine"] == pytest.approx(
        square / math.sqrt(square * (square + none**2))
    )
    assert found["shared"] == pytest.approx(2 / 3)
    assert found["pairs"] == 1 / 2  # "hammer drill", not "drill 18"
    assert found["numbers"] == 0 and found["last_word"] == 0 and found["phrase"] == 0
    assert (found["query_words"], found["title_words"]) == (3, 2)
    # ^ha ham amm mme mer er$ ^dr dri ril ill ll$ ^18 18$: 11 of 13 are shared.
    assert found["letters"] == pytest.approx(11 / 13)
