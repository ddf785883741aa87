"""With what a run is made: versions, machine, command, git state."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from importlib import metadata
from typing import Any


def environment() -> dict[str, Any]:
    """Return what the manifest says of hptune, the machine and the command."""
    return {
        "hptune": _version("hptune"),
        "python": platform.python_version(),
        "torch": _version("torch"),
        "numpy": _version("numpy"),
        "platform": platform.platform(),
        "cpu_count": os.cpu_count(),
        "command": sys.argv,
        "written": datetime.now(UTC).isoformat(timespec="seconds"),
        "git": _git_state(),
    }


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _git_state() -> str | None:
    """Return the commit of the user's folder, "+changes" where it is not clean."""
    describe = ["git", "describe", "--always", "--dirty=+changes", "--abbrev=12"]
    try:
        return subprocess.check_output(
            describe, text=True, timeout=5, stderr=subprocess.DEVNULL
        ).strip()
    except (OSError, subprocess.SubprocessError):
        return None
