import io
import os
import pathlib
import pickle
import struct
import zipfile

import ml_dtypes
import numpy as np
import pytest
import safetensors.numpy
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from common.errors import UserError
from common.pretrained import torch_files

DATA = pathlib.Path(__file__).parent.parent.parent / "data"
ZIP = (DATA / "torch_zip.pth").read_bytes()
LEGACY = (DATA / "torch_legacy.pth").read_bytes()
EXPECTED = {
    "transposed": np.asarray([[0, 3], [1, 4], [2, 5]], np.float32),
    "tail": np.arange(20, 24, dtype=np.float32),
    "parameter": np.asarray([[0.5, -1.5]], np.float32),
    "half": np.asarray([1.5, -2], np.float16),
    "bfloat16": np.asarray([3, 0.1], ml_dtypes.bfloat16),
    "double": np.asarray([0.1]),
    "count": np.asarray(7),
    "empty": np.zeros((0, 3), np.float32),
}


def check(found):
    assert list(found) == list(EXPECTED)
    for name, expected in EXPECTED.items():
        assert found[name].dtype == expected.dtype, name
        np.testing.assert_array_equal(found[name], expected)


def read_bytes(folder, data):
    path = folder / "weights"
    path.write_bytes(data)
    return torch_files.read(path)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("weights")


@pytest.mark.parametrize("name", ["torch_zip.pth", "torch_legacy.pth"])
def test_reads_what_torch_wrote(name):
    check(torch_files.read(DATA / name))


def test_reads_npz_and_safetensors(folder):
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **EXPECTED)
    check(read_bytes(folder, buffer.getvalue()))
    found = read_bytes(folder, safetensors.numpy.save(EXPECTED))
    check({name: found[name] for name in EXPECTED})


def refused(folder, data, match):
    with pytest.raises(UserError, match=match) as caught:
        read_bytes(folder, data)
    assert "\n" not in str(caught.value)
    assert str(folder / "weights") in str(caught.value)


class Evil:
    """Unpickled by `pickle`, it creates the file of its name."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def in_zip(content):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("model/data.pkl", content)
        archive.writestr("model/data/0", np.zeros(4, np.float32).tobytes())
    return buffer.getvalue()


@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
def test_a_pickle_that_calls_is_refused_and_not_run(folder, protocol):
    mark = folder / "executed"
    evil = pickle.dumps({"weight": Evil(mark)}, protocol)
    head = b"".join(pickle.dumps(part, 2) for part in (0x1950A86A20F9469CFC6C, 1001))
    head += pickle.dumps({"little_endian": True}, 2)
    name = "mkdir" if protocol else "pickle operation"
    refused(folder, in_zip(evil), name)
    refused(folder, head + evil, name)
    with pytest.raises(UserError):
        read_bytes(folder, evil)
    assert not mark.exists()
    pickle.loads(evil)  # the attack is a real one
    assert mark.exists()
    mark.rmdir()


def tensor_pickle(storage, size, stride, offset=0, count=4):
    """The pickle of one tensor over model/data/0, written opcode by opcode."""

    def text(value):
        return b"X" + struct.pack("<I", len(value)) + value.encode()

    def numbers(values):
        return (
            b"(" + b"".join(b"\x8a\x08" + struct.pack("<q", v) for v in values) + b"t"
        )

    persistent = b"(" + text("storage") + f"c{storage}\n".replace(" ", "\n").encode()
    persistent += text("0") + text("cpu") + numbers([count])[1:-1] + b"tQ"
    arguments = persistent + numbers([offset])[1:-1] + numbers(size) + numbers(stride)
    call = b"ctorch._utils\n_rebuild_tensor_v2\n(" + arguments + b"\x89NtR"
    return b"\x80\x02}" + text("w") + call + b"s."


def test_the_written_pickle_is_good(folder):
    data = in_zip(tensor_pickle("torch FloatStorage", [2, 2], [2, 1]))
    np.testing.assert_array_equal(read_bytes(folder, data)["w"], np.zeros((2, 2)))


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"size": [3, 2]}, "outside its storage"),
        ({"offset": 1}, "outside its storage"),
        ({"stride": [3, 1]}, "outside its storage"),
        ({"size": [2**40, 2**40], "stride": [0, 0]}, "outside its storage"),
        ({"size": [-2, 2]}, "impossible sizes"),
        ({"stride": [-1, 1]}, "impossible sizes"),
        ({"size": [2], "stride": [1, 1]}, "impossible shape"),
        ({"count": 2**50}, "cannot read"),
        ({"count": 5}, "cannot read"),
        ({"storage": "torch QInt8Storage"}, "torch.QInt8Storage"),
        ({"storage": "builtins eval"}, "builtins.eval"),
    ],
)
def test_bounds_of_tensors(folder, change, match):
    good = {"storage": "torch FloatStorage", "size": [2, 2], "stride": [2, 1]}
    refused(folder, in_zip(tensor_pickle(**{**good, **change})), match)


def test_other_files_are_named(folder):
    refused(folder, b"", "cannot read")
    refused(folder, b"not weights at all", "cannot read")
    refused(folder, pickle.dumps([1, 2]), "not one that torch.save wrote")
    refused(folder, in_zip(pickle.dumps({"epoch": 3}, 2)), "no dictionary of tensors")
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("readme.txt", "hello")
    refused(folder, buffer.getvalue(), "not one that torch.save wrote")
    buffer = io.BytesIO()
    np.savez(buffer, weight=np.asarray([Evil("x")], object))
    refused(folder, buffer.getvalue(), "allow_pickle")
    with pytest.raises(UserError, match="No such file"):
        torch_files.read(folder / "absent.pth")


def test_a_nested_tuple_as_key_is_refused_at_once(folder):
    """Hashing it would take 2^200 steps."""
    nested = b")" + b"2\x86" * 200  # DUP is no operation of torch's
    refused(folder, in_zip(b"\x80\x02}" + nested + b"Ns."), "DUP")
    nested = b")q\x00" + b"h\x00\x86q\x00" * 200
    refused(folder, in_zip(b"\x80\x02}" + nested + b"Ns."), "keys of a refused kind")


SOURCES = {
    "zip": ZIP,
    "legacy": LEGACY,
    "safetensors": safetensors.numpy.save(EXPECTED),
}
relaxed = settings(
    max_examples=60,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@pytest.mark.parametrize("source", SOURCES)
@relaxed
@given(where=st.floats(0, 1, exclude_max=True))
@example(0.0)
def test_truncated_files_give_one_clear_line(folder, source, where):
    data = SOURCES[source]
    with pytest.raises(UserError, match="cannot read weights"):
        read_bytes(folder, data[: int(where * len(data))])


@pytest.mark.parametrize("source", SOURCES)
@relaxed
@given(where=st.floats(0, 1, exclude_max=True), value=st.integers(0, 255))
def test_a_changed_byte_gives_arrays_or_one_clear_line(folder, source, where, value):
    data = bytearray(SOURCES[source])
    data[int(where * len(data))] = value
    try:
        found = read_bytes(folder, bytes(data))
    except UserError as error:
        assert "\n" not in str(error)
    else:
        assert sum(array.nbytes for array in found.values()) < len(data)
