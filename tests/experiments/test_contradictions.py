"""Flags that can't go together are refused while they are parsed, before any data."""

import pytest

from common.cli import app
from common.errors import UserError
from common.training import workdirs
from ican.config import Config as IcanConfig
from ican.main import MODES as ICAN_MODES
from pricer.config import Config as PricerConfig
from pricer.main import MODES as PRICER_MODES
from recsys.config import Config as RecsysConfig
from recsys.main import MODES as RECSYS_MODES

SYSTEMS = {
    "ican": (IcanConfig, ICAN_MODES),
    "pricer": (PricerConfig, PRICER_MODES),
    "recsys": (RecsysConfig, RECSYS_MODES),
}
LISTINGS = {
    "--data.images=photos": "--data.images needs --data.path",
    "--data.schema=schema.json": "--data.schema needs --data.path",
    "--data.where=a=b": "--data.where needs --data.path",
    "--data.split_by_time": "--data.split_by_time needs --data.path",
}
EVERYWHERE = {
    "--data.split_fractions=0.8,0.1,0.2": "sum to 1",
    "--data.split_fractions=0.9,0.1,0": "above 0",
    "--parallel.mode=pmap --parallel.model_axis=2": "needs --parallel.mode=jit",
    "--parallel.process_count=2": "need --parallel.distributed",
    "--parallel.distributed --parallel.devices=2": "each uses all",
    "--parallel.distributed --parallel.coordinator=a:1": "give all three",
    "--parallel.distributed --parallel.coordinator=a:1 --parallel.process_count=2"
    " --parallel.process_id=2": "must be below --parallel.process_count=2",
}
TAKEN = "--data.interactions=a.csv --data.items=b.csv --data.features=c.npy"
OWN = {
    "ican": {
        "--zones.count=6 --ensemble.classifiers=3": "wrong zone on",
        "--zones.kind=quantile --zones.count=6 --ensemble.classifiers=3": "wrong zone",
        "--ensemble.band=0": "band",
        "--zones.step=50": "divide the range",
        "--zones.first=0 --zones.last=90": "above 0",
        "--photos.crop=64 --photos.resize=32": "does not fit",
        "--backbone.cache=maps": "--backbone.frozen",
        "--backbone.pool=3": "does not divide",
        **LISTINGS,
    },
    "pricer": {
        "--model.inputs=statistics --nostatistics.use": "nothing to see",
        "--nostatistics.use --statistics.bins=8": "nothing to encode",
        "--labels.category= --labels.brand= --labels.attribute="
        " --labels.specification=": "needs a label",
        **LISTINGS,
    },
    "recsys": {
        "--data.interactions=a.csv": "--data.items=TABLE",
        "--data.features=c.npy": "--data.items=TABLE",
        f"{TAKEN} --data.attributes=brand": "give one of",
        f"{TAKEN} --data.split=temporal_global": "needs --data.time=COLUMN",
        f"{TAKEN} --data.split=leave_last_out": "needs --data.time=COLUMN",
        "--data.features_row=row": "needs --data.features",
        "--model.level_widths=16,16": "needs 3 numbers",
        "--model.level_widths=64,32,32": "leave some of the width",
        f"{TAKEN} --data.category=a,b --model.level_widths=8,8,8": "needs 2 numbers",
        "--model.name=sherlock --model.level_widths=32,16,8": "add up to 64",
        "--model.name=vbpr --model.level_widths=32,16,8": "has no such widths",
        "--model.width=3": "--model.width=3",
        "--loss.item_weight=0 --loss.user_weight=0": "nothing to learn",
        "--ranking.lengths=5": "--train.best_metric=ndcg@10 needs",
        "--train.best_metric=loss": "there is no such metric",
        "--row_optimizer=lazy_corrected --optimizer.momentum=1": "without bound",
        "--closet.item_count=1000 --closet.interaction_count=1000": "at least 1.05",
    },
}
CASES = [
    (system, flags, message)
    for system in SYSTEMS
    for flags, message in {**EVERYWHERE, **OWN[system]}.items()
]
RIGHT = [
    ("ican", "--zones.kind=quantile --zones.count=6 --ensemble.classifiers=4"),
    ("ican", "--zones.kind=quantile --zones.count=1000 --ensemble.classifiers=20"),
    ("ican", "--data.path=a.csv --data.images=photos"),
    ("pricer", "--nostatistics.use --comparables.count=8 --statistics.bins=8"),
    ("recsys", f"{TAKEN} --data.category=path --model.level_widths=8,8"),
    ("recsys", f"{TAKEN} --data.split=temporal_global --data.time=time"),
    ("recsys", "--model.name=sherlock --model.level_widths=32,32,0"),
    ("recsys", "--ranking.lengths=5 --train.best_metric=ndcg@5"),
    ("recsys", "--ranking.lengths=5 --train.best_metric=seen/ndcg@5"),
    ("recsys", "--mode=simulate --output=a.csv --data.items=b.csv"),
]


def parse(system, flags):
    config, modes = SYSTEMS[system]
    words = [system, "--workdir=run", *flags.split(" ")]
    return app.parse(system, config(), modes, words)


@pytest.mark.parametrize(("system", "flags", "message"), CASES)
def test_a_contradiction_is_refused(system, flags, message):
    with pytest.raises(UserError) as caught:
        parse(system, flags)
    assert message in str(caught.value)


@pytest.mark.parametrize(("system", "flags"), RIGHT)
def test_what_goes_together_is_taken(system, flags):
    parse(system, flags)


def test_so_is_one_beside_what_a_trained_model_has(tmp_path):
    workdirs.start_record(tmp_path, "ican", IcanConfig(), ())
    flags = ["--mode=evaluate", f"--workdir={tmp_path}", "--photos.resize=32"]
    with pytest.raises(UserError, match="does not fit"):
        app.parse("ican", IcanConfig(), ICAN_MODES, ["ican", *flags])
