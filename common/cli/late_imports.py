"""Names of a package that are imported when they are first asked for.

Models and steps run where the libraries for data are absent, so the door of a system
must not import them on its own:

    __getattr__ = late_imports.of(__name__, {"Model": "ican.verbs.predict"})

and a command line declares its modes before it imports what they run:

    run = late_imports.function("ican.verbs.train", "run")
"""

import functools
import importlib
from collections.abc import Callable, Mapping
from typing import Any


def of(package: str, homes: Mapping[str, str]) -> Callable[[str], Any]:
    """The `__getattr__` of a package.

    Args:
      package: its name.
      homes: {name: module that it comes from}.
    """

    def find(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(importlib.import_module(homes[name]), name)

    return find


def function(module: str, name: str) -> Callable[..., Any]:
    """A function that is imported when it is first called.

    Args:
      module: that it comes from.
      name: its name there.
    """

    return functools.partial(_call, module=module, name=name)


def _call(*arguments: Any, module: str, name: str) -> Any:
    return getattr(importlib.import_module(module), name)(*arguments)
