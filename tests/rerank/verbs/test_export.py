"""The exported programs, without this repository, and the pictures of explain."""

import json
import subprocess
import sys
import types

import numpy as np
import pytest
from PIL import Image

from common.text.encoder import TextEncoder
from rerank import batches, data, main
from rerank.config import POINTWISE, Modality, Sizes
from rerank.ordering.ranker import Calibration, Outputs
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
    inputs = export.inputs_of(model.trained, 8)
    np.savez(tmp_path / "given.npz", **{name: batch[name] for name in inputs})
    files = [str(folder), str(tmp_path / "given.npz"), str(tmp_path / "found.npz")]
    subprocess.run([sys.executable, "-c", PROGRAM, *files], check=True, cwd=tmp_path)
    outputs = model.answer(requests.select(rows))
    with np.load(tmp_path / "found.npz") as found:
        np.testing.assert_array_equal(found["order"], outputs.search)
        np.testing.assert_allclose(found["value"], outputs.values[:, 2], atol=1e-5)
        np.testing.assert_allclose(found["chance"], outputs.found, atol=1e-5)


def test_programs_take_whole_texts_and_histories():
    encoder = TextEncoder.fit(["red winter coat", "coat"])
    sizes = Sizes(1, 0, encoder.size, (Modality("text", 0, encoder.size),), 8, 4)
    trained = types.SimpleNamespace(sizes=sizes, encoder=encoder)
    shapes = {name: s.shape for name, s in export.inputs_of(trained, 8).items()}
    assert encoder.length == 3
    assert shapes["text_ids"] == (8, 3) and shapes["query_weights"] == (3,)
    assert shapes["history_text_ids"] == (4, 3) and shapes["history_mask"] == (4,)


def test_chances_are_those_of_the_order_that_is_the_answer():
    outputs = Outputs(
        pointwise=np.array([[1.0, 3.0, 2.0]], np.float32),
        listwise=None,
        clicks=None,
        sort=np.array([[1, 2, 0]]),
        search=np.array([[2, 1, 0]]),
        values=np.array([[0.5, 0.6, 0.7]]),
        source=None,
        found=np.array([[0.4, 0.2, 0.1]]),
        weights=None,
        history=None,
    )
    fitted = Calibration({POINTWISE: 2.0}, {POINTWISE: -4.0}, {})
    found = export.choose(outputs, True, fitted)
    assert found["order"] is outputs.search and found["chance"] is outputs.found
    assert found["value"].tolist() == [0.7]
    found = export.choose(outputs, False, fitted)
    assert found["order"] is outputs.sort and found["value"].tolist() == [0.6]
    np.testing.assert_allclose(
        found["chance"], [1 / (1 + np.exp([-2.0, 0, 2]))], rtol=1e-6
    )


def test_explain_draws_requests(workdir, tmp_path):
    call("--mode=explain", f"--workdir={workdir}", f"--output={tmp_path / 'out'}")
    drawn = sorted((tmp_path / "out").glob("*.png"))
    assert len(drawn) == 8
    with Image.open(drawn[0]) as picture:
        assert len(picture.convert("RGB").getcolors(1 << 20)) > 20
