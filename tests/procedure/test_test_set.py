"""The test set is read once, by the runs that count, also where a seed broke and the LR was halved."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from hptune.config.build import build_task
from hptune.config.load import load_experiment
from hptune.procedure import final
from hptune.procedure.session.session import Session
from hptune.trials.progress import Silent

SETTINGS = ["data.subset=300", "training.epochs=2"]
SETTINGS += ["procedure.final.seeds=3", "hyper_parameters.lr=0.1"]


class Counted:
    """A split that counts how often it is read."""

    def __init__(self, source: Any, read: list[int]) -> None:
        self.source, self.read = source, read

    def __len__(self) -> int:
        return len(self.source)

    def to(self, device: torch.device) -> Counted:
        return Counted(self.source.to(device), self.read)

    def batches(self, *args: Any, **kwargs: Any) -> Iterator[Any]:
        self.read.append(1)
        return self.source.batches(*args, **kwargs)


def test_attempts_that_do_not_count_leave_the_test_set_alone(tmp_path: Path, monkeypatch):
    experiment = load_experiment(None, SETTINGS)
    task, read = build_task(experiment), list[int]()
    # A task that is handed over brings its net, so the experiment may not describe one.
    experiment = experiment.change(model=experiment.model.change(args={}))
    counted = task.change(test=Counted(task.test, read))
    monkeypatch.setattr(final, "_has_broken", lambda result, *_: result.trial.lr == 0.1)

    def run() -> Any:
        with Session.open(experiment, tmp_path, progress=Silent(), task=counted, jobs=1) as session:
            return session.run(stages=["final"])

    outcome = run()
    tested = [r for r in outcome.results if r.test_loss is not None]
    assert len(outcome.results) == 6 and len(tested) == len(read) == 3
    assert {r.trial.lr for r in tested} == {0.05}
    again = run()  # everything is there
    assert len(read) == 3
    assert [r.test_loss for r in again.results] == [r.test_loss for r in outcome.results]
    assert pytest.approx(outcome.decisions[-1].value) == again.decisions[-1].value
