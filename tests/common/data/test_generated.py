import io
import itertools

import numpy as np
from PIL import Image

from common.data import generated


def test_standardise_by_hand():
    # Mean 0.25 * 0 + 0.75 * 4 = 3, variance 0.25 * 9 + 0.75 * 1 = 3.
    effects = generated.standardise(np.array([0.0, 4.0]), np.array([0.25, 0.75]))
    np.testing.assert_allclose(effects, [-np.sqrt(3), 1 / np.sqrt(3)])


def test_a_table_divides_what_is_frequent():
    table = generated.make_categorical({"a": (1.0, 0.0), "b": (3.0, 4.0)})
    assert table.names == ("a", "b")
    np.testing.assert_allclose(table.shares, [0.25, 0.75])
    np.testing.assert_allclose(table.effects, [-np.sqrt(3), 1 / np.sqrt(3)])


def test_draws_follow_from_seed_number_and_stream():
    def draw(*names):
        return generated.generator(*names).random(3).tolist()

    first = draw(0, 5, 0)
    assert draw(0, 5, 0) == first
    others = [draw(1, 5, 0), draw(0, 6, 0), draw(0, 5, 1)]
    assert all(other != first for other in others)


def make_rows(job):
    for number in job:
        yield {"number": number}, [bytes([number])]


def test_rows_come_in_order_and_as_they_are_asked_for():
    jobs = [(1, 2), (3,), (), (4, 5)]
    alone = list(generated.stream_rows(make_rows, jobs, 1))
    assert [row["number"] for row, _ in alone] == [1, 2, 3, 4, 5]
    assert list(generated.stream_rows(make_rows, jobs, 2)) == alone
    endless = ((number % 250,) for number in itertools.count())
    rows = generated.stream_rows(make_rows, endless, 1)
    assert len(list(itertools.islice(rows, 3))) == 3


def test_blocks_hold_all_numbers_in_order():
    numbers = np.arange(7, 7 + 2 * generated.BLOCK + 1)
    cut = list(generated.blocks(numbers))
    assert [len(block) for block in cut] == [generated.BLOCK, generated.BLOCK, 1]
    np.testing.assert_array_equal(np.concatenate(cut), numbers)


def test_photos_keep_their_colours():
    photo = np.zeros((16, 16, 3), np.uint8)
    photo[:, :8], photo[:, 8:] = (250, 20, 20), (20, 20, 250)
    image = Image.open(io.BytesIO(generated.encode_jpeg(photo)))
    assert image.format == "JPEG"
    assert np.abs(np.asarray(image).astype(int) - photo).max() < 12
