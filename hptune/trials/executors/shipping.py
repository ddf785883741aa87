"""What is shipped to a cluster's nodes: hptune itself, and the user's modules that are imported here.

Single modules by their file, packages by their folder; nothing else of the folder that the command is
started in: no run directories, no data, no history, no virtual environments.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hptune
from hptune.errors import InputError
from hptune.user_code import SCRIPT, is_library, place_of

MOST = 100 * 2**20  # bytes: more than code
EXCLUDED = ("__pycache__", ".git", ".venv", "venv")
_ROOT = Path(hptune.__file__).parent


@dataclass(frozen=True)
class Shipped:
    """Packages and modules by their folders and files, with their size in bytes."""

    paths: tuple[Path, ...]
    size: int

    @property
    def runtime_env(self) -> dict[str, Any]:
        """As `ray.init` takes it."""
        return {"py_modules": [str(path) for path in self.paths], "excludes": list(EXCLUDED)}

    def __str__(self) -> str:
        names = ", ".join(path.name for path in self.paths)
        return f"{names} ({self.size / 2**20:.1f} MiB)"


def code_of_user() -> Shipped:
    """Return hptune and the user's modules, each by its outermost package.

    Raises:
        InputError: They are larger than code is.
    """
    found = {_ROOT}
    for name in [n for n in sys.modules if "." not in n and n != SCRIPT]:
        if not is_library(name) and (place := _shipped(name)):
            found.add(place)
    paths = tuple(sorted(found, key=lambda path: (path != _ROOT, path)))
    sizes = {path: sum(file.stat().st_size for file in _files(path)) for path in paths}
    if sum(sizes.values()) > MOST:
        largest = max(paths, key=sizes.__getitem__)
        raise InputError(
            f"--executor ray: {largest} holds {sizes[largest] / 2**20:.0f} MiB; code of at most "
            f"{MOST // 2**20} MiB is shipped; take out of the folder what is no code"
        )
    return Shipped(paths, sum(sizes.values()))


def _shipped(name: str) -> Path | None:
    """Return the folder of a package or the file of a module, None where it has neither."""
    path = place_of(name)
    if path is None or (path.is_file() and path.suffix != ".py"):
        return None
    return path.parent if path.name == "__init__.py" else path


def _files(path: Path) -> Iterator[Path]:
    """Yield the files that are shipped of a package, about: ignore files may leave more out."""
    if path.is_file():
        yield path
        return
    for inner in path.iterdir():
        if any(inner.match(pattern) for pattern in EXCLUDED):
            continue
        if inner.is_dir() and not inner.is_symlink():
            yield from _files(inner)
        elif inner.is_file():
            yield inner
