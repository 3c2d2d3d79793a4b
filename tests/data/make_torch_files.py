"""Writes torch_zip.pth and torch_legacy.pth: one small state dict in both formats.

Needs torch; written with 2.13.0 by `python tests/data/make_torch_files.py`. Holds a
transposed view, two views of one storage, a parameter, a scalar, half precisions, and
an optimizer's state beside it.
"""

import collections
import pathlib

import torch


def main() -> None:
    """Writes both files beside this one."""
    whole = torch.arange(24, dtype=torch.float32)
    state = collections.OrderedDict(
        transposed=whole[:6].reshape(2, 3).T,
        tail=whole[20:],
        parameter=torch.nn.Parameter(torch.tensor([[0.5, -1.5]])),
        half=torch.tensor([1.5, -2.0]).half(),
        bfloat16=torch.tensor([3.0, 0.1]).bfloat16(),
        double=torch.tensor([0.1], dtype=torch.float64),
        count=torch.tensor(7),
        empty=torch.zeros(0, 3),
    )
    state._metadata = {"": {"version": 1}}
    momentum = {"momentum_buffer": torch.ones(2)}
    checkpoint = {
        "epoch": 3,
        "state_dict": state,
        "optimizer": {"state": {0: momentum}},
    }
    folder = pathlib.Path(__file__).parent
    torch.save(checkpoint, folder / "torch_zip.pth")
    legacy = folder / "torch_legacy.pth"
    torch.save(checkpoint, legacy, _use_new_zipfile_serialization=False)


if __name__ == "__main__":
    main()
