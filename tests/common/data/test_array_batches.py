import itertools
import threading

import numpy as np
import pytest

from common.data import array_batches


def gather(rows):
    return {"row": rows, "square": rows.astype(np.float32) ** 2}


def first_rows(batches, count):
    return [batch["row"] for batch in itertools.islice(batches, count)]


def test_every_epoch_holds_every_row_once_in_another_order():
    batches = array_batches.train_batches(7, gather, batch_size=3, seed=1)
    rows = np.concatenate(first_rows(batches, 7))
    epochs = rows.reshape(3, 7)
    for epoch in epochs:
        assert sorted(epoch) == list(range(7))
    assert not np.array_equal(epochs[0], epochs[1])
    batches.close()


def test_a_batch_may_hold_several_epochs():
    batches = array_batches.train_batches(2, gather, batch_size=5, seed=1)
    (rows,) = first_rows(batches, 1)
    assert sorted(rows[:2]) == sorted(rows[2:4]) == [0, 1]
    batches.close()


def test_batches_follow_from_seed_and_step_alone():
    def run(**options):
        batches = array_batches.train_batches(11, gather, batch_size=4, **options)
        rows = first_rows(batches, 5)
        batches.close()
        return np.stack(rows)

    whole = run(seed=3)
    np.testing.assert_array_equal(run(seed=3, start_step=2)[:3], whole[2:])
    assert not np.array_equal(run(seed=4), whole)
    parts = [run(seed=3, process_index=i, process_count=2) for i in range(2)]
    np.testing.assert_array_equal(np.concatenate(parts, axis=1), whole)


def test_evaluation_is_in_order_and_padded():
    batches = list(array_batches.eval_batches(5, gather, batch_size=4))
    assert [batch["row"].tolist() for batch in batches] == [[0, 1, 2, 3], [4, 0, 0, 0]]
    assert [batch["mask"].tolist() for batch in batches] == [[1] * 4, [1, 0, 0, 0]]
    assert list(array_batches.eval_batches(0, gather, batch_size=4)) == []
    parts = [
        [
            batch["row"].tolist()
            for batch in array_batches.eval_batches(
                5, gather, batch_size=4, process_index=i, process_count=2
            )
        ]
        for i in range(2)
    ]
    assert parts == [[[0, 1], [4, 0]], [[2, 3], [0, 0]]]


def test_wrong_parts_and_no_rows_are_refused():
    with pytest.raises(ValueError, match="whole part"):
        array_batches.eval_batches(
            5, gather, batch_size=3, process_index=0, process_count=2
        )
    with pytest.raises(ValueError, match="no rows"):
        array_batches.train_batches(0, gather, batch_size=3, seed=0)


def test_closing_lets_go_of_the_threads_and_errors_are_the_readers():
    before = threading.active_count()
    batches = array_batches.train_batches(7, gather, batch_size=3, seed=1)
    next(batches)
    batches.close()
    assert threading.active_count() == before

    def fail(rows):
        raise OSError("disk is gone")

    with pytest.raises(OSError, match="disk is gone"):
        next(array_batches.train_batches(7, fail, batch_size=3, seed=1))
    assert threading.active_count() == before
