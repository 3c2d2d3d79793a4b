"""AdamW for tables of which a batch needs few rows.

Dense AdamW passes over every row of every table, in each step: half a million users and
a matrix for each of 1,233 leaves cost more than the batch itself. Here gradients are
taken with respect to rows (see `recsys.models.recommender`), and only these are updated.

With the gradient g_t of step t = 1, 2, ..., the rate l_t, decay d, eps = 1e-8 and

    m_t = b1 m_(t-1) + (1 - b1) g_t        v_t = b2 v_(t-1) + (1 - b2) g_t^2
    w_t = (1 - l_t d) w_(t-1) - l_t m_t / (1 - b1^t) / (sqrt(v_t / (1 - b2^t)) + eps)

where tables of biases have d = 0, the rules are

  "dense"           this, for all parameters: the reference.
  "lazy"            this for rows of the batch; the others and their moments rest. A row
                    moves less than with "dense", which goes on moving it by its m while
                    it rests, by about b1 / (1 - b1) times its last step in all.
  "lazy_corrected"  "dense" but for the time at which rows move: what a row has missed
                    is done in one go before its next use. See `_catch_up`.

Parameters that are not tables of rows follow "dense" with all of them.

Sources: Loshchilov and Hutter, "Decoupled Weight Decay Regularization", ICLR 2019
("dense"); LazyAdam of TensorFlow Addons and SparseAdam of PyTorch ("lazy"); Lipton and
Elkan, "Efficient Elastic Net Regularization for Sparse Linear Models", 2015 (updates
made up for when a row is next used; there for decay, here for Adam too).
"""

import dataclasses
import functools
from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple, get_args

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax

from common.errors import UserError
from common.training.optim import (
    OptimizerConfig,
    decay_mask,
    make_optimizer,
    make_schedule,
)
from recsys.config import B2, RowRule, check_row_rule
from recsys.models import recommender
from recsys.models.recommender import NO_ROW

Arrays = Mapping[str, jax.Array]

EPSILON = 1e-8  # as in `make_optimizer`

# Numbers of a table at a time: what they need on the way stays in a processor's cache.
CHUNK = 2**17


class RowState(NamedTuple):
    """What the updates so far leave behind; arrays only.

    Attributes:
      steps: int32 [], their number.
      moments: {table: (m, v), both like the table}.
      last: {kind: int32 [rows], the step up to which its rows are up to date}; only for
        "lazy_corrected".
      dense: state of optax for the other parameters.
    """

    steps: jax.Array
    moments: dict[str, tuple[jax.Array, jax.Array]]
    last: dict[str, jax.Array]
    dense: Any


@dataclasses.dataclass(frozen=True)
class RowOptimizer:
    """How the parameters of a `Recommender` are updated.

        state = optimizer.init(params, kinds)
        rows, dense = optimizer.split_rows(params, state, ids)
        gradients = jax.grad(loss, argnums=(0, 1))(rows, dense)
        params, state = optimizer.update(params, state, *gradients, ids)
        params, state = optimizer.finish(params, state)  # to evaluate or to save

    All methods are pure. Under `jax.jit` with params and state donated, tables are
    updated where they stand.

    Attributes:
      rule: see the module's docstring.
      config: rate and schedule, b1 (`momentum`), decay, and the bound on the norm of
        all gradients together, of rows and others. Its name does not count.
      total_steps: of the whole run; "lazy_corrected" does nothing about rests after it.
      chunk: numbers of a table that are handled at a time.

    Raises:
      UserError: no such rule, or "lazy_corrected" with a momentum so high that a rest
        would move a row without bound.
    """

    rule: RowRule
    config: OptimizerConfig
    total_steps: int
    chunk: int = CHUNK

    def __post_init__(self):
        if self.rule not in get_args(RowRule):
            choices = ", ".join(get_args(RowRule))
            raise UserError(f"update of rows {self.rule!r}: choose one of {choices}")
        check_row_rule(self.rule, self.config)

    def init(self, params: Arrays, kinds: Collection[str]) -> RowState:
        """The state before the first update.

        Args:
          params: {name: array}.
          kinds: of the tables whose rows are updated, such as "user"; those of the
            `ids` of all later calls. For "dense" they do not count.
        """
        kinds = () if self.rule == "dense" else kinds
        tables = {name: params[name] for name in params if _kind(name) in kinds}
        rest = {name: params[name] for name in params if name not in tables}
        # Two arrays: one buffer can't be donated twice.
        moments = {n: (jnp.zeros_like(t), jnp.zeros_like(t)) for n, t in tables.items()}
        steps, last = jnp.zeros((), jnp.int32), {}
        if self.rule == "lazy_corrected":
            last = {_kind(n): jnp.zeros(len(t), jnp.int32) for n, t in tables.items()}
        return RowState(steps, moments, last, self._adamw.init(rest))

    def split_rows(
        self, params: Arrays, state: RowState, ids: Arrays
    ) -> tuple[dict[str, jax.Array], dict[str, jax.Array]]:
        """`recommender.split_rows`, with rows that are up to date.

        Args:
          params: {name: array}.
          state: before the update.
          ids: {kind: int32 [n] sorted, filled up with `NO_ROW`}; {} for "dense".

        Returns:
          ({table: its rows [n, ...]}, {name: array}); rows of `NO_ROW` are zeros.
        """
        rows, dense = recommender.split_rows(params, ids)
        for name in rows if state.last else ():
            rows[name] = self._current_rows(name, params[name], state, ids)
        return rows, dense

    def update(
        self,
        params: Arrays,
        state: RowState,
        row_gradients: Arrays,
        dense_gradients: Arrays,
        ids: Arrays,
    ) -> tuple[dict[str, jax.Array], RowState]:
        """One step.

        Args:
          params: {name: array}, as before `split_rows`.
          state: of the updates so far.
          row_gradients: {table: [n, ...]}; what stands at `NO_ROW` does not count.
          dense_gradients: {name: array} of all other parameters.
          ids: as in `split_rows`.

        Returns:
          (params, state) after it.

        Raises:
          ValueError: the tables are not those of `init`.
        """
        if set(row_gradients) != set(state.moments):
            raise ValueError(
                f"gradients of rows of {sorted(row_gradients)}, but the optimizer has"
                f" been set up for rows of {sorted(state.moments)}"
            )
        if self.config.clip_norm:
            clipped = self._clip(row_gradients, dense_gradients, ids)
            row_gradients, dense_gradients = clipped
        dense = {name: params[name] for name in dense_gradients}
        updates, dense_state = self._adamw.update(dense_gradients, state.dense, dense)
        changed: dict[str, Any] = dict(optax.apply_updates(dense, updates))
        moments, steps = {}, state.steps + 1
        for name, gradient in row_gradients.items():
            table, numbers = params[name], jnp.asarray(ids[_kind(name)])
            step = self._step(gradient, state.steps, self._decay(name, table))
            arrays = self._change_rows(name, table, state, numbers, step)
            changed[name], moments[name] = arrays[0], arrays[1:]
        last = {k: _put(rows, ids[k], steps) for k, rows in state.last.items()}
        state = RowState(steps, moments, last, dense_state)
        return {name: changed[name] for name in params}, state

    def finish(
        self, params: Arrays, state: RowState
    ) -> tuple[dict[str, jax.Array], RowState]:
        """Brings all rows up to date; training may go on from the result.

        Only "lazy_corrected" has something to do: one pass over the tables.
        """
        changed, moments = dict(params), dict(state.moments)
        for name in moments if state.last else ():
            table = params[name]
            # In pieces too: XLA's own pass over a table holds a second copy of it.
            numbers = jnp.arange(len(table), dtype=jnp.int32)
            arrays = self._change_rows(
                name, table, state, numbers, lambda rows, _: rows
            )
            changed[name], moments[name] = arrays[0], arrays[1:]
        last = {k: jnp.full_like(rows, state.steps) for k, rows in state.last.items()}
        return changed, state._replace(moments=moments, last=last)

    @property
    def _adamw(self) -> optax.GradientTransformation:
        """Of all gradients that are not of rows; they have been clipped before."""
        config = dataclasses.replace(self.config, name="adamw", clip_norm=0.0)
        return make_optimizer(config, self.total_steps)

    def _clip(self, rows: Arrays, dense: Arrays, ids: Arrays) -> tuple[Arrays, Arrays]:
        """Gradients of bounded norm; those of rows [n, W], zeros for padding."""
        known = {name: ids[_kind(name)][:, None] != NO_ROW for name in rows}
        rows = {name: jnp.where(known[name], _flat(g), 0) for name, g in rows.items()}
        clip = optax.clip_by_global_norm(self.config.clip_norm)
        return clip.update((rows, dict(dense)), optax.EmptyState())[0]

    def _current_rows(self, name, table, state, ids):
        """Rows [n, ...] of a table as they are after the updates so far."""
        numbers = jnp.asarray(ids[_kind(name)])
        arrays = tuple(map(_flat, (table, *state.moments[name])))

        def visit(rows, positions):
            part = _take(numbers, positions, NO_ROW)  # [k]
            new = self._read(name, table, state, arrays, part)  # [k, W]
            return (_put(rows[0], positions, new[0]),)

        rows = jnp.zeros((len(numbers), *table.shape[1:]), table.dtype)
        return self._walk(visit, (rows,), numbers)[0]

    def _change_rows(self, name, table, state, numbers, change):
        """(w, m, v) of a table after its rows at `numbers` were changed.

        `change` is given rows that are up to date, and the places of theirs in numbers.
        """

        def visit(arrays, positions):
            part = _take(numbers, positions, NO_ROW)  # [k]
            rows = self._read(name, table, state, arrays, part)  # [k, W]
            rows = change(rows, positions)
            return tuple(_put(a, part, r) for a, r in zip(arrays, rows, strict=True))

        return self._walk(visit, (table, *state.moments[name]), numbers)

    def _decay(self, name: str, table: jax.Array) -> float:
        return self.config.weight_decay * decay_mask({name: table})[name]

    def _read(self, name, table, state, arrays, ids):
        """Rows [k, W] of arrays [rows, W] of a table, up to date."""
        rows = tuple(_take(array, ids, 0) for array in arrays)
        if not state.last:
            return rows
        since = _take(state.last[_kind(name)], ids, 0)
        return self._catch_up(rows, since, state.steps, self._decay(name, table))

    def _walk(self, visit: Callable, arrays: Any, ids: jax.Array) -> Any:
        """Arrays [rows, ...] after visits to the places of all ids but padding.

        `visit` is given the arrays as [rows, W] and places in `ids`, int32 [k]; those
        past the end stand for none.
        """
        if not len(ids):
            return arrays
        carry = tuple(map(_flat, arrays))
        # One row alone XLA would slice, in a way that copies the whole table.
        size = max(2, min(len(ids), self.chunk // carry[0].shape[1]))
        positions = jnp.arange(size, dtype=jnp.int32)
        if len(ids) <= size:
            carry = visit(carry, positions)
        else:
            known = jnp.sum(ids != NO_ROW, dtype=jnp.int32)
            carry = lax.fori_loop(
                0, -(-known // size), lambda k, c: visit(c, k * size + positions), carry
            )
        return tuple(a.reshape(b.shape) for a, b in zip(carry, arrays, strict=True))

    def _step(self, gradient: jax.Array, count: jax.Array, decay: float) -> Callable:
        """(rows (w, m, v), places in the gradient) -> rows after a step."""
        gradients, b1 = _flat(gradient), self.config.momentum
        rate, step = make_schedule(self.config, self.total_steps)(count), count + 1

        def adam(rows, positions):
            (weight, first, second), gradient = rows, _take(gradients, positions, 0)
            first = b1 * first + (1 - b1) * gradient
            second = B2 * second + (1 - B2) * gradient**2
            scale = jnp.sqrt(second / (1 - B2**step)) + EPSILON
            change = first / (1 - b1**step) / scale + decay * weight
            return weight - (rate * change).astype(weight.dtype), first, second

        return adam

    def _catch_up(self, rows, since, now, decay):
        """Rows after the steps since + 1 to now = since + s without a gradient.

        In these steps "dense" has m_t = b1^(t - since) m and v_t = b2^(t - since) v.
        With eps = 0 all numbers of a row then move by the same multiple of m / sqrt(v):

            w <- K w - T m / sqrt(v),   m <- b1^s m,   v <- b2^s v
            K = product over t of (1 - l_t d)
            T = sum over t of l_t sqrt(1 - b2^t) / (1 - b1^t) q^(t - since) K_t

        with q = b1 / sqrt(b2) and K_t the product over the steps after t. Sums to the
        end of the run, tables of one number for each of its steps, give both:

            K = kept(now) / kept(since),   T = K reach(since) - q^s reach(now)

        Exact for any schedule, with decay and correction of bias, but for eps, which
        "dense" adds to sqrt(v_t / (1 - b2^t)): in step t this is eps_t =
        eps sqrt(1 - b2^t) b2^(-(t - since) / 2) beside sqrt(v). Here it is that of the
        first step throughout, which makes the part of T that step t has too great by
        less than (eps_t - eps_(since + 1)) / sqrt(v) of itself. Over a rest this is
        0.1 % where sqrt(v) is 5 eps, or 50 eps in the first steps of a run.

        Args:
          rows: (w, m, v) [k, W].
          since: int32 [k].
          now: int32 [].
          decay: d.
        """
        weight, first, second = rows
        log_kept, reach = self._rests[decay]
        b1, rest = self.config.momentum, now - since  # [k]
        kept = jnp.exp(_at(log_kept, now) - _at(log_kept, since))
        moved = kept * _at(reach, since) - (b1 / B2**0.5) ** rest * _at(reach, now)
        epsilon = EPSILON * jnp.sqrt((1 - B2 ** (since + 1)) / B2)
        kept, moved, epsilon, keep_first, keep_second = (
            value.astype(weight.dtype)[:, None]  # [k, 1]
            for value in (kept, moved, epsilon, b1**rest, B2**rest)
        )
        weight = kept * weight - moved * (first / (jnp.sqrt(second) + epsilon))
        return weight, keep_first * first, keep_second * second

    @functools.cached_property
    def _rests(self) -> dict[float, tuple[np.ndarray, np.ndarray]]:
        """{d: (log kept, reach)}, float64 [total_steps + 1], see `_catch_up`.

        reach(t) = sum over t' > t of l_t' sqrt(1 - b2^t') / (1 - b1^t') q^(t' - t)
        kept(t) / kept(t'), from the last step backwards.
        """
        counts = np.arange(self.total_steps)
        with jax.ensure_compile_time_eval():
            schedule = make_schedule(self.config, self.total_steps)
            rates = np.asarray(jax.vmap(schedule)(counts), np.float64)
        b1, ratio = self.config.momentum, self.config.momentum / B2**0.5
        pulls = rates * np.sqrt(1 - B2 ** (counts + 1.0)) / (1 - b1 ** (counts + 1.0))
        tables = {}
        for decay in {0.0, self.config.weight_decay}:
            kept = 1 - rates * decay
            reach = np.zeros(self.total_steps + 1)
            for t in reversed(range(self.total_steps)):
                reach[t] = ratio / kept[t] * (pulls[t] + reach[t + 1])
            log_kept = np.concatenate([[0.0], np.cumsum(np.log(kept))])
            tables[decay] = log_kept, reach
        return tables


def _kind(name: str) -> str:
    return name.split("_")[0]


def _flat(table: jax.Array) -> jax.Array:
    return table.reshape(len(table), -1)


def _at(table: np.ndarray, steps: jax.Array) -> jax.Array:
    return jnp.take(jnp.asarray(table), steps, mode="clip")


def _take(array: jax.Array, ids: jax.Array, fill: int) -> jax.Array:
    """Rows with these numbers; `fill` for numbers past the end."""
    return jnp.take(array, ids, axis=0, mode="fill", fill_value=fill)


def _put(array: jax.Array, ids: jax.Array, rows: jax.Array) -> jax.Array:
    """The array with these rows in place of its own; numbers past the end: dropped."""
    return array.at[ids].set(
        rows, mode="drop", unique_indices=True, indices_are_sorted=True
    )
