"""The files that a command runs by, with digests: what tells it from what it was before an edit."""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from hptune.user_code import imports_in

LARGEST = 2**20  # bytes of a file that is read; a larger one is known by its size and its date


def sources_of(words: Sequence[str], folder: Path) -> dict[str, str]:
    """Return digests of the files that a command names, and of those that its scripts import.

    Args:
        words: The command.
        folder: Where it is run; names in the result are relative to it where they are within.
    """
    found: dict[Path, str] = {}
    for number, word in enumerate(words):
        module = number > 0 and words[number - 1] == "-m"
        paths = _of_module(word, folder) if module else [folder / word]
        for path in (path for path in paths if path.is_file()):
            # The interpreter is another matter on every machine; a script may be what is started.
            if number > 0 or path.resolve().is_relative_to(folder.resolve()):
                _take_in(path.resolve(), [path.resolve().parent, folder.resolve()], found)
    return {_shown(path, folder): digest for path, digest in sorted(found.items())}


def _take_in(path: Path, roots: Sequence[Path], found: dict[Path, str]) -> None:
    if path in found:
        return
    try:
        size, changed = path.stat().st_size, path.stat().st_mtime_ns
        content = path.read_bytes() if size <= LARGEST else f"{size} {changed}".encode()
        tree = ast.parse(content) if path.suffix == ".py" else None
    except (OSError, SyntaxError, ValueError):  # the command will say so
        return
    if tree is not None:  # without comments and formatting
        content = ast.unparse(tree).encode()
    found[path] = hashlib.blake2b(content, digest_size=6).hexdigest()
    if tree is None:
        return
    package = next((p for r in roots if (p := _package(path, r)) is not None), "")
    for name in set(imports_in(tree, package)):
        for root in roots:
            for other in _of_module(name, root):
                if other.is_file():
                    _take_in(other.resolve(), roots, found)


def _package(path: Path, root: Path) -> str | None:
    """Return the dotted name of the package that a file is in, seen from a folder."""
    return ".".join(path.parent.relative_to(root).parts) if path.is_relative_to(root) else None


def _of_module(name: str, root: Path) -> Iterator[Path]:
    """Yield the files that a module of a name may be."""
    base = root.joinpath(*name.split("."))
    yield from (base.with_suffix(".py"), base / "__init__.py", base / "__main__.py")


def _shown(path: Path, folder: Path) -> str:
    folder = folder.resolve()
    return path.relative_to(folder).as_posix() if path.is_relative_to(folder) else str(path)
