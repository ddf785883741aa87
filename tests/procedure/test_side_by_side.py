"""Candidates at once where there is room: fewer rounds, the same answers, the same again on a resume."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from procedure.test_refine import BASE as WHOLE
from procedure.test_refine import EPOCHS, Valley, refined
from procedure.test_stages import BASE, Law

from hptune.cli import run
from hptune.procedure.compare import MOST_SEEDS, PairedRuns
from hptune.procedure.duel import decide_duel, run_duel
from hptune.procedure.lr_range import decide_lr, run_bracket
from hptune.trials.run import Runner

TIMES = {"seconds", "examples_per_second", "peak_memory_mb", "started"}


class Counting(Law):
    """Counts how often trials are waited for."""

    rounds = 0

    def run(self, trials, until=()):
        self.rounds += bool([t for t in trials if t.digest not in self.known])
        return super().run(trials, until)


def with_room(law: Law, room: int) -> PairedRuns:
    law.side_by_side = room
    return PairedRuns(law)


@pytest.mark.parametrize("best", [0.003, 0.01, 0.03, 0.1])
def test_a_wide_bracket_takes_fewer_rounds_to_the_same_lr(best: float):
    found = {}
    for room in (1, 8):
        law = Counting(lambda t: 0.5 + 0.2 * abs(np.log10(t.lr / best)))
        bracket = run_bracket(with_room(law, room), BASE, 0.03)
        found[room] = decide_lr(None, bracket)[0].value, law.rounds
    assert found[8][0] == found[1][0]
    assert found[8][1] == max(found[1][1] - 1, 2)


def test_final_seeds_run_beside_the_duel_and_decide_nothing_there():
    alone, beside = (Counting(lambda t: 0.5 + abs(np.log10(t.lr / 0.1))) for _ in range(2))
    seeds = [BASE.change(seed=BASE.seed + k) for k in range(1, 4)]
    first = run_duel(with_room(alone, 2), BASE, seeds)
    second = run_duel(with_room(beside, 4), BASE, seeds)
    assert decide_duel(first) == decide_duel(second) and list(first) == list(second)
    assert len(alone.asked) == 2
    assert [t.seed for t in beside.asked[2:]] == [
        BASE.seed + 1,
        BASE.seed + 2,
    ]  # as far as there is room


def test_ties_are_repeated_with_all_seeds_at_once_where_there_is_room():
    law = Counting(lambda t: 0.5)
    runs = with_room(law, 2 * MOST_SEEDS)
    candidates = {f"{lr:g}": runs.runner.run([BASE.change(lr=lr)]) for lr in (0.01, 0.02)}
    law.rounds = 0
    repeated = runs.repeat(candidates)
    assert law.rounds == 1
    for results in repeated.values():
        assert [r.trial.seed - BASE.seed for r in results] == list(range(MOST_SEEDS))


@pytest.mark.parametrize("room", [3, 64])
def test_proposals_side_by_side_lie_apart_and_find_what_one_after_another_does(room: int):
    rounds = 0

    class Wide(Valley):
        side_by_side = room

        def run(self, trials):
            nonlocal rounds
            rounds += 1
            return super().run(trials)

    runner = Wide(0.1, epochs=10 * EPOCHS)
    outcome, results = refined(runner)
    alone = Valley(0.1, epochs=10 * EPOCHS)
    _, one_by_one = refined(alone)
    assert len({r.trial.digest for r in results}) == len(results)
    assert runner.budget.spent <= 10 * EPOCHS and rounds < len(one_by_one)
    assert rounds >= 5  # nothing is proposed blindly, however much room there is
    decided = {d.parameter: d.value for d in outcome.decisions}
    before, after = (
        runner.loss(WHOLE),
        runner.loss(WHOLE.change(lr=decided["lr"], momentum=decided["momentum"])),
    )
    assert after - 0.3 < 0.1 * (before - 0.3)


def without_times(folder: Path) -> list[dict[str, str]]:
    with (folder / "results.csv").open() as file:
        return [{k: v for k, v in row.items() if k not in TIMES} for row in csv.DictReader(file)]


@pytest.mark.parametrize("command", [["run", "--budget", "4"], ["search", "--budget", "8"]])
def test_a_run_with_room_decides_the_same_wherever_it_is_interrupted(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    if command[0] == "search":
        pytest.importorskip("optuna", reason="the extra search is not installed")
    options = [
        *command, "--device", "cpu", "--quiet", "--jobs", "1", "--set", "training.epochs=2",
        "--set", "procedure.stages=[lr-range, momentum, refine, final]",
        "--set", "execution.candidates=6",
    ]  # fmt: skip
    assert run([*options, "--out", str(tmp_path / "whole")]) == 0
    keep, kept = Runner.keep, 0

    def interrupted(self, result) -> None:
        nonlocal kept
        keep(self, result)
        kept += 1
        if kept in (2, 7):
            raise KeyboardInterrupt

    monkeypatch.setattr(Runner, "keep", interrupted)
    codes = [run([*options, "--out", str(tmp_path / "halves")]) for _ in range(3)]
    assert codes == [130, 130, 0]
    assert without_times(tmp_path / "halves") == without_times(tmp_path / "whole")
