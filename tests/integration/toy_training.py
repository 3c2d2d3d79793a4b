"""A tiny problem with everything that makes exactness hard, as a function and a program.

101 items (a prime number) through a network with batch norm and dropout, momentum with
clipping and a cosine schedule, and 23 items for validation in batches of 16, the last
one padded. Two phases: the second starts from the best parameters of the first.

    python tests/integration/toy_training.py WORKDIR '{"steps": 40}'
"""

import dataclasses
import json
import os
import pathlib
import signal
import sys
import time

if __name__ == "__main__":
    sys.path.insert(0, str(pathlib.Path(__file__).parents[2]))

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn

from common.cli.app import mistakes_in_one_line
from common.layers.dropout import Dropout
from common.parallel import processes, rng
from common.parallel.devices import Devices
from common.parallel.execution import Execution, make_execution
from common.parallel.processes import ParallelConfig
from common.training import metrics, optim, train_loop
from common.training.interruption import watch_ctrl_c
from common.training.loop_config import LoopConfig
from common.training.phase import Phase

ITEMS = 101
VALIDATION_ITEMS = 23
FEATURES = 5
CLASSES = 3


@dataclasses.dataclass(frozen=True)
class Toy:
    """What a test may vary."""

    steps: int = 20
    second_steps: int = 0  # of a second phase; 0 = none
    batch_size: int = 16
    width: int = 8
    seed: int = 0
    log_every: int = 3
    eval_every: int = 5
    checkpoint_every: int = 4
    best_metric: str = "top1"
    best_mode: str = "max"
    learning_rate: float = 0.1
    mode: str = "jit"
    devices: int = 0
    model_axis: int = 1
    coordinator: str = ""
    process_id: int = -1
    pause: float = 0.0  # seconds a step, so that there is time to kill
    nan_at: int = -1  # step whose batch holds a NaN
    raise_at: int = -1  # step whose batch can't be read
    sigterm_at: int = -1  # step during whose reading SIGTERM comes
    sigint_at: int = -1  # the same for Ctrl-C
    evaluation: float = 0.0  # seconds that an evaluation takes at least
    patience: int = 0


class Net(nn.Module):
    width: int
    devices: Devices

    @nn.compact
    def __call__(self, x, *, train: bool):
        x = nn.Dense(self.width)(x)
        norm = nn.BatchNorm(
            use_running_average=not train, axis_name=self.devices.axis, momentum=0.9
        )
        x = Dropout(0.3, self.devices)(nn.relu(norm(x)), train=train)
        return nn.Dense(CLASSES)(x)


def items(count: int, seed: int) -> dict[str, np.ndarray]:
    """Points whose class depends on a direction, with noise."""
    draw = np.random.default_rng(seed)
    x = draw.normal(size=(count, FEATURES)).astype(np.float32)
    y = np.digitize(x[:, 0] + 0.3 * draw.normal(size=count), [-0.5, 0.5])
    return {"x": x, "y": y.astype(np.int32)}


def train_batches(toy: Toy, start: int):
    """This process' rows of batch k, a function of k alone."""
    data = items(ITEMS, seed=1)
    mine = toy.batch_size // jax.process_count()
    first = jax.process_index() * mine
    step = start
    while True:
        rows = []
        for position in range(first, first + mine):
            epoch, place = divmod(step * toy.batch_size + position, ITEMS)
            order = np.random.default_rng((toy.seed, epoch)).permutation(ITEMS)
            rows.append(order[place])
        batch = {name: array[rows] for name, array in data.items()}
        if step == toy.nan_at:
            batch["x"] = np.full_like(batch["x"], np.nan)
        if step == toy.raise_at:
            raise InterruptedError
        if step == toy.sigterm_at:
            os.kill(os.getpid(), signal.SIGTERM)
        if step == toy.sigint_at:
            os.kill(os.getpid(), signal.SIGINT)
        time.sleep(toy.pause)
        yield batch
        step += 1


def eval_batches(toy: Toy):
    """The validation items; the last batch is padded with garbage and masked."""
    data = items(VALIDATION_ITEMS, seed=2)
    mine = toy.batch_size // jax.process_count()
    first = jax.process_index() * mine
    for begin in range(0, VALIDATION_ITEMS, toy.batch_size):
        rows = np.arange(begin + first, begin + first + mine)
        mask = (rows < VALIDATION_ITEMS).astype(np.float32)
        batch = {name: array[rows % VALIDATION_ITEMS] for name, array in data.items()}
        yield {**batch, "mask": mask}


def make_phase(toy: Toy, name: str, steps: int, execution: Execution) -> Phase:
    devices = execution.devices
    net = Net(toy.width, devices)
    rule = optim.OptimizerConfig(
        learning_rate=toy.learning_rate,
        clip_norm=1.0,
        weight_decay=1e-3,
        schedule="cosine",
        warmup_steps=2,
    )
    optimizer = optim.make_optimizer(rule, total_steps=100)

    def init(previous):
        key = rng.stream(rng.root(toy.seed), "params")
        variables = net.init(key, jnp.zeros((1, FEATURES)), train=False)
        if previous is not None:
            variables = {**variables, "params": previous["variables"]["params"]}
        return {
            "variables": variables,
            "optimizer": optimizer.init(variables["params"]),
            "key": rng.stream(rng.root(toy.seed), "kept in the state"),
        }

    def step(state, batch, key):
        def loss_of(params):
            logits, updates = net.apply(
                {**state["variables"], "params": params},
                batch["x"],
                train=True,
                rngs={"dropout": rng.stream(key, "dropout")},
                mutable=["batch_stats"],
            )
            losses = optax.softmax_cross_entropy_with_integer_labels(logits, batch["y"])
            total, weight = metrics.weighted(losses, devices=devices)
            return total / weight, ((total, weight), updates, logits)

        params = state["variables"]["params"]
        gradients, (loss, updates, logits) = jax.grad(loss_of, has_aux=True)(params)
        gradients = devices.mean(gradients)
        change, rule_state = optimizer.update(gradients, state["optimizer"], params)
        variables = {**updates, "params": optax.apply_updates(params, change)}
        measured = {
            "loss": loss,
            **metrics.top_k(logits, batch["y"], (1,), None, devices),
            **metrics.update_norms(gradients, change),
        }
        return {
            "variables": variables,
            "optimizer": rule_state,
            "key": state["key"],
        }, measured

    def judge(state, batch):
        logits = net.apply(state["variables"], batch["x"], train=False)
        losses = optax.softmax_cross_entropy_with_integer_labels(logits, batch["y"])
        return {
            "loss": metrics.weighted(losses, batch["mask"], devices),
            **metrics.top_k(logits, batch["y"], (1,), batch["mask"], devices),
        }

    judging = execution.compile_eval(judge)

    def evaluate(state):
        time.sleep(toy.evaluation)
        return metrics.sum_over(judging, state, eval_batches(toy)).means()

    def batches(start):
        return train_batches(toy, start)

    def parameters(state):
        return state["variables"]["params"]

    return Phase(name, steps, init, step, batches, evaluate, parameters)


def make_run(toy: Toy):
    """(phases, loop config, execution) of a toy."""
    execution = make_execution(
        ParallelConfig(mode=toy.mode, devices=toy.devices, model_axis=toy.model_axis)
    )
    config = LoopConfig(
        batch_size=toy.batch_size,
        seed=toy.seed,
        log_every=toy.log_every,
        eval_every=toy.eval_every,
        checkpoint_every=toy.checkpoint_every,
        best_metric=toy.best_metric,
        best_mode=toy.best_mode,
        patience=toy.patience,
        progress=False,
        tensorboard=False,
    )
    phases = [make_phase(toy, "first", toy.steps, execution)]
    if toy.second_steps:
        phases.append(make_phase(toy, "second", toy.second_steps, execution))
    return phases, config, execution


def train(workdir, toy: Toy) -> train_loop.Result:
    phases, config, execution = make_run(toy)
    identity = {"model": {"width": toy.width}}
    return train_loop.run(phases, config, workdir, execution, identity=identity)


def main(workdir: str, settings: str) -> None:
    watch_ctrl_c()
    toy = Toy(**json.loads(settings))
    if toy.coordinator:
        processes.start(
            ParallelConfig(
                distributed=True,
                coordinator=toy.coordinator,
                process_count=2,
                process_id=toy.process_id,
            )
        )
    with mistakes_in_one_line():
        train(workdir, toy)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
