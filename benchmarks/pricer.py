"""Speed and memory of pricer's heads at the paper's size, beside PyTorch.

    python -m benchmarks.pricer                    # 14.6 GB of disk for a while
    python -m benchmarks.pricer --rows=100000      # fewer stored rows
    python -m benchmarks.pricer --threads=0        # on a GPU

A step on rows read from the store stands beside a step on a batch that lies in memory,
and that beside the same step in PyTorch. All sides are pinned to the same processors
and take turns. Peak memory is that of the process before PyTorch is loaded; the pages
of the store that are in memory count.
"""

import argparse
import resource
import shutil
import sys
import tempfile
from collections.abc import Iterator
from typing import Any

from benchmarks import timing  # neither jax nor NumPy may be imported before `pin`

ROWS, WIDTH, STATISTICS = 892_414, 8192, 12  # the paper's training set
SPARE = 2**30  # bytes of disk that must be left


def parse(arguments: list[str]) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pricer")
    parser.add_argument("--rows", type=int, default=ROWS, help="stored rows")
    parser.add_argument("--batch", type=int, default=4096, help="rows a step")
    parser.add_argument("--folder", default=None, help="where the store may lie")
    parser.add_argument(
        "--threads", type=int, default=1, help="of all sides; 0 for all there are"
    )
    parser.add_argument("--repeats", type=int, default=5, help="rounds")
    parser.add_argument(
        "--quick", action="store_true", help="tiny sizes: does it run at all?"
    )
    parser.add_argument(timing.AVX2_FLAG, action="store_true", help=timing.AVX2_HELP)
    options = parser.parse_args(arguments)
    if min(options.rows, options.batch, options.repeats) < 1 or options.threads < 0:
        parser.error("--rows, --batch and --repeats must be positive")
    options.width = WIDTH
    if options.quick:
        options.rows, options.batch, options.width = 300, 16, 32
    return options


def make_store(folder: str, rows: int, width: int) -> Any:
    """Generates a store: positive numbers, as features after ReLU are."""
    import numpy as np

    from common.data.feature_cache import FeatureCache

    store = FeatureCache(folder, {"weights": "generated"}, (rows, width))
    rng = np.random.default_rng(0)
    block = np.abs(rng.standard_normal((1024, width), np.float32)).astype(np.float16)
    while not store.complete:
        left = len(store) - store.done
        # Each block is shifted, so that no two rows are alike.
        store.append(np.roll(block, store.done // 1024, axis=1)[:left])
    return store


class Training:
    """The heads' training on stored rows or on one batch.

    Args:
      store: of features.
      batch: rows a step.
    """

    def __init__(self, store: Any, batch: int):
        import jax
        import numpy as np

        from common.config import configs
        from pricer.config import Config
        from pricer.data import HeadRows
        from pricer.features import Features
        from pricer.step import Learner, Scales

        rng = np.random.default_rng(1)
        rows, width = store.shape
        self._rows = HeadRows(
            Features([store]),
            rng.standard_normal((rows, STATISTICS), np.float32),
            rng.standard_normal(rows),
            {"train": np.arange(rows)},
        )
        config = configs.replace(Config(), {"train.batch_size": batch})
        learner = Learner(config, width, STATISTICS)
        scales = Scales(
            np.full(width, 0.8, np.float32), np.full(width, 0.6, np.float32), 0.0, 1.0
        )
        self._state = jax.jit(learner.init)(scales)
        self._step = jax.jit(learner.step, donate_argnums=0)
        self._key = jax.random.key(0)
        self._batches = self._rows.train_batches(config.train, 0)
        self._fixed = jax.device_put(next(self._batches))

    def on_stored(self) -> None:
        """One step on the next rows of the store."""
        import jax

        self._run(jax.device_put(next(self._batches)))

    def on_fixed(self) -> None:
        """One step on the same rows again."""
        self._run(self._fixed)

    def _run(self, batch: Any) -> None:
        import jax

        self._state, metrics = self._step(self._state, batch, self._key)
        jax.block_until_ready((self._state, metrics))

    def close(self) -> None:
        """Lets go of the reading threads."""
        self._batches.close()  # type: ignore[attr-defined]


def comparisons(training: Training, options: argparse.Namespace) -> Iterator[Any]:
    """Stored rows beside a fixed batch, and that beside PyTorch."""
    size = f"{options.batch} x ({options.width} + {STATISTICS})"
    yield timing.Comparison(
        f"heads, {size}, one step",
        ("rows of the store", training.on_stored),
        ("one batch in memory", training.on_fixed),
        bar=1.1,
        note=f"{options.rows:,} stored rows",
    )
    print(f"peak memory: {peak_memory():.2f} GiB", flush=True)
    try:
        from benchmarks import peers
    except ModuleNotFoundError:
        return
    peers.start(options.threads)
    yield timing.Comparison(
        f"heads, {size}, one step in memory",
        ("ours", training.on_fixed),
        ("PyTorch", peers.pricer_step(options.batch, options.width, STATISTICS)),
    )


def peak_memory() -> float:
    """Most memory that this process has held, GiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def main(arguments: list[str]) -> None:
    """Prints peak memory and a table of comparisons."""
    options = parse(arguments)
    timing.pin(options.threads)
    import jax

    from common.reports.result_tables import to_markdown

    folder = tempfile.mkdtemp(prefix="pricer_store_", dir=options.folder)
    try:
        need = 2 * options.rows * options.width
        if shutil.disk_usage(folder).free < need + SPARE:
            print(
                f"left out: the store takes {need / 1e9:.1f} GB, {folder} has no room;"
                " choose another --folder or fewer --rows"
            )
            return
        print(f"writing {options.rows:,} rows to {folder}", file=sys.stderr, flush=True)
        training = Training(
            make_store(f"{folder}/store", options.rows, options.width), options.batch
        )
        clock = "processor" if jax.default_backend() == "cpu" else "wall"
        rows = []
        for comparison in comparisons(training, options):
            rows += timing.compare(comparison, options.repeats, clock=clock)
        training.close()
        print(f"\n{to_markdown(rows)}")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    timing.start()
    main(sys.argv[1:])
