"""Weights in files that PyTorch users have, read without PyTorch."""

import io
import json
import pathlib
import zipfile
import zlib
from collections.abc import Mapping
from typing import Any

import ml_dtypes
import numpy as np
import safetensors.numpy

from common.errors import UserError
from common.pretrained import torch_pickle

# Far above any backbone (ResNet-152: 0.24 GB), far below what stops a machine.
MAX_BYTES = 4 * 2**30

_CHECKSUM = "crc32"
SAFETENSORS_DTYPES = {
    "F64": np.float64,
    "F32": np.float32,
    "F16": np.float16,
    "BF16": ml_dtypes.bfloat16,
    "I64": np.int64,
    "I32": np.int32,
    "I16": np.int16,
    "I8": np.int8,
    "U8": np.uint8,
    "BOOL": np.bool_,
}


def read(path: str | pathlib.Path) -> dict[str, np.ndarray]:
    """Reads named tensors, whatever the ending of the file's name.

    Formats: safetensors; what `torch.save(model.state_dict())` writes, now (a zip
    archive) and before torch 1.6 (pickles, one after another); NumPy's .npz. Nothing
    in a file is executed, and every size is checked against what the file holds.

    Args:
      path: of the file.

    Returns:
      name -> array, maybe read-only, with the dtype of the file (float16 and bfloat16
      too; NumPy stores bfloat16 in .npz as two raw bytes, which are read as such).

    Raises:
      UserError: no such file, damaged, another format, or a pickle with anything in it
        but a dictionary of tensors.
    """
    path = pathlib.Path(path)
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ValueError(f"it is larger than {MAX_BYTES} bytes")
        return _parse(path.read_bytes())
    except OSError as error:
        raise UserError(f"cannot read weights from {path}: {error.strerror}") from error
    except Exception as error:
        # Broken bytes break parsers (zip, NumPy headers, pickles) in every way.
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UserError(
            f"cannot read weights from {path}: {reason[:300]} "
            "(readable: .safetensors, torch.save of a state dict, .npz)"
        ) from error


def safetensors_bytes(tensors: Mapping[str, np.ndarray]) -> bytes:
    """A safetensors file with a checksum, by which `read` finds damage.

    The format has none; PyTorch's readers skip it with the other metadata.
    """
    # Metadata moves the tensors, but leaves their bytes and order as they are.
    _, tensor_bytes = _split(safetensors.numpy.save(dict(tensors)))
    metadata = {"format": "pt", _CHECKSUM: str(zlib.crc32(tensor_bytes))}
    return safetensors.numpy.save(dict(tensors), metadata=metadata)


def _split(data: bytes) -> tuple[dict[str, Any], memoryview]:
    """Metadata and the bytes of all tensors of a safetensors file."""
    start = 8 + int.from_bytes(data[:8], "little")
    return json.loads(data[8:start]).get("__metadata__", {}), memoryview(data)[start:]


def _parse(data: bytes) -> dict[str, np.ndarray]:
    if data[:2] == b"PK":
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = archive.infolist()
            if sum(member.file_size for member in members) > MAX_BYTES:
                raise ValueError(f"it unpacks to more than {MAX_BYTES} bytes")
            if members and all(member.filename.endswith(".npy") for member in members):
                return _read_npz(data)
            return torch_pickle.read_zip(archive)
    if data[:1] == b"\x80":
        return torch_pickle.read_legacy(data)
    return _read_safetensors(data)


def _read_safetensors(data: bytes) -> dict[str, np.ndarray]:
    # safetensors.numpy knows no bfloat16; this checks the file and leaves bytes.
    arrays = {}
    tensors = safetensors.deserialize(data)
    metadata, tensor_bytes = _split(data)
    checksum = metadata.get(_CHECKSUM)
    if checksum is not None and checksum != str(zlib.crc32(tensor_bytes)):
        raise ValueError("its tensors are not those that were saved")
    for name, tensor in tensors:
        kind = tensor["dtype"]
        if kind not in SAFETENSORS_DTYPES:
            raise ValueError(f"tensor {name!r} is of type {kind}, which is not read")
        flat = np.frombuffer(tensor["data"], SAFETENSORS_DTYPES[kind])
        arrays[name] = flat.reshape(tensor["shape"])
    return arrays


def _read_npz(data: bytes) -> dict[str, np.ndarray]:
    with np.load(io.BytesIO(data), allow_pickle=False) as archive:
        arrays = {name: archive[name] for name in archive.files}
    raw = np.dtype("V2")
    return {
        name: array.view(ml_dtypes.bfloat16) if array.dtype == raw else array
        for name, array in arrays.items()
    }
