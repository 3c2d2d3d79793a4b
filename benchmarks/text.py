"""Speed of encoding titles beside scikit-learn's TfidfVectorizer on the same ones.

    python -m benchmarks.text listings.csv title

Words and word pairs are counted, and the training rows encoded, on both sides; the
scikit-learn side is its `fit_transform`. Without a table, titles are made up.
"""

import argparse
import pathlib
import sys
from collections.abc import Iterator

from benchmarks import timing  # NumPy may not be imported before `pin`

BAR = 1.5


def make_titles(count: int) -> list[str]:
    """Titles of 12 words out of 5,000, frequent ones first as in Zipf's law."""
    import numpy as np

    ranks = np.random.default_rng(0).zipf(1.3, (count, 12)) % 5000
    return [" ".join(f"Word{chr(97 + n % 26)}{n}" for n in row) for row in ranks]


def compare(titles: list[str]) -> Iterator[timing.Comparison]:
    """Fitting and encoding the same titles."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    from common.text.encoder import TextEncoder

    def ours() -> int:
        return len(TextEncoder.fit(titles).encode(titles)["ids"])

    def other() -> int:
        vectorizer = TfidfVectorizer(ngram_range=(1, 2), min_df=2)
        return vectorizer.fit_transform(titles).shape[0]

    work = f"{len(titles):,} titles: fit, encode"
    yield timing.Comparison(work, ("ours", ours), ("TfidfVectorizer", other), bar=BAR)


def main(arguments: list[str]) -> None:
    """Prints a table of comparisons."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.text")
    parser.add_argument("table", nargs="?", type=pathlib.Path, help="with titles")
    parser.add_argument("column", nargs="?", default="title", help="of the titles")
    parser.add_argument("--repeats", type=int, default=7, help="rounds")
    parser.add_argument("--quick", action="store_true", help="does it run at all?")
    options = parser.parse_args(arguments)
    timing.pin(1)
    from common.reports.result_tables import to_markdown
    from common.tables.table import read_table

    titles = make_titles(100 if options.quick else 10_000)
    if options.table:
        titles = read_table(options.table).frame[options.column].dropna().tolist()
    rows = []
    for comparison in compare(titles):
        rows += timing.compare(comparison, 1 if options.quick else options.repeats)
    print(to_markdown(rows))


if __name__ == "__main__":
    main(sys.argv[1:])
