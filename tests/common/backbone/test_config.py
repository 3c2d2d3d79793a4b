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
