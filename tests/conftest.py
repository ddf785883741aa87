"""What all tests share: one thread a process, and where the real data are."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

torch.set_num_threads(1)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of the real data sets and the author's curves; the test skips without it."""
    default = Path(__file__).parents[2] / "shared" / "data"
    folder = Path(os.environ.get("HPTUNE_SHARED_DATA", default))
    if not folder.is_dir():
        pytest.skip(f"the real data are not at {folder}; set HPTUNE_SHARED_DATA")
    return folder
