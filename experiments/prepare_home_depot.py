"""Tables of the public data set "Home Depot product search relevance" for rerank.

    python -m experiments.prepare_home_depot ../shared/data/home_depot_search data/hd

writes requests.parquet, a row a (query, product) with the grade less 1 as "purchase",
the place that BM25 gives it and eleven features of query and title (`FEATURES`), and
items.parquet with the titles.
"""

import collections
import itertools
import math
import pathlib
import sys
from collections.abc import Sequence

import pandas as pd

from common.cli.app import mistakes_in_one_line
from common.errors import UserError
from common.text.tokens import tokenize

FEATURES = (
    "bm25",
    "cosine",  # of TF-IDF vectors
    "shared",  # of the query's words, those in the title
    "shared_idf",  # the same, weighted by their IDF
    "pairs",  # of the query's pairs of neighbours, those in the title
    "numbers",  # of the query's numbers, those in the title
    "last_word",  # of the query stands in the title: it mostly names the thing
    "phrase",  # the whole query stands in the title
    "letters",  # Jaccard index of the words' runs of three letters
    "query_words",
    "title_words",
)
_K1, _B = 1.2, 0.75  # of BM25


def write(source: pathlib.Path, target: pathlib.Path) -> str:
    """Reads a table, writes two.

    Args:
      source: folder with query_product_relevance.csv.gz.
      target: folder that gets the tables.

    Returns:
      What was written, in one line.
    """
    rows = pd.read_csv(source / "query_product_relevance.csv.gz")
    rows = rows.drop_duplicates(["search_term", "product_uid"])
    items = rows.drop_duplicates("product_uid")
    titles = {t: tokenize(t) for t in rows["product_title"].unique()}
    queries = {q: tokenize(q) for q in rows["search_term"].unique()}
    corpus = Titles(list(titles.values()))
    features = pd.DataFrame(
        [
            corpus.features(queries[query], titles[title])
            for query, title in zip(
                rows["search_term"], rows["product_title"], strict=True
            )
        ],
        columns=list(FEATURES),
    )
    numbers, _ = rows["search_term"].factorize()
    requests = pd.DataFrame(
        {
            "request": numbers,
            "item": rows["product_uid"].to_numpy(),
            "query": rows["search_term"].to_numpy(),
            "purchase": rows["relevance"].to_numpy() - 1,
            **features,
        }
    )
    # Lists of one leave nothing to order.
    sizes = requests.groupby("request")["item"].transform("size")
    requests = requests[sizes > 1]
    best = requests.groupby("request")["bm25"].rank(ascending=False, method="first")
    requests.insert(3, "position", best.astype(int))
    shown = items[items["product_uid"].isin(requests["item"])]
    target.mkdir(parents=True, exist_ok=True)
    requests.to_parquet(target / "requests.parquet", index=False)
    pd.DataFrame(
        {"item": shown["product_uid"], "title": shown["product_title"]}
    ).to_parquet(target / "items.parquet", index=False)
    lists = requests["request"].nunique()
    return f"{lists:,} queries, {len(requests):,} rows, {len(shown):,} items: {target}"


class Titles:
    """Titles as words, and how well queries match them.

    Args:
      titles: words of each.
    """

    def __init__(self, titles: Sequence[Sequence[str]]):
        self._count = len(titles)
        self._length = sum(map(len, titles)) / max(len(titles), 1)
        self._rows = collections.Counter(w for title in titles for w in set(title))

    def idf(self, word: str) -> float:
        """ln(1 + (n - df + 1/2) / (df + 1/2)), as BM25 has it."""
        rows = self._rows[word]
        return math.log(1 + (self._count - rows + 0.5) / (rows + 0.5))

    def bm25(self, query: Sequence[str], title: Sequence[str]) -> float:
        """Okapi BM25 of a title with k1 = 1.2 and b = 0.75."""
        times = collections.Counter(title)
        scale = _K1 * (1 - _B + _B * len(title) / self._length)
        return sum(
            self.idf(word) * times[word] * (_K1 + 1) / (times[word] + scale)
            for word in query
            if times[word]
        )

    def features(self, query: Sequence[str], title: Sequence[str]) -> list[float]:
        """`FEATURES` of a pair."""
        there = set(title)
        weights = {word: self.idf(word) for word in {*query, *title}}
        shared = [word for word in set(query) if word in there]
        norms = [
            math.sqrt(sum(weights[word] ** 2 for word in set(words)))
            for words in (query, title)
        ]
        pairs = set(itertools.pairwise(query))
        numbers = {word for word in query if word[:1].isdigit()}
        own, other = _runs(query), _runs(title)
        total = sum(weights[word] for word in set(query))
        return [
            self.bm25(query, title),
            sum(weights[w] ** 2 for w in shared) / max(norms[0] * norms[1], 1e-9),
            len(shared) / max(len(set(query)), 1),
            sum(weights[word] for word in shared) / max(total, 1e-9),
            len(pairs & set(itertools.pairwise(title))) / max(len(pairs), 1),
            len(numbers & there) / len(numbers) if numbers else 0.5,
            float(bool(query) and query[-1] in there),
            float(f" {' '.join(query)} " in f" {' '.join(title)} "),
            len(own & other) / max(len(own | other), 1),
            float(len(query)),
            float(len(title)),
        ]


def _runs(words: Sequence[str]) -> set[str]:
    """Runs of three letters of all words, with their edges marked."""
    marked = (f"^{word}$" for word in words)
    return {word[i : i + 3] for word in marked for i in range(len(word) - 2)}


def main() -> None:
    """Reads the command line."""
    with mistakes_in_one_line():
        if len(sys.argv) != 3:
            raise UserError(
                f"give two folders: python -m {__spec__.name} SOURCE TARGET"
            )
        print(write(*map(pathlib.Path, sys.argv[1:])))


if __name__ == "__main__":
    main()
