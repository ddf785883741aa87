"""What the loss looks like around trained weights, between them, and along training.

Each function takes any model, loss and data. A loss is a function of (outputs, targets), a step of a
task, or None where the model returns its loss; data are a pair of tensors, a source of a task, or
batches that can be gone through again and again, a list or a DataLoader without shuffling.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hptune.landscape.box import sharpness
    from hptune.landscape.curvature import hessian
    from hptune.landscape.interpolation import line, plane
    from hptune.landscape.matching import match
    from hptune.landscape.steps import Walk

__all__ = ["Walk", "hessian", "line", "match", "plane", "sharpness"]

_HOMES = {
    "Walk": "steps",
    "hessian": "curvature",
    "line": "interpolation",
    "match": "matching",
    "plane": "interpolation",
    "sharpness": "box",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"hptune.landscape.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'hptune.landscape' has no attribute {name!r}")
