"""The whole training step of ican on generated items, ready to be timed."""

import dataclasses
from typing import Any

import jax
import numpy as np

from benchmarks import operations
from benchmarks.weights import draw
from common.data.configs import PhotosConfig
from common.parallel.devices import SINGLE
from common.tables.encoders import RESERVED, AttributeSize, AttributeSpec
from ican import ensemble as ensembles
from ican import zones
from ican.config import BackboneConfig, Config
from ican.model_config import IcanConfig, ModelConfig
from ican.step import Learner, State

_CATEGORIES = RESERVED + 13


def make_spec(quick: bool = False) -> AttributeSpec:
    """Attributes as many as in the paper's Table 1, or 2 of them.

    13 attributes: 9 with 117 categories together, 4 of 6 numbers.
    """
    sizes = {"month": 1} if quick else {"size": 1, "weight": 1, "center": 2, "side": 2}
    numbers = (AttributeSize(name, "continuous", n) for name, n in sizes.items())
    categories = (
        AttributeSize(f"category {i}", "categorical", _CATEGORIES)
        for i in range(1 if quick else 9)
    )
    return AttributeSpec((*categories, *numbers))


def ican(cells: int) -> ModelConfig:
    """The paper's network with some number of cells."""
    return ModelConfig(kind="ican", ican=IcanConfig(cells=cells))


def make_attributes(
    spec: AttributeSpec, batch: int, rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """Drawn attributes of items, none missing."""
    widths = {"categorical": 0, "continuous": 0}
    for attribute, place in spec.slices():
        widths[attribute.kind] = place.stop
    ids = rng.integers(0, _CATEGORIES, (batch, widths["categorical"]))
    numbers = rng.standard_normal((batch, widths["continuous"]), np.float32)
    return {
        "categorical": ids.astype(np.int32),
        "continuous": numbers,
        "missing": np.zeros_like(numbers),
        "sets": np.zeros((batch, 0), np.float32),
    }


@dataclasses.dataclass
class Training:
    """A training run on one batch that never changes.

    Attributes:
      spec: the attributes.
      depth: of the ResNet.
      pixels: side of the photos.
      batch: items.
      cells: L.
      precision: "float32" or "bfloat16".
    """

    spec: AttributeSpec
    depth: str
    pixels: int
    batch: int
    cells: int
    precision: str = "float32"

    def __post_init__(self):
        rng = np.random.default_rng(0)
        prices = rng.uniform(20.0, 1300.0, max(self.batch, 1000))
        config = Config(
            photos=PhotosConfig(resize=self.pixels, crop=self.pixels),
            backbone=BackboneConfig(depth=self.depth),
            model=ican(self.cells),
            precision=self.precision,
        )
        fitted = zones.fit(config.zones, prices)
        ensemble = ensembles.build(config.ensemble, fitted, prices)
        counts = ensemble.class_counts(prices)
        learner = Learner(config, self.spec, ensemble, counts, None, SINGLE)
        prices = prices[: self.batch]
        shape = (self.batch, 1, self.pixels, self.pixels, 3)
        items = {
            **make_attributes(self.spec, self.batch, rng),
            "photos": rng.integers(0, 256, shape, dtype=np.uint8),
            "photo_mask": np.ones((self.batch, 1), np.float32),
            "price": prices.astype(np.float32),
            "label": fitted.label(prices).astype(np.int32),
            "targets": ensemble.targets(prices),
        }
        self._items = jax.device_put(items)
        self._key = jax.random.key(0)
        shapes = jax.eval_shape(lambda: learner.init({}))
        self._state: State = jax.device_put(draw(shapes))
        self._function = learner.step
        self._step = jax.jit(learner.step, donate_argnums=0)

    def operations(self) -> int:
        """Arithmetic operations of the products in one step."""
        return operations.count(self._function, self._state, self._items, self._key)

    def start(self) -> Any:
        """Starts one step; gives metrics that are not there yet."""
        self._state, metrics = self._step(self._state, self._items, self._key)
        return metrics

    def __call__(self) -> Any:
        """Does one step and waits for it."""
        metrics = self.start()
        return jax.block_until_ready((metrics, self._state))[0]
