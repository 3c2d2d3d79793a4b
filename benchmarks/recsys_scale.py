"""recsys at the size of the paper's whole data: memory, time, and how they grow.

    python -m benchmarks.recsys_scale                # half an hour of one core, 8 GiB

509,838 users, 1,233 categories and all parameters of the paper's model; features of 2,048
numbers are made when they are asked for. First training steps with both tasks, the second
over all users: rows of leaves are updated lazily, the users' tables whole. Then the 20
best of up to 5,000,000 items for 1,000 users, for growing numbers of items.
"""

import argparse
import resource
import sys
import time
from typing import Any

from benchmarks import timing  # neither jax nor NumPy may be imported before `pin`
from common.cli.startup import use_huge_pages

USERS, INTERACTIONS, WIDTH = 509_838, 2_000_000, 2048
ITEMS = (625_000, 1_250_000, 2_500_000, 5_000_000)


def parse(arguments: list[str]) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.recsys_scale")
    parser.add_argument("--steps", type=int, default=200, help="training steps")
    parser.add_argument(
        "--threads", type=int, default=1, help="of all parts; 0 for all there are"
    )
    parser.add_argument(
        "--quick", action="store_true", help="tiny sizes: does it run at all?"
    )
    options = parser.parse_args(arguments)
    if options.steps < 2 or options.threads < 0:
        parser.error("--steps must be 2 or more and --threads not negative")
    options.users, options.interactions, options.width = USERS, INTERACTIONS, WIDTH
    options.items = ITEMS
    if options.quick:
        options.steps, options.users, options.interactions = 2, 300, 900
        options.width, options.items = 16, (500, 1_000)
    return options


class GeneratedFeatures:
    """Features that are made when they are asked for, the same at each time.

    Args:
      count: I.
      width: F.
    """

    def __init__(self, count: int, width: int):
        import numpy as np

        self.count, self.width = count, width
        self.fingerprint = f"generated {count} x {width}"
        self._rows = np.abs(np.random.default_rng(0).standard_normal((4096, width)))
        self._rows = self._rows.astype(np.float16)

    def take(self, ids: Any) -> Any:
        """float16 [n, F]: one of 4,096 rows, turned by as much as the id is large."""
        import numpy as np

        found = self._rows[ids % len(self._rows)]
        columns = (np.arange(self.width)[None] + ids[:, None] // 4096) % self.width
        return np.take_along_axis(found, columns, axis=1)


def make_corpus(options: argparse.Namespace) -> Any:
    """Random interactions of all users with the largest catalogue."""
    import numpy as np

    from benchmarks.recommenders import LEAVES, make_tree
    from recsys.corpus.corpus import Catalogue, Corpus
    from recsys.corpus.feature_files import Scaling
    from recsys.corpus.interactions import Interactions

    rng, items = np.random.default_rng(1), options.items[-1]
    drawn = Interactions(
        rng.integers(options.users, size=options.interactions, dtype=np.int32),
        rng.integers(items, size=options.interactions, dtype=np.int32),
    )
    distinct, _ = drawn.deduplicate()
    zeros, ones = np.zeros(options.width), np.ones(options.width)
    scaling = Scaling(
        "unit", zeros.astype(np.float32), ones.astype(np.float32), power=1.0
    )
    catalogue = Catalogue(
        np.arange(items),
        make_tree(LEAVES),
        rng.integers(LEAVES, size=items, dtype=np.int32),
        GeneratedFeatures(items, options.width),
        None,
        scaling,
    )
    parts = {"train": distinct, "validation": distinct.take(np.arange(1))}
    return Corpus(catalogue, np.arange(options.users), parts)


def train(options: argparse.Namespace, corpus: Any) -> tuple[Any, list[dict[str, Any]]]:
    """Some steps; returns the parameters and a row of the table."""
    import itertools
    import statistics

    import jax

    from common.config import configs
    from common.parallel.execution import ParallelConfig, make_execution
    from recsys.batches import Batches
    from recsys.config import Config
    from recsys.step import Learner, model_for

    config = configs.replace(
        Config(), {"row_optimizer": "lazy", "train.steps": options.steps}
    )
    model = model_for(config, corpus, "tiles")
    learner = Learner(config, model)
    execution = make_execution(ParallelConfig(devices=1))
    step = execution.compile_step(learner.step)
    state = execution.init(learner.init, None)
    key, times = jax.random.key(0), []
    batches: Any = Batches(config, corpus, model).iterate(0)
    for batch in itertools.islice(batches, options.steps):
        start = time.process_time()
        state, measured = step(state, {**batch.rows, **batch.shared}, key)
        jax.block_until_ready(measured)
        times.append(time.process_time() - start)
        if len(times) % 20 == 0:
            print(f"step {len(times)}", file=sys.stderr, flush=True)
    batches.close()
    total, weight = jax.device_get(measured["loss"])
    numbers = sum(value.size for value in state.params.values())
    row = {
        "what": f"{options.steps} steps of {config.train.batch_size}",
        "users": f"{options.users:,}",
        "items": f"{options.items[-1]:,}",
        "processor s": f"{statistics.median(times[1:]):.2f} a step",
        "peak GiB": f"{peak():.1f}",
        "note": f"{numbers / 1e6:.0f} million parameters, loss {total / weight:.3f}",
    }
    return (learner, state.params, execution), [row]


def rank(
    options: argparse.Namespace, corpus: Any, trained: Any
) -> list[dict[str, Any]]:
    """Lists of 1,000 users over growing catalogues: a row for each."""
    import dataclasses

    import numpy as np

    from recsys.ranking.ranker import Ranker

    learner, params, execution = trained
    users, rows = np.arange(min(1000, options.users)), []
    for count in options.items:
        catalogue = dataclasses.replace(
            corpus.catalogue,
            item_ids=corpus.catalogue.item_ids[:count],
            leaf_of_item=corpus.catalogue.leaf_of_item[:count],
        )
        ranker = Ranker(learner, catalogue, execution)
        start = time.process_time()
        index = ranker.index_items(params)
        built = time.process_time()
        vectors = ranker.user_vectors(params, users)
        ranker.rank(index, vectors[:1], 20, None)  # compiles
        begin = time.process_time()
        ranker.rank(index, vectors, 20, None)
        rows.append(
            {
                "what": f"20 best for {len(users):,} users",
                "users": f"{options.users:,}",
                "items": f"{count:,}",
                "processor s": f"{time.process_time() - begin:.2f}",
                "peak GiB": f"{peak():.1f}",
                "note": f"vectors of all items before: {built - start:.0f} s",
            }
        )
        print(rows[-1], file=sys.stderr, flush=True)
    return rows


def peak() -> float:
    """Most memory that this process has had, GiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def main(arguments: list[str]) -> None:
    """Prints a table."""
    options = parse(arguments)
    timing.pin(options.threads)
    from common.reports.result_tables import to_markdown

    corpus = make_corpus(options)
    trained, rows = train(options, corpus)
    print(to_markdown([*rows, *rank(options, corpus, trained)]))


if __name__ == "__main__":
    use_huge_pages()
    main(sys.argv[1:])
