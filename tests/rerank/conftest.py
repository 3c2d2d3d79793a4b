import pytest

from common.config import configs
from rerank import train
from rerank.config import Config
from rerank.verbs.predict import Model

SMALL = {
    "serp.preset": "fusion",
    "serp.train_count": 96,
    "serp.validation_count": 40,
    "serp.test_count": 24,
    "model.width": 8,
    "model.heads": 2,
    "model.list_layers": 1,
    "loss.target": "click",
    "search.beams": 2,
    "search.samples": 3,
    "search.budget": 30,
    "search.use": "always",
    "pointer_steps": 6,
    "train.batch_size": 16,
    "train.steps": 12,
    "train.eval_every": 6,
    "train.checkpoint_every": 6,
    "train.tensorboard": False,
    "train.progress": False,
}


@pytest.fixture(scope="session")
def small_config():
    return configs.replace(Config(), SMALL)


@pytest.fixture(scope="session")
def workdir(small_config, tmp_path_factory):
    """Of a small run on the built-in serp."""
    folder = tmp_path_factory.mktemp("rerank") / "run"
    train.train_and_evaluate(small_config, folder)
    return folder


@pytest.fixture(scope="session")
def model(workdir):
    return Model(workdir)
