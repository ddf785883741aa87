"""Many trials: which ones, in what order, run by which executor.

`hptune.sweep` is this package and also a function of the Python API, which a call leads to: the
import system puts the package where the function would be.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any


class _Package(ModuleType):
    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        from hptune.api import sweep

        return sweep(*args, **kwargs)


sys.modules[__name__].__class__ = _Package
