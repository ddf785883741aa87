"""A look at the plan writes nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from hptune.cli import run

SHORT = ["--set", "training.epochs=2", "--device", "cpu", "--quiet", "--jobs", "1"]
LOOK = ["--set", "training.epochs=77", "--device", "cpu", "--quiet"]


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != ".lock"
    }


@pytest.mark.parametrize("command", [["check"], ["run", "--dry-run"]])
def test_a_look_at_the_plan_writes_nothing_into_a_run_that_is_there(command, tmp_path: Path):
    assert run(["train", "--lr", "0.1", "--out", str(tmp_path), *SHORT]) == 0
    before = contents(tmp_path)
    assert run([*command, "--out", str(tmp_path), *LOOK]) == 0
    assert contents(tmp_path) == before


@pytest.mark.parametrize("command", [["check"], ["run", "--dry-run"]])
def test_a_look_at_the_plan_makes_no_directory(command, tmp_path: Path):
    assert run([*command, "--out", str(tmp_path / "new"), *LOOK]) == 0
    assert not (tmp_path / "new").exists()
