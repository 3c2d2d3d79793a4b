"""A small config for the tests of the modes."""

from common.config import configs
from forecast.config import Config

SMALL = {
    "demand.series": 6,
    "demand.days": 60,
    "window.horizon": 4,
    "window.context": 3,
    "window.lags": (1, 7),
    "model.cells": 5,
    "model.condition": 4,
    "model.blocks": 2,
    "model.flow_hidden": 6,
    "model.flow_layers": 1,
    "model.rank": 2,
    "model.width": 8,
    "model.heads": 2,
    "model.layers": 1,
    "model.marginal": 20,
    "backtest.windows": 2,
    "backtest.paths": 6,
    "train.batch_size": 8,
    "train.steps": 3,
    "parallel.devices": 1,
    "parallel.compilation_cache": "",
}


def config_of(**changes):
    """It, with changes."""
    return configs.replace(Config(), {**SMALL, **changes})
