"""Speed of rerank: a request with its proposals, many requests, and a training step.

    python -m benchmarks.rerank              # about four minutes on one processor
    python -m benchmarks.rerank --quick      # does it run at all?

A request: both networks encode it, 17 orders (shown, sorted, 15 proposals: 7 beams, 8
samples) are made and valued, the best is chosen; arrays in, arrays out, without HTTP (see
`benchmarks.endpoint`). D = 32, one layer across the fields, two across the list; vectors
of 64 numbers for text and image, a history of 20. One thread, 1,000 requests; processor
time by median, wall time by p50 and p95. The last row has no stored vectors of images: 50
photos of 160 px go through EfficientNet-Lite0 in the request, decoded already, and their
1,280 numbers are the images' vectors; 20 requests. The training step stands beside the
same network in PyTorch (batch 128, L = 50, AdamW), both from the same weights.
"""

import argparse
import dataclasses
import sys
import time
from collections.abc import Callable
from typing import Any

from benchmarks import timing  # NumPy may not be imported before `pin`

LENGTHS = (10, 30, 50)
REQUEST_BAR = 10.0  # milliseconds of processor time at L = 50
STEP_BAR = 1.5  # of PyTorch's
TOGETHER = 32  # requests of a batch
PIXELS = 160  # of a photo that is encoded in a request


def make_sizes(quick: bool) -> Any:
    """What the networks know of drawn requests."""
    from rerank.config import Modality, Sizes

    width, history = (8, 3) if quick else (64, 20)
    modalities = (Modality("text", width), Modality("image", width))
    return Sizes(6, 8, 0, modalities, max(LENGTHS), history)


def draw_batch(sizes: Any, count: int, length: int, seed: int = 0) -> dict[str, Any]:
    """Drawn requests of so many places, none of them padding."""
    import numpy as np

    rng = np.random.default_rng(seed)
    batch: dict[str, Any] = {
        "mask": np.ones((count, length), bool),
        "fields": rng.standard_normal((count, length, sizes.fields), np.float32),
        "category": rng.integers(0, 3, (count, length)).astype(np.int32),
        "prices": np.ones((count, length), np.float32),
        "context": rng.standard_normal((count, sizes.context), np.float32),
        "history_mask": np.ones((count, sizes.history), bool),
        "history_category": rng.integers(0, 3, (count, sizes.history)).astype(np.int32),
        "clicks": (rng.random((count, length)) < 0.2).astype(np.float32),
        "purchases": (rng.random((count, length)) < 0.1).astype(np.float32),
    }
    for prefix, places in (("", length), ("history_", sizes.history)):
        bits = rng.random((count, places, len(sizes.modalities))) < 0.9
        batch[f"{prefix}present"] = bits
        for modality in sizes.modalities:
            shape = (count, places, modality.width)
            batch[prefix + modality.name] = rng.standard_normal(shape, np.float32)
    return batch


def compile_answers(sizes: Any) -> Callable[..., Any]:
    """The orders of a batch, what they are worth, and chances; weights are drawn."""
    import jax

    from benchmarks import weights
    from common.parallel.devices import SINGLE
    from rerank.config import Config
    from rerank.ordering.ranker import UNFITTED, answer
    from rerank.step import make_learners

    config = Config()
    learners = make_learners(config, sizes, SINGLE)
    shapes = {p: jax.eval_shape(each.init).params for p, each in learners.items()}
    params = jax.device_put(weights.draw(shapes))

    @jax.jit
    def call(params, batch):
        outputs = answer(config, learners, params, UNFITTED, batch)
        return outputs.search, outputs.values, outputs.found

    return lambda batch: call(params, batch)


def time_calls(
    call: Callable[..., Any], batch: dict[str, Any], calls: int, work: str, judged: bool
) -> dict[str, Any]:
    """A row of a table; labels are left out of the batch."""
    import jax
    import numpy as np

    labels = ("clicks", "purchases")
    batch = {name: x for name, x in batch.items() if name not in labels}
    jax.block_until_ready(call(batch))
    wall, used = np.zeros(calls), np.zeros(calls)
    for number in range(calls):
        start = time.perf_counter(), time.process_time()
        jax.block_until_ready(call(batch))
        wall[number] = time.perf_counter() - start[0]
        used[number] = time.process_time() - start[1]
    median = 1000 * float(np.median(used))
    return {
        "work": work,
        "processor ms, median": f"{median:.2f}",
        "wall ms, p50 / p95": " / ".join(
            f"{1000 * np.quantile(wall, q):.2f}" for q in (0.5, 0.95)
        ),
        "requests/s": f"{len(batch['mask']) / np.median(wall):,.1f}",
        "bar": f"<= {REQUEST_BAR:g} ms" if judged else "",
        "held": ("yes" if median <= REQUEST_BAR else "NO") if judged else "",
    }


def time_photos(sizes: Any, quick: bool) -> dict[str, Any]:
    """The row of a request whose images are photos; `quick` cuts the network off."""
    import jax
    import numpy as np

    from benchmarks import weights
    from common.layers import efficientnet
    from common.layers.efficientnet_sizes import SIZES

    whole = SIZES["efficientnet-lite0"]
    kind = whole.up_to(1) if quick else whole
    length, pixels = (LENGTHS[0], 32) if quick else (LENGTHS[-1], PIXELS)
    modalities = tuple(
        dataclasses.replace(m, width=kind.width) if m.name == "image" else m
        for m in sizes.modalities
    )
    sizes = dataclasses.replace(sizes, modalities=modalities)
    batch = draw_batch(sizes, 1, length)
    shape = (1, length, pixels, pixels, 3)
    batch["image"] = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    backbone, answers = efficientnet.EfficientNet(kind), compile_answers(sizes)
    example = jax.ShapeDtypeStruct((1, pixels, pixels, 3), "float32")
    shapes = jax.eval_shape(backbone.init, jax.random.key(0), example)
    variables = jax.device_put(weights.draw(shapes))

    @jax.jit
    def encode(variables, photos):
        images = efficientnet.normalise(photos[0])
        seen: Any = backbone.apply(variables, images)  # [L, H', W', D]
        return seen.mean((1, 2))[None]  # [1, L, D]

    def call(batch):
        return answers({**batch, "image": encode(variables, batch["image"])})

    work = f"1 requests of L = {length}, {length} photos of {pixels} px encoded in it"
    return time_calls(call, batch, 3 if quick else 20, work, False)


def time_requests(sizes: Any, quick: bool) -> list[dict[str, Any]]:
    """Rows of a table: requests one by one, and many together; one with photos."""
    call, rows = compile_answers(sizes), []
    for length in LENGTHS[:1] if quick else LENGTHS:
        for count in (1, TOGETHER):
            batch = draw_batch(sizes, count, length)
            calls = 3 if quick else 1000 // count
            work = f"{count} requests of L = {length}, 17 orders each"
            judged = count == 1 and length == max(LENGTHS)
            rows.append(time_calls(call, batch, calls, work, judged))
    return [*rows, time_photos(sizes, quick)]


def compare_steps(sizes: Any, quick: bool) -> timing.Comparison:
    """A training step of the list-wise network beside PyTorch's, where that is there."""
    import jax

    from rerank.config import Config
    from rerank.step import Learner

    config = Config()
    count, length = (4, 10) if quick else (128, 50)
    drawn = draw_batch(sizes, count, length)
    learner = Learner(config, sizes)
    state = jax.jit(learner.init)()
    step, key = jax.jit(learner.step, donate_argnums=0), jax.random.key(0)
    batch = jax.device_put(drawn)
    try:
        other = ("PyTorch", peer_step(config, sizes, state.params, drawn))
    except ModuleNotFoundError:  # torch is an extra
        other = None

    def ours() -> None:
        nonlocal state
        state, measured = step(state, batch, key)
        jax.block_until_ready(measured)

    work = f"training step, {count} lists of {length}"
    return timing.Comparison(work, ("ours", ours), other, bar=STEP_BAR)


def peer_step(
    config: Any, sizes: Any, params: Any, drawn: dict[str, Any]
) -> Callable[[], None]:
    """A training step in PyTorch that starts from the same weights."""
    import torch

    from benchmarks.rerank_peer import Armmt
    from rerank.model import EXPANSION

    torch.set_num_threads(1)
    peer = Armmt(config.model, sizes, EXPANSION)
    peer.copy_params(params)
    optimizer = torch.optim.AdamW(peer.parameters(), lr=1e-3, weight_decay=0.01)
    given = {name: torch.from_numpy(x) for name, x in drawn.items()}
    cross_entropy = torch.nn.functional.binary_cross_entropy_with_logits

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        logits, clicks = peer(given)
        loss = cross_entropy(logits, given["purchases"])
        loss = loss + config.loss.click_weight * cross_entropy(clicks, given["clicks"])
        loss.backward()
        optimizer.step()

    return step


def main(arguments: list[str]) -> None:
    """Prints two tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.rerank")
    parser.add_argument("--repeats", type=int, default=7, help="rounds of the step")
    parser.add_argument("--quick", action="store_true", help="does it run at all?")
    parser.add_argument(timing.AVX2_FLAG, action="store_true", help=timing.AVX2_HELP)
    options = parser.parse_args(arguments)
    timing.pin(1)
    from common.reports.result_tables import to_markdown

    sizes = make_sizes(options.quick)
    print(to_markdown(time_requests(sizes, options.quick)))
    comparison = compare_steps(sizes, options.quick)
    print(
        to_markdown(timing.compare(comparison, 1 if options.quick else options.repeats))
    )


if __name__ == "__main__":
    timing.start()
    main(sys.argv[1:])
