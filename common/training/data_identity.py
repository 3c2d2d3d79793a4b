"""Whether data are those that a model was trained on."""

import pathlib

from common.training import workdirs
from common.training.workdirs import Say

OTHER = "other_data"  # in a metrics file: its figures are not on the data of training


def note_other_data(
    workdir: pathlib.Path, fingerprint: str, say: Say
) -> dict[str, bool]:
    """Says in one line where data are not those of training.

    Args:
      workdir: of the run.
      fingerprint: of the data now.
      say: prints a line.

    Returns:
      What a metrics file is to hold of it: {OTHER: True}, or nothing.
    """
    trained = workdirs.read_record(workdir)["facts"].get("data", fingerprint)
    if trained == fingerprint:
        return {}
    say(
        f"note: the data are not those that {workdir} was trained on (hash"
        f" {trained[:16]} there, {fingerprint[:16]} now): rows measured here may have"
        " been trained on"
    )
    return {OTHER: True}
