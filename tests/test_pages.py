"""Every command in the README and the pages runs, in an empty folder, with the files that they show."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import shutil
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from hptune.cli import COMMANDS, run
from hptune.config.load import load_experiment

ROOT = Path(__file__).parents[1]
PAGES = {path.name: path for path in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]}
README = PAGES["README.md"].read_text()
BLOCKS = {
    name: re.findall(r"```(\w+)\n(.*?)```", path.read_text(), re.DOTALL)
    for name, path in PAGES.items()
}
LINES = [
    (name, shlex.split(line.split("#")[0])[1:])
    for name, blocks in BLOCKS.items()
    for language, block in blocks
    if language == "sh"
    for line in block.splitlines()
    if line.startswith("hptune ")
]
TRAINING = ("run", "lr-find", "sweep", "train", "search")
SHORT = ["--set", "training.epochs=3", "--set", "procedure.final.seeds=1", "--device", "cpu"]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A folder a page, with what the page asks for."""
    found = {name: tmp_path_factory.mktemp("user") for name in PAGES}
    for name, here in found.items():
        for language, block in BLOCKS[name]:
            if language == "python" and block.startswith("# net.py"):
                (here / "net.py").write_text(block)
            if language == "python" and ".to_csv(" in block:
                with contextlib.chdir(here):
                    exec(block, {})
            if language == "yaml" and block.startswith("name: "):
                (here / "flowers.yaml").write_text(block)
        rng = np.random.default_rng(0)
        for table, rows in (("train", 150), ("test", 20)):
            column = rng.normal(30, 10, rows)
            named = np.where(column + rng.normal(0, 5, rows) > 30, "yes", "no")
            columns = {"PassengerId": range(900, 900 + rows), "Age": column, "Survived": named}
            frame = pd.DataFrame(columns).drop(columns=["Survived"] if table == "test" else [])
            frame.to_csv(here / f"{table}.csv", index=False)
        for kind, level in (("daisy", 40), ("rose", 160)):
            (here / "flowers" / kind).mkdir(parents=True)
            for i in range(60):
                pixels = (level + rng.integers(0, 60, (20 + i % 3, 20, 3))).astype(np.uint8)
                Image.fromarray(pixels).save(here / "flowers" / kind / f"{i}.png")
        for script in (ROOT / "configs" / "loops").glob("*.py"):
            shutil.copy(script, here)
        shutil.copytree(here / "flowers" / "rose", here / "new")
    return found


# A trial of a script is a process that imports torch.
MARKED = [
    pytest.param(page, words, marks=[pytest.mark.slow] * ("--" in words)) for page, words in LINES
]


@pytest.mark.parametrize(
    ("page", "words"), MARKED, ids=lambda it: it if isinstance(it, str) else " ".join(it)
)
def test_a_command_of_a_page(
    page: str, words: list[str], folders: dict[str, Path], monkeypatch, capsys
):
    if "onnx" in words:
        pytest.importorskip("onnxscript", reason='needs onnx: pip install "hptune[onnx]"')
    monkeypatch.chdir(folders[page])
    monkeypatch.syspath_prepend(str(folders[page]))
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    place = words.index("--") if "--" in words else len(words)
    words, command = list(words[:place]), words[place:]
    if words[0] in TRAINING:
        words += SHORT
        if "flowers.yaml" in words or Path("hptune.yaml").exists():
            words += ["--set", "data.resize=16", "--set", "hyper_parameters.batch_size=16"]
            words += ["--set", "procedure.trial_epochs=1", "--set", "procedure.lr_range.epochs=4"]
        elif "model.name=net:small" in words:
            words += ["--out", "runs/own"]
    if "CURVE.csv" in words:
        curve = next(Path("runs/digits/curves").glob("train-*.csv"))
        shutil.copy(curve, "CURVE.csv")
    assert run([*words, *command]) == 0, capsys.readouterr().err


@pytest.mark.parametrize(
    "block", [b for blocks in BLOCKS.values() for language, b in blocks if language == "yaml"]
)
def test_a_config_of_a_page_loads(block: str, tmp_path: Path):
    (tmp_path / "a.yaml").write_text(block)
    load_experiment(tmp_path / "a.yaml")


def test_the_pages_show_every_command():
    assert {words[0] for _, words in LINES} == set(COMMANDS)


def test_the_readme_is_short_and_no_link_leads_nowhere():
    assert len(README.splitlines()) <= 150
    for path in PAGES.values():
        for link in re.findall(r"\]\(([^)#]+)[^)]*\)", path.read_text()):
            assert link.startswith("https://") or (path.parent / link).exists(), (path, link)


def test_the_two_commands_are_there_and_can_be_run():
    for name in ("scripts/quickstart", "scripts/test", ".ci/run"):
        assert (ROOT / name).stat().st_mode & 0o111
    assert "scripts/quickstart" in README and "scripts/test" in README
