"""Defaults of the shared options, from ./hptune.toml or from [tool.hptune] in ./pyproject.toml.

The command line comes before the environment (HPTUNE_OUT, ...), and that before these files.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from hptune.errors import InputError, did_you_mean
from hptune.trackers import NAMES as TRACKERS

OWN_FILE, PROJECT_FILE = Path("hptune.toml"), Path("pyproject.toml")
RUN_DIR = "runs/{name}"  # {name} stands for the experiment's


def file_defaults() -> dict[str, Any]:
    """Return the defaults that a file in the working folder sets; hptune.toml before pyproject.toml.

    Raises:
        InputError: The file is not TOML, or has a key or a value that hptune does not know.
    """
    if OWN_FILE.is_file():
        return _checked(_read(OWN_FILE), f"{OWN_FILE}: ")
    if not PROJECT_FILE.is_file():
        return {}
    table = _read(PROJECT_FILE).get("tool", {})
    table = table.get("hptune", {}) if isinstance(table, dict) else {}
    if not isinstance(table, dict):
        raise InputError(
            f"{PROJECT_FILE}: tool.hptune: {table!r}; must be a table; write [tool.hptune]"
        )
    return _checked(table, f"{PROJECT_FILE}: tool.hptune.")


def default_run_dir() -> str:
    """Return the default of --out, {name} standing for the experiment: environment, file, runs/."""
    given = os.environ.get("HPTUNE_OUT")
    if not given:
        context = click.get_current_context(silent=True)
        given = (context.default_map or {}).get("out") if context is not None else None
    return str(given or RUN_DIR)


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(
            f"{path}: {' '.join(str(error).split())}; must be TOML that can be read; correct it"
        ) from None


def _text(value: Any) -> bool:
    return isinstance(value, str) and bool(value)


def _trackers(value: Any) -> bool:
    names = value if isinstance(value, list) else [value]
    return all(isinstance(name, str) and name in TRACKERS for name in names)


# What each key takes: a test of the value, and the rule in words.
_KEYS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "out": (_text, 'must be text; write out = "results/{name}", say'),
    "device": (_text, 'must be text; write device = "cuda:1", say'),
    "track": (_trackers, f'must be a list of {", ".join(TRACKERS)}; write track = ["mlflow"], say'),
    "quiet": (lambda value: isinstance(value, bool), "must be true or false; correct the value"),
}


def _checked(table: dict[str, Any], where: str) -> dict[str, Any]:
    for key, value in table.items():
        if key not in _KEYS:
            hint = did_you_mean(key, _KEYS, f"the keys are {', '.join(_KEYS)}")
            raise InputError(f"{where}{key}: there is no such key; {hint}")
        accepts, rule = _KEYS[key]
        if not accepts(value):
            raise InputError(f"{where}{key}: {value!r}; {rule}")
    track = table.get("track")
    return table | ({"track": [track]} if isinstance(track, str) else {})
