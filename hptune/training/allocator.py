"""Keeps the C library from handing large blocks back to the system after every iteration."""

from __future__ import annotations

import ctypes
import os
import platform
from contextlib import suppress

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_LARGEST = 2**30  # bytes; larger tensors are few, and their pages cost little beside their work
_LARGEST_OF_OLD = 2**25  # what older releases accept at most
_KEPT = 2**31 - 1  # bytes of free memory at the heap's top
_OF_THE_USER = ("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_", "GLIBC_TUNABLES")


def keep_freed_memory() -> bool:
    """Let freed memory be used again by the next iteration; say whether the C library agreed.

    By default glibc maps each large tensor anew and gives it back when it is freed, so every
    iteration pays for its pages again: at large batches a convolutional net on a CPU loses up
    to half of its speed to page faults. A user's own settings in the environment stand.
    """
    if platform.libc_ver()[0] != "glibc" or any(name in os.environ for name in _OF_THE_USER):
        return False
    with suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        mapped = mallopt(_M_MMAP_THRESHOLD, _LARGEST) or mallopt(_M_MMAP_THRESHOLD, _LARGEST_OF_OLD)
        return bool(mapped and mallopt(_M_TRIM_THRESHOLD, _KEPT))
    return False
