import subprocess
import sys

import pytest

from common.errors import UserError
from common.training.loop_config import LoopConfig


def test_bounds():
    with pytest.raises(UserError, match=r"LoopConfig\.steps=0"):
        LoopConfig(steps=0)


def test_a_step_needs_no_data_and_no_checkpoint_library():
    code = (
        "import sys, common.backbone.config, ican.step, pricer.step, recsys.config\n"
        "heavy = 'orbax', 'grain', 'tensorflow_datasets', 'matplotlib', 'pandas'\n"
        "print([name for name in heavy if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.returncode) == ("[]\n", 0), done.stderr
