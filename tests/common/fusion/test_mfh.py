"""MFH: the cascade, against loops over its definition."""

import numpy as np
import pytest

from common.fusion.mfh import MFH

RNG = np.random.default_rng(0)


def draw_stage(expanded):
    return {
        "linear_x": {"kernel": RNG.normal(size=(3, expanded))},
        "linear_y": {"kernel": RNG.normal(size=(4, expanded))},
        "bias_x": RNG.normal(size=expanded),
        "bias_y": RNG.normal(size=expanded),
    }


def expand(stage, x, y):
    u = x @ stage["linear_x"]["kernel"] + stage["bias_x"]
    v = y @ stage["linear_y"]["kernel"] + stage["bias_y"]
    return u * v


@pytest.mark.parametrize("stages", [1, 2, 3])
def test_authors_cascade(stages, power_l2):
    width, factor = 2, 3
    params = {f"stage_{i}": draw_stage(width * factor) for i in range(stages)}
    x, y = RNG.normal(size=(5, 3)), RNG.normal(size=(5, 4))
    expected = []
    for row_x, row_y in zip(x, y, strict=True):
        product = np.ones(width * factor)
        parts = []
        for i in range(stages):
            product = product * expand(params[f"stage_{i}"], row_x, row_y)
            sums = [product[o * factor : (o + 1) * factor].sum() for o in range(width)]
            parts.append(power_l2(np.array(sums)))
        expected.append(np.concatenate(parts))
    mfh = MFH(width * stages, stages=stages, factor=factor)
    z = mfh.apply({"params": params}, x, y)
    np.testing.assert_allclose(z, expected, rtol=1e-3, atol=1e-5)


def test_width_that_the_stages_do_not_divide_is_refused():
    with pytest.raises(ValueError, match="width 5 is not divisible by 2 stages"):
        MFH(5).apply({}, np.ones((1, 3)), np.ones((1, 4)))
