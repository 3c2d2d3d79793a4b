"""What is trained: the score, its two tasks and their optimizer.

Pure functions of (state, batch, key), without files or data sources: the loop,
benchmarks and exports all call these.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from common.parallel import rng
from common.parallel.devices import SINGLE, Devices
from common.parallel.precision import compute_dtype
from common.training import metrics
from recsys import losses
from recsys.config import OURS, Config
from recsys.corpus.corpus import Corpus
from recsys.corpus.tree import CategoryTree
from recsys.models.coarse_fine import CoarseFine
from recsys.models.deepstyle import DeepStyle
from recsys.models.factors import Factors
from recsys.models.projection import Form
from recsys.models.recommender import (
    Recommender,
    differences,
    join_rows,
    score_pairs,
    split_rows,
)
from recsys.models.sherlock import Sherlock
from recsys.models.vbpr import Vbpr
from recsys.row_optimizer import RowOptimizer, RowState

Batch = Mapping[str, Any]

MOST_LEVELS = 16  # of a category tree

# Class and fields of each baseline by name. A variant I learns nothing of single items;
# II, the same model trained on both tasks (paper, section 4.3), is no other model.
SCORES: Mapping[str, tuple[type[Recommender], Mapping[str, Any]]] = {
    "vbpr": (Vbpr, {}),
    "vbpr-i": (Vbpr, {"factor_width": 0}),
    "sherlock": (Sherlock, {}),
    "sherlock-i": (Sherlock, {"factor_width": 0}),
    "deepstyle": (DeepStyle, {}),
    "deepstyle-i": (DeepStyle, {"item_factors": False}),
}


class State(NamedTuple):
    """All that a run carries from step to step.

    Attributes:
      params: {name: array} of the model.
      optimizer: its moments.
    """

    params: dict[str, jax.Array]
    optimizer: RowState


def make_model(
    config: Config,
    tree: CategoryTree,
    user_count: int,
    item_count: int,
    feature_size: int,
    feature_power: float,
    form: Form,
) -> Recommender:
    """The model that a config names.

    Args:
      config: of the run.
      tree: of the items' categories.
      user_count: U.
      item_count: I.
      feature_size: F.
      feature_power: mean of |f|^2.
      form: of the products with a matrix per category.

    Raises:
      UserError: where the widths do not fit the tree.
    """
    model = config.model
    model.check_widths(tree.levels)
    fields: dict[str, Any] = {
        "user_count": user_count,
        "item_count": item_count,
        "feature_size": feature_size,
        "width": model.width,
        "feature_power": feature_power,
        "projection": form,
        "dtype": compute_dtype(config.precision),
    }
    if model.score == OURS:
        return CoarseFine(tree=tree, level_widths=model.level_widths or None, **fields)
    if model.is_rival:
        return Factors(tree=tree, **fields)
    kind, variant = SCORES[model.score]
    if kind is not DeepStyle:
        fields["factor_width"] = model.width // 2
    if kind is Sherlock:
        fields["level_widths"] = model.level_widths or None
    fields["user_bias_used"] = model.user_bias
    return kind(tree=tree, **{**fields, **variant})


def model_for(config: Config, corpus: Corpus, form: Form) -> Recommender:
    """The model that a config names, for the users and items of a corpus."""
    catalogue = corpus.catalogue
    return make_model(
        config,
        catalogue.tree,
        corpus.user_count,
        catalogue.item_count,
        catalogue.scaling.width,
        catalogue.scaling.power,
        form,
    )


def row_kinds(config: Config) -> tuple[str, ...]:
    """Kinds of tables of which a step updates the rows of its batch alone.

    The exact second task gives every user a gradient.
    """
    if config.row_optimizer == "dense":
        return ()
    every_user = config.task_weights[1] > 0 and config.loss.softmax == "exact"
    levels = (f"level{k}" for k in range(1, MOST_LEVELS + 1))
    return (*(() if every_user else ("user",)), "item", "leaf", *levels)


@dataclasses.dataclass(frozen=True)
class Learner:
    """A model and how it is trained.

    Attributes:
      config: of the run.
      model: see `make_model`.
      devices: what a batch is spread over.
    """

    config: Config
    model: Recommender
    devices: Devices = SINGLE

    @property
    def optimizer(self) -> RowOptimizer:
        """What updates the parameters."""
        config = self.config
        return RowOptimizer(config.row_optimizer, config.optimizer, config.train.steps)

    def init(self, start: Any = None) -> State:
        """A state of random weights; `start` is of the loop and not used."""
        del start
        key = rng.stream(rng.root(self.config.train.seed), "init")
        params = self.model.init_params(key)
        return State(params, self.optimizer.init(params, row_kinds(self.config)))

    def step(
        self, state: State, batch: Batch, key: jax.Array
    ) -> tuple[State, dict[str, metrics.Pair]]:
        """One update by Eq. 9.

        Args:
          state: before it.
          batch: "users" [B], "items" and "leaves" [B, 1 + n], "features"
            [B, 1 + n, F], "ids" where only rows are updated, "others" and
            "sampled_users" where the config wants them, "weights" [B] where
            interactions have any.
          key: not used; nothing here is drawn on the device.
        """
        del key
        params, moments = state
        ids = batch.get("ids", {})

        def loss_of(rows, dense):
            pairs = self._pairs(rows, dense, batch)
            total, weight = pairs["loss"]
            return total / weight, pairs

        rows, dense = self.optimizer.split_rows(params, moments, ids)
        grads, pairs = jax.grad(loss_of, argnums=(0, 1), has_aux=True)(rows, dense)
        by_row, by_array = self.devices.mean(grads)
        params, moments = self.optimizer.update(params, moments, by_row, by_array, ids)
        # Of large tables the rows of the batch alone have changed.
        changes = jax.tree.map(jnp.subtract, split_rows(params, ids), (rows, dense))
        measured = {**pairs, **metrics.update_norms((by_row, by_array), changes)}
        return State(params, moments), measured

    def current_params(self, state: State) -> dict[str, jax.Array]:
        """All parameters as they are now, those of rows that rest included."""
        return self.optimizer.finish(*state)[0]

    def user_vectors(self, params: Mapping[str, jax.Array], batch: Batch) -> jax.Array:
        """[B, E] of "users" [B]."""
        vectors: Any = self.model.apply(
            {"params": params}, batch["users"], method="user_vectors"
        )
        return vectors

    def item_vectors(self, params: Mapping[str, jax.Array], batch: Batch) -> jax.Array:
        """[B, w] the items' own columns, of "items", "leaves" and "features"."""
        vectors: Any = self.model.apply(
            {"params": params},
            batch["items"],
            batch["leaves"],
            batch["features"],
            method="item_vectors",
        )
        return vectors[:, : self.model.item_width]

    def leaf_vectors(self, params: Mapping[str, jax.Array], batch: Batch) -> jax.Array:
        """[B, E - w] the columns that items of a leaf share, of "leaves" [B]."""
        vectors: Any = self.model.apply(
            {"params": params}, batch["leaves"], method="leaf_vectors"
        )
        return vectors

    def _pairs(
        self,
        rows: Mapping[str, jax.Array],
        dense: Mapping[str, jax.Array],
        batch: Batch,
    ) -> dict[str, metrics.Pair]:
        """Loss and its parts over the global batch."""
        config, ids = self.config.loss, batch.get("ids", {})
        weights = self.config.task_weights
        variables = join_rows(rows, dense, ids)
        user = self._apply(variables, "user_vectors", batch["users"])  # [B, E]
        items = [batch[name] for name in ("items", "leaves", "features")]
        second = None
        if weights[1]:
            vectors = self._apply(variables, "item_vectors", *items)  # [B, 1 + n, E]
            second = self._user_loss(variables, user, vectors[:, 0], batch)
            apart = differences(vectors)
        else:
            apart = self._apply(variables, "item_differences", *items)  # [B, n, E]
        ahead = score_pairs(user, apart)  # [B, n]
        first = losses.pairwise_loss(ahead, batch.get("weights"), self.devices)
        parts = {"pairs": first} | ({} if second is None else {"users": second})
        if second is None:
            loss = weights[0] * losses.joint_loss(first, reduction=config.reduction)
        else:
            loss = losses.joint_loss(
                first, second, weights=weights, reduction=config.reduction
            )
        if config.penalty:
            loss = loss + config.penalty * losses.squared_norm({**rows, **dense})
        count = self.devices.sum(jnp.asarray(len(ahead), jnp.float32))
        right = (ahead > 0).astype(jnp.float32).mean(axis=1)  # [B]
        parts["ahead"] = metrics.weighted(right, None, self.devices)
        return {"loss": (loss * count, count), **parts}

    def _user_loss(
        self, variables: Any, users: jax.Array, items: jax.Array, batch: Batch
    ) -> metrics.Pair:
        """J_2 of the positives [B, E], whose users have the vectors `users` [B, E]."""
        config = self.config.loss
        others = batch.get("others")
        if config.softmax == "exact":
            everyone = self._apply(variables, "user_vectors")  # [U, E]
            return losses.user_loss(
                items,
                everyone,
                batch["users"],
                batch.get("weights"),
                others=others,
                chunk=config.chunk,
                devices=self.devices,
            )
        sampled = batch["sampled_users"]  # [S]
        left_out = batch["users"][:, None] == sampled[None]  # [B, S]
        if others is not None:
            left_out |= (others[:, :, None] == sampled[None, None]).any(axis=1)
        count = jnp.full(sampled.shape, self.model.user_count, jnp.float32)
        return losses.sampled_user_loss(
            items,
            users,
            self._apply(variables, "user_vectors", sampled),
            -jnp.log(count),
            batch.get("weights"),
            left_out=left_out,
            devices=self.devices,
        )

    def _apply(self, variables: Any, method: str, *inputs: Any) -> Any:
        return self.model.apply(variables, *inputs, method=method)
