"""pricer, trained through its command line and killed once in each of its stages."""

import pathlib
import subprocess
import sys

from common.config import configs
from tests.integration import killing
from tests.pricer.conftest import open_shop

ROOT = pathlib.Path(__file__).parents[2]
TASKS = ("category", "attribute")  # one class of many, and members of a set

# What is there once a stage has begun.
STAGES = {
    "second network": "killed/networks/attribute/checkpoints/attribute/*",
    "feature store": "features/attribute-*/rows_done",
    "first stage of the heads": "killed/checkpoints/warm_up/*",
    "second stage of the heads": "killed/checkpoints/joint/*",
}


def test_a_kill_in_each_stage_leaves_no_trace(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("JAX_NUM_CPU_DEVICES", "1")
    config = open_shop(tmp_path).config(
        labels__brand="",
        labels__specification=(),
        networks__steps=8,
        warm_up__steps=60,
        train__steps=60,
    )
    doors = {}
    for name, store in (("whole", "elsewhere"), ("killed", "features")):
        flagfile = tmp_path / f"{name}.flags"
        changed = configs.replace(config, {"networks.cache": str(tmp_path / store)})
        flagfile.write_text("\n".join(configs.flag_lines(changed)))
        doors[name] = [
            *(sys.executable, "-m", "experiments.pricer_main"),
            *(f"--flagfile={flagfile}", f"--workdir={tmp_path / name}"),
        ]
    subprocess.run(doors["whole"], check=True, capture_output=True)
    for stage, pattern in STAGES.items():
        killing.kill_when(doors["killed"], tmp_path, pattern, stage)
    subprocess.run(doors["killed"], check=True, capture_output=True)

    whole, killed = tmp_path / "whole", tmp_path / "killed"
    for part in (".", *(f"networks/{task}" for task in TASKS)):
        expected = killing.fingerprint(whole / part)
        assert expected and killing.fingerprint(killed / part) == expected, part
    for name in ("metrics.json", "predictions_test.csv", "model.json"):
        assert (killed / name).read_bytes() == (whole / name).read_bytes(), name
    stores = sorted((tmp_path / "elsewhere").glob("*/features.f16"))
    assert len(stores) == len(TASKS)
    for store in stores:
        again = tmp_path / "features" / store.relative_to(tmp_path / "elsewhere")
        assert again.read_bytes() == store.read_bytes()
