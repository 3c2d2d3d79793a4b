"""The exported sampler, through its own files, beside the network."""

import importlib.util
import json

import jax
import numpy as np
import pytest

from forecast import evaluation, main, run, saved_model
from forecast.panel.backtest import make_backtest
from forecast.saved_model import SavedModel
from forecast.step import State
from forecast.verbs import export
from tests.forecast.test_standalone_windows import TIMES, H, make_panel, model_of


def load(folder, name):
    spec = importlib.util.spec_from_file_location(f"exported_{name}", folder / name)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("name", "support"),
    [("gru_maf", "non_negative"), ("gp", "real"), ("width", "real")],
)
def test_the_program_draws_the_paths_of_the_network(tmp_path, name, support):
    panel = make_panel()
    trained = model_of(panel, **{"model.name": name, "window.support": support})
    prepared = run.prepare(trained.config, make_backtest(panel, H, 2))
    assert prepared.learner.sizes == trained.sizes
    state = jax.jit(prepared.learner.init)()
    # Batch norms that have seen something, so that they matter.
    stats = jax.tree.map(lambda leaf: leaf + 0.3, state.batch_stats)
    variables = {"params": state.params, "batch_stats": stats}
    trained = SavedModel(**{**vars(trained), "variables": jax.device_get(variables)})
    export.write(trained, tmp_path)
    wanted = evaluation.sample(
        prepared.learner,
        prepared.execution,
        prepared.grid,
        prepared.execution.replicate(State(**trained.variables, optimizer=())),
        np.array([40, 39], np.int32),
    )
    serve, windows = load(tmp_path, "serve.py"), load(tmp_path, "windows.py")
    model = serve.Predictor(tmp_path)
    about = model.metadata["about"]
    made = [
        windows.make_window(
            about,
            panel.values[:rows],
            TIMES[: rows + H].to_numpy(),
            known=panel.known,
            past=panel.past[:rows],
            **({"categories": [["y"], ["x"], ["y"]]} if about["shared"] else {}),
        )
        for rows in (40, 39)
    ]
    other = {**made[1], "seed": np.array(7, np.uint32)}
    found = model.predict(**windows.stack([*made, other]))
    assert found["paths"].shape == (3, 6, H, 3)
    np.testing.assert_allclose(found["paths"][:2], wanted, rtol=1e-5, atol=1e-5)
    assert wanted.std(1).max() > 0.1 and not found["broken"].any()
    assert np.abs(found["paths"][2] - wanted[1]).max() > 0.1
    if not about["shared"]:  # a batch of another size
        alone = model.predict_one(**made[1])["paths"]
        np.testing.assert_allclose(alone, wanted[1], rtol=1e-5, atol=1e-5)


def test_broken_paths_are_replaced_as_in_the_package():
    rng = np.random.default_rng(0)
    paths = rng.normal(size=(7, 2, 3)).astype(np.float32)
    paths[[0, 3, 4]] = np.nan
    paths[5, 1, 2] = np.inf
    found = export.mend(paths)
    wanted, broken = evaluation.mend(paths[None])
    np.testing.assert_array_equal(found["paths"], wanted[0])
    assert found["broken"] == broken == 4


def test_the_mode_writes_what_the_model_knows(tmp_path, monkeypatch, capsys):
    trained = model_of(make_panel(), **{"backtest.paths": 9})
    monkeypatch.setattr(saved_model, "load", lambda *_: trained)
    asked = {}
    monkeypatch.setattr(
        export.export, "export_program", lambda *_, **given: asked.update(given)
    )
    monkeypatch.setattr(main.app.workdirs, "load_config", lambda *_: trained.config)
    (tmp_path / "export").mkdir()
    with pytest.raises(SystemExit) as ended:
        main.main(["forecast", "--mode=export", f"--workdir={tmp_path}"])
    assert ended.value.code == 0
    about = json.loads(json.dumps(asked["about"]))
    assert about["ids"] == ["a", "b", "c"] and about["lags"] == [1, 7]
    assert (about["past"], about["horizon"], about["frequency"]) == (10, H, "D")
    assert (tmp_path / "export" / "windows.py").is_file()
    assert "windows of 10 steps of 3 series, 9 paths of 4" in capsys.readouterr().out
