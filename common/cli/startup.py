"""What a program does before it imports anything else.

Memory comes in pages of 2 MiB, with which a training step on a CPU needs far less time.
A step takes memory for its results and gives it back, and the first touch of each page
costs a page fault: with pages of 4 KiB a gradient of 88 MB costs 21,600 of them, 40 ms.
`docs/results/speed.md` says what huge pages save. glibc's malloc asks for them where
the environment says so when a program starts, so this starts it once more.
"""

import os
import sys

from common.training.interruption import watch_ctrl_c

_VARIABLE, _SETTING = "GLIBC_TUNABLES", "glibc.malloc.hugetlb=1"
_FIRST_WITH_IT = (2, 35)


def start() -> None:
    """Sets up this process: memory, an answer to Ctrl-C, no alarms of XLA."""
    use_huge_pages()
    watch_ctrl_c()
    # XLA reports slow compilations as errors and asks for a bug report. What goes
    # wrong is raised; what can't be raised is fatal and shown all the same.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def use_huge_pages() -> None:
    """Restarts this program, in the same process, with malloc asking for huge pages.

    Returns where it does already, where it can't (no Linux, no glibc of 2.35 or later),
    and where the user has set `GLIBC_TUNABLES`. Call it before anything else.
    """
    if sys.platform != "linux" or _VARIABLE in os.environ or not _has_setting():
        return
    os.environ[_VARIABLE] = _SETTING
    os.execv(sys.executable, sys.orig_argv)


def _has_setting() -> bool:
    try:
        library, version = (os.confstr("CS_GNU_LIBC_VERSION") or "").split()
        return library == "glibc" and (
            tuple(map(int, version.split("."))) >= _FIRST_WITH_IT
        )
    except ValueError:  # another C library, or a version of another form
        return False
