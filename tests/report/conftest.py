"""Run directories to report on."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from report_runs import HOSTILE, QUICK, edit_csv, whole_procedure

from hptune.cli import run


@pytest.fixture(scope="session")
def whole_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The whole procedure, with a baseline, and a sweep and a search after it."""
    return whole_procedure(tmp_path_factory.mktemp("report") / "digits")


@pytest.fixture(scope="session")
def lr_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An LR range test and its confirmation alone, by the command."""
    out = tmp_path_factory.mktemp("report") / "lr"
    assert run(["lr-find", "--out", str(out), *QUICK, "--quiet"]) == 0
    return out


@pytest.fixture(scope="session")
def command_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The whole procedure on digits, by the command."""
    out = tmp_path_factory.mktemp("report") / "command"
    assert run(["run", "--out", str(out), *QUICK, "--quiet"]) == 0
    return out


@pytest.fixture
def copy(whole_run: Path, tmp_path: Path) -> Path:
    """A copy of the whole run to spoil."""
    return Path(shutil.copytree(whole_run, tmp_path / "copy"))


@pytest.fixture
def hostile_run(copy: Path) -> Path:
    """A run whose every name and text tries to be markup or mathematics."""
    (copy / "experiment.yaml").write_text(json.dumps({"name": HOSTILE}))
    manifest = json.loads((copy / "manifest.json").read_text())
    (copy / "manifest.json").write_text(json.dumps({**manifest, HOSTILE: HOSTILE}))

    def spoil(rows: list[dict[str, str]]) -> None:
        for row in rows:
            row |= {"data": HOSTILE, "model": HOSTILE}
            if row["dropout"]:
                row["dropout"] = f"{row['dropout']} {HOSTILE}"

    def spoil_decisions(rows: list[dict[str, str]]) -> None:
        for row in rows:
            row["reason"] += HOSTILE
            row["rule"] += HOSTILE
            row["warnings"] = HOSTILE

    edit_csv(copy / "results.csv", spoil)
    edit_csv(copy / "decisions.csv", spoil_decisions)
    for path in [copy / "results.csv", *(copy / "curves").glob("*.csv")]:
        path.write_text(path.read_text().replace("val_accuracy", f"val_{'<b>$x$'}", 2))
    return copy
