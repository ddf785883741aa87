"""Every command in the README runs, in an empty folder, with the files that the README shows."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hptune.cli import COMMANDS, run

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", README, re.DOTALL)
LINES = [
    shlex.split(line.split("#")[0])[1:]
    for language, block in BLOCKS
    if language == "sh"
    for line in block.splitlines()
    if line.startswith("hptune ")
]
TRAINING = ("run", "lr-find", "sweep", "train", "search")
SHORT = ["--set", "training.epochs=3", "--set", "procedure.final.seeds=1", "--device", "cpu"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty folder with what the README asks for."""
    here = tmp_path_factory.mktemp("user")
    for language, block in BLOCKS:
        if language == "python" and block.startswith("# net.py"):
            (here / "net.py").write_text(block)
        if language == "yaml":
            (here / "flowers.yaml").write_text(block)
    rng = np.random.default_rng(0)
    for name, level in (("daisy", 40), ("rose", 160)):
        (here / "flowers" / name).mkdir(parents=True)
        for i in range(60):
            pixels = (level + rng.integers(0, 60, (20 + i % 3, 20, 3))).astype(np.uint8)
            Image.fromarray(pixels).save(here / "flowers" / name / f"{i}.png")
    return here


@pytest.mark.parametrize("words", LINES, ids=" ".join)
def test_a_command_of_the_readme(words: list[str], folder: Path, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(str(folder))
    words = list(words)
    if words[0] in TRAINING:
        words += SHORT
        if "flowers.yaml" in words:
            words += ["--set", "data.resize=16", "--set", "hyper_parameters.batch_size=16"]
            words += ["--set", "procedure.trial_epochs=1", "--set", "procedure.lr_range.epochs=4"]
        elif "model.name=net:small" in words:
            words += ["--out", "runs/own"]
    if "CURVE.csv" in words:
        curve = next(Path("runs/digits/curves").glob("train-*.csv"))
        shutil.copy(curve, "CURVE.csv")
    assert run(words) == 0, capsys.readouterr().err


def test_the_readme_shows_every_command():
    assert {words[0] for words in LINES} == set(COMMANDS)


def test_the_two_commands_are_there_and_can_be_run():
    for name in ("scripts/quickstart", "scripts/test", ".ci/run"):
        assert (ROOT / name).stat().st_mode & 0o111
    assert "scripts/quickstart" in README and "scripts/test" in README
