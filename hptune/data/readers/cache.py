"""Decoded images on disk, beside the data they were decoded from."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

FOLDER = ".hptune-cache"


def listing_key(files: Sequence[tuple[str, int, int]], options: Any) -> str:
    """Return a key that changes with any file's name, size or time, and with the options.

    Args:
        files: Relative name, size in bytes and modification time in ns of each file.
        options: What else decides the decoded images.
    """
    digest = hashlib.blake2b(digest_size=12)
    digest.update(repr(options).encode())
    for name, size, modified in files:
        digest.update(f"{name}\0{size}\0{modified}\0".encode())
    return digest.hexdigest()


def read(root: Path, key: str) -> NDArray[np.uint8] | None:
    """Return the images kept under a key, or None."""
    try:
        images: NDArray[np.uint8] = np.load(root / FOLDER / f"{key}.npy", allow_pickle=False)
    except (OSError, ValueError):
        return None
    return images


def write(root: Path, key: str, images: NDArray[np.uint8]) -> bool:
    """Keep images under a key and drop what was kept before; say whether that worked."""
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
