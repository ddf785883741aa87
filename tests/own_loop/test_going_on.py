"""Runs of a loop that are broken off, or pause, and go on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from own_loops import X, Y, net, read, run, train, tune
from torch import nn
from torch.utils.data import DataLoader, Dataset

import hptune
from hptune.errors import InputError
from hptune.results.records import Status, TrialResult
from hptune.results.settings import TrainingSettings

READS = TrainingSettings(evaluations=8)


class Noisy(Dataset):
    """Examples that are another each time they are read, by torch's and by NumPy's generator."""

    def __len__(self) -> int:
        return len(X)

    def __getitem__(self, at: int) -> Any:
        noise = torch.randn(4) + float(np.random.rand())
        return X[at] + 0.1 * noise, Y[at]


def noisy(trial: hptune.Trial, generator: torch.Generator | None = None) -> None:
    model = net(dropout=0.3)
    optimizer = torch.optim.Adam(model.parameters(), lr=trial.lr)
    schedule = trial.schedule(optimizer)
    seen = trial.load(model=model, optimizer=optimizer).get("seen", 0)
    loader = DataLoader(Noisy(), trial.batch_size, shuffle=True, generator=generator)
    for x, y in trial.batches(loader):
        seen += len(x)
        loss = nn.functional.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        schedule.step()
        trial.log(train_loss=loss)
        if trial.evaluate_now:
            read(trial, model)
            trial.log(val_seen=seen)
            trial.save(model=model, optimizer=optimizer, seen=seen)


def with_own_generator(trial: hptune.Trial) -> None:
    noisy(trial, torch.Generator().manual_seed(5))


def broken(function: Callable[[hptune.Trial], None], at: int) -> Callable[[hptune.Trial], None]:
    """Return a loop that is broken off after an iteration, as if by Ctrl-C."""

    def train(trial: hptune.Trial) -> None:
        log = trial.log

        def logged(**values: Any) -> None:
            if trial.iteration == at:
                raise KeyboardInterrupt
            log(**values)

        trial.log = logged  # type: ignore[method-assign]
        function(trial)

    return train


def same(one: TrialResult, other: TrialResult) -> bool:
    columns = one.curve.columns(), other.curve.columns()
    return one.status is other.status and all(
        np.array_equal(columns[0][name], columns[1][name], equal_nan=True)
        for name in columns[0]
        if name != "seconds"
    )


@pytest.mark.parametrize("function", [train, noisy, with_own_generator])
@pytest.mark.parametrize("at", [4, 13])
def test_a_run_that_is_broken_off_goes_on_to_the_same_curve(
    function: Any, at: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("hptune.own_loop.snapshots.SAVE_SECONDS", 0.0)
    monkeypatch.setattr("hptune.own_loop.snapshots.SAVE_SHARE", 1e9)
    whole, path = run(function, settings=READS), tmp_path / "state.pt"
    # What is wrapped around the function is no other trial.
    same_trial = {"settings": READS, "snapshot": path, "task": "same"}
    with pytest.raises(KeyboardInterrupt):
        run(broken(function, at), **same_trial)
    assert path.exists()
    told: list[int] = []

    def again(trial: hptune.Trial) -> None:
        log = trial.log

        def logged(**values: Any) -> None:
            told.append(trial.iteration)
            log(**values)

        trial.log = logged  # type: ignore[method-assign]
        function(trial)

    resumed = run(again, **same_trial)
    assert told[0] > 0 and same(resumed, whole)


def test_a_run_pauses_where_it_saves_and_goes_on(tmp_path: Path):
    path, whole = tmp_path / "state.pt", run(noisy, settings=READS)
    paused = run(noisy, settings=READS, snapshot=path, until=10)
    assert paused.status is Status.PRUNED and len(paused.curve) == 10
    assert same(run(noisy, settings=READS, snapshot=path), whole)


def test_a_loop_that_saves_nothing_runs_on(tmp_path: Path):
    def train(trial: hptune.Trial) -> None:
        for _ in trial:
            if trial.evaluate_now:
                trial.log(val_loss=trial.lr)

    result = run(train, settings=READS, snapshot=tmp_path / "state.pt", until=10)
    assert result.status is Status.COMPLETE and len(result.curve) == 20


def test_what_cannot_be_kept_is_told_before_any_trial():
    def train(trial: hptune.Trial) -> None:
        trial.load()
        for _ in trial:
            if trial.evaluate_now:
                trial.log(val_loss=trial.lr)
                trial.save(thing=object())

    with pytest.raises(InputError, match="thing holds a object; must have state_dict"):
        tune(train)


def test_what_is_loaded_must_be_saved():
    def train(trial: hptune.Trial) -> None:
        trial.load(model=net())
        for _ in trial:
            if trial.evaluate_now:
                trial.log(val_loss=trial.lr)
                trial.save(network=net())

    with pytest.raises(InputError, match="model was not saved; must be of network"):
        tune(train)
