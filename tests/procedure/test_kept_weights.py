"""Where a run overfits, the weights of its lowest validation loss count, in every place alike."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from factories import CPU
from torch import nn
from torch.nn import functional as F

import hptune
from hptune.analysis.criterion import Criterion
from hptune.procedure.final import rose
from hptune.task import Task
from hptune.training.loop import run_trial
from hptune.training.snapshot import load_state
from hptune.training.trial_run import Job

ACCURACY = Criterion("accuracy", higher_is_better=True)


def noisy(test: bool = True) -> Task:
    """A problem that a wide net learns by heart: a weak signal, few examples, many inputs."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(900, 20, generator=generator)
    y = (x[:, 0] + 1.5 * torch.randn(900, generator=generator) > 0).long()

    def make() -> nn.Module:
        return nn.Sequential(nn.Linear(20, 256), nn.ReLU(), nn.Linear(256, 2))

    return hptune.Task(
        make, train=(x[:100], y[:100]), validation=(x[100:500], y[100:500]),
        test=(x[500:], y[500:]) if test else None, metrics=[],
    )  # fmt: skip


def trained(out: Path, task: Task, seeds: int = 2, **settings: int) -> hptune.Trained:
    return hptune.train(
        task, lr=0.05, weight_decay=0.0, batch_size=20, epochs=40, seeds=seeds, out=out,
        progress=False, device="cpu",
        settings={f"training.{name}": value for name, value in settings.items()},
    )  # fmt: skip


def loss_of(model: nn.Module, source) -> float:
    (batch,) = source.batches(1000)
    with torch.no_grad():
        return float(F.cross_entropy(model(batch[0]), batch[1]))


def test_an_overfit_run_ends_with_its_best_weights(tmp_path: Path):
    task = noisy()
    run = trained(tmp_path, task)
    assert "2 of 2 seeds the weights of the lowest validation loss" in run.decision.reason
    for result in run.results:
        last = result.curve.val_loss[np.isfinite(result.curve.val_loss)][-1]
        assert result.val_loss == result.best_val_loss < 0.8 * last
    best = min(run.results, key=lambda result: result.val_loss)
    assert loss_of(run.model(), task.validation) == pytest.approx(best.val_loss, rel=1e-4)
    assert loss_of(run.model(), task.test) == pytest.approx(best.test_loss, rel=1e-4)
    state = load_state(tmp_path / "checkpoints" / f"{best.trial.id}.pt")
    last = task.make_model()
    last.load_state_dict(state["last"])  # beside them
    assert loss_of(last, task.validation) > 1.2 * best.val_loss
    table = (tmp_path / "results.csv").read_bytes()
    again = trained(tmp_path, task)  # everything is there: nothing runs again
    assert (tmp_path / "results.csv").read_bytes() == table
    assert again.decision.reason == run.decision.reason
    assert [r.test_loss for r in again.results] == [r.test_loss for r in run.results]


def test_without_a_test_set_too(tmp_path: Path):
    task = noisy(test=False)
    for _ in range(2):
        (result,) = (run := trained(tmp_path, task, seeds=1)).results
        assert result.val_loss == result.best_val_loss
        assert loss_of(run.model(), task.validation) == pytest.approx(result.val_loss, rel=1e-4)


def test_a_run_that_stops_early_ends_with_its_best_weights(tmp_path: Path):
    (result,) = trained(tmp_path, noisy(), seeds=1, early_stopping=3).results
    assert len(result.curve) < result.trial.iterations
    assert result.val_loss == result.best_val_loss


def test_a_run_that_does_not_overfit_keeps_its_last_weights(tmp_path: Path):
    run = hptune.train(
        balanced(), lr=0.1, epochs=4, out=tmp_path, progress=False, device="cpu"
    )  # fmt: skip
    (result,) = run.results
    known = result.curve.val_loss[np.isfinite(result.curve.val_loss)]
    assert result.val_loss == known[-1]
    state = load_state(tmp_path / "checkpoints" / f"{result.trial.id}.pt")
    assert set(state) == {"trial", "model", "signature", "read"}


def balanced() -> Task:
    x = torch.randn(600, 4, generator=torch.Generator().manual_seed(0))
    return hptune.Task(lambda: nn.Linear(4, 2), train=(x, (x[:, 0] > 0).long()))


def test_a_loss_that_rises_while_the_accuracy_does_too_changes_nothing(tmp_path: Path):
    (result,) = trained(tmp_path, noisy(), seeds=1).results
    assert rose(result, [])
    curve = result.curve
    accuracy = np.where(np.isfinite(curve.val_loss), curve.iteration / len(curve), np.nan)
    curve.metrics["accuracy"] = accuracy  # rises to the end
    result.val_metrics["accuracy"] = float(accuracy[np.isfinite(accuracy)][-1])
    assert not rose(result, [ACCURACY])
    curve.metrics["accuracy"] = 1 - accuracy
    result.val_metrics["accuracy"] = 1 - result.val_metrics["accuracy"]
    assert rose(result, [ACCURACY])


def test_a_run_that_was_interrupted_after_its_lowest_loss_still_has_those_weights(tmp_path: Path):
    task = noisy()
    trial = trained(tmp_path / "run", task, seeds=1).trial
    (whole,) = (tmp_path / "run" / "checkpoints").glob("*.pt")
    job = Job(trial, snapshot=tmp_path / "snapshot.pt", checkpoint=tmp_path / "weights.pt")
    paused = run_trial(task, replace(job, until=trial.iterations // 2), CPU)
    assert np.nanargmin(paused.curve.val_loss) < trial.iterations // 4
    run_trial(task, job, CPU)
    at, weights = load_state(job.checkpoint)["lowest"]
    kept = load_state(whole)
    assert at == kept["iteration"]
    assert all(torch.equal(weights[name], kept["model"][name]) for name in weights)
