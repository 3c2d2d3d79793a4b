"""Batches made by hand, and parameters that no training made."""

import jax
import numpy as np

from common.config import configs
from rerank.config import LISTWISE, Config, Modality, Sizes
from rerank.step import Learner, State

SIZES = Sizes(
    fields=3,
    context=2,
    query_words=7,
    modalities=(Modality("text", 0, 9), Modality("image", 4)),
    length=6,
)
TINY = {
    "model.width": 8,
    "model.heads": 2,
    "model.list_layers": 1,
    "train.steps": 8,
    "model.modality_dropout": 0.0,
}
# A full list, one of one, an empty one, and two of other lengths.
LENGTHS = (6, 1, 0, 4, 3)


def make_learner(phase=LISTWISE, sizes=SIZES, **changes):
    named = {name.replace("__", "."): value for name, value in changes.items()}
    return Learner(configs.replace(Config(), {**TINY, **named}), sizes, phase)


def draw_state(learner, scale=0.4):
    """A state of random numbers, without compiling `init`."""
    rng = np.random.default_rng(0)
    shapes = jax.eval_shape(learner.init)
    params = jax.tree.map(
        lambda leaf: (scale * rng.normal(size=leaf.shape)).astype(np.float32),
        shapes.params,
    )
    zeros = jax.tree.map(lambda s: np.zeros(s.shape, s.dtype), shapes.optimizer)
    return State(params, zeros)


def make_batch(lengths=LENGTHS, places=6, past=5, seed=0, sizes=SIZES):
    """A batch as `rerank.batches` gives it, with rubbish in its padding.

    List b has lengths[b] candidates and b past items; list 4 (if any) has no modality.
    """
    rng = np.random.default_rng(seed)
    count = len(lengths)
    mask = np.arange(places)[None] < np.array(lengths)[:, None]
    history_mask = np.arange(past)[None] < np.arange(count)[:, None]

    def normal(*shape):
        return rng.normal(size=shape).astype(np.float32)

    def words(size, *shape):
        return {
            "ids": rng.integers(1, size, shape).astype(np.int32),
            "weights": rng.uniform(0.1, 1, shape).astype(np.float32),
        }

    batch = {
        "mask": mask,
        "fields": normal(count, places, sizes.fields),
        "category": rng.integers(-1, 2, (count, places)).astype(np.int32),
        "context": normal(count, sizes.context),
        "history_mask": history_mask,
        "history_category": rng.integers(-1, 2, (count, past)).astype(np.int32),
        "clicks": ((rng.random(mask.shape) < 0.5) & mask).astype(np.float32),
        "purchases": ((rng.random(mask.shape) < 0.3) & mask).astype(np.float32),
    }
    if sizes.query_words:
        for key, array in words(sizes.query_words, count, 3).items():
            batch[f"query_{key}"] = array
    for prefix, length in (("", places), ("history_", past)):
        shape = (count, length, len(sizes.modalities))
        batch[f"{prefix}present"] = rng.random(shape) < 0.7
        for modality in sizes.modalities:
            name = prefix + modality.name
            if modality.words:
                for key, array in words(modality.words, count, length, 2).items():
                    batch[f"{name}_{key}"] = array
            else:
                batch[name] = normal(count, length, modality.width)
    batch["present"][4:] = False
    return batch


def spoil(batch, seed=9):
    """Other contents of padding and of masked modalities, NaN among them."""
    rng = np.random.default_rng(seed)
    other = {name: np.array(array) for name, array in batch.items()}

    def replace(name, keep):
        array = other[name]
        keep = np.broadcast_to(
            keep.reshape(*keep.shape, *[1] * (array.ndim - 2)), array.shape
        )
        if array.dtype == np.float32:
            rubbish = rng.choice([np.nan, np.inf, 1e9, -3.0], array.shape)
        elif array.dtype == bool:
            rubbish = rng.random(array.shape) < 0.5
        else:
            rubbish = rng.integers(0, 5, array.shape)
        other[name] = np.where(keep, array, rubbish).astype(array.dtype)

    for name in ("fields", "category", "present"):
        replace(name, batch["mask"])
    for name in ("history_category", "history_present"):
        replace(name, batch["history_mask"])
    for prefix in ("", "history_"):
        there = batch[f"{prefix}present"] & batch[f"{prefix}mask"][..., None]
        for name in ("text_ids", "text_weights"):
            replace(prefix + name, there[..., 0])
        replace(f"{prefix}image", there[..., 1])
    return other
