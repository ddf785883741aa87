"""What a user should know of the data is told by every command, once, and kept."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hptune.cli import run
from hptune.data import load
from hptune.data.assemble import Content, splits_of
from hptune.data.spec import DataSpec, Splits

NOTE = "the pictures are upside down"
COMMANDS = {
    "check": ["check"],
    "train": ["train", "--lr", "0.1", "--epochs", "1"],
    "run": ["run", "--stages", "lr-range,final", "--set", "procedure.final.seeds=1"],
}


def noted() -> Splits:
    """Digits, with something to say of them."""
    return replace(load(DataSpec(subset=150, test_subset=40)), notes=(NOTE,))


def test_a_reader_hands_its_notes_on():
    x = np.random.default_rng(0).normal(size=(40, 3))
    content = Content(
        inputs=x, targets=np.arange(40) % 2, classes=["a", "b"], parts={"train": np.arange(40)},
        notes=[NOTE],
    )  # fmt: skip
    assert splits_of(DataSpec(), content).notes == (NOTE,)


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_every_command_tells_them_once(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    out = tmp_path / "out"
    common = ["--set", f"data.name={__name__}:noted", "--set", "training.epochs=1"]
    assert run([*command, *common, "--device", "cpu", "--out", str(out)]) == 0
    assert capsys.readouterr().err.count(f"warning: {NOTE}") == 1
    if command != ["check"]:
        assert json.loads((out / "manifest.json").read_text())["notes"] == [NOTE]
