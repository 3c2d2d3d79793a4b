"""Optimizers and learning-rate schedules by name."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import optax

from common.training.optimizer_config import OptimizerConfig
from common.training.tree_paths import path_name


def make_schedule(config: OptimizerConfig, total_steps: int) -> optax.Schedule:
    """Learning rate of the step that follows `count` updates.

    Warm-up over w steps: rate * (count + 1) / w. Cosine after it:
    rate * (1 + cos(pi * (count - w) / (total_steps - w))) / 2. Drop: rate until
    count reaches drop_at * total_steps, from there on drop_factor * rate.

    Args:
      config: rate, shape and warm-up.
      total_steps: number of updates of the whole run.

    Returns:
      count -> learning rate.
    """
    warmup = config.warmup_steps

    def schedule(count):
        rate = jnp.asarray(config.learning_rate, jnp.float32)
        if config.schedule == "cosine":
            done = (count - warmup) / max(total_steps - warmup, 1)
            rate = rate * (1 + jnp.cos(jnp.pi * jnp.clip(done, 0.0, 1.0))) / 2
        elif config.schedule == "drop":
            late = count >= config.drop_at * total_steps
            rate = rate * jnp.where(late, config.drop_factor, 1.0)
        if warmup:
            rate = rate * jnp.minimum((count + 1) / warmup, 1.0)
        return rate

    return schedule


def make_optimizer(
    config: OptimizerConfig, total_steps: int, *, frozen: Sequence[str] = ()
) -> optax.GradientTransformation:
    """The optimizer that a config describes.

    Gradients are clipped first. Weight decay is added to the gradient (L2, as for
    SGD in most frameworks), except for "adamw", which decays beside it (Loshchilov
    and Hutter 2019).

    Args:
      config: rule, rate, decay, clipping.
      total_steps: number of updates of the whole run.
      frozen: paths of parameters that stay as they are, such as "backbone" or
        "backbone/stem". They get zero updates, hold no optimizer state, and do not
        count in the norm that is clipped.

    Returns:
      An optax transformation.
    """
    parts = []
    if config.clip_norm:
        parts.append(optax.clip_by_global_norm(config.clip_norm))
    decay = optax.add_decayed_weights(config.weight_decay, mask=decay_mask)
    decoupled = config.name == "adamw"
    if config.weight_decay and not decoupled:
        parts.append(decay)
    if config.name == "momentum":
        parts.append(optax.trace(config.momentum))
    elif config.name != "sgd":
        parts.append(optax.scale_by_adam(b1=config.momentum))
    if config.weight_decay and decoupled:
        parts.append(decay)
    parts.append(optax.scale_by_learning_rate(make_schedule(config, total_steps)))
    rule = optax.chain(*parts)
    if not frozen:
        return rule
    return optax.multi_transform(
        {"trained": rule, "frozen": optax.set_to_zero()},
        lambda params: freeze_labels(params, frozen),
    )


def decay_mask(params: Any) -> Any:
    """True where weight decay applies: matrices and kernels, no bias, no norm scale."""

    def decays(path, leaf):
        name = path_name(path).rsplit("/", maxsplit=1)[-1]
        return leaf.ndim >= 2 and "bias" not in name and "scale" not in name

    return jax.tree_util.tree_map_with_path(decays, params)


def freeze_labels(params: Any, frozen: Sequence[str]) -> Any:
    """Labels every parameter "trained" or "frozen".

    Args:
      params: tree of parameters.
      frozen: paths; each covers itself and all below it.

    Raises:
      ValueError: for a path that covers nothing.
    """
    names = [path_name(path) for path, _ in jax.tree_util.tree_leaves_with_path(params)]
    for prefix in frozen:
        if not any(_covers(prefix, name) for name in names):
            raise ValueError(f"no parameter lies under {prefix!r}")

    def label(path, leaf):
        name = path_name(path)
        return "frozen" if any(_covers(p, name) for p in frozen) else "trained"

    return jax.tree_util.tree_map_with_path(label, params)


def _covers(prefix: str, name: str) -> bool:
    return name == prefix or name.startswith(f"{prefix}/")
