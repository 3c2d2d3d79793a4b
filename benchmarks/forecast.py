"""Speed of forecast: a flow's inverse, training, sampling, scores, and their growth.

    python -m benchmarks.forecast                     # some four minutes of a processor
    python -m benchmarks.forecast --plot=growth.png   # draws how times grow as well
    python -m benchmarks.forecast --quick             # does it run at all?

One thread, processor time. Four tables:

1. The inverse of one MAF (3 hidden layers of 100, a condition of 200, 500 rows) beside
   D dense passes of the same masked network in PyTorch, the usual way back, with weights
   masked once; and one dense pass of ours. Spread masks, the default, have the bars.
2. A training step of `gru_maf` at the size of Exchange (D = 8, 64 windows of 30 + 30
   steps, two layers of 40, 3 blocks, Adam) beside the same network in PyTorch. Ours cuts
   its windows out of the panel, which PyTorch finds ready.
3. Sampling of 5 windows x 100 paths x 30 steps by that network; CRPS, CRPS_sum and
   energy score of 7 windows x 100 paths x 24 steps x 137 series.
4. Growth: the inverse and a training step's forward pass by the number of series,
   sampling by the horizon.

Both sides have the same weights: results must agree to 1e-4. PyTorch is in the extra
`bench` (`pip install -e '.[bench]'`), and its side is left out without it.
"""

import argparse
import pathlib
import sys
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from benchmarks import timing  # NumPy may not be imported before `pin`
from benchmarks.forecast_work import (
    QUICK,
    Inverse,
    Work,
    make_batch,
    make_forward,
    make_inverse,
    make_learner,
    make_state,
    measure,
    sampler,
    scorer,
)

STEP_BAR = 1.5  # of PyTorch's time; 1.0 is reached for
SAMPLING_REACH, SCORES_REACH = 250.0, 200.0  # milliseconds
AGREES = 1e-4  # what results of both sides may differ by


def peer_inverse(work: Work, size: int, masks: Any, ours: Inverse) -> timing.Call:
    """The same in PyTorch, D dense passes."""
    import torch

    from benchmarks.forecast_peer import Maf
    from forecast.config import ModelConfig

    torch.set_num_threads(1)
    model = ModelConfig(**work.model)
    options = (model.flow_hidden, model.flow_layers, model.condition)
    peer = Maf(size, *options, masks, model.bound)
    peer.copy_params(ours.params)
    noise, condition = torch.from_numpy(ours.noise), torch.from_numpy(ours.condition)

    def call() -> Any:
        with torch.inference_mode():
            return peer.inverse(noise, condition).numpy()

    return call


def compare_inverse(
    work: Work, size: int, masks: str, bar: float, repeats: int
) -> dict[str, Any]:
    """A row of the first table; no bar where that is 0."""
    ours = make_inverse(work, size, masks)
    sides = {"ours ms": ours.back, "ours, one dense pass ms": ours.there}
    row: dict[str, Any] = {"series": size, "masks": masks}
    peer = "PyTorch, D dense passes ms"
    try:
        sides[peer] = peer_inverse(work, size, masks, ours)
    except ModuleNotFoundError:  # torch is an extra
        pass
    else:
        row["largest difference"] = f"{check_agreement(ours.back(), sides[peer]()):.1e}"
    times = measure(sides, repeats)
    row |= {name: f"{one:.3g}" for name, one in times.items()}
    if peer in times:
        less = times[peer] / times["ours ms"]
        row["times less"] = f"{less:.1f}"
        if bar:
            row |= {"bar": f">= {bar:g}", "held": "yes" if less >= bar else "NO"}
    return row


def check_agreement(ours: Any, theirs: Any) -> float:
    """The largest difference of two results.

    Raises:
      ValueError: it is so large, or not finite, that both sides did not do the same.
    """
    import numpy as np

    worst = float(np.abs(np.asarray(ours) - np.asarray(theirs)).max())
    if not worst <= AGREES:
        raise ValueError(f"both sides differ by {worst:.1e}")
    return worst


def compare_steps(work: Work) -> timing.Comparison:
    """A training step beside PyTorch's, where that is there."""
    import jax

    learner, grid = make_learner(work, work.series, work.steps)
    batch = make_batch(work, learner, grid, work.batch)
    state, note = make_state(learner), "reach for 1.0"
    try:
        peer = peer_step(learner, state.params, batch)
    except ModuleNotFoundError:  # torch is an extra
        other = None
    else:
        # Dropout draws differ, so that without it both have the same loss.
        plain, _ = make_learner(work, work.series, work.steps, dropout=0.0)
        ours = make_forward(plain)(state.params, state.batch_stats, batch)
        with_peer = peer_loss(plain, state.params, batch)[1]().detach().numpy()
        note += f"; losses differ by {check_agreement(ours, with_peer):.1e}"
        other = ("PyTorch", peer)
    step, key = jax.jit(learner.step, donate_argnums=0), jax.random.key(0)

    def call() -> None:
        nonlocal state
        state, measured = step(state, batch, key)
        jax.block_until_ready(measured)

    size = f"{work.batch} windows of {work.steps} + {work.steps} x {work.series}"
    title = f"training step of gru_maf, {size}"
    return timing.Comparison(title, ("ours", call), other, STEP_BAR, note=note)


def peer_loss(learner: Any, params: Any, batch: Any) -> tuple[Any, Callable[[], Any]]:
    """(The network in PyTorch with these weights, what computes its loss)."""
    import jax
    import torch

    from benchmarks.forecast_peer import GruMaf, tensor

    torch.set_num_threads(1)
    peer = GruMaf(learner.config.model, learner.sizes)
    peer.copy_params(params)
    window = jax.jit(learner.window)(batch)
    values, calendar = tensor(window.values), tensor(window.calendar)
    return peer, lambda: peer(values, calendar)


def peer_step(learner: Any, params: Any, batch: Any) -> timing.Call:
    """A training step in PyTorch that starts from the same weights."""
    import torch

    peer, loss_of = peer_loss(learner, params, batch)
    options = learner.config.optimizer
    optimizer = torch.optim.Adam(peer.parameters(), lr=options.learning_rate)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        loss_of().backward()
        torch.nn.utils.clip_grad_norm_(peer.parameters(), options.clip_norm)
        optimizer.step()

    return step


def time_alone(work: Work, repeats: int) -> list[dict[str, Any]]:
    """Rows of the third table."""
    windows, paths, steps, series = work.scored
    sampled = f"{work.windows} windows x {work.paths} paths x {work.steps} steps"
    scored = f"{windows} windows x {paths} paths x {steps} steps x {series} series"
    rows = []
    for title, call, reach in (
        (f"sampling {sampled}", sampler(work, work.steps), SAMPLING_REACH),
        (f"CRPS, CRPS_sum, energy of {scored}", scorer(work), SCORES_REACH),
    ):
        used = measure({title: call}, repeats)[title]
        reached = "yes" if used <= reach else "NO"
        row = {"work": title, "processor ms": f"{used:.1f}"}
        rows.append(row | {"reach for": f"<= {reach:g} ms", "reached": reached})
    return rows


class Growth(NamedTuple):
    """How a time grows.

    Attributes:
      work: what is done.
      unit: what there is more and more of.
      sizes: how much of it.
      times: processor milliseconds.
    """

    work: str
    unit: str
    sizes: Sequence[int]
    times: Sequence[float]


def measure_growth(work: Work, repeats: int) -> list[Growth]:
    """The inverse and a step's forward pass by series, sampling by horizon."""
    import jax

    def forward(series: int) -> timing.Call:
        learner, grid = make_learner(work, series, work.steps)
        batch = make_batch(work, learner, grid, work.batch)
        state = make_state(learner)
        run = make_forward(learner)
        return lambda: jax.block_until_ready(
            run(state.params, state.batch_stats, batch)
        )

    found = []
    for title, unit, sizes, make in (
        (
            f"inverse of a MAF, {work.rows} rows",
            "series",
            work.growing_series,
            lambda size: make_inverse(work, size, "spread").back,
        ),
        ("forward pass of a training step", "series", work.growing_series, forward),
        (
            f"sampling {work.windows} windows x {work.paths} paths",
            "steps of the horizon",
            work.growing_steps,
            lambda size: sampler(work, size),
        ),
    ):
        times = [measure({title: make(size)}, repeats)[title] for size in sizes]
        found.append(Growth(title, unit, sizes, times))
    return found


def growth_rows(found: Sequence[Growth]) -> list[dict[str, Any]]:
    """Rows of the fourth table."""
    return [
        {
            "work": each.work,
            "size": f"{size:,} {each.unit}",
            "processor ms": f"{used:.3g}",
            "ms of one": f"{used / size:.2g}",
        }
        for each in found
        for size, used in zip(each.sizes, each.times, strict=True)
    ]


def draw_growth(found: Sequence[Growth]) -> Any:
    """Times over sizes, both on logarithmic axes, and what grows in proportion."""
    from common.reports import figures

    figure = figures.new_figure(3.4 * len(found), 3.0)
    for axis, each in zip(figure.subplots(1, len(found)), found, strict=True):
        figures.style(axis, grid="both")
        axis.loglog(each.sizes, each.times, marker="o", color=figures.COLOURS[0])
        line = [each.times[-1] * size / each.sizes[-1] for size in each.sizes]
        axis.loglog(each.sizes, line, ":", color=figures.INK, label="in proportion")
        axis.set_xticks(each.sizes, [f"{size:,}" for size in each.sizes], minor=False)
        axis.set_xticks([], minor=True)
        axis.tick_params(which="both", labelsize=8)
        axis.set_title(each.work)
        axis.set_xlabel(each.unit)
        axis.set_ylabel("processor ms")
        axis.legend(fontsize=7)
    return figure


def main(arguments: list[str]) -> None:
    """Prints four tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.forecast")
    parser.add_argument("--repeats", type=int, default=5, help="rounds of each timing")
    parser.add_argument("--plot", type=pathlib.Path, help="PNG of how times grow")
    parser.add_argument("--quick", action="store_true", help="does it run at all?")
    parser.add_argument(timing.AVX2_FLAG, action="store_true", help=timing.AVX2_HELP)
    options = parser.parse_args(arguments)
    timing.pin(1)
    from common.reports import figures
    from common.reports.result_tables import to_markdown

    work, repeats = (QUICK, 1) if options.quick else (Work(), options.repeats)
    inverses = [
        compare_inverse(work, size, masks, bar if masks == "spread" else 0.0, repeats)
        for size, bar in work.inverses
        for masks in ("spread", "narrow")
    ]
    print(to_markdown(inverses), flush=True)
    print(to_markdown(timing.compare(compare_steps(work), repeats)), flush=True)
    print(to_markdown(time_alone(work, repeats)), flush=True)
    found = measure_growth(work, repeats)
    print(to_markdown(growth_rows(found)))
    if options.plot:
        figures.save(draw_growth(found), options.plot)


if __name__ == "__main__":
    timing.start()
    main(sys.argv[1:])
