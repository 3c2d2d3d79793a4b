"""One training step on any number of devices and processes.

`make_execution` returns an `Execution`: `jax.jit` over a mesh, or `jax.pmap`. Both
run the same step, take the same batches and write the same checkpoints. A step
learns where it runs through `execution.devices` (`common.parallel.devices.Devices`) alone.

    execution = make_execution(ParallelConfig())
    state = execution.init(init, None)
    step = execution.compile_step(train_step)
    state, metrics = step(state, batch, np.int32(0))

Trees come in three forms. The *device form* is what a compiled step takes and
returns: sharded arrays under jit, a copy for each device under pmap. The *saved form*
holds every array once, and is what goes into a checkpoint. *Host* trees are NumPy.
"""

import abc
import contextlib
from collections.abc import Callable, Iterable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.experimental import multihost_utils
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from common.errors import UserError
from common.parallel.devices import SINGLE, Devices
from common.parallel.processes import ParallelConfig

DATA_AXIS = "data"
MODEL_AXIS = "model"
# Arrays below this many entries cost less to copy than to exchange.
MIN_SHARDED_SIZE = 1 << 16


class Execution(abc.ABC):
    """Places arrays and compiles functions for the devices of a run.

    Attributes:
      devices: the hook that steps close over.
    """

    devices: Devices
    _devices: list[jax.Device]
    _data_size: int

    def line(self, name: str) -> Mesh:
        """All devices along one axis, in the order of processes."""
        return Mesh(np.array(self._devices), (name,), axis_types=(AxisType.Auto,))

    @property
    def data_size(self) -> int:
        """Number of parts that a global batch is cut into."""
        return self._data_size

    def check_batch(self, batch_size: int) -> None:
        """Refuses a global batch that can't be cut into equal parts.

        Raises:
          UserError: with the numbers.
        """
        if batch_size % self._data_size:
            raise UserError(
                f"batch size {batch_size} can't be spread evenly over "
                f"{self._data_size} devices: make it a multiple of "
                f"{self._data_size} or set --parallel.devices"
            )

    @abc.abstractmethod
    def put(self, batch: Any) -> Any:
        """Sends this process' rows of a batch to its devices.

        Args:
          batch: tree of host arrays [b, ...], b rows of the global batch's
            B = b * process count. Arrays that are on devices already (from `put` or
            `replicate`) pass through.

        Returns:
          The batch in device form.

        Raises:
          UserError: where b is no multiple of this process' devices.
        """

    @abc.abstractmethod
    def replicate(self, tree: Any) -> Any:
        """Copies a host tree to every device; returns its device form."""

    @abc.abstractmethod
    def init(self, function: Callable[..., Any], *args: Any) -> Any:
        """Runs `function(*args)` compiled; its result is born in device form.

        Args:
          function: makes a state; args are trees in device form.
        """

    @abc.abstractmethod
    def compile_step(
        self, function: Callable[..., tuple[Any, Any]]
    ) -> Callable[..., tuple[Any, Any]]:
        """Compiles a training step.

        Args:
          function: (state, batch, *values) -> (state, metrics). Metrics are sums over
            the global batch: reduce them with `devices.sum`.

        Returns:
          The same signature on device forms. The state given is used up (donated);
          `values` are host scalars or arrays, the same on all processes. Metrics stay
          on the device until read with `read`.
        """

    @abc.abstractmethod
    def compile_eval(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Compiles (state, batch) -> tree of values reduced over the global batch."""

    @abc.abstractmethod
    def compile_predict(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Compiles (state, batch) -> tree of arrays with a row for each of the batch.

        Returns:
          (state, batch) -> host arrays [B, ...] with the rows of the *global* batch
          in order, on every process.
        """

    def predict_all(
        self, function: Callable[..., Any]
    ) -> Callable[[Any, Iterable[Any], int], Any]:
        """Compiles (state, batch) -> tree of arrays with a row for each of the batch.

        Returns:
          (state, batches, rows) -> host arrays [rows, ...]: the rows of all batches
          together, without the padding of the last one.
        """
        compiled = self.compile_predict(function)

        def predict(state, batches, rows):
            parts = [compiled(state, batch) for batch in batches]
            return jax.tree.map(lambda *a: np.concatenate(a)[:rows], *parts)

        return predict

    @abc.abstractmethod
    def to_saved(self, state: Any) -> Any:
        """Saved form of a state: each array once."""

    @abc.abstractmethod
    def saved_structs(self, abstract: Any) -> Any:
        """What a checkpoint reader needs to know of the leaves of a saved form."""

    @abc.abstractmethod
    def from_saved(self, saved: Any) -> Any:
        """Device form of a saved form."""

    def read(self, values: Any) -> Any:
        """Waits for replicated values (metrics) and returns them on the host."""
        return jax.tree.map(np.asarray, values)

    def to_host(self, state: Any) -> Any:
        """Host tree of a state in device form."""
        return jax.tree.map(_whole, self.to_saved(state))


class _JitExecution(Execution):
    """`jax.jit` over a mesh (data, model): programs are global."""

    devices = SINGLE

    def __init__(self, devices: list[jax.Device], model_axis: int):
        # The order of rows must be the order of processes, so that masks drawn for
        # the global batch meet the same rows on any number of processes.
        self._devices = sorted(devices, key=lambda d: (d.process_index, d.id))
        local = sum(d.process_index == jax.process_index() for d in devices)
        if local % model_axis:
            raise UserError(
                f"--parallel.model_axis={model_axis} does not divide the {local} "
                "devices of a process"
            )
        self._model_size = model_axis
        self._data_size = len(devices) // model_axis
        grid = np.array(self._devices).reshape(self._data_size, model_axis)
        axis_types = (AxisType.Auto, AxisType.Auto)
        self._mesh = Mesh(grid, (DATA_AXIS, MODEL_AXIS), axis_types=axis_types)
        self._replicated = NamedSharding(self._mesh, PartitionSpec())
        self._by_row = NamedSharding(self._mesh, PartitionSpec(DATA_AXIS))
        self._local_rows = local // model_axis

    def _sharding(self, leaf: Any) -> NamedSharding:
        """Cuts the longest axis that divides evenly, of large arrays only."""
        if self._model_size == 1 or leaf.ndim < 2 or leaf.size < MIN_SHARDED_SIZE:
            return self._replicated
        even = [a for a in range(leaf.ndim) if leaf.shape[a] % self._model_size == 0]
        if not even:
            return self._replicated
        names: list[str | None] = [None] * leaf.ndim
        names[max(even, key=lambda a: leaf.shape[a])] = MODEL_AXIS
        return NamedSharding(self._mesh, PartitionSpec(*names))

    def _shardings(self, tree: Any) -> Any:
        return jax.tree.map(self._sharding, tree)

    def put(self, batch: Any) -> Any:
        leaves, form = jax.tree.flatten(batch)
        here = {n: x for n, x in enumerate(leaves) if not isinstance(x, jax.Array)}
        for rows in here.values():
            _check_rows(rows, self._local_rows)
        if jax.process_count() == 1:
            # In one call: for small arrays calls cost more than copies.
            placed = jax.device_put(here, self._by_row)
        else:
            place = jax.make_array_from_process_local_data
            # To a guard this is not as explicit as it is meant.
            with jax.transfer_guard_host_to_device("allow"):
                placed = {n: place(self._by_row, rows) for n, rows in here.items()}
        every = [placed.get(n, x) for n, x in enumerate(leaves)]
        return jax.tree.unflatten(form, every)

    def replicate(self, tree: Any) -> Any:
        def place(array):
            array = np.asarray(array)
            return jax.make_array_from_callback(
                array.shape, self._replicated, lambda index: array[index]
            )

        return jax.tree.map(place, tree)

    def init(self, function: Callable[..., Any], *args: Any) -> Any:
        shardings = self._shardings(jax.eval_shape(function, *args))
        return jax.jit(function, out_shardings=shardings)(*args)

    def compile_step(self, function):
        compiled = None

        def step(state, batch, *values):
            nonlocal compiled
            if compiled is None:
                outputs = (self._shardings(state), self._replicated)
                compiled = jax.jit(function, donate_argnums=0, out_shardings=outputs)
            return compiled(state, self.put(batch), *values)

        return step

    def compile_eval(self, function):
        compiled = jax.jit(function, out_shardings=self._replicated)
        return lambda state, batch: compiled(state, self.put(batch))

    def compile_predict(self, function):
        compiled = self.compile_eval(function)
        return lambda state, batch: self.read(compiled(state, batch))

    def to_saved(self, state: Any) -> Any:
        return state

    def saved_structs(self, abstract: Any) -> Any:
        return jax.tree.map(
            lambda a: jax.ShapeDtypeStruct(
                a.shape, a.dtype, sharding=self._sharding(a)
            ),
            abstract,
        )

    def from_saved(self, saved: Any) -> Any:
        return saved


class _PmapExecution(Execution):
    """`jax.pmap`: each device runs the program on its own rows."""

    devices = Devices(axis=DATA_AXIS)

    def __init__(self, devices: list[jax.Device]):
        self._devices = sorted(devices, key=lambda d: (d.process_index, d.id))
        self._data_size = len(devices)
        local = [d for d in self._devices if d.process_index == jax.process_index()]
        self._local_rows = len(local)
        mesh = Mesh(np.array(local), (DATA_AXIS,), axis_types=(AxisType.Auto,))
        self._by_device = NamedSharding(mesh, PartitionSpec(DATA_AXIS))

    def _pmap(self, function, in_axes, out_axes, **options):
        return jax.pmap(
            function,
            axis_name=DATA_AXIS,
            in_axes=in_axes,
            out_axes=out_axes,
            devices=self._devices,
            **options,
        )

    def put(self, batch: Any) -> Any:
        def place(rows):
            if isinstance(rows, jax.Array):
                return rows
            _check_rows(rows, self._local_rows)
            # No -1 here: an array of width 0, such as of absent sets, fits any number.
            each = len(rows) // self._local_rows
            parts = np.reshape(rows, (self._local_rows, each, *rows.shape[1:]))
            return jax.device_put(parts, self._by_device)

        return jax.tree.map(place, batch)

    def replicate(self, tree: Any) -> Any:
        if not jax.tree.leaves(tree):
            return tree
        # Born on the devices: a broadcast host array would be resharded at its first
        # donation.
        copy = self._pmap(lambda _, host: host, in_axes=(0, None), out_axes=0)
        return copy(np.zeros(self._local_rows), jax.tree.map(np.asarray, tree))

    def init(self, function: Callable[..., Any], *args: Any) -> Any:
        make = self._pmap(lambda _, args: function(*args), in_axes=0, out_axes=0)
        return make(np.zeros(self._local_rows), args)

    def compile_step(self, function):
        compiled = self._pmap(
            lambda state, batch, values: function(state, batch, *values),
            in_axes=(0, 0, None),
            out_axes=(0, None),
            donate_argnums=0,
        )

        def step(state, batch, *values):
            # Among several processes pmap itself makes arrays, which a guard minds.
            several = jax.process_count() > 1
            guard = jax.transfer_guard_host_to_device("allow")
            with guard if several else contextlib.nullcontext():
                return compiled(state, self.put(batch), values)

        return step

    def compile_eval(self, function):
        compiled = self._pmap(function, in_axes=(0, 0), out_axes=None)
        return lambda state, batch: compiled(state, self.put(batch))

    def compile_predict(self, function):
        def gathered(state, batch):
            rows = function(state, batch)
            return jax.tree.map(
                lambda row: lax.all_gather(row, DATA_AXIS, tiled=True), rows
            )

        compiled = self.compile_eval(gathered)
        return lambda state, batch: self.read(compiled(state, batch))

    def to_saved(self, state: Any) -> Any:
        return jax.tree.map(
            lambda a: np.asarray(np.asarray(a.addressable_data(0))[0]), state
        )

    def saved_structs(self, abstract: Any) -> Any:
        return jax.tree.map(lambda a: np.empty(a.shape, a.dtype), abstract)

    def from_saved(self, saved: Any) -> Any:
        return self.replicate(saved)


def make_execution(config: ParallelConfig) -> Execution:
    """Execution on the devices that a config names.

    Raises:
      UserError: for more devices than there are, or a choice that has no meaning.
    """
    devices = jax.devices()
    if config.devices > len(devices):
        raise UserError(
            f"--parallel.devices={config.devices}, but there are {len(devices)}"
        )
    if config.devices and jax.process_count() > 1:
        raise UserError(
            "--parallel.devices can't be set with several processes: each uses all"
        )
    devices = devices[: config.devices or len(devices)]
    if config.mode == "jit":
        return _JitExecution(devices, config.model_axis)
    if config.model_axis > 1:
        raise UserError("--parallel.model_axis needs --parallel.mode=jit")
    return _PmapExecution(devices)


def all_finite(tree: Any) -> jax.Array:
    """Whether every floating-point entry of a tree is finite; bool []."""
    floats = [x for x in jax.tree.leaves(tree) if jnp.issubdtype(x.dtype, jnp.inexact)]
    return jnp.all(
        jnp.stack([jnp.isfinite(x).all() for x in floats] + [jnp.array(True)])
    )


def _check_rows(rows: Any, parts: int) -> None:
    if np.ndim(rows) == 0 or len(rows) % parts:
        raise UserError(
            f"a batch array of shape {np.shape(rows)} can't be spread over the "
            f"{parts} devices of this process: its rows must be a multiple of {parts}"
        )


def _whole(array: Any) -> np.ndarray:
    if isinstance(array, jax.Array) and not array.is_fully_addressable:
        return np.asarray(multihost_utils.process_allgather(array, tiled=True))
    return np.asarray(array)
