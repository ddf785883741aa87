"""Snapshots: everything that affects the next iteration, on disk."""

from __future__ import annotations

import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from hptune.results.atomic import write_atomic

State = dict[str, Any]


def random_state(device: torch.device) -> State:
    """Return the state of every random generator, as tensors and plain values."""
    numpy = np.random.get_state(legacy=False)
    assert isinstance(numpy, dict)
    state = numpy["state"]
    return {
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state(device) if device.type == "cuda" else None,
        "python": random.getstate(),
        "numpy": {
            "key": torch.from_numpy(state["key"].astype(np.int64)),
            "pos": int(state["pos"]),
            "has_gauss": int(numpy["has_gauss"]),
            "gauss": float(numpy["gauss"]),
        },
    }


def restore_random_state(state: State, device: torch.device) -> None:
    """Set every random generator to a state from `random_state`."""
    torch.set_rng_state(state["torch"])
    if state["cuda"] is not None and device.type == "cuda":
        torch.cuda.set_rng_state(state["cuda"], device)
    version, internal, gauss = state["python"]
    random.setstate((version, tuple(internal), gauss))
    numpy = state["numpy"]
    key = numpy["key"].numpy().astype(np.uint32)
    np.random.set_state(("MT19937", key, numpy["pos"], numpy["has_gauss"], numpy["gauss"]))


def save_state(path: Path, state: Mapping[str, Any]) -> None:
    """Write a state so that a reader finds the old file or the whole new one.

    It goes straight into the temporary file: the weights are not copied in memory.

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
