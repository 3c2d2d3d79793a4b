import subprocess
import sys

import numpy as np

from benchmarks import pricer


def test_it_runs_and_prints_its_rows(pytestconfig, tmp_path):
    done = subprocess.run(
        [
            sys.executable,
            *("-m", "benchmarks.pricer", "--quick", "--repeats=1"),
            f"--folder={tmp_path}",
        ],
        cwd=pytestconfig.rootpath,
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "peak memory: " in done.stdout
    rows = [line for line in done.stdout.splitlines() if line.startswith("| heads")]
    assert len(rows) >= 2 and "<= 1.1" in rows[0] and "300 stored rows" in rows[0]
    assert not list(tmp_path.iterdir())


def test_it_says_where_there_is_no_room(monkeypatch, capsys, tmp_path):
    usage = pricer.shutil.disk_usage(tmp_path)._replace(free=10**9)
    monkeypatch.setattr(pricer.shutil, "disk_usage", lambda folder: usage)
    monkeypatch.setattr(pricer.timing, "pin", lambda threads: None)
    pricer.main([f"--folder={tmp_path}"])
    out = capsys.readouterr().out
    assert "left out: the store takes 14.6 GB" in out and "choose another" in out


def test_no_two_stored_rows_are_alike(tmp_path):
    store = pricer.make_store(str(tmp_path / "s"), 2100, 40)
    rows = store.rows(np.arange(2100))
    assert store.complete and len(np.unique(rows, axis=0)) == 2100
    assert (rows >= 0).all()
