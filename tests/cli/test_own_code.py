"""Whoever edits their own code gets new trials, and is told."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path

import pytest

FILES = {
    "net.py": (
        "from torch import nn\nimport part\n\ndef small(outputs):\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(64, part.WIDTH), nn.ReLU(), "
        "nn.Linear(part.WIDTH, outputs))\n"
    ),
    "part.py": "WIDTH = 8\n",
    "own_loss.py": (
        "from torch.nn import functional as F\n\ndef loss(outputs, targets):\n"
        "    return 1.0 * F.cross_entropy(outputs, targets)\n"
    ),
    "opt.py": "from torch.optim import SGD\n\nclass Mine(SGD):\n    scale = 1.0\n",
    "own_data.py": (
        "import numpy as np\n\ndef load():\n    x = np.random.default_rng(0).normal(size=(90, 64))\n"
        "    return (x.astype('float32'), (x[:, 0] > 0.0).astype(int))\n"
    ),
}
COMMAND = [
    *("-m", "hptune", "train", "--lr", "0.1", "--epochs", "1", "--jobs", "1", "--device", "cpu"),
    *("--out", "out", "--set", "model.name=net:small", "--set", "loss=own_loss:loss"),
    *("--set", "data.name=own_data:load", "--set", "optimizer.name=opt:Mine"),
]


def train(folder: Path) -> tuple[set[str], str]:
    """Train in a fresh process; return the ids of the trials, and what was told."""
    done = subprocess.run(
        [sys.executable, *COMMAND], capture_output=True, text=True, cwd=folder, check=False
    )
    assert done.returncode == 0, done.stderr
    with (folder / "out" / "results.csv").open() as file:
        return {row["trial"] for row in csv.DictReader(file)}, " ".join(done.stderr.split())


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("net.py", "nn.ReLU()", "nn.Tanh()"),
        ("part.py", "WIDTH = 8", "WIDTH = 1"),
        ("own_loss.py", "1.0 *", "2.0 *"),
        ("own_data.py", "> 0.0", "> 0.5"),
        ("opt.py", "scale = 1.0", "scale = 2.0"),
    ],
)
def test_an_edit_makes_new_trials_and_is_told(file: str, old: str, new: str, tmp_path: Path):
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    first, _ = train(tmp_path)
    if file == "net.py":
        (tmp_path / file).write_text("# A comment changes nothing.\n" + FILES[file])
        assert train(tmp_path)[0] == first
    (tmp_path / file).write_text(FILES[file].replace(old, new))
    second, told = train(tmp_path)
    assert len(second) == 2 and first < second
    assert f"{file} changed since 1 trial" in told


def test_code_beside_the_config_is_found_from_another_folder(tmp_path: Path):
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "opt.py").write_text(FILES["opt.py"])
    (tmp_path / "there" / "mine.yaml").write_text("optimizer:\n  name: opt:Mine\n")
    done = subprocess.run(
        [sys.executable, *COMMAND[:3], "there/mine.yaml", "--lr", "0.1", "--epochs", "1"],
        capture_output=True, text=True, cwd=tmp_path, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_stages_say_what_an_optimizer_does_not_have(tmp_path: Path):
    (tmp_path / "signs.py").write_text(
        "import torch\n\nclass Sign(torch.optim.Optimizer):\n"
        "    def __init__(self, params, lr):\n        super().__init__(params, {'lr': lr})\n"
        "    def step(self, closure=None):\n        for group in self.param_groups:\n"
        "            for p in group['params']:\n                p -= group['lr'] * p.grad.sign()\n"
    )
    for key, missing in (("momentum", "neither momentum, betas"), ("wd", "no weight decay")):
        done = subprocess.run(
            [
                *(sys.executable, "-m", "hptune", "sweep", key, "--device", "cpu", "--jobs", "1"),
                *("--set", "optimizer.name=signs:Sign", "--set", "hyper_parameters.lr=1e-3"),
            ],
            capture_output=True, text=True, cwd=tmp_path, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert f"signs:Sign has {missing}" in " ".join(done.stderr.split())
