import math

import pytest

from common.training.tensorboard import Board, read_scalars


def board(folder, step=0, curves=None):
    return Board(folder, step, curves or {})


def test_points_are_in_the_file_when_flushed_with_their_own_names(tmp_path):
    open_one = board(tmp_path)
    open_one.write(2, {"validation/ndcg@10": 0.5})
    open_one.write(3, {"train/loss": math.nan})
    open_one.flush()
    (first, second) = read_scalars(tmp_path)
    assert first == ("validation/ndcg@10", 2, 0.5)
    assert second[:2] == ("train/loss", 3) and math.isnan(second[2])
    open_one.close()


def test_what_was_written_after_the_checkpoint_is_void(tmp_path):
    before = board(tmp_path)
    for step in (1, 2, 3):
        before.write(step, {"loss": float(step)})
    before.close()
    after = board(tmp_path, 2)
    after.write(3, {"loss": 30.0})
    after.close()
    assert read_scalars(tmp_path) == [
        ("loss", 1, 1.0),
        ("loss", 2, 2.0),
        ("loss", 3, 30.0),
    ]


@pytest.mark.parametrize("left", [0, 20, 70, 10_000])
def test_what_is_missing_is_written_again_and_nothing_twice(left, tmp_path):
    before = board(tmp_path)
    for step in (1, 2, 3):
        before.write(step, {"loss": step / 2, "top1": step / 4})
    before.close()
    (path,) = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[:left])  # as a kill leaves it
    curves = {
        "loss": ([1, 2, 3], [0.5, 1.0, 1.5]),
        "top1": ([1, 2, 3], [0.25, 0.5, 0.75]),
    }
    board(tmp_path, 2, curves).close()
    assert sorted(read_scalars(tmp_path)) == [
        ("loss", 1, 0.5),
        ("loss", 2, 1.0),
        ("top1", 1, 0.25),
        ("top1", 2, 0.5),
    ]


def test_a_damaged_file_costs_no_run(tmp_path):
    tmp_path.joinpath("events.out.tfevents.0").write_bytes(
        (4).to_bytes(8, "little") + b"crc_\xff\xff\xff\xffcrc_"
    )
    board(tmp_path, 1, {"loss": ([1], [0.5])}).close()
    assert read_scalars(tmp_path) == [("loss", 1, 0.5)]
