"""Whether what a call is to write can be written, known before it begins."""

import fnmatch
import os
import pathlib
import tempfile
from collections.abc import Sequence

from common.errors import UserError

TABLES = (".csv", ".parquet")


def check_file(path: pathlib.Path, *, flag: str = "", table: bool = False) -> None:
    """Checks that a file can be written.

    Args:
      path: of the file; one that is there will be written over.
      flag: that names it, "--output=".
      table: whether it is one, CSV or Parquet by its ending.

    Raises:
      UserError: another ending, no such folder, a folder of that name, no right to
        write.
    """
    if table and path.suffix not in TABLES:
        raise UserError(f"{flag}{path}: must end with {' or '.join(TABLES)}")
    if path.is_dir():
        raise UserError(f"{flag}{path}: is a folder; name a file")
    if not path.parent.is_dir():
        raise UserError(f"{flag}{path}: there is no folder {path.parent}")
    if path.exists() and not os.access(path, os.W_OK):
        raise UserError(f"{flag}{path}: may not be written over; name another file")
    _try_to_write(path.parent, f"{flag}{path}")


def check_folder(
    path: pathlib.Path, *, flag: str = "", replaced: Sequence[str] = ()
) -> None:
    """Checks that files can be written into a folder, and that they stay apart.

    Args:
      path: of the folder; made later where it is absent.
      flag: that names it, "--output=".
      replaced: patterns of the names of files that may be there.

    Raises:
      UserError: a file of that name, other files in it, no right to write.
    """
    if path.is_dir():
        for name in sorted(os.listdir(path)):
            if not any(fnmatch.fnmatchcase(name, known) for known in replaced):
                raise UserError(
                    f"{flag}{path}: holds {name} already; name a new or an empty folder"
                )
    nearest = path
    while not nearest.exists() and nearest != nearest.parent:
        nearest = nearest.parent
    if not nearest.is_dir():
        raise UserError(f"{flag}{path}: {nearest} is no folder")
    _try_to_write(nearest, f"{flag}{path}")


def _try_to_write(folder: pathlib.Path, name: str) -> None:
    """Rights alone don't tell: a disk may be read-only or full, a name too long."""
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"x" * 4096)
    except OSError as error:
        raise UserError(f"{name}: can't be written ({error.strerror})") from None
