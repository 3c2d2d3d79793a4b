"""Features on disk: resumed, and never mistaken for others."""

import os
import pathlib
import pickle
import signal
import subprocess
import sys
import textwrap

import numpy as np
import pytest

from common.data import feature_cache
from common.data.feature_cache import FeatureCache
from common.errors import UserError

KEY = {"weights": "aaa", "preprocessing": "crop 224", "data": "fff"}


def features(count=7):
    return np.random.default_rng(0).normal(size=(count, 2, 3)).astype(np.float32)


def test_rows_come_back_as_float16(tmp_path):
    cache = FeatureCache(tmp_path / "cache", KEY, (7, 2, 3))
    cache.append(features()[:4])
    cache.append(features()[4:])
    assert cache.complete
    rows = cache.rows([6, 0, 6])
    assert rows.dtype == np.float16
    np.testing.assert_array_equal(rows, features()[[6, 0, 6]].astype(np.float16))
    assert cache.rows([]).shape == (0, 2, 3)


def test_a_cut_off_write_goes_on(tmp_path):
    first = FeatureCache(tmp_path, KEY, (7, 2, 3))
    first.append(features()[:3])
    del first
    again = FeatureCache(tmp_path, KEY, (7, 2, 3))
    assert (again.done, again.complete) == (3, False)
    with pytest.raises(IndexError, match="3 of 7"):
        again.rows([3])
    with pytest.raises(IndexError):
        again.rows([-1])
    again.append(features()[3:])
    again = FeatureCache(tmp_path, KEY, (7, 2, 3))
    assert again.complete
    np.testing.assert_array_equal(
        again.rows(np.arange(7)), features().astype(np.float16)
    )


def test_marked_rows_survive_a_kill(tmp_path):
    script = textwrap.dedent("""
        import sys
        import numpy as np
        from common.data.feature_cache import FeatureCache

        cache = FeatureCache(sys.argv[1], {"weights": "aaa"}, (1000, 50))
        for row in range(cache.done, 1000):
            cache.append(np.full((1, 50), row))
            print(row, flush=True)
    """)
    root = os.path.join(os.path.dirname(__file__), "..", "..", "..")
    path = tmp_path / "cache"
    for stop in (5, 20, 90):
        with subprocess.Popen(
            [sys.executable, "-c", script, str(path)],
            env=os.environ | {"PYTHONPATH": root},
            stdout=subprocess.PIPE,
        ) as process:
            while int(process.stdout.readline()) < stop:
                pass
            process.send_signal(signal.SIGKILL)
    cache = FeatureCache(path, {"weights": "aaa"}, (1000, 50))
    assert 91 <= cache.done < 1000
    expected = np.repeat(np.arange(cache.done)[:, None], 50, axis=1)
    np.testing.assert_array_equal(cache.rows(np.arange(cache.done)), expected)


def test_a_pickled_cache_is_opened_again(tmp_path):
    cache = FeatureCache(tmp_path, KEY, (1000, 50))
    cache.append(np.ones((1000, 50)))
    pickled = pickle.dumps(cache)
    assert len(pickled) < 1000
    assert pickle.loads(pickled).rows([999]).sum() == 50


@pytest.mark.parametrize("field", KEY)
def test_other_weights_are_refused_by_name(tmp_path, field):
    FeatureCache(tmp_path, KEY, (7, 2, 3))
    with pytest.raises(
        UserError, match=rf"another {field} \({KEY[field]}, wanted is x"
    ):
        FeatureCache(tmp_path, KEY | {field: "x"}, (7, 2, 3))


def test_another_shape_or_key_is_refused(tmp_path):
    FeatureCache(tmp_path, KEY, (7, 2, 3))
    with pytest.raises(UserError, match="another shape"):
        FeatureCache(tmp_path, KEY, (7, 2, 4))
    with pytest.raises(UserError, match="another layer"):
        FeatureCache(tmp_path, KEY | {"layer": "4"}, (7, 2, 3))


def test_damage_is_a_user_error(tmp_path):
    FeatureCache(tmp_path, KEY, (7, 2, 3)).append(features())
    files = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    damages = {
        "features.f16": [b"", None],
        "rows_done": [b"8", b"-1", b"x", None],
        "meta.json": [b"{", b"[]", b"{}", b"\xff"],
    }
    for name, contents in damages.items():
        for content in contents:
            if content is None:
                (tmp_path / name).unlink()
            else:
                (tmp_path / name).write_bytes(content)
            with pytest.raises(UserError, match="delete"):
                FeatureCache(tmp_path, KEY, (7, 2, 3))
            (tmp_path / name).write_bytes(files[name])
    assert FeatureCache(tmp_path, KEY, (7, 2, 3)).complete


def test_what_does_not_fit_is_refused(tmp_path):
    cache = FeatureCache(tmp_path, KEY, (7, 2, 3))
    with pytest.raises(ValueError, match="does not fit"):
        cache.append(np.zeros((1, 2, 4)))
    with pytest.raises(ValueError, match="does not fit"):
        cache.append(np.zeros((8, 2, 3)))
    for bad in (np.nan, np.inf, 70_000):
        with pytest.raises(UserError, match="does not fit float16"):
            cache.append(np.full((1, 2, 3), bad))
    assert cache.done == 0


def test_pages_of_large_caches_do_not_stay_in_the_process(tmp_path, monkeypatch):
    def resident():
        lines = pathlib.Path("/proc/self/status").read_text().splitlines()
        (line,) = (line for line in lines if line.startswith("RssFile"))
        return int(line.split()[1]) / 1024  # MiB

    cache = FeatureCache(tmp_path, KEY, (4096, 4096))  # 32 MiB
    for _ in range(4):
        cache.append(np.ones((1024, 4096), np.float16))
    del cache
    grown = []
    for limit in (2**40, 0):
        monkeypatch.setattr(feature_cache, "_LARGE", limit)
        cache = FeatureCache(tmp_path, KEY, (4096, 4096))
        before = resident()
        for row in range(4096):
            assert cache.rows([row])[0, 0] == 1
        grown.append(resident() - before)
        del cache
    assert grown[0] > 24 and grown[1] < 8


def test_rows_of_large_caches_are_the_same_and_aligned(tmp_path, monkeypatch):
    monkeypatch.setattr(feature_cache, "_AT_ONCE", 2)
    cache = FeatureCache(tmp_path, KEY, (7, 2, 3))
    cache.append(features())
    wanted = np.array([6, 0, 6, 2, 5])
    small = cache.rows(wanted)
    monkeypatch.setattr(feature_cache, "_LARGE", 0)
    large = cache.rows(wanted)
    np.testing.assert_array_equal(large, small)
    assert large.ctypes.data % 64 == 0 and large.flags.c_contiguous
    assert cache.rows([]).shape == (0, 2, 3)
