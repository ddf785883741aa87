"""Decoded images on disk, beside the data they were decoded from."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

FOLDER = ".hptune-cache"


def read(root: Path, key: str) -> NDArray[np.uint8] | None:
    """Return the images kept under a key, or None."""
    with suppress(OSError, ValueError):
        images: NDArray[np.uint8] = np.load(root / FOLDER / f"{key}.npy", allow_pickle=False)
        return images
    return None


def write(root: Path, key: str, images: NDArray[np.uint8]) -> bool:
    """Keep images under a key; say whether that worked."""
    folder = root / FOLDER
    part = folder / f"{key}.{os.getpid()}.part"
    try:
        folder.mkdir(exist_ok=True)
        with part.open("wb") as file:
            np.save(file, images)
            file.flush()
            os.fsync(file.fileno())
        part.replace(folder / f"{key}.npy")
    except OSError:  # a read-only folder or a full disk: the images are decoded again next time
        with suppress(OSError):
            part.unlink()
        return False
    return True
