"""`--time`, by speeds and a clock that are set here: nothing depends on how fast this machine is."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from hptune.config.load import load_experiment
from hptune.errors import InputError
from hptune.procedure.outcome import Outcome
from hptune.procedure.session import estimate, time_limit
from hptune.procedure.session.session import Session
from hptune.results.records import Trial, TrialResult
from hptune.results.run_dir import RunDir
from hptune.trials.executors.execution import Execution
from hptune.trials.progress import Silent

ITERATION = 0.1  # seconds
SETTINGS = ["data.subset=600", "training.epochs=20", "hyper_parameters.batch_size=60"]
SETTINGS += ["model.args.hidden=[32]", "procedure.stages=[lr-range,refine,final]"]


class Clock(Silent):
    """The time, which goes on by what each trial would take, or `slow` times as much."""

    def __init__(self, slow: float = 1.0) -> None:
        self.now, self.slow = 0.0, slow
        self.told: list[str] = []

    def message(self, text: str) -> None:
        self.told.append(text)

    def trial_finished(self, result: TrialResult, *, reused: bool) -> None:
        if not reused:
            self.now += len(result.curve) * ITERATION * self.slow


@pytest.fixture(autouse=True)
def speeds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Execution, "seconds_of_iteration", lambda *_, **__: ITERATION)
    monkeypatch.setattr(estimate, "seconds_of_an_evaluated_example", lambda *_: 0.0)


def run(
    monkeypatch: pytest.MonkeyPatch,
    out: Path,
    clock: Clock,
    *settings: str,
    seconds: float,
    **more: bool,
) -> Outcome:
    monkeypatch.setattr(time_limit, "time", SimpleNamespace(monotonic=lambda: clock.now))
    experiment = load_experiment(None, [*SETTINGS, *settings])
    with Session.open(experiment, out, progress=clock, jobs=1, device="cpu", **more) as session:
        session.hold_to(seconds, started=0.0)
        return session.run()


def final_seeds(outcome: Outcome) -> int:
    trials: list[Trial] = [r.trial for r in outcome.results if r.trial.stage == "final"]
    counted = [d for d in outcome.decisions if d.stage == "final"][-1].trials
    assert set(counted) <= {trial.id for trial in trials}
    return len(counted)


def test_a_run_ends_in_its_time_and_says_what_it_gave_up(monkeypatch, tmp_path: Path):
    clock = Clock()
    outcome = run(monkeypatch, tmp_path, clock, seconds=45)
    assert 0.85 * 45 < clock.now < 1.1 * 45
    assert final_seeds(outcome) == 2
    assert any("20 epochs, search 3 times, 4 seeds would take" in text for text in clock.told)
    written = load_experiment(tmp_path / "experiment.yaml")
    assert written.training.epochs < 20 and written.procedure.final.seeds == 2


def test_the_batch_size_is_the_one_whose_speed_was_measured(monkeypatch, tmp_path: Path):
    whole = ["data.subset=1000", "hyper_parameters.batch_size=null"]
    outcome = run(monkeypatch, tmp_path, Clock(), *whole, seconds=60)
    written = load_experiment(tmp_path / "experiment.yaml")
    assert written.training.epochs * (1000 // 32) < 300  # for which it would be smaller
    assert {r.trial.batch_size for r in outcome.results} == {32}
    assert written.hyper_parameters.batch_size == 32


@pytest.mark.parametrize(("seconds", "refines"), [(60, True), (180, False)])
def test_an_open_optimizer_is_decided_on_within_the_time(
    monkeypatch, tmp_path: Path, seconds: float, refines: bool
):
    settings, clock = ["optimizer.name=auto"], Clock()
    if not refines:  # to which all would go that the comparison takes
        settings += ["procedure.stages=[optimizer,lr-range,final]"]
    outcome = run(monkeypatch, tmp_path, clock, *settings, seconds=seconds)
    assert 0.85 * seconds < clock.now < 1.1 * seconds
    assert outcome.decisions[0].parameter == "optimizer.name"
    assert bool(outcome.decisions[0].trials) is not refines
    assert load_experiment(tmp_path / "experiment.yaml").optimizer.name == "auto"
    trials = (tmp_path / "results.csv").read_text()
    again = run(monkeypatch, tmp_path, Clock(), *settings, seconds=seconds)
    assert (tmp_path / "results.csv").read_text() == trials
    assert [d.value for d in again.decisions] == [d.value for d in outcome.decisions]


def test_what_a_time_leaves_goes_to_the_search(monkeypatch, tmp_path: Path):
    clock = Clock()
    outcome = run(monkeypatch, tmp_path, clock, seconds=160)
    assert 0.85 * 160 < clock.now < 1.1 * 160
    assert load_experiment(tmp_path / "experiment.yaml").training.epochs == 20
    searched = sum(r.epochs for r in outcome.results if r.trial.stage != "final")
    assert searched > 3 * 20
    assert final_seeds(outcome) == 4


def test_a_machine_that_slows_down_cuts_the_search_before_the_seeds(monkeypatch, tmp_path: Path):
    clock = Clock(slow=1.3)
    outcome = run(monkeypatch, tmp_path, clock, seconds=110)
    budget = load_experiment(tmp_path / "experiment.yaml").procedure.budget
    searched = sum(r.epochs for r in outcome.results if r.trial.stage != "final")
    assert searched < 0.8 * (budget - 1) * 20
    assert final_seeds(outcome) == 3  # as planned
    assert clock.now < 1.1 * 110


def test_seeds_are_cut_where_the_final_runs_would_end_late(monkeypatch, tmp_path: Path):
    clock = Clock(slow=1.4)
    outcome = run(monkeypatch, tmp_path, clock, seconds=60)
    assert load_experiment(tmp_path / "experiment.yaml").procedure.final.seeds == 2
    assert final_seeds(outcome) == 1
    assert clock.now < 1.1 * 60


def test_seeds_come_back_where_the_run_is_ahead_of_its_plan(monkeypatch, tmp_path: Path):
    bare = [*SETTINGS, "procedure.stages=[lr-range,final]"]  # refinement would take the time
    monkeypatch.setitem(globals(), "SETTINGS", bare)
    outcome = run(monkeypatch, tmp_path, Clock(slow=0.5), seconds=60)
    assert load_experiment(tmp_path / "experiment.yaml").procedure.final.seeds == 2
    assert final_seeds(outcome) > 2


@pytest.mark.parametrize("slow", [1.0, 1.7])
def test_the_same_command_again_runs_nothing_and_decides_the_same(
    monkeypatch, tmp_path: Path, slow: float
):
    first = run(monkeypatch, tmp_path, Clock(slow), seconds=60)
    monkeypatch.setattr(Execution, "seconds_of_iteration", lambda *_, **__: pytest.fail("measured"))
    clock = Clock()
    again = run(monkeypatch, tmp_path, clock, seconds=60)
    assert clock.now == 0
    assert again.decisions == first.decisions


def test_a_run_that_was_broken_off_goes_on_by_the_same_plan(monkeypatch, tmp_path: Path):
    class Broken(Clock):
        def trial_finished(self, result: TrialResult, *, reused: bool) -> None:
            super().trial_finished(result, reused=reused)
            if self.now > 30:
                raise KeyboardInterrupt

    whole, rest = Clock(), Clock()
    run(monkeypatch, tmp_path / "a", whole, seconds=60)
    with pytest.raises(KeyboardInterrupt):
        run(monkeypatch, tmp_path / "b", Broken(), seconds=60)
    run(monkeypatch, tmp_path / "b", rest, seconds=60)
    assert rest.now < 45
    plans = [load_experiment(tmp_path / name / "experiment.yaml") for name in "ab"]
    assert plans[0].training == plans[1].training


def test_less_than_the_shortest_sensible_time_is_refused(monkeypatch, tmp_path: Path):
    with pytest.raises(InputError, match=r"--time: 2 s; must be about .* at least, of which start"):
        run(monkeypatch, tmp_path, Clock(), seconds=2)
    with RunDir.open(tmp_path, write=False) as there:
        assert not there.rows()


def test_restart_chooses_anew(monkeypatch, tmp_path: Path):
    run(monkeypatch, tmp_path, Clock(), seconds=60)
    monkeypatch.setattr(Execution, "seconds_of_iteration", lambda *_, **__: 1.2 * ITERATION)
    before = load_experiment(tmp_path / "experiment.yaml").training.epochs
    run(monkeypatch, tmp_path, Clock(), seconds=60, restart=True)
    assert load_experiment(tmp_path / "experiment.yaml").training.epochs < before
