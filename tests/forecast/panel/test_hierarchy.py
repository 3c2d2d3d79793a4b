import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from forecast.panel.hierarchy import TOTAL, sum_groups


def test_sums_by_arithmetic():
    nan = np.nan
    values = np.array([[1.0, 2, 4, 8], [1, nan, 1, 1], [nan, nan, 1, nan]])
    sums = sum_groups(values, {"category": ("b", "a", "b", "a"), "shop": ("s",) * 4})
    assert list(sums) == ["category", "shop", TOTAL]
    assert sums["category"].names == ("b", "a") and sums[TOTAL].names == (TOTAL,)
    assert sums["category"].counts.tolist() == [2, 2] and sums["shop"].counts == [4]
    expected = [[5, 10], [2, 1], [1, nan]]
    np.testing.assert_array_equal(sums["category"].values, expected)
    np.testing.assert_array_equal(sums[TOTAL].values, [[15], [3], [1]])
    np.testing.assert_array_equal(sums["shop"].values, sums[TOTAL].values)


@given(st.lists(st.sampled_from("abcd"), min_size=1, max_size=9), st.integers(0, 2**31))
def test_levels_agree_on_every_path(names, seed):
    paths = np.random.default_rng(seed).normal(size=(3, 2, len(names)))
    sums = sum_groups(paths, {"group": tuple(names)})
    for name, total in zip(sums["group"].names, sums["group"].values.T, strict=True):
        chosen = [d for d, other in enumerate(names) if other == name]
        np.testing.assert_allclose(total.T, paths[..., chosen].sum(-1), atol=1e-12)
    np.testing.assert_allclose(
        sums["group"].values.sum(-1, keepdims=True), sums[TOTAL].values, atol=1e-12
    )
