import math
import pathlib

import pytest
from absl import flags

import common.backbone.config
import forecast.config
import ican.config
import pricer.config
import recsys.config
import rerank.config
from common.cli.app import RunFlags
from common.config import command_line, configs
from ican.paper import tables
from pricer.paper import tables as pricer_tables
from recsys.paper import tables as recsys_tables

FOLDER = pathlib.Path("experiments/flagfiles")
CONFIGS = {
    "ican": ican.config.Config,
    "pricer": pricer.config.Config,
    "recsys": recsys.config.Config,
    "rerank": rerank.config.Config,
    "forecast": forecast.config.Config,
    "backbone": common.backbone.config.Config,
}
FILES = sorted(FOLDER.glob("*.flags"))


def parse(file):
    """The config that a flag file makes of its system's defaults."""
    cls = CONFIGS[file.name.split("_")[0]]
    values = flags.FlagValues()
    configs.define_flags(RunFlags(), values)
    configs.define_flags(cls(), values)
    command_line.parse(values, [f"--flagfile={file}"])
    return configs.from_flags(cls, values)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_every_flagfile_parses_and_says_what_it_is(file):
    parse(file)
    header = "".join(
        line for line in file.read_text().splitlines(True) if line.startswith("#")
    )
    for word in ("Data:", "Command:", "Result:"):
        assert word in header
    assert f"{file}" in header


def test_the_systems_have_quickstart_and_smoke():
    names = {file.name for file in FILES}
    assert {"ican_quickstart.flags", "ican_smoke.flags", "ican_tables.flags"} <= names
    assert {"pricer_quickstart.flags", "pricer_smoke.flags"} <= names
    assert {"recsys_quickstart.flags", "recsys_smoke.flags"} <= names
    assert {"rerank_quickstart.flags", "rerank_smoke.flags"} <= names
    assert {"forecast_quickstart.flags", "forecast_smoke.flags"} <= names


def test_the_tables_are_run_at_the_papers_sizes():
    config = parse(FOLDER / "ican_tables.flags")
    counts = [
        len(config.rings.numbers(split)) for split in ("train", "validation", "test")
    ]
    assert counts == [19176, 5350, 8016]
    assert (config.photos.resize, config.photos.crop) == (512, 448)
    assert (config.backbone.depth, config.train.batch_size) == ("50", 16)
    assert (config.optimizer.name, config.optimizer.learning_rate) == ("momentum", 0.01)
    model = config.model
    assert (model.mfb.factors, model.mfb.features, model.mfh.stages) == (5, 200, 2)
    assert (model.mutan.features, model.mutan.rank) == (360, 10)
    assert (model.block.count, model.block.size) == (100, 32)
    assert (model.ican.block_count, model.ican.block_size) == (100, 32)
    assert (config.ensemble.classifiers, config.ensemble.band) == (20, 4.0)
    assert (config.zones.first, config.zones.last, config.zones.step) == (180, 900, 45)
    assert len(tables.choose_rows(config.reproduce.rows)) == 15


@pytest.mark.parametrize("number, rows", [(2, 5), (3, 5), (4, 4), (5, 4)])
def test_tables_of_pricer_are_run_at_the_papers_sizes(number, rows):
    config = parse(FOLDER / f"pricer_table{number}.flags")
    counts = [
        len(config.bazaar.numbers(split)) for split in ("train", "validation", "test")
    ]
    assert counts == [892_414, 26_451, 97_580]
    assert (config.networks.depth, config.model.hidden) == ("50", (512, 512))
    assert (config.train.batch_size, config.optimizer.name) == (4096, "adam")
    assert (config.optimizer.learning_rate, config.optimizer.drop_factor) == (5e-4, 0.4)
    epoch = math.ceil(892_414 * (1 - config.prices.trim) / 4096)
    assert (config.warm_up.steps, config.train.steps) == (2550 * epoch, 5100 * epoch)
    chosen = pricer_tables.choose_rows(config.reproduce.rows, config)
    assert len(chosen) == rows
    assert all(f"table{number}" in row.tables for row in chosen)


def test_tables_of_recsys_are_run_at_the_papers_sizes():
    config = parse(FOLDER / "recsys_tables.flags")
    counts = config.closet.counts()
    assert (counts.users, counts.items, counts.interactions) == (1000, 212487, 330690)
    assert (config.closet.feature_width, config.model.width) == (2048, 128)
    assert config.task_weights == (0.75, 0.25)
    assert (config.loss.softmax, config.negatives.kind) == ("exact", "hierarchical")
    assert config.ranking.lengths == (5, 10, 20)
    assert (config.data.split_kind, config.data.split_fractions) == (
        "random",
        (0.8, 0.1, 0.1),
    )
    assert len(recsys_tables.choose_rows(config.reproduce.rows)) == 11
