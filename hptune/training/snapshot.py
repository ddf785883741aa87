"""Snapshots: everything that affects the next iteration, on disk."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from hptune.results.atomic import write_atomic

State = dict[str, Any]


def save_state(path: Path, state: Mapping[str, Any]) -> None:
    """Write a state, without a copy in memory, so that a reader finds the old file or the whole new one.

    Raises:
        HptuneError: The disk is full, or the file cannot be written.
    """
    write_atomic(path, lambda file: torch.save(dict(state), file))


def load_state(path: Path | None) -> State | None:
    """Read a state, or None where there is none that can be read. Executes nothing."""
    if path is None or not path.exists():
        return None
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception:  # a damaged file costs the snapshot, not the run: the trial starts again
        return None
    return state if isinstance(state, dict) else None


def model_state(model: nn.Module) -> dict[str, Tensor]:
    """Return parameters and buffers on the CPU; those of a stack of models as tensors of their own."""
    state = {name: value.detach().cpu() for name, value in model.state_dict().items()}
    return {
        name: value.clone() if value.untyped_storage().nbytes() > value.nbytes else value
        for name, value in state.items()
    }
