import logging
import subprocess
import sys

from common.training import stray_errors


class Failing:
    """An object whose end can't be heard by anybody."""

    def __init__(self, text):
        self._text = text

    def __del__(self):
        raise RuntimeError(self._text)


def test_only_what_orbax_leaves_behind_is_left_out():
    program = (
        "import logging\n"
        "from common.training import stray_errors\n"
        "from tests.common.training.test_stray_errors import Failing\n"
        "stray_errors.silence()\n"
        "stray_errors.silence()\n"
        "Failing('Event loop is closed')\n"
        "Failing('something else')\n"
        "for name in ('asyncio', 'absl', 'other'):\n"
        "    logger = logging.getLogger(name)\n"
        "    logger.error('Task exception was never retrieved: %s', name)\n"
        "    logger.error('trouble in %s', name)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert "Event loop is closed" not in done.stderr
    assert done.stderr.count("RuntimeError: something else") == 1
    assert done.stderr.count("never retrieved") == 1  # the other logger's
    assert [f"trouble in {n}" in done.stderr for n in ("asyncio", "absl", "other")] == [
        True
    ] * 3


def test_records_are_judged_by_their_whole_text():
    def record(text, *values):
        return logging.LogRecord("absl", logging.ERROR, "", 1, text, values, None)

    assert not stray_errors._is_heard(record("Failed to %s Metadata file: x", "read"))
    assert stray_errors._is_heard(record("Metadata file of %s", "x"))
