import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import recommenders, recsys_scale


def test_it_runs_and_prints_its_rows(pytestconfig):
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "benchmarks.recsys",
            "--quick",
            "--only=leaf,projection",
        ],
        cwd=pytestconfig.rootpath,
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    rows = [line for line in done.stdout.splitlines() if "<= 0.5" in line]
    assert len(rows) == 2 and "by leaf" in rows[0] and "temporaries" in rows[1]


def test_the_run_at_full_size_works_at_a_small_one(pytestconfig):
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.recsys_scale", "--quick"],
        cwd=pytestconfig.rootpath,
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    rows = done.stdout.splitlines()
    assert "3 million parameters" in rows[2] and len(rows) >= 5


def test_generated_features_do_not_depend_on_the_company():
    features = recsys_scale.GeneratedFeatures(10_000, 32)
    whole = features.take(np.arange(10_000))
    some = np.array([9_000, 3, 4_099])
    np.testing.assert_array_equal(features.take(some), whole[some])
    assert len(np.unique(whole, axis=0)) == 10_000


def test_an_unknown_part_is_refused(pytestconfig):
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.recsys", "--only=leaves"],
        cwd=pytestconfig.rootpath,
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2 and "no part 'leaves'" in done.stderr


def test_an_epoch_learns_from_every_whole_batch():
    corpus = recommenders.make_corpus(recommenders.Size(20, 300, 700, 16, 12))
    assert len(corpus.splits["train"]) >= 512
    call = recommenders.train_epoch(corpus)
    call()
    state = next(
        cell.cell_contents
        for cell in call.__closure__
        if hasattr(cell.cell_contents, "params")
    )
    assert int(state.optimizer.steps) == len(corpus.splits["train"]) // 256


def test_both_sides_of_the_large_catalogue_find_the_same(monkeypatch):
    (comparison,) = recommenders.compare_leaves(quick=True)
    scores = {}
    lists = comparison.ours[1]()
    monkeypatch.setattr(jax, "block_until_ready", lambda found: scores.update(x=found))
    comparison.other[1]()
    np.testing.assert_allclose(lists.scores, jnp.asarray(scores["x"][0]), rtol=1e-5)
    assert (lists.items == np.asarray(scores["x"][1])).all()
