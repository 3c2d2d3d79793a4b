"""Speed of ican and of what it is built from, beside PyTorch on the same work.

    python -m benchmarks.ican                         # 5 minutes of one core
    python -m benchmarks.ican --only=block,pipeline
    python -m benchmarks.ican --avx2                  # as on processors without AVX-512
    python -m benchmarks.ican --threads=0             # on a GPU

Both sides are pinned to the same processors and threads, and take turns in one run.
Times are minimum / median over the rounds. The ratio is one of processor times, which
hardly feel what else the machine does; where JAX has an accelerator, of wall times.
The memory of activations costs less with GLIBC_TUNABLES=glibc.malloc.hugetlb=1 in the
environment, on both sides. The side of PyTorch is left out where PyTorch is not installed.
"""

import argparse
import sys
from collections.abc import Iterator
from typing import Any

from benchmarks import timing  # neither jax nor NumPy may be imported before `pin`

COMPARISONS = ("block", "mfb", "head", "step", "convolution", "resnet", "pipeline")
PARTS = (*COMPARISONS, "gpu")


def parse(arguments: list[str]) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ican")
    parser.add_argument(
        "--only", help=f"comma-separated parts out of {', '.join(PARTS)}; default: all"
    )
    parser.add_argument(
        "--threads", type=int, default=1, help="of both sides; 0 for all there are"
    )
    parser.add_argument("--repeats", type=int, default=7, help="rounds")
    parser.add_argument(
        "--quick", action="store_true", help="tiny sizes: does it run at all?"
    )
    parser.add_argument(timing.AVX2_FLAG, action="store_true", help=timing.AVX2_HELP)
    options = parser.parse_args(arguments)
    options.parts = options.only.split(",") if options.only else None
    for part in options.parts or ():
        if part not in PARTS:
            parser.error(f"--only: no part {part!r}; choose from {', '.join(PARTS)}")
    if options.repeats < 1 or options.threads < 0:
        parser.error("--repeats must be positive and --threads not negative")
    return options


def load_comparisons(
    part: str, quick: bool, threads: int
) -> Iterator[timing.Comparison]:
    """The comparisons of one part; what others need is not imported."""
    if part == "pipeline":
        from benchmarks.input_pipeline import compare_pipelines

        return compare_pipelines(quick, threads)
    if part in ("block", "mfb"):
        from benchmarks import fusions

        block = part == "block"
        return (fusions.compare_block if block else fusions.compare_mfb)(quick)
    if part == "convolution":
        from benchmarks.backbones import compare_convolutions

        return compare_convolutions(quick)
    if part == "resnet":
        from benchmarks.backbones import compare_resnets

        return compare_resnets(quick, threads)
    from benchmarks import cells

    return (cells.compare_heads if part == "head" else cells.compare_steps)(quick)


def check_pin(threads: int) -> str:
    """Shows on both sides that they keep to the processors they were given.

    Raises:
      RuntimeError: a thread may run elsewhere, or more threads work than allowed.
    """
    import jax
    import jax.numpy as jnp

    a = jnp.ones((512, 512))
    multiply = jax.jit(lambda a: a @ a)
    used = {"JAX": timing.processors_used(lambda: multiply(a).block_until_ready())}
    try:
        from benchmarks import peers
    except ModuleNotFoundError:
        pass
    else:
        peers.start(threads)
        used["PyTorch"] = timing.processors_used(peers.multiply(512))
    if threads and (loose := timing.loose_threads()):
        raise RuntimeError(f"{len(loose)} threads are not pinned")
    shares = ", ".join(f"{side} uses {share:.2f}" for side, share in used.items())
    if threads and max(used.values()) > 1.05 * threads:
        raise RuntimeError(f"pinned to {threads} processors, but {shares}")
    return f"threads: {threads or 'all'}; processors in a matrix product: {shares}"


def measure(options: argparse.Namespace, parts: list[str]) -> list[dict[str, Any]]:
    """Measures the comparisons of some parts: a table row for each side."""
    import jax

    clock = "processor" if jax.default_backend() == "cpu" else "wall"
    rows = []
    for part in parts:
        for comparison in load_comparisons(part, options.quick, options.threads):
            print(f"{part}: {comparison.work}", file=sys.stderr, flush=True)
            repeats = 1 if options.quick else options.repeats
            rows += timing.compare(comparison, repeats, clock=clock)
    return rows


def main(arguments: list[str]) -> None:
    """Prints a table of comparisons and, on a GPU, one of training steps."""
    options = parse(arguments)
    timing.pin(options.threads)
    import jax

    from common.reports.result_tables import to_markdown

    gpu = jax.default_backend() == "gpu"
    # On a GPU the sides of PyTorch, on the processor, are no measure.
    parts = options.parts or (["head", "step", "gpu"] if gpu else list(COMPARISONS))
    print(check_pin(options.threads))
    compared = [part for part in parts if part != "gpu"]
    if compared:
        print(f"\n{to_markdown(measure(options, compared))}", flush=True)
    if "gpu" in parts:
        if not gpu and not options.quick:
            print("gpu: left out, JAX sees none here")
            return
        from benchmarks.accelerator import measure_steps

        print(f"\n{to_markdown(measure_steps(options.quick))}")


if __name__ == "__main__":
    timing.start()
    main(sys.argv[1:])
