"""Speed of recsys on one workload, beside the libraries that do the same.

    python -m benchmarks.recsys                    # a quarter of an hour of one core
    python -m benchmarks.recsys --only=leaf,projection

1,000 users, 50,000 items, 95,000 interactions, 2,048 features of each item. All sides
are pinned to the same processor and take turns in one run: threads of PyTorch that wait
for each other make it look many times slower than it is. Peers that are not installed
(the extra `bench`) are left out.

  epoch       one epoch of VBPR, 64 + 64 dimensions, batches of 256, one uniform negative:
              ours with Adam, drawing and reading included, beside cornac (Adam; its set-up
              is part of `fit`) and vbpr-pytorch (plain SGD, negatives drawn before)
  ranking     the 20 best of all items for 1,000 users, what they have taken left out,
              beside product and top-k alone in PyTorch, and implicit
  leaf        the 20 best of 1,000,000 items for 100 users, by leaf, beside `lax.top_k` of
              all scores; both over the vectors of the paper's model
  projection  gradient step of a 32 x 2048 matrix for each of 1,233 leaves, 1,024 rows,
              leaves by Zipf's law, beside the gather of the unique leaves' matrices
"""

import argparse
import sys
from collections.abc import Iterator
from typing import Any

from benchmarks import timing  # neither jax nor NumPy may be imported before `pin`

PARTS = ("epoch", "ranking", "leaf", "projection")


def parse(arguments: list[str]) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.recsys")
    parser.add_argument("--only", default="", help=f"parts of {', '.join(PARTS)}")
    parser.add_argument("--repeats", type=int, default=5, help="rounds")
    parser.add_argument(
        "--quick", action="store_true", help="tiny sizes: does it run at all?"
    )
    parser.add_argument(timing.AVX2_FLAG, action="store_true", help=timing.AVX2_HELP)
    options = parser.parse_args(arguments)
    options.parts = options.only.split(",") if options.only else list(PARTS)
    for part in options.parts:
        if part not in PARTS:
            parser.error(f"--only: no part {part!r}; choose from {', '.join(PARTS)}")
    if options.repeats < 1:
        parser.error("--repeats must be positive")
    return options


def load_comparisons(part: str, quick: bool) -> Iterator[timing.Comparison]:
    """The comparisons of one part."""
    from benchmarks import recommenders

    return {
        "epoch": recommenders.compare_epochs,
        "ranking": recommenders.compare_rankings,
        "leaf": recommenders.compare_leaves,
        "projection": recommenders.compare_projections,
    }[part](quick)


def main(arguments: list[str]) -> None:
    """Prints a table of comparisons."""
    options = parse(arguments)
    timing.pin(1)
    from common.reports.result_tables import to_markdown

    rows: list[dict[str, Any]] = []
    for part in options.parts:
        for comparison in load_comparisons(part, options.quick):
            print(f"{part}: {comparison.work}", file=sys.stderr, flush=True)
            repeats = 1 if options.quick else options.repeats
            rows += timing.compare(comparison, repeats)
    print(to_markdown(rows))


if __name__ == "__main__":
    timing.start()
    main(sys.argv[1:])
