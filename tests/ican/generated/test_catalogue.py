import numpy as np
import pytest

from ican.generated import catalogue

TABLES = ("METAL", "SIZE", "USE", "REPAIR", "DEFECT", "MONTH", "DESIGN", "KIND")


def test_the_category_counts_are_those_of_table_1():
    counts = [
        len(catalogue.REPORT),
        len(catalogue.REPORT),
        len(catalogue.KIND.names),
        len(catalogue.KIND.names),
        len(catalogue.METAL.names),
        len(catalogue.USE.names),
        len(catalogue.REPAIR.names),
        len(catalogue.DEFECT.names),
        len(catalogue.MONTH.names),
    ]
    assert counts == [2, 2, 37, 37, 11, 4, 6, 6, 12]
    assert sum(counts) == 117  # 123 variables with the six continuous ones


@pytest.mark.parametrize("name", TABLES)
def test_effects_have_mean_0_and_variance_1_under_the_shares(name):
    table = getattr(catalogue, name)
    assert len(set(table.names)) == len(table.names) == len(table.shares)
    assert table.shares.min() > 0
    np.testing.assert_allclose(table.shares.sum(), 1)
    np.testing.assert_allclose(table.shares @ table.effects, 0, atol=1e-12)
    np.testing.assert_allclose(table.shares @ table.effects**2, 1)


def test_kinds_divide_into_families():
    assert catalogue.KIND.names[0] == "none" and catalogue.KIND_FAMILY[0] == -1
    np.testing.assert_array_equal(np.unique(catalogue.KIND_FAMILY[1:]), np.arange(9))
    np.testing.assert_allclose(catalogue.FAMILY_KINDS.sum(axis=1), 1)
    np.testing.assert_allclose(catalogue.FAMILY_SHARES.sum(), 1)
    np.testing.assert_allclose(catalogue.SIDE_SHARES.sum(), 1)
    assert catalogue.SIDE_SHARES[0] == 0.5


def test_platinum_is_dearer_than_gold_and_gold_than_silver():
    worth = dict(zip(catalogue.METAL.names, catalogue.METAL.effects, strict=True))
    assert worth["platinum 900"] > worth["18K yellow gold"] > worth["10K yellow gold"]
    assert worth["silver 925"] == min(worth.values())
