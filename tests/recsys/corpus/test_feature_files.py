import concurrent.futures
import json
import pickle

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from common.errors import UserError
from recsys.corpus.feature_files import (
    ArrayFeatures,
    Scaling,
    StoredFeatures,
    fit_normalisation,
    write_features,
)

RNG = np.random.default_rng(7)
VALUES = RNG.standard_normal((10, 3)).astype(np.float32)


def cut(array, *edges):
    return np.split(array, edges)


def write(folder, array=VALUES, **named):
    options = {"count": len(array), "width": array.shape[1], "shard_rows": 4} | named
    write_features(folder, options.pop("blocks", [array]), **options)
    return StoredFeatures(folder)


def stamps(folder):
    """What tells a file that was written anew."""
    return {path.name: path.stat().st_ino for path in folder.glob("*.npy")}


def check_int8(found, values):
    """|error| <= scale / 2, but for the rounding of the product to float32."""
    scale = np.abs(values).max(axis=1, keepdims=True) / 127
    error = np.abs(found - values.astype(np.float64))
    assert (error <= scale * (0.5 + 1e-5)).all()


@hypothesis.settings(max_examples=40)
@hypothesis.given(
    count=st.integers(1, 30),
    width=st.integers(1, 5),
    shard_rows=st.integers(1, 31),
    kind=st.sampled_from(["float16", "int8"]),
    data=st.data(),
)
def test_what_is_written_is_taken(
    tmp_path_factory, count, width, shard_rows, kind, data
):
    values = RNG.standard_normal((count, width)) * 10.0 ** RNG.integers(
        -3, 3, (count, 1)
    )
    edges = data.draw(st.lists(st.integers(0, count)))
    ids = np.array(data.draw(st.lists(st.integers(0, count - 1))), np.int64)
    folder = tmp_path_factory.mktemp("features")
    blocks = cut(values, *sorted(edges))
    found = write(folder, values, blocks=blocks, kind=kind, shard_rows=shard_rows)
    assert (found.count, found.width) == (count, width)
    assert len(list(folder.glob("features-*.npy"))) == -(-count // shard_rows)
    rows = found.take(ids)
    assert rows.shape == (len(ids), width)
    if kind == "float16":
        assert rows.dtype == np.float16
        np.testing.assert_array_equal(rows, values.astype(np.float16)[ids])
    else:
        assert rows.dtype == np.float32
        check_int8(rows, values[ids])


def test_shard_borders_written_out(tmp_path):
    array = np.arange(7, dtype=np.float32)[:, None]
    found = write(tmp_path, array, blocks=cut(array, 1, 6), shard_rows=3)
    files = sorted(path.name for path in tmp_path.iterdir())
    shards = [f"features-0000{n}.npy" for n in range(3)]
    assert files == [*shards, "features.json"]
    stored = [np.load(tmp_path / name).ravel().tolist() for name in shards]
    assert stored == [[0, 1, 2], [3, 4, 5], [6]]
    assert found.take(np.array([6, 2, 3, 2, 0])).ravel().tolist() == [6, 2, 3, 2, 0]
    assert found.take(np.array([], np.int64)).shape == (0, 1)


def test_int8_written_out(tmp_path):
    array = np.array([[127, -254, 1], [0, 0, 0], [0.127, 0.0013, 0], [1e-44, 0, 0]])
    found = write(tmp_path, array, kind="int8", shard_rows=9)
    codes = np.load(tmp_path / "features-00000.npy")
    # 254 / 127 = 2 a step: 63.5 and 0.5 go to the even neighbour.
    assert codes.tolist() == [[64, -127, 0], [0, 0, 0], [127, 1, 0], [0, 0, 0]]
    scales = np.load(tmp_path / "scales-00000.npy")
    tiny = np.finfo(np.float32).tiny
    np.testing.assert_allclose(scales, np.array([2, 0, 0.001, tiny]), rtol=1e-6)
    rows = found.take(np.array([2, 0]))
    np.testing.assert_allclose(rows, [[0.127, 0.001, 0], [128, -254, 0]], rtol=1e-6)


@pytest.mark.parametrize("kind", ["float16", "float32", "float64", ">f4"])
def test_one_file(tmp_path, kind):
    path = tmp_path / "f.npy"
    np.save(path, VALUES.astype(kind))
    ids = np.array([9, 0, 9, 4])
    for features in (StoredFeatures(path), ArrayFeatures(VALUES.astype(kind))):
        rows = features.take(ids)
        assert rows.dtype == (np.float16 if kind == "float16" else np.float32)
        assert rows.dtype.isnative
        np.testing.assert_array_equal(rows, VALUES[ids].astype(rows.dtype))
        assert (features.count, features.width) == (10, 3)


def test_a_copy_is_taken():
    array = VALUES.copy()
    features = ArrayFeatures(array)
    features.take(np.arange(10))[:] = 0
    np.testing.assert_array_equal(features.take(np.arange(10)), VALUES)


def test_fingerprints(tmp_path):
    np.save(tmp_path / "f.npy", VALUES)
    changed = VALUES.copy()
    changed[9, 2] += 1
    same = {
        ArrayFeatures(VALUES).fingerprint,
        ArrayFeatures(np.asfortranarray(VALUES)).fingerprint,
        StoredFeatures(tmp_path / "f.npy").fingerprint,
    }
    assert len(same) == 1
    folders = [
        write(tmp_path / "a"),
        write(tmp_path / "b", blocks=cut(VALUES, 5)),
        write(tmp_path / "c", changed),
        write(tmp_path / "d", kind="int8"),
    ]
    prints = [folder.fingerprint for folder in folders]
    assert prints[0] == prints[1]
    others = same | set(prints) | {ArrayFeatures(changed).fingerprint}
    others.add(ArrayFeatures(VALUES.reshape(5, 6)).fingerprint)
    assert len(others) == 6


def test_threads_read_at_once_and_workers_open_their_own(tmp_path):
    array = RNG.standard_normal((200, 8)).astype(np.float16)
    features = write(tmp_path, array, shard_rows=13)
    asked = [RNG.integers(0, 200, 50) for _ in range(64)]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        for ids, rows in zip(asked, pool.map(features.take, asked), strict=True):
            np.testing.assert_array_equal(rows, array[ids])
    packed = pickle.dumps(features)
    assert len(packed) < 1000
    np.testing.assert_array_equal(pickle.loads(packed).take(asked[0]), array[asked[0]])


@pytest.mark.parametrize(
    "ids", [[10], [-1], [0.0], [True], [[1]], [0, 2**40]], ids=lambda ids: str(ids)
)
def test_ids_that_are_none(ids):
    with pytest.raises(IndexError, match="ids"):
        ArrayFeatures(VALUES).take(np.array(ids))


@pytest.mark.parametrize("kind", ["float16", "int8"])
@pytest.mark.parametrize("harm", ["delete", "truncate", "other shape"])
def test_a_damaged_shard_is_named(tmp_path, kind, harm):
    write(tmp_path, kind=kind)
    file = tmp_path / "features-00001.npy"
    if harm == "delete":
        file.unlink()
    elif harm == "truncate":
        file.write_bytes(file.read_bytes()[:-1])
    else:
        np.save(file, np.zeros((4, 2), kind))
    with pytest.raises(UserError, match=r"features-00001\.npy.*write"):
        StoredFeatures(tmp_path)


def test_an_interrupted_call_leaves_no_features_and_is_made_anew(tmp_path):
    def breaks():
        yield from cut(VALUES, 3, 7)[:2]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write(tmp_path, blocks=breaks())
    assert list(stamps(tmp_path)) == ["features-00000.npy"]
    with pytest.raises(UserError, match=r"no features.json in it"):
        StoredFeatures(tmp_path)
    features = write(tmp_path)
    np.testing.assert_array_equal(
        features.take(np.arange(10)), VALUES.astype(np.float16)
    )


@pytest.mark.parametrize(
    ("named", "message"),
    [
        ({}, "holds features already: choose another folder"),
        ({"kind": "int4"}, "'int4': choose one of float16, int8"),
    ],
)
def test_features_are_not_written_over(tmp_path, named, message):
    write(tmp_path)
    before = stamps(tmp_path)
    with pytest.raises(UserError, match=message) as caught:
        write(tmp_path, **named)
    if not named:
        assert str(caught.value).startswith(str(tmp_path))
    assert "\n" not in str(caught.value)
    assert stamps(tmp_path) == before


def damage(folder, **changes):
    path = folder / "features.json"
    facts = json.loads(path.read_text())
    del facts["checksum"]  # so that the entries themselves are checked
    path.write_text(json.dumps(facts | changes))


@pytest.mark.parametrize(
    "harm",
    [
        lambda folder: (folder / "features.json").write_text("{"),
        lambda folder: (folder / "features.json").write_text("[1]"),
        lambda folder: (folder / "features.json").write_text("{}"),
        lambda folder: (folder / "features.json").write_text(
            (folder / "features.json").read_text().replace("10", "11")
        ),
        lambda folder: damage(folder, width="3"),
        lambda folder: damage(folder, width=0),
        lambda folder: damage(folder, kind="int4"),
        lambda folder: damage(folder, format=2),
        lambda folder: damage(folder, shards=3),
        lambda folder: damage(folder, shards=[]),
        lambda folder: damage(folder, shards=[None] * 3),
        lambda folder: damage(folder, shard_rows=None),
    ],
)
def test_a_damaged_list_of_shards(tmp_path, harm):
    write(tmp_path)
    harm(tmp_path)
    with pytest.raises(UserError, match=r"features\.json: damaged \(") as caught:
        StoredFeatures(tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", ["float16", "int8"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e39, -1e300])
def test_values_that_are_refused_where_they_are_written(tmp_path, kind, value):
    array = np.zeros((10, 3))
    array[6, 1] = value
    with pytest.raises(UserError, match=r"row 6 of the features \(counted from 0\)"):
        write(tmp_path, array, blocks=cut(array, 5), kind=kind)
    # The next call may bring it right.
    assert write(tmp_path, kind=kind).count == 10


def test_values_that_float16_can_not_hold(tmp_path):
    assert write(tmp_path / "a", np.full((1, 1), 65504.0)).count == 1
    with pytest.raises(UserError, match=r"row 0 .* too large for float16"):
        write(tmp_path / "b", np.full((1, 1), 65536.0))
    assert write(tmp_path / "c", np.full((1, 1), 65536.0), kind="int8").count == 1


def test_values_that_are_refused_where_they_are_read(tmp_path):
    array = np.zeros((10, 3))
    array[6, 1], array[8, 0] = np.nan, 1e39
    np.save(tmp_path / "f.npy", array)
    features = StoredFeatures(tmp_path / "f.npy")
    assert features.take(np.array([5, 7])).tolist() == [[0, 0, 0]] * 2
    for row in (6, 8):
        with pytest.raises(UserError, match=rf"f\.npy: row {row} of the features"):
            features.take(np.array([7, row, 0]))
        with pytest.raises(UserError, match=rf"array: row {row} of the features"):
            ArrayFeatures(np.where(np.arange(10)[:, None] == row, array, 0))


@pytest.mark.parametrize(
    ("blocks", "message"),
    [
        ([VALUES[:9]], "end at row 9 of 10"),
        ([VALUES, VALUES[:1]], "more than 10 rows"),
        ([np.zeros((11, 3))], "more than 10 rows"),
        ([VALUES[:, :2]], r"float32 \(10, 2\), not float \[n, 3\]"),
        ([VALUES[0]], r"float32 \(3,\)"),
        ([np.zeros((10, 3), np.int8)], r"int8 \(10, 3\)"),
    ],
)
def test_blocks_that_do_not_fit(tmp_path, blocks, message):
    with pytest.raises(ValueError, match=message):
        write(tmp_path, blocks=blocks)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((4, 3), np.int8), "int8 without scales: give float16, or the folder"),
        (np.zeros((4, 3), np.int64), "int64 of shape"),
        (np.zeros(4, np.float32), r"float32 of shape \(4,\): give one row"),
        (np.zeros((4, 3), np.complex64), "complex64 of shape"),
        (np.zeros((0, 3), np.float32), r"empty, of shape \(0, 3\)"),
        (np.zeros((3, 0), np.float32), r"empty, of shape \(3, 0\)"),
    ],
)
def test_arrays_that_are_no_features(tmp_path, array, message):
    with pytest.raises(UserError, match=f"feature array: {message}"):
        ArrayFeatures(array)
    np.save(tmp_path / "f.npy", array)
    with pytest.raises(UserError, match=f"f.npy: ({message}|no whole .npy file)"):
        StoredFeatures(tmp_path / "f.npy")


def test_files_that_are_no_features(tmp_path):
    path = tmp_path / "f.npy"
    np.save(path, VALUES)
    path.write_bytes(path.read_bytes()[:-1])
    (tmp_path / "text.npy").write_text("0,1\n")
    np.savez(tmp_path / "some.npz", VALUES)
    np.save(tmp_path / "objects.npy", np.array([[{}]], object), allow_pickle=True)
    np.save(tmp_path / "turned.npy", np.asfortranarray(VALUES))
    (tmp_path / "empty").mkdir()
    cases = {
        "f.npy": "no whole .npy file of numbers",
        "text.npy": "no whole .npy file of numbers",
        "some.npz": "no whole .npy file of numbers",
        "objects.npy": "no whole .npy file of numbers",
        "turned.npy": "stored column by column.*ascontiguousarray",
        "empty": "no features.json in it: give a .npy file or a folder",
        "absent": r"can't be read \(No such file.*check the path",
    }
    for name, message in cases.items():
        with pytest.raises(UserError, match=message) as caught:
            StoredFeatures(tmp_path / name)
        assert str(caught.value).startswith(str(tmp_path / name))
        assert "\n" not in str(caught.value)
    with pytest.raises(UserError, match=r"f\.npy/x: can't be written"):
        write(path / "x")


@pytest.mark.parametrize("rows_at_once", [1, 4, 100])
def test_standardised_with_the_training_items_alone(rows_at_once):
    array = RNG.normal(50, 0.25, (40, 6)).astype(np.float32)
    array[:, 4] = 0.1  # constant in training
    train = RNG.permutation(40)[:25]
    others = np.setdiff1d(np.arange(40), train)
    array[others] = 1e6
    twice = np.concatenate([train, train[:9]])  # each item counts once
    scaling = fit_normalisation(
        ArrayFeatures(array), "standardise", twice, rows_at_once
    )
    exact = array[train].astype(np.float64)
    np.testing.assert_allclose(scaling.mean, exact.mean(axis=0), rtol=1e-6)
    deviation = exact.std(axis=0)
    deviation[4] = np.inf
    np.testing.assert_allclose(scaling.scale, 1 / deviation, rtol=1e-6)
    rows = scaling.apply(array)
    assert rows.dtype == np.float32
    assert not rows[:, 4].any()
    expected = (exact - exact.mean(axis=0)) / deviation
    np.testing.assert_allclose(rows[train], expected, atol=1e-4)
    # Each of the five that vary has the mean square 1.
    assert scaling.power == pytest.approx(5, rel=1e-4)


def test_unit_length_and_none_written_out():
    array = np.array([[3, 4], [0, 0], [0, 1e-30], [1e30, 0], [9, 9]], np.float32)
    train = np.array([0, 1, 2])
    unit = fit_normalisation(ArrayFeatures(array), "unit", train)
    rows = unit.apply(array[:4])
    np.testing.assert_allclose(
        rows, np.array([[0.6, 0.8], [0, 0], [0, 1], [1, 0]]), rtol=1e-6
    )
    assert (unit.power, rows.dtype) == (1.0, np.float32)
    none = fit_normalisation(ArrayFeatures(array), "none", train, rows_at_once=2)
    np.testing.assert_array_equal(none.apply(array), array)
    assert none.power == pytest.approx(25 / 3)
    half = none.apply(array[:3].astype(np.float16))
    assert half.dtype == np.float32


def test_the_power_of_many_items_is_that_of_a_sample():
    array = np.arange(25_000, dtype=np.float32)[:, None] / 25_000
    scaling = fit_normalisation(ArrayFeatures(array), "none", np.arange(25_000))
    assert scaling.power == pytest.approx(1 / 3, rel=1e-3)


@pytest.mark.parametrize("kind", ["none", "unit", "standardise"])
def test_a_scaling_is_kept_as_json(kind):
    scaling = fit_normalisation(ArrayFeatures(VALUES), kind, np.arange(8))
    text = json.dumps(scaling.to_json(), allow_nan=False)
    again = Scaling.from_json(json.loads(text))
    assert (again.kind, again.power, again.width) == (kind, scaling.power, 3)
    np.testing.assert_array_equal(again.apply(VALUES), scaling.apply(VALUES))
    with pytest.raises(ValueError, match=r"\(10, 2\), not \[n, 3\]"):
        again.apply(VALUES[:, :2])


@pytest.mark.parametrize(
    "changes",
    [
        {"kind": "unity"},
        {"width": 2},
        {"width": -1},
        {"width": None},
        {"power": None},
        {"power": 0},
        {"power": float("nan")},
        {"mean": [0, 1]},
        {"mean": [0, 1, float("inf")]},
        {"scale": "abc"},
    ],
)
def test_a_damaged_scaling(changes):
    features = ArrayFeatures(VALUES)
    value = fit_normalisation(features, "standardise", np.arange(8)).to_json()
    Scaling.from_json(value)
    for damaged in (value | changes, {}, []):
        with pytest.raises(UserError, match="scaling of the features is damaged"):
            Scaling.from_json(damaged)


def test_scalings_that_are_refused():
    features = ArrayFeatures(np.ones((4, 2)) * [[1], [1], [0], [0]])
    cases = [
        ("minmax", [0], UserError, "'minmax': choose one of none, unit, standardise"),
        ("standardise", [0, 1], UserError, "of all training items are equal"),
        ("none", [2, 3], UserError, "of all training items are zero"),
        ("unit", [], ValueError, "no training items"),
        ("none", [4], IndexError, "features of 4 items"),
    ]
    for kind, items, error, message in cases:
        with pytest.raises(error, match=message):
            fit_normalisation(features, kind, np.array(items, np.int64))
