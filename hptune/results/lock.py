"""The lock of a run directory, also on file systems that know no locks."""

from __future__ import annotations

import errno
import warnings
from pathlib import Path

from filelock import BaseFileLock, FileLock, SoftFileLock

# Of network file systems without a service for locks, of Lustre without `-o flock`, of FUSE.
_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP}


def locked(path: Path) -> BaseFileLock:
    """Acquire a lock; where the file system has none, by a file that stands for it.

    Such a file outlives a process that is killed. Newer filelocks know it to be of none that runs where its
    process was on this machine; of another machine's, only its user can say so.

    Raises:
        Timeout: Another process holds it.
        OSError: The file cannot be made.
    """
    lock: BaseFileLock = FileLock(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore"
            )  # newer filelocks do the same for ENOSYS, and warn of it
            lock.acquire(timeout=0)
    except (OSError, NotImplementedError) as error:
        if getattr(error, "errno", errno.ENOSYS) not in _NO_LOCKS:
            raise
        lock = SoftFileLock(path.with_name(f"{path.name}.held"))  # the attempt leaves `path` itself
        lock.acquire(timeout=0)
    return lock
