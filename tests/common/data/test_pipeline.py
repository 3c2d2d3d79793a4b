"""Batches are a function of seed and step, whoever reads them."""

import os
import signal
import subprocess
import sys
import textwrap
import time

import numpy as np
import pytest

from common.data import pipeline

N = 13  # prime: no batch size divides it
BATCH = 4


class Numbers:
    def __init__(self, count=N):
        self.count = count

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        return {"row": index}


def noisy(record, rng):
    return {"row": np.int64(record["row"]), "noise": rng.random(3)}


def plain(record):
    return {"row": np.int64(record["row"])}


def take(batches, count):
    with batches:
        return [next(batches) for _ in range(count)]


def train(count, **options):
    settings = {"batch_size": BATCH, "seed": 7, "threads": 2} | options
    return take(pipeline.train_batches(Numbers(), noisy, **settings), count)


def assert_same(batches, expected):
    assert len(batches) == len(expected)
    for batch, wanted in zip(batches, expected, strict=True):
        assert batch.keys() == wanted.keys()
        for name, array in batch.items():
            np.testing.assert_array_equal(array, wanted[name])


def join(parts):
    """Puts the batches of several processes together."""
    return [
        {name: np.concatenate([part[name] for part in step]) for name in step[0]}
        for step in zip(*parts, strict=True)
    ]


@pytest.fixture(scope="module")
def reference():
    return train(13, threads=1)


def test_every_epoch_covers_every_row_once(reference):
    rows = np.concatenate([batch["row"] for batch in reference])
    epochs = rows.reshape(BATCH, N)  # 13 batches of 4 are 4 epochs of 13
    for epoch in epochs:
        np.testing.assert_array_equal(np.sort(epoch), np.arange(N))
    assert len({tuple(epoch) for epoch in epochs}) == 4


def test_random_numbers_differ_between_rows_and_epochs(reference):
    noise = np.concatenate([batch["noise"] for batch in reference])
    assert len(np.unique(noise)) == noise.size


def test_seeds_differ(reference):
    pairs = zip(reference, train(13, seed=8), strict=True)
    assert any((a["row"] != b["row"]).any() for a, b in pairs)


@pytest.mark.parametrize("start", [0, 1, 7, 12])
def test_a_start_step_is_a_place_in_the_same_sequence(reference, start):
    assert_same(train(13 - start, start_step=start), reference[start:])


@pytest.mark.parametrize("threads", [2, 5, None])
def test_threads_change_nothing(reference, threads):
    assert_same(train(13, threads=threads), reference)


@pytest.mark.parametrize("count", [2, 4])
def test_processes_share_the_same_batches(reference, count):
    parts = [
        train(6, start_step=7, process_index=p, process_count=count)
        for p in range(count)
    ]
    assert parts[0][0]["row"].shape == (BATCH // count,)
    assert_same(join(parts), reference[7:])


@pytest.mark.parametrize("count", [1, 2, 4])
def test_workers_change_nothing(reference, count):
    part = BATCH // count
    batches = train(
        3, start_step=7, process_index=count - 1, process_count=count, workers=2
    )
    expected = [
        {name: array[-part:] for name, array in batch.items()}
        for batch in reference[7:10]
    ]
    assert_same(batches, expected)


def test_a_far_step_is_reached_at_once():
    start = time.monotonic()
    (batch,) = train(1, start_step=10**12)
    assert time.monotonic() - start < 2
    assert_same(train(1, start_step=10**12), [batch])


def test_a_batch_may_be_larger_than_the_data():
    (batch,) = train(1, batch_size=2 * N + 1)
    counts = np.bincount(batch["row"], minlength=N)
    assert counts.min() == 2
    assert counts.sum() == 2 * N + 1


def test_bad_settings_are_refused():
    with pytest.raises(ValueError, match="whole part"):
        train(1, process_count=3)
    with pytest.raises(ValueError, match="whole part"):
        train(1, process_index=2, process_count=2)
    with pytest.raises(ValueError, match="no rows"):
        pipeline.train_batches(Numbers(0), noisy, batch_size=1, seed=0)


def test_an_error_in_a_transform_reaches_the_caller():
    def fail(record, rng):
        raise RuntimeError(f"row {record['row']}")

    with (
        pipeline.train_batches(Numbers(), fail, batch_size=2, seed=0) as batches,
        pytest.raises(RuntimeError, match="row"),
    ):
        next(batches)


@pytest.mark.parametrize("count", [1, 2, 4])
@pytest.mark.parametrize("rows", [1, 4, 13])
def test_evaluation_covers_every_row_once_with_a_mask(rows, count):
    parts = []
    for index in range(count):
        batches = pipeline.eval_batches(
            Numbers(rows),
            plain,
            batch_size=BATCH,
            process_index=index,
            process_count=count,
            threads=2,
        )
        with batches:
            parts.append(list(batches))
    whole = join(parts)
    assert len(whole) == -(-rows // BATCH)
    seen = np.concatenate([batch["row"] for batch in whole])
    mask = np.concatenate([batch["mask"] for batch in whole])
    assert mask.dtype == np.float32
    expected = np.arange(len(mask)) < rows
    np.testing.assert_array_equal(mask, expected.astype(np.float32))
    np.testing.assert_array_equal(seen[expected], np.arange(rows))


def test_evaluation_of_nothing_gives_no_batch():
    with pipeline.eval_batches(Numbers(0), plain, batch_size=2) as batches:
        assert list(batches) == []


class Closing:
    def __init__(self, count):
        self.left, self.drawn, self.closed = count, 0, False

    def __iter__(self):
        return self

    def __next__(self):
        if self.drawn == self.left:
            raise StopIteration
        self.drawn += 1
        return self.drawn

    def close(self):
        self.closed = True


def test_device_prefetch_stays_two_ahead_and_closes():
    batches = Closing(5)
    ahead = pipeline.device_prefetch(batches, lambda batch: -batch)
    assert next(ahead) == -1
    assert batches.drawn == 3
    assert list(ahead) == [-2, -3, -4, -5]
    assert batches.closed


def test_device_prefetch_closes_when_it_is_left():
    batches = Closing(5)
    ahead = pipeline.device_prefetch(batches, lambda batch: batch, size=1)
    next(ahead)
    ahead.close()
    assert batches.closed


def test_closed_batches_give_no_more():
    batches = pipeline.train_batches(Numbers(), noisy, batch_size=2, seed=0)
    next(batches)
    batches.close()
    batches.close()
    with pytest.raises((ValueError, StopIteration)):
        next(batches)


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_workers_die_with_a_killed_parent(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        textwrap.dedent("""
        import multiprocessing, time
        import numpy as np
        from absl import flags
        from common.data import pipeline

        def transform(record, rng):
            return {"x": np.int64(record)}

        if __name__ == "__main__":
            flags.FLAGS.mark_as_parsed()
            batches = pipeline.train_batches(
                list(range(7)), transform, batch_size=2, seed=0, workers=2
            )
            next(batches)
            print(*(p.pid for p in multiprocessing.active_children()), flush=True)
            time.sleep(600)
        """)
    )
    root = os.path.dirname(os.path.dirname(os.path.dirname(pipeline.__file__)))
    with (
        open(tmp_path / "stderr", "w") as noise,
        subprocess.Popen(
            [sys.executable, str(script)],
            env=os.environ | {"PYTHONPATH": root},
            stdout=subprocess.PIPE,
            stderr=noise,
            text=True,
        ) as parent,
    ):
        pids = [int(pid) for pid in parent.stdout.readline().split()]
        assert len(pids) >= 2
        assert all(alive(pid) for pid in pids)
        parent.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 20
    while any(alive(pid) for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not any(alive(pid) for pid in pids)
