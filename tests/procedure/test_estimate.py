"""The time estimate, from speeds that are set here: no test measures how fast this machine is."""

from __future__ import annotations

from pathlib import Path

import pytest

from hptune.config.load import load_experiment
from hptune.procedure.plan import PlannedStage
from hptune.procedure.session import estimate
from hptune.procedure.session.session import Session
from hptune.trials.executors.execution import Execution

ITERATION, EXAMPLE = 0.5, 0.001  # seconds
SETTINGS = ["data.subset=600", "training.epochs=8", "hyper_parameters.batch_size=60"]
SETTINGS += ["procedure.final.seeds=2", "training.evaluations=10", "model.args.hidden=[8]"]


NO_RIVAL = "procedure.budget=0.5"


@pytest.fixture(autouse=True)
def speeds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Execution, "seconds_of_iteration", lambda *_, **__: ITERATION)
    monkeypatch.setattr(estimate, "seconds_of_an_evaluated_example", lambda *_: EXAMPLE)


def planned(out: Path, *extra: str, stages: list[str], jobs: int = 1) -> list[PlannedStage]:
    from hptune.trials.progress import Silent

    experiment = load_experiment(None, [*SETTINGS, *extra])
    with Session.open(experiment, out, progress=Silent(), jobs=jobs) as session:
        return session.plan(stages)


def test_the_final_run_takes_its_iterations_evaluations_and_the_test_set(tmp_path: Path):
    (final,) = planned(tmp_path, NO_RIVAL, stages=["final"])
    examples = 510  # 600 less the validation set
    iterations = 2 * 8 * (examples // 60)
    evaluated = 2 * (10 * 90 + 270) * EXAMPLE
    wanted = iterations * ITERATION + evaluated + 2 * estimate.TRIAL_SECONDS
    assert final.seconds == pytest.approx(wanted)


def test_a_baseline_and_more_seeds_take_as_much_longer_as_they_train(tmp_path: Path):
    (alone,) = planned(tmp_path / "a", NO_RIVAL, stages=["final"])
    (beside,) = planned(tmp_path / "b", NO_RIVAL, "procedure.final.baseline=step", stages=["final"])
    (seeds,) = planned(tmp_path / "c", NO_RIVAL, "procedure.final.seeds=6", stages=["final"])
    (rival,) = planned(tmp_path / "d", stages=["final"])  # the budget has room for one
    assert rival.trials == 3 and rival.epochs == pytest.approx(1.5 * alone.epochs)
    assert beside.trials == 4 and beside.seconds == pytest.approx(5 * alone.seconds, rel=0.05)
    assert seeds.trials == 6 and seeds.seconds == pytest.approx(3 * alone.seconds)


def test_trials_beside_each_other_take_less(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    stages = ["final"]
    alone = planned(tmp_path / "a", "hyper_parameters.lr=0.1", stages=stages)
    monkeypatch.setattr(Execution, "gain", lambda self, task, trials: min(len(trials), 1.6))
    two = planned(tmp_path / "b", "hyper_parameters.lr=0.1", stages=stages, jobs=2)
    for one, both in zip(alone, two, strict=True):
        assert one.seconds > 1.4 * both.seconds > 0


def test_the_range_test_is_read_more_often_than_a_short_run(tmp_path: Path):
    (few,) = planned(tmp_path / "a", stages=["lr-range"])
    (more,) = planned(tmp_path / "b", "procedure.lr_range.seeds=3", stages=["lr-range"])
    iterations = (more.epochs - few.epochs) * (510 // 60)
    assert more.seconds - few.seconds > iterations * ITERATION + 2 * 25 * 90 * EXAMPLE * 0.5
