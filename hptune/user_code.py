"""The user's own code: an object by "package.module:name", and what the user's source files say."""

from __future__ import annotations

import ast
import hashlib
import importlib
import importlib.util
import sys
import sysconfig
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from hptune.errors import InputError, one_line

SCRIPT = "__main__"  # the module of a script or a notebook
_INSTALLED = ("site-packages", "dist-packages")
_OF_PYTHON = tuple(Path(sysconfig.get_path(name)).resolve() for name in ("stdlib", "platstdlib"))
# By module: its `__spec__` (another after every reload), the digest of its source, what it imports.
_sources: dict[str, tuple[Any, str, list[str]]] = {}


def find(name: str, key: str) -> Any:
    """Return the object at "package.module:name"; a module in the current folder comes first.

    The folder goes to the end of the path afterwards, so that a file in it takes the place of no
    module that is imported later.

    Args:
        name: As the user writes it.
        key: Where the user wrote it, for the error.

    Raises:
        InputError: It cannot be imported, or the module has the name of one of Python's.
    """
    module_name, _, attribute = name.partition(":")
    top = module_name.partition(".")[0]
    folder = Path.cwd()
    here = [path for path in (folder / f"{top}.py", folder / top / "__init__.py") if path.exists()]
    loaded = sys.modules.get(top)
    if here and loaded is not None and place_of(top) not in [path.resolve() for path in here]:
        raise InputError(
            f"{key}: {name!r}; {here[0].name} has the name of a module that is imported already, "
            f"{getattr(loaded, '__file__', None) or 'of Python itself'}; rename the file"
        )
    before = list(sys.path)
    sys.path.insert(0, str(folder))
    importlib.invalidate_caches()
    try:
        module = importlib.import_module(module_name)
    except Exception as error:
        raise InputError(
            f"{key}: {name!r}; module {module_name} cannot be imported "
            f"({type(error).__name__}: {one_line(error, 120)}); it must be on the "
            "path, in the current folder or in the config's"
        ) from error
    finally:
        sys.path.remove(str(folder))
        if str(folder) not in before:
            sys.path.append(str(folder))
    if not hasattr(module, attribute):
        raise InputError(
            f"{key}: {name!r}; module {module_name} has no {attribute!r}; correct the name"
        )
    return getattr(module, attribute)


def name_to_find(thing: Any) -> str | None:
    """Return the "package.module:name" that `find` takes for an object; None where there is none.

    A script's own is found by the name of its file.
    """
    module, name = getattr(thing, "__module__", None), getattr(thing, "__qualname__", "")
    loaded = sys.modules.get(module or "")
    if loaded is None or getattr(loaded, name, None) is not thing:  # local, or a partial
        return None
    if module == SCRIPT:
        spec, file = getattr(loaded, "__spec__", None), getattr(loaded, "__file__", None)
        module = spec.name if spec is not None else Path(file).stem if file else None
    return f"{module}:{name}" if module else None


def importable_name(thing: Any) -> str | None:
    """Return the same where another process can import it: a script's own it cannot."""
    return None if getattr(thing, "__module__", None) == SCRIPT else name_to_find(thing)


def also_look_in(folder: Path) -> None:
    """Let modules of a folder be found too, after all others: those beside an experiment's file."""
    if str(folder) not in sys.path:
        sys.path.append(str(folder))


def is_library(module: str) -> bool:
    """Return whether a module is Python's, an installed package's or hptune's, not the user's."""
    if module.partition(".")[0] in ("hptune", "torch") or module in sys.builtin_module_names:
        return True
    place = place_of(module)
    if place is None:
        return module != SCRIPT and module in sys.modules
    installed = any(part in _INSTALLED for part in place.parts)
    return installed or any(place.is_relative_to(folder) for folder in _OF_PYTHON)


def read_source(module: str) -> tuple[str, list[str]] | None:
    """Return a digest of what a user's module says, and the names of the modules it may import.

    Comments and formatting do not count. None for a module of a library, or without a source.
    """
    spec = getattr(sys.modules.get(module), "__spec__", None)
    if spec is not None and module in _sources and _sources[module][0] is spec:
        # What was imported is what runs, though the file may have been edited since.
        return _sources[module][1:]
    path = None if is_library(module.partition(".")[0]) else place_of(module)
    if path is None or path.suffix != ".py":
        return None
    try:
        tree = ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return None
    digest = hashlib.blake2b(ast.unparse(tree).encode(), digest_size=16).hexdigest()
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    imports = sorted(set(imports_in(tree, package)) - {module})
    _sources[module] = (spec, digest, imports)
    return digest, imports


def shown_name(module: str) -> str:
    """Return a user's source file relative to the current folder, else the module's name."""
    place = place_of(module)
    if place is not None and place.is_relative_to(Path.cwd().resolve()):
        return place.relative_to(Path.cwd().resolve()).as_posix()
    return place.name if place is not None and module == SCRIPT else module


def imports_in(tree: ast.Module, package: str) -> Iterator[str]:
    """Yield the names that may be modules among what a source file imports."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package.split(".")[: package.count(".") + 2 - node.level] if node.level else []
            above = ".".join([*base, *([node.module] if node.module else [])])
            names = [f"{above}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            parts = name.split(".")
            yield from (".".join(parts[: n + 1]) for n in range(len(parts)))


def place_of(module: str) -> Path | None:
    """Return where a module comes from, which need not be imported yet: its file, or its folder."""
    found: Any = sys.modules.get(module)
    file, folders = getattr(found, "__file__", None), getattr(found, "__path__", None)
    if found is None:
        parent = module.rpartition(".")[0]
        if parent and not hasattr(sys.modules.get(parent), "__path__"):
            return None  # to look for it would import what is above it
        try:
            found = importlib.util.find_spec(module)
        except (ImportError, AttributeError, ValueError):
            return None
        file = getattr(found, "origin", None)
        folders = getattr(found, "submodule_search_locations", None)
    file = file or next(iter(folders or ()), None)  # a folder without __init__.py has no file
    return Path(file).resolve() if file and Path(file).exists() else None


def name_of_command(words: Sequence[str]) -> str:
    """Return what a command is called: its script or module."""
    named = (Path(w).stem for w in words if w.endswith((".py", ".sh")))
    modules = (after for word, after in pairwise(words) if word == "-m")
    return next(iter([*named, *modules]), Path(words[0]).stem)
