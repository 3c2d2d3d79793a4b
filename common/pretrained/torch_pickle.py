"""The part of torch's file formats that holds tensors, read without running anything.

A pickle is a program: `pickle.load` calls whatever function the file names. Here a
stack machine knows the few operations that a dictionary of tensors needs, builds
plain values, and refuses every other operation and every other name.
"""

import dataclasses
import io
import math
import pickletools
import zipfile
from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np

STORAGE_DTYPES = {
    "torch DoubleStorage": np.dtype(np.float64),
    "torch FloatStorage": np.dtype(np.float32),
    "torch HalfStorage": np.dtype(np.float16),
    "torch BFloat16Storage": np.dtype(ml_dtypes.bfloat16),
    "torch LongStorage": np.dtype(np.int64),
    "torch IntStorage": np.dtype(np.int32),
    "torch ShortStorage": np.dtype(np.int16),
    "torch CharStorage": np.dtype(np.int8),
    "torch ByteStorage": np.dtype(np.uint8),
    "torch BoolStorage": np.dtype(np.bool_),
}
LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
LEGACY_PROTOCOL = 1001
BIG_ENDIAN = "it was written on a big-endian machine"
MAX_AXES = 32


@dataclasses.dataclass(frozen=True)
class Storage:
    """A run of numbers in the file: its name there, their type and their count."""

    key: str
    dtype: np.dtype
    count: int


@dataclasses.dataclass(frozen=True)
class Tensor:
    """A strided view of a storage; offset and strides count numbers, not bytes."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    def to_numpy(self, data: bytes) -> np.ndarray:
        """Views the bytes of the storage, read-only, without copying them.

        Raises:
          ValueError: the tensor reaches outside its storage.
        """
        count = math.prod(self.shape)
        ends = zip(self.shape, self.strides, strict=True)
        reach = self.offset + sum((n - 1) * step for n, step in ends)
        if count > self.storage.count or (count and reach >= self.storage.count):
            raise ValueError("a tensor reaches outside its storage")
        flat = np.frombuffer(data, self.storage.dtype, self.storage.count)
        if not count:
            return np.empty(self.shape, self.storage.dtype)
        return np.lib.stride_tricks.as_strided(
            flat[self.offset :],
            self.shape,
            [step * flat.itemsize for step in self.strides],
            writeable=False,
        )


def read_zip(archive: zipfile.ZipFile) -> dict[str, np.ndarray]:
    """Reads the tensors of a file written by `torch.save` since torch 1.6.

    Args:
      archive: opened; holds `*/data.pkl` and a member for each storage.

    Returns:
      name -> read-only array.

    Raises:
      ValueError: more than a dictionary of tensors. Damaged files raise any error.
    """
    members = archive.namelist()
    index = next((name for name in members if name.endswith("/data.pkl")), None)
    if index is None:
        raise ValueError("it is a zip archive, but not one that torch.save wrote")
    folder = index.removesuffix("data.pkl")
    order = folder + "byteorder"
    if order in members and archive.read(order) != b"little":
        raise ValueError(BIG_ENDIAN)
    value, _ = unpickle(io.BytesIO(archive.read(index)))
    tensors = _named_tensors(value)
    storages = {tensor.storage.key for tensor in tensors.values()}
    data = {key: archive.read(f"{folder}data/{key}") for key in storages}
    return {name: t.to_numpy(data[t.storage.key]) for name, t in tensors.items()}


def read_legacy(data: bytes) -> dict[str, np.ndarray]:
    """Reads the tensors of a file written by `torch.save` before torch 1.6.

    Args:
      data: five pickles (magic number, version, machine, object, storage names), then
        for each storage its count as int64 and its numbers.

    Returns:
      name -> read-only array.

    Raises:
      ValueError: more than a dictionary of tensors. Damaged files raise any error.
    """
    file = io.BytesIO(data)
    if unpickle(file)[0] != LEGACY_MAGIC or unpickle(file)[0] != LEGACY_PROTOCOL:
        raise ValueError("it is a pickle, but not one that torch.save wrote")
    machine, _ = unpickle(file)
    if machine["little_endian"] is not True:
        raise ValueError(BIG_ENDIAN)
    value, storages = unpickle(file)
    tensors = _named_tensors(value)
    keys, _ = unpickle(file)
    contents = {}
    for key in keys:
        storage = storages[key]
        if file.read(8) != storage.count.to_bytes(8, "little"):
            raise ValueError("the counts of a storage disagree")
        size = storage.count * storage.dtype.itemsize
        contents[key] = file.read(size)
        if len(contents[key]) < size:
            raise ValueError("it is cut short")
    return {name: t.to_numpy(contents[t.storage.key]) for name, t in tensors.items()}


def _named_tensors(value: Any) -> dict[str, Tensor]:
    """Finds the tensors of a state dict, which may lie inside a training checkpoint."""
    if isinstance(value, dict):
        tensors = {str(k): v for k, v in value.items() if isinstance(v, Tensor)}
        if tensors:
            return tensors
        for key in ("state_dict", "model_state_dict", "model"):
            if key in value:
                return _named_tensors(value[key])
    raise ValueError("it holds no dictionary of tensors; save model.state_dict()")


def unpickle(file: io.BytesIO) -> tuple[Any, dict[str, Storage]]:
    """Builds the plain value of one pickle, and stops behind it.

    Args:
      file: positioned at the pickle.

    Returns:
      dict, list, tuple, str, bytes, numbers, None, Storage and Tensor, nested; and
      every storage that was named, by its key.

    Raises:
      ValueError: damaged, or an operation or a name beyond the whitelist.
      IndexError, KeyError, TypeError, AttributeError: damaged.
    """
    machine = _Machine()
    for operation, argument, _ in pickletools.genops(file):
        name = operation.name
        if name == "STOP":
            return machine.stack.pop(), machine.storages
        if name in _LITERALS:
            machine.stack.append(argument)
        elif name in _OPERATIONS:
            _OPERATIONS[name](machine, argument)
        elif name not in ("PROTO", "FRAME"):
            raise ValueError(f"it uses the pickle operation {name}, which is refused")
    raise ValueError("the pickle has no end")


_MARK = object()
_LITERALS = frozenset(
    ("BININT", "BININT1", "BININT2", "LONG1", "LONG4", "BINFLOAT")
    + ("SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8", "SHORT_BINSTRING", "BINSTRING")
    + ("SHORT_BINBYTES", "BINBYTES", "BINBYTES8")
)


class _Machine:
    """Stack, memo and storages of a pickle in progress."""

    def __init__(self):
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}
        self.storages: dict[str, Storage] = {}

    def pop_to_mark(self) -> list[Any]:
        items = []
        while (item := self.stack.pop()) is not _MARK:
            items.append(item)
        return items[::-1]

    def pop(self, count: int) -> tuple[Any, ...]:
        return tuple(reversed([self.stack.pop() for _ in range(count)]))

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def name(self, module_and_name: str) -> None:
        """Pushes what a whitelisted global stands for."""
        if module_and_name in STORAGE_DTYPES:
            self.push(STORAGE_DTYPES[module_and_name])
        elif module_and_name in _CALLS:
            self.push(_CALLS[module_and_name])
        else:
            shown = module_and_name.replace(" ", ".")
            raise ValueError(
                f"it names {shown}, which is not part of a dictionary of tensors and "
                "is refused; save model.state_dict() alone"
            )

    def call(self) -> None:
        function, arguments = self.pop(2)
        if function not in _CALLS.values():
            raise ValueError("it calls what is no function")
        self.push(function(*arguments))

    def load_storage(self) -> None:
        kind, dtype, key, _, count, *view = self.stack.pop()
        if kind != "storage" or any(part is not None for part in view):
            raise ValueError("it refers to something else than a storage")
        if not isinstance(dtype, np.dtype) or not isinstance(key, str):
            raise TypeError("it refers to a storage of unknown kind")
        (count,) = _sizes((count,))
        storage = Storage(key, dtype, count)
        if self.storages.setdefault(key, storage) != storage:
            raise ValueError("it describes one storage in two ways")
        self.push(storage)

    def put(self, items: list[Any]) -> None:
        """Puts key, value, key, value ... into the dictionary on top."""
        for key, value in zip(items[::2], items[1::2], strict=True):
            # Hashing a deeply nested tuple can take for ever.
            if not isinstance(key, str | int) or not isinstance(self.stack[-1], dict):
                raise TypeError("it holds a dictionary with keys of a refused kind")
            self.stack[-1][key] = value

    def extend(self, items: list[Any]) -> None:
        if not isinstance(self.stack[-1], list):
            raise TypeError("it appends to what is no list")
        self.stack[-1].extend(items)


_OPERATIONS: dict[str, Callable[[_Machine, Any], Any]] = {
    "MARK": lambda m, _: m.push(_MARK),
    "NONE": lambda m, _: m.push(None),
    "NEWTRUE": lambda m, _: m.push(True),
    "NEWFALSE": lambda m, _: m.push(False),
    "EMPTY_DICT": lambda m, _: m.push({}),
    "EMPTY_LIST": lambda m, _: m.push([]),
    "EMPTY_TUPLE": lambda m, _: m.push(()),
    "TUPLE": lambda m, _: m.push(tuple(m.pop_to_mark())),
    "TUPLE1": lambda m, _: m.push(m.pop(1)),
    "TUPLE2": lambda m, _: m.push(m.pop(2)),
    "TUPLE3": lambda m, _: m.push(m.pop(3)),
    "SETITEM": lambda m, _: m.put(list(m.pop(2))),
    "SETITEMS": lambda m, _: m.put(m.pop_to_mark()),
    "APPEND": lambda m, _: m.extend(list(m.pop(1))),
    "APPENDS": lambda m, _: m.extend(m.pop_to_mark()),
    "BINPUT": lambda m, index: m.memo.__setitem__(index, m.stack[-1]),
    "LONG_BINPUT": lambda m, index: m.memo.__setitem__(index, m.stack[-1]),
    "MEMOIZE": lambda m, _: m.memo.__setitem__(len(m.memo), m.stack[-1]),
    "BINGET": lambda m, index: m.push(m.memo[index]),
    "LONG_BINGET": lambda m, index: m.push(m.memo[index]),
    "GLOBAL": lambda m, name: m.name(name),
    "STACK_GLOBAL": lambda m, _: m.name("{} {}".format(*m.pop(2))),
    "REDUCE": lambda m, _: m.call(),
    "BINPERSID": lambda m, _: m.load_storage(),
    # Attributes of objects (a state dict's version numbers) are not kept.
    "BUILD": lambda m, _: m.stack.pop(),
}


def _make_dict(items: Any = ()) -> dict[str, Any]:
    machine = _Machine()
    machine.push({})
    for key, value in items:
        machine.put([key, value])
    return machine.stack[-1]


def _make_tensor(storage, offset, shape, strides, *_) -> Tensor:
    """Both forms of torch's call: gradient flag, hooks and metadata don't matter."""
    if not isinstance(storage, Storage):
        raise TypeError("it builds a tensor without a storage")
    shape, strides = _sizes(shape), _sizes(strides)
    if len(shape) != len(strides) or len(shape) > MAX_AXES:
        raise ValueError("it builds a tensor of impossible shape")
    (offset,) = _sizes((offset,))
    return Tensor(storage, offset, shape, strides)


def _sizes(values: Any) -> tuple[int, ...]:
    if not all(type(value) is int and value >= 0 for value in values):
        raise ValueError("it builds a tensor of impossible sizes")
    return tuple(values)


def _keep_tensor(tensor: Any, *_) -> Any:
    """A parameter is the tensor it wraps."""
    return tensor


_CALLS: dict[str, Callable[..., Any]] = {
    "collections OrderedDict": _make_dict,
    "torch._utils _rebuild_tensor": _make_tensor,
    "torch._utils _rebuild_tensor_v2": _make_tensor,
    "torch._utils _rebuild_parameter": _keep_tensor,
}
