"""The exported programs, without this repository, and the pictures of explain."""

import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from rerank import batches, data, main
from rerank.verbs import export


def call(*words):
    with pytest.raises(SystemExit) as ended:
        main.main(["rerank", *words])
    assert ended.value.code == 0


PROGRAM = """
import importlib.util, sys, numpy as np
folder, given, found = sys.argv[1:]
spec = importlib.util.spec_from_file_location("serve", folder + "/serve.py")
serve = importlib.util.module_from_spec(spec)
spec.loader.exec_module(serve)
with np.load(given) as arrays:
    outputs = serve.Predictor(folder).predict(**arrays)
np.savez(found, **outputs)
"""


def test_exported_programs_give_the_same_orders(workdir, model, tmp_path):
    call("--mode=export", f"--workdir={workdir}", f"--output={tmp_path / 'out'}")
    folder = tmp_path / "out" / "length_8"
    metadata = json.loads((folder / "metadata.json").read_text())
    assert metadata["about"]["searches"] is True
    requests = data.load(model.config).splits["test"]
    history = model.trained.sizes.history
    rows = np.arange(5)
    batch = batches.gather(model.corpus.items, requests, rows, 8, history)
    inputs = export.inputs_of(model.trained.sizes, 8)
    np.savez(tmp_path / "given.npz", **{name: batch[name] for name in inputs})
    files = [str(folder), str(tmp_path / "given.npz"), str(tmp_path / "found.npz")]
    subprocess.run([sys.executable, "-c", PROGRAM, *files], check=True, cwd=tmp_path)
    outputs = model.answer(requests.select(rows))
    with np.load(tmp_path / "found.npz") as found:
        np.testing.assert_array_equal(found["order"], outputs.search)
        np.testing.assert_allclose(found["value"], outputs.values[:, 2], atol=1e-5)
        np.testing.assert_allclose(found["chance"], outputs.found, atol=1e-5)


def test_explain_draws_requests(workdir, tmp_path):
    call("--mode=explain", f"--workdir={workdir}", f"--output={tmp_path / 'out'}")
    drawn = sorted((tmp_path / "out").glob("*.png"))
    assert len(drawn) == 8
    with Image.open(drawn[0]) as picture:
        assert len(picture.convert("RGB").getcolors(1 << 20)) > 20
