"""Advice after a run names what no stage has compared yet, with its cost, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

import hptune
from hptune.report.read import read_run
from hptune.report.views import final_runs

X = torch.randn(96, 4, generator=torch.Generator().manual_seed(0))
Y = (X[:, 0] > 0).long()


def small() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Dropout(0.1), nn.Linear(8, 2))


def advice_of(out: Path) -> str:
    return "; ".join(final_runs(read_run(out, with_curves=False).evidence)[0].advice)


@pytest.fixture
def as_verdict(monkeypatch: pytest.MonkeyPatch):
    """Lets every run be read as one that over- or underfits."""

    def read(verdict: str) -> None:
        from hptune.analysis.fitting import TrainingReading

        reading = TrainingReading(verdict, None, ("it does",), ("as anybody would say",))
        monkeypatch.setattr("hptune.procedure.final.read_training", lambda curve: reading)

    return read


def test_overfitting_names_what_was_not_compared(tmp_path: Path, as_verdict):
    as_verdict("overfit")
    task = hptune.Task(small, train=(X, Y))
    quick = {"epochs": 4, "batch_size": 16, "progress": False, "out": tmp_path}
    hptune.train(task, lr=0.1, **quick)
    first = advice_of(tmp_path)
    assert "larger LRs first: about" in first and "larger weight decays: about" in first
    assert "rates of dropout: about" in first and "chosen by comparison" not in first
    hptune.sweep(task, "weight_decay", [1e-4, 1e-2], lr=0.1, **quick)
    hptune.sweep(task, "dropout", [0.0, 0.3], lr=0.1, **quick)
    found = hptune.train(task, lr=0.1, restart=True, **quick)
    second = advice_of(tmp_path)
    assert "larger weight decays" not in second and "dropout" not in second
    assert "another weight decay: that was chosen by comparison" in second
    assert "get more training data: 4 epochs a seed" in second
    assert found.decision.warnings[-1] in second


def test_underfitting_says_what_a_longer_run_costs(tmp_path: Path, as_verdict):
    as_verdict("underfit")
    task = hptune.Task(lambda: nn.Linear(4, 2), train=(X, Y))
    hptune.train(task, lr=0.1, epochs=4, batch_size=16, progress=False, out=tmp_path)
    assert "train longer: 8 epochs cost 8 a seed" in advice_of(tmp_path)
    assert "dropout" not in advice_of(tmp_path)
