import pytest

from common.backbone.config import Config
from common.config import configs
from common.errors import UserError


@pytest.mark.parametrize(
    "name, value",
    [
        ("min_count", 0),
        ("depth", "19"),
        ("label_smoothing", 0.95),
        ("label_smoothing", float("nan")),
        ("precision", "float16"),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(name, value):
    with pytest.raises(UserError, match=name):
        configs.replace(Config(), {name: value})


def test_every_knob_survives_a_flagfile():
    config = configs.replace(
        Config(), {"depth": "50", "label": "article", "label_smoothing": 0.25}
    )
    again = configs.from_dict(Config, configs.to_dict(config))
    assert again == config
    assert "--label_smoothing=0.25" in configs.flag_lines(config)


def test_the_network_is_a_resnet_of_a_depth_or_an_efficientnet():
    config = Config()
    assert config.network == "18"
    config = configs.replace(config, {"backbone.kind": "efficientnet-lite2"})
    assert config.network == "efficientnet-lite2"
    with pytest.raises(UserError, match="kind.*efficientnet-lite0"):
        configs.replace(config, {"backbone.kind": "efficientnet-b0"})


def test_configs_of_before_there_were_kinds_are_read():
    saved = configs.to_dict(configs.replace(Config(), {"depth": "50"}))
    del saved["backbone"]
    assert configs.from_dict(Config, saved).network == "50"
