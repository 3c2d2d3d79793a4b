"""Makes etils take the names of folders as they are.

Orbax and TFDS look for files through `epath.Path.glob`, which reads the folder's own
name as a pattern too: below `runs/a[1]` they find nothing, a checkpoint "misses" its
files. The modules that import one of the two call this first.
"""

import functools
import glob
import os
from collections.abc import Iterator
from typing import Any

from etils import epath


@functools.cache
def take_literally() -> None:
    """From now on only what is given to `glob` is a pattern, not the folder."""
    kind: Any = type(epath.Path("/"))
    before = kind.glob

    def search(folder: Any, pattern: str) -> Iterator[Any]:
        root = os.fspath(folder)
        if "://" in root:  # another file system
            yield from before(folder, pattern)
            return
        for name in glob.iglob(pattern, root_dir=root):
            yield folder / name

    kind.glob = search
