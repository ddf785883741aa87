"""Averages of the weights: their values, what is read, kept and tested, and that training is the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from factories import CPU, mlp_task, mlp_trial, same_curve, trained
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_swa_multi_avg_fn

from hptune.errors import InputError
from hptune.procedure.final import decide_final
from hptune.procedure.range_test import reading_settings
from hptune.results.records import Status, Trial
from hptune.results.settings import OptimizerSpec, TrainingSettings
from hptune.training import trial_run
from hptune.training.averaging import Average, first_averaged
from hptune.training.evaluation import evaluate
from hptune.training.optimizer import ScheduledOptimizer
from hptune.training.statistics import statistics_batches
from hptune.training.trial_run import Job, TrialRun


def averaging(kind: str | None, **settings: object) -> Trial:
    return mlp_trial(settings=TrainingSettings(evaluations=8, average=kind, **settings))


def grown(decay: float):
    """The decay of the average of n iterations, as torch wants it."""

    def average(averaged: Tensor, own: Tensor, n: Tensor) -> Tensor:
        return averaged.lerp(own, 1 - min(decay, int(n) / (int(n) + 9)))

    return average


@pytest.mark.parametrize("kind", ["swa", "ema"])
def test_the_average_is_that_of_torchs_averaged_model(kind: str):
    trial = averaging(kind, average_start=0.25, average_decay=0.7)
    net = nn.Sequential(nn.Linear(6, 4), nn.Linear(4, 3))
    net[0].bias.requires_grad_(False)
    how = {"swa": {"multi_avg_fn": get_swa_multi_avg_fn()}, "ema": {"avg_fn": grown(0.7)}}[kind]
    reference = AveragedModel(net, **how)
    optimizer = ScheduledOptimizer(
        net, OptimizerSpec(name="sgd"), lr=0.01, momentum=0.9, weight_decay=0.0
    )
    average = Average(net, optimizer, trial)
    for iteration in range(40):
        net(torch.randn(5, 6)).square().sum().backward()
        optimizer.step()
        average.update(iteration)
        assert average.has_begun == (iteration >= 10)
        if iteration >= 10:
            reference.update_parameters(net)
    own = [p.clone() for p in net.parameters()]
    with average.in_place():
        for found, expected in zip(net.parameters(), reference.parameters(), strict=True):
            torch.testing.assert_close(found, expected)
    assert all(torch.equal(p, before) for p, before in zip(net.parameters(), own, strict=True))


@pytest.mark.parametrize("kind", ["swa", "ema"])
def test_the_average_is_read_and_kept_with_running_averages_of_its_own(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    after: list[list[Tensor]] = []
    step = trial_run.ScheduledOptimizer.step

    def recorded(self: ScheduledOptimizer) -> None:
        step(self)
        after.append([p.detach().clone() for p in self._parameters])

    monkeypatch.setattr(trial_run.ScheduledOptimizer, "step", recorded)
    task, trial = mlp_task(), averaging(kind)
    result = trained(task, trial, checkpoint=tmp_path / "c.pt")
    kept = torch.load(tmp_path / "c.pt", weights_only=True)["model"]
    net = task.make_model()
    net.load_state_dict(kept)
    assert evaluate(task, net, task.validation, CPU).loss == result.curve.val_loss[-1]
    if kind == "swa":
        mean = [torch.stack(values).mean(0) for values in zip(*after[30:], strict=True)]
        for found, expected in zip(net.parameters(), mean, strict=True):
            torch.testing.assert_close(found, expected)
    batches = statistics_batches(task.train, trial.batch_size, trial.seed)
    hidden = torch.stack([net[0](batch[0]).mean(0) for batch in batches]).mean(0)
    torch.testing.assert_close(net[1].running_mean, hidden.detach())


def test_training_is_the_same_and_readings_are_until_averaging_begins():
    plain, swa = trained(mlp_task(), mlp_trial()), trained(mlp_task(), averaging("swa"))
    np.testing.assert_array_equal(swa.curve.train_loss, plain.curve.train_loss)
    read = np.flatnonzero(np.isfinite(plain.curve.val_loss))
    same = plain.curve.val_loss[read] == swa.curve.val_loss[read]
    assert same.tolist() == (read < first_averaged(averaging("swa"))).tolist()


@pytest.mark.parametrize(("kind", "until"), [("ema", 20), ("swa", 20), ("swa", 35)])
def test_a_resumed_trial_goes_on_with_its_average(kind: str, until: int, tmp_path: Path):
    task, trial = mlp_task(), averaging(kind)
    files = {"snapshot": tmp_path / "s.pt", "checkpoint": tmp_path / "parts.pt"}
    paused = trained(task, trial, until=until, **files)
    assert paused.status is Status.PRUNED
    parts, whole = (
        trained(task, trial, **files),
        trained(task, trial, checkpoint=tmp_path / "whole.pt"),
    )
    assert same_curve(parts.curve, whole.curve)
    one, other = (
        torch.load(tmp_path / f"{name}.pt", weights_only=True)["model"]
        for name in ("parts", "whole")
    )
    assert all(torch.equal(value, other[name]) for name, value in one.items())


def test_the_answer_says_which_weights_count():
    for kind, told in (("swa", "; weights averaged (swa) from iteration 30 on"), (None, "")):
        decision = decide_final([trained(mlp_task(), averaging(kind))])
        assert ("averaged" in decision.reason) == bool(told) and told in decision.reason


def test_the_last_iteration_is_averaged_in_any_case():
    assert [first_averaged(averaging(k).change(iterations=n)) for k, n in (
        ("swa", 100), ("ema", 100), ("swa", 1),
    )] == [75, 0, 0]  # fmt: skip
    assert first_averaged(averaging("swa", average_start=0.99).change(iterations=10)) == 9


def test_an_optimizer_that_averages_itself_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    code = Path(__file__).with_name("own_optimizers.py").read_text()
    (tmp_path / "opt.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    trial = averaging("ema").change(
        optimizer=OptimizerSpec(name="opt:Averaged"), momentum=0.9, momentum_min=None
    )
    with pytest.raises(InputError, match=r"training.average: ema with optimizer opt:Averaged"):
        TrialRun(mlp_task(), Job(trial), CPU)


def test_a_range_test_averages_nothing():
    assert reading_settings(averaging("ema"), 100).average is None


def test_what_is_off_is_no_part_of_a_trials_identity():
    ids = {
        mlp_trial(settings=TrainingSettings(**settings)).id
        for settings in ({}, {"average_decay": 0.9}, {"average_start": 0.5})
    }
    assert len(ids) == 1
    on = {
        averaging(kind, average_decay=decay).id for kind in ("ema", "swa") for decay in (0.9, 0.8)
    }
    assert len(on - ids) == 4
