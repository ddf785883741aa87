"""The same script run twice, each time in a process of its own, trains once."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import hptune
from hptune.errors import InputError

HEAD = """
import hptune, torch
from torch import nn
from torch.nn import functional as F

G = torch.Generator().manual_seed(0)
X = torch.randn(90, 6, generator=G)
Y = torch.arange(90) % 3

def net():
    return nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3))

def train(task, **options):
    return hptune.train(task, lr=0.01, epochs=1, out="out", **options)
"""
SCRIPTS = {
    "tuple": "train(hptune.Task(net, train=(X, Y)), "
    'optimizer={"name": "adamw", "args": {"betas": (0.9, 0.98)}})',
    "frozenset": """
def step(model, batch):
    x, y = batch
    return F.cross_entropy(model(x), y) if "a" in {"a", "bb", "ccc"} else None
train(hptune.Task(net, train=(X, Y), step=step))
""",
    "lightning": """
class Net(nn.Module):  # what a LightningModule has, without Lightning
    def __init__(self):
        super().__init__()
        self.net = net()
    def training_step(self, batch):
        return F.cross_entropy(self.net(batch[0]), batch[1])
    def validation_step(self, batch):
        return self.training_step(batch)
    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)
class Data:
    def train_dataloader(self):
        return torch.utils.data.DataLoader(torch.utils.data.TensorDataset(X, Y), batch_size=9)
train(hptune.from_lightning(Net(), Data()), restart=RESTART)
""",
}


def run(folder: Path, seed: str) -> str:
    done = subprocess.run(
        [sys.executable, "script.py"], capture_output=True, text=True, cwd=folder, check=False,
        env={**os.environ, "PYTHONHASHSEED": seed},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return " ".join(done.stderr.split())


@pytest.mark.parametrize("name", SCRIPTS)
def test_the_same_script_run_twice_trains_once(name: str, tmp_path: Path):
    text = HEAD + "RESTART = False\n" + SCRIPTS[name]
    (tmp_path / "script.py").write_text(text)
    run(tmp_path, "1")
    before = (tmp_path / "out" / "results.csv").read_bytes()
    told = run(tmp_path, "2")
    assert (tmp_path / "out" / "results.csv").read_bytes() == before
    if name == "lightning":
        assert "starts from the weights kept in out, not from those given now" in told
        assert "restart=True starts from these" in told and "--restart" not in told
        (tmp_path / "script.py").write_text(text.replace("= False", "= True"))
        assert "weights kept" not in run(tmp_path, "3")
        assert (tmp_path / "out" / "results.csv").read_bytes() != before


def test_training_beside_torchs_new_names_of_precision():
    code = (
        HEAD + "torch.backends.cuda.matmul.fp32_precision = 'tf32'\n"
        "hptune.train(hptune.Task(net, train=(X, Y)), lr=0.1, epochs=1, progress=False)\n"
        "print(torch.backends.cuda.matmul.fp32_precision)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "tf32", done.stderr


def test_messages_name_keywords():
    task = hptune.Task(
        lambda: torch.nn.Linear(6, 3), train=(torch.randn(60, 6), torch.arange(60) % 3)
    )
    with pytest.raises(InputError) as error:
        hptune.train(task, device="cuda:99", progress=False)
    assert "--" not in str(error.value) and "device" in str(error.value)
