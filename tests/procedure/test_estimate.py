"""The time estimate against what the same stages then take, both in CPU time of one thread."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from hptune.config.load import load_experiment
from hptune.procedure.session import Session, estimate
from hptune.stages import FINAL, LR_RANGE
from hptune.trials.progress import Silent

SETTINGS = ["data.name=digits", "training.epochs=20", "procedure.final.seeds=2"]


@pytest.mark.parametrize("slow", [False, True])
def test_stages_take_about_as_long_as_said(slow: bool, tmp_path: Path, monkeypatch):
    """On a busy machine wall time says nothing, so the clock is the process's own."""
    monkeypatch.setattr(time, "perf_counter", time.process_time)
    monkeypatch.setattr(estimate, "PROBE_SECONDS", 0.3)
    if slow:
        monkeypatch.setattr(estimate, "SLOW", 0.0)
    assert any(0.4 < ratio(tmp_path / name) < 2.5 for name in "ab")  # a neighbour may disturb one


def ratio(out: Path) -> float:
    """Return what the stages took over what was said of them."""
    experiment = load_experiment(None, SETTINGS)
    with Session.open(experiment, out, progress=Silent(), executor="inline") as session:
        planned = session.plan(["lr-range", "final"])
        assert [stage.stage for stage in planned] == [LR_RANGE, FINAL]
        began = time.process_time()
        session.run(stages=["lr-range", "final"])
        real = time.process_time() - began
    return real / sum(stage.seconds or 0.0 for stage in planned)


def test_a_baseline_and_more_seeds_take_longer(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(time, "perf_counter", time.process_time)
    seconds = []
    for extra in ([], ["procedure.final.baseline=step"], ["procedure.final.seeds=6"]):
        experiment = load_experiment(None, [*SETTINGS, *extra])
        with Session.open(experiment, tmp_path, progress=Silent(), executor="inline") as session:
            (final,) = session.plan(["final"])
            seconds.append(final.seconds or 0.0)
            assert final.trials == {0: 2, 1: 4, 2: 6}[len(seconds) - 1]
    assert seconds[1] > 2 * seconds[0] and seconds[2] > 1.5 * seconds[0]
