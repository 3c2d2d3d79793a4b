import numpy as np
import pytest
from scipy import stats

from recsys.generated import draws
from recsys.generated.draws import Stream, directions, hashes, normals, snap, uniforms

IDS = np.arange(20_000)
# The first outputs of SplitMix64 from the state 1234567, as published with its code.
PUBLISHED = [
    6457827717110365317,
    3203168211198807973,
    9817491932198370423,
    4593380528125082431,
    16408922859458223821,
]


def test_the_mixing_function_is_that_of_splitmix64():
    states = np.array([1234567], np.uint64) + np.arange(
        1, 6, dtype=np.uint64
    ) * np.uint64(0x9E3779B97F4A7C15)
    assert draws._mix(states).tolist() == PUBLISHED


def test_a_draw_depends_on_seed_stream_id_and_column_alone():
    wanted = np.array([17, 3, 2**40 + 5])
    found = hashes(1, Stream.LOOK, wanted, 5)
    np.testing.assert_array_equal(found[:, :2], hashes(1, Stream.LOOK, wanted, 2))
    np.testing.assert_array_equal(found[1:2], hashes(1, Stream.LOOK, wanted[1:2], 5))
    others = [hashes(0, Stream.LOOK, wanted, 5), hashes(1, Stream.TIME, wanted, 5)]
    assert len(np.unique([found, *others])) == 45


def test_streams_of_neighbouring_seeds_do_not_meet():
    """The last stream of a seed stands beside the first of the next one."""
    first = hashes(0, Stream(len(Stream) - 1), IDS[:50], 4)
    second = hashes(1, Stream(0), IDS[:50], 4)
    assert not np.intersect1d(first, second).size


def test_uniforms_are_even_and_exclude_the_ends():
    found = uniforms(3, Stream.TIME, IDS, 2)
    assert 0 < found.min() and found.max() < 1
    for column in found.T:
        assert stats.kstest(column, "uniform").pvalue > 1e-3
    assert abs(np.corrcoef(found.T)[0, 1]) < 0.03
    assert abs(np.corrcoef(found[1:, 0], found[:-1, 0])[0, 1]) < 0.03


def test_normals_are_standard_and_independent():
    found = normals(3, Stream.LOOK, IDS, 3)
    for column in found.T:
        assert stats.kstest(column, "norm").pvalue > 1e-3
    np.testing.assert_allclose(np.corrcoef(found.T), np.eye(3), atol=0.03)


def test_directions_have_one_length_and_no_favourite():
    found = directions(3, Stream.LOOK, IDS, 6)
    np.testing.assert_allclose(np.sum(found**2, axis=1), 6)
    np.testing.assert_allclose(found.T @ found / len(IDS), np.eye(6), atol=0.04)


@pytest.mark.parametrize("length", [3, 64])
def test_sums_of_products_of_snapped_numbers_are_exact(length):
    a, b = (snap(normals(s, Stream.LOOK, IDS[:200], length)) for s in (1, 2))
    assert np.abs(a - normals(1, Stream.LOOK, IDS[:200], length)).max() <= 2.0**-17
    forward = [np.add.accumulate(row)[-1] for row in a * b]
    backward = [np.add.accumulate(row[::-1])[-1] for row in a * b]
    assert forward == backward
