"""What a loop tells and when it is read, how it ends, and what it must do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from own_loops import net, read, run, train, tune
from torch import Tensor

import hptune
from hptune.errors import InputError
from hptune.results.records import Status
from hptune.results.settings import TrainingSettings


class Loss(Tensor):
    """A loss that counts how often somebody waits for its value."""

    waits = 0

    @classmethod
    def __torch_function__(
        cls, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        if function in (Tensor.item, Tensor.tolist, Tensor.__float__, Tensor.cpu, Tensor.numpy):
            Loss.waits += 1
        return super().__torch_function__(function, types, args, kwargs or {})


def test_losses_are_waited_for_once_a_reading():
    def train(trial: hptune.Trial) -> None:
        for _ in trial:
            trial.log(train_loss=torch.tensor(1.0).as_subclass(Loss))
            if trial.evaluate_now:
                trial.log(val_loss=trial.lr)

    Loss.waits = 0
    result = run(train, iterations=40, settings=TrainingSettings(evaluations=2))
    assert result.curve.train_loss.tolist() == [1.0] * 40
    assert Loss.waits == 2


def test_a_loss_that_is_overwritten_in_place_was_taken_as_it_was():
    def train(trial: hptune.Trial) -> None:
        memory = torch.zeros(())
        for at in trial:
            trial.log(train_loss=memory.fill_(1.0 + at))
            if trial.evaluate_now:
                trial.log(val_loss=1.0)

    assert run(train, iterations=6).curve.train_loss.tolist() == [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]


def test_an_iteration_without_a_loss_has_that_of_the_one_before():
    def train(trial: hptune.Trial) -> None:
        for at in trial:
            if at % 3 == 0:
                trial.log(train_loss=1.0 + at)
            if trial.evaluate_now:
                trial.log(val_loss=0.5, val_f1=0.25)

    curve = run(train, iterations=8).curve
    assert curve.train_loss.tolist() == [1.0, 1.0, 1.0, 4.0, 4.0, 4.0, 7.0, 7.0]


def test_a_loss_that_is_told_again_after_a_reading_moves_no_other():
    def train(trial: hptune.Trial) -> None:
        for at in trial:
            trial.log(train_loss=1.0 + at)
            if trial.evaluate_now:
                trial.log(val_loss=1.0)
                trial.log(train_loss=0.0)

    assert run(train, iterations=6).curve.train_loss.tolist() == [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), 1e9])
def test_a_diverged_trial_ends_early_whatever_the_loop_catches(bad: float):
    caught, ended = [], []

    def train(trial: hptune.Trial) -> None:
        for at in trial:
            try:
                trial.log(train_loss=torch.tensor(1.0 if at < 30 else bad))
                if trial.evaluate_now:
                    trial.log(val_loss=0.1)
            except Exception as error:
                caught.append(error)
        ended.append(at)

    result = run(train, iterations=2000, settings=TrainingSettings(evaluations=1))
    assert result.status is Status.DIVERGED
    assert result.message and 30 < len(result.curve) < 60
    assert not caught and not ended


def test_a_validation_loss_that_is_not_finite_is_divergence_too():
    def train(trial: hptune.Trial) -> None:
        for _ in trial:
            if trial.evaluate_now:
                trial.log(val_loss=float("nan"))

    result = run(train)
    assert result.status is Status.DIVERGED and "iteration 4 is not finite" in result.message


def test_a_run_stops_early_where_the_experiment_says_so():
    def train(trial: hptune.Trial) -> None:
        for at in trial:
            if trial.evaluate_now:
                trial.log(val_loss=1.0 + at)

    stopped = run(train, settings=TrainingSettings(evaluations=10, early_stopping=2))
    assert stopped.status is Status.COMPLETE and len(stopped.curve) == 6


def test_a_trial_that_fails_leaves_its_traceback(tmp_path: Path):
    calls = []

    def train(trial: hptune.Trial) -> None:
        calls.append(trial)
        for at in trial:
            if len(calls) > 1 and at == 3:
                raise ZeroDivisionError("a batch of nothing")
            if trial.evaluate_now:
                trial.log(val_loss=trial.lr)

    with pytest.raises(hptune.HptuneError, match="a batch of nothing"):
        tune(train, out=tmp_path)
    rows = (tmp_path / "results.csv").read_text()
    assert "failed" in rows
    log = next((tmp_path / "logs").glob("*.txt")).read_text()
    assert "Traceback" in log and "ZeroDivisionError: a batch of nothing" in log


def ends_early(trial: hptune.Trial) -> None:
    for _, _ in zip(trial, range(3), strict=False):
        trial.log(train_loss=trial.lr)


def reads_nothing(trial: hptune.Trial) -> None:
    for _ in trial:
        trial.log(train_loss=trial.lr)


def reads_late(trial: hptune.Trial) -> None:
    for _ in trial:
        if trial.evaluate_now:
            trial.log(val_accuracy=trial.lr)


def logs(**values: Any) -> Any:
    def train(trial: hptune.Trial) -> None:
        for _ in trial:
            trial.log(train_loss=trial.lr)
            if trial.evaluate_now:
                trial.log(val_loss=1.0)
            trial.log(**values)

    return train


def never_begins(trial: hptune.Trial) -> None:
    net()


def logs_outside(trial: hptune.Trial) -> None:
    trial.log(train_loss=1.0)


def has_no_lr(trial: hptune.Trial) -> None:
    for _ in trial:
        if trial.evaluate_now:
            trial.log(val_loss=1.0)


def fails(trial: hptune.Trial) -> None:
    torch.zeros(2) + torch.zeros(3)


@pytest.mark.parametrize(
    ("loop", "told"),
    [
        (ends_early, "ended after 3 of 50 iterations; .* `for batch in trial.batches"),
        (reads_nothing, "logged no val_loss in its first iterations"),
        (reads_late, "no val_loss was logged at iteration"),
        (logs(train_losses=1.0), "train_losses; must be .* did you mean 'train_loss'"),
        (logs(accuracy=1.0), "accuracy; must be .* write val_accuracy"),
        (logs(train_loss=torch.zeros(4)), r"train_loss is a tensor of shape \(4,\); .* its mean"),
        (logs(train_loss="low"), "train_loss is a str; must be one number"),
        (logs(val_f1=[1.0]), "val_f1 is a list; must be one number"),
        (never_begins, "returned without an iteration"),
        (logs_outside, "before the first iteration"),
        (has_no_lr, "neither reads trial.lr nor calls trial.schedule"),
        (fails, r"fails \(RuntimeError: The size of tensor .*test_telling.py:\d+\)"),
        (lambda: None, "must return an hptune.Task"),
        (net(), "a Sequential; must be an hptune.Task or a function of a trial"),
    ],
)
def test_what_a_loop_must_do_is_told_in_a_line_before_any_trial(
    loop: Any, told: str, tmp_path: Path
):
    with pytest.raises(InputError, match=told) as raised:
        tune(loop, out=tmp_path / "run")
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "run" / "results.csv").exists()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"iterations_per_epoch": None}, "iterations_per_epoch: None; must be a valid integer"),
        ({"iterations_per_epoch": 2.5}, "iterations_per_epoch: 2.5"),
        ({"batch_size": 0}, "batch_size: 0"),
    ],
)
def test_what_is_said_of_a_loop_must_fit(options: dict[str, Any], told: str):
    with pytest.raises(InputError, match=told):
        tune(train, **options)


def test_a_loader_without_a_batch_is_told(tmp_path: Path):
    def train(trial: hptune.Trial) -> None:
        model = net()
        for _ in trial.batches(iter([1.0, 2.0])):  # cannot be begun anew
            if trial.evaluate_now:
                read(trial, model)

    with pytest.raises(InputError, match="no batch; must have one at least a pass, each pass"):
        tune(train)
