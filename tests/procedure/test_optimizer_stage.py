"""`optimizer: auto`: SGD and NAdamW, each at its own LR; what is decided, what that costs."""

from __future__ import annotations

import csv
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from test_stages import result
from torch import nn

import hptune
from hptune.cli import run
from hptune.config.load import load_experiment
from hptune.errors import InputError
from hptune.procedure.defaults import OPTIMIZERS, usual_lr
from hptune.procedure.optimizer import decide_optimizer
from hptune.procedure.plan import Plan
from hptune.procedure.session.chosen import chosen_stages
from hptune.results.records import Decision, Status
from hptune.results.run_dir import RunDir
from hptune.stages import FINAL, LR_RANGE, OPTIMIZER, REFINE

AUTO = ["--set", "optimizer.name=auto"]
SMALL = [
    *("--set", "data.subset=400", "--set", "training.epochs=12", "--set", "model.args.hidden=[32]"),
    *("--set", "procedure.final.seeds=1", "--set", "procedure.stages=[optimizer,lr-range,final]"),
    *("--jobs", "1", "--device", "cpu", "--quiet"),
]
COMPARES = ["--set", "procedure.budget=8"]  # its short runs are of 50 iterations, 5 epochs


def rows(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


def command(out: Path, *more: str) -> list[str]:
    return ["run", "--out", str(out), *AUTO, *SMALL, *more]


def epochs_of_search(out: Path) -> float:
    return sum(float(r["epochs"]) for r in rows(out / "results.csv") if r["stage"] != FINAL)


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run directory of digits with a budget that compares."""
    out = tmp_path_factory.mktemp("auto")
    assert run(command(out, *COMPARES)) == 0
    return out


def test_each_optimizer_has_an_lr_of_its_own_and_two_seeds(compared: Path):
    evidence = json.loads((compared / "comparisons.json").read_text())
    (own,) = [one for one in evidence if one["stage"] == OPTIMIZER]
    assert own["parameter"] == "optimizer.name"
    assert {c["label"] for c in own["candidates"]} == set(OPTIMIZERS)
    assert all(len(c["seeds"]) >= 2 for c in own["candidates"])
    lrs = {c["label"]: c["values"]["lr"] for c in own["candidates"]}
    assert lrs["nadamw"] < lrs["sgd"]
    for name in OPTIMIZERS:  # from a bracket around it
        ran = {
            float(r["lr"])
            for r in rows(compared / "results.csv")
            if (r["stage"], r["optimizer"], r["policy"]) == (LR_RANGE, name, "1cycle")
        }
        assert len(ran) >= 3 and lrs[name] in ran


def test_what_is_decided_is_trained_with_and_written_down(compared: Path):
    decided = {(r["stage"], r["parameter"]): r for r in rows(compared / "decisions.csv")}
    chosen = decided[OPTIMIZER, "optimizer.name"]["value"]
    assert "each at its own LR" in decided[OPTIMIZER, "optimizer.name"]["reason"]
    assert float(decided[LR_RANGE, "lr"]["value"]) < 1
    final = [r for r in rows(compared / "results.csv") if r["stage"] == FINAL]
    assert {r["optimizer"] for r in final} == {chosen}
    assert load_experiment(compared / "tuned.yaml").optimizer.name == chosen
    assert load_experiment(compared / "experiment.yaml").optimizer.name == "auto"


def test_the_lr_stage_does_not_pay_again_for_the_winner(compared: Path):
    decided = {(r["stage"], r["parameter"]): r for r in rows(compared / "decisions.csv")}
    cost = re.search(r"the stage cost ([\d.]+) epochs", decided[LR_RANGE, "lr"]["reason"])
    assert cost is not None and float(cost[1]) <= 2 * 5  # at most what a bracket takes more
    trials = [r["trial"].rpartition("-")[2] for r in rows(compared / "results.csv")]
    searched = [r["trial"] for r in rows(compared / "results.csv") if r["stage"] != FINAL]
    assert len(set(searched)) == len({t.rpartition("-")[2] for t in searched}) <= len(trials)


def test_the_budget_holds(compared: Path):
    assert epochs_of_search(compared) <= 7 * 12  # the eighth is the duel's


def test_a_run_that_is_there_is_not_run_again(compared: Path, capsys):
    before = (compared / "results.csv").read_bytes(), (compared / "decisions.csv").read_bytes()
    assert run([*command(compared, *COMPARES), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["decisions"][0]["parameter"] == "optimizer.name"
    after = (compared / "results.csv").read_bytes(), (compared / "decisions.csv").read_bytes()
    assert after == before


def test_tuned_yaml_trains_in_the_same_directory_and_beside_it(compared: Path, tmp_path: Path):
    tuned = str(compared / "tuned.yaml")
    quick = ["--set", "training.epochs=1", "--device", "cpu", "--jobs", "1", "--quiet"]
    for out in (tmp_path, compared):
        assert run(["train", tuned, "--out", str(out), *quick]) == 0
    chosen = load_experiment(compared / "tuned.yaml").optimizer.name
    (trained,) = rows(tmp_path / "results.csv")
    assert trained["optimizer"] == chosen
    # What was open is still that.
    assert run([*command(compared, *COMPARES), "--stages", "final"]) == 0
    other = next(name for name in OPTIMIZERS if name != chosen)
    assert run([*command(compared), "--set", f"optimizer.name={other}"]) == 2


def test_without_the_budget_the_usual_one_is_kept_and_the_cost_told(tmp_path: Path, capsys):
    assert run(command(tmp_path, "--stages", "optimizer")) == 0
    (decision,) = rows(tmp_path / "decisions.csv")
    assert (decision["stage"], decision["value"]) == (OPTIMIZER, "nadamw")
    assert not (tmp_path / "results.csv").exists() or not rows(tmp_path / "results.csv")
    told = re.search(
        r"takes about ([\d.]+) epochs.*procedure.budget to ([\d.]+)", decision["reason"]
    )
    assert told is not None
    for budget, trials in ((float(told[2]), 13), (float(told[2]) - 0.2, 0)):
        more = ["--dry-run", "--json", "--set", f"procedure.budget={budget}"]
        capsys.readouterr()
        assert run(command(tmp_path, *more)) == 0
        planned = {p["stage"]: p for p in json.loads(capsys.readouterr().out)["plan"]}
        assert planned[OPTIMIZER]["trials"] == trials


def test_restart_runs_all_of_it_again(tmp_path: Path):
    more = (*COMPARES, "--stages", "optimizer")
    assert run(command(tmp_path, *more)) == 0
    first = rows(tmp_path / "results.csv")
    assert run(command(tmp_path, *more, "--restart")) == 0
    again = rows(tmp_path / "results.csv")
    assert [r["trial"] for r in again] == [r["trial"] for r in first]
    assert all(a["seconds"] != f["seconds"] for a, f in zip(again, first, strict=True))


def test_a_search_goes_on_with_the_optimizer_that_was_compared(tmp_path: Path):
    short = ["--set", "search.budget=1", "--out", str(tmp_path), *AUTO, *SMALL]
    with RunDir.open(tmp_path) as run_dir:
        run_dir.decide([decision_on_optimizer(OPTIMIZER)])
    assert run(["search", *short]) == 0
    kept = next(d for d in rows(tmp_path / "decisions.csv") if d["stage"] == OPTIMIZER)
    assert kept["value"] == "sgd"
    assert {row["optimizer"] for row in rows(tmp_path / "results.csv")} == {"sgd"}


def test_other_commands_take_the_usual_optimizer(tmp_path: Path):
    quick = ["--set", "training.epochs=1", "--out", str(tmp_path), *AUTO, *SMALL]
    assert run(["train", "--lr", "0.001", *quick]) == 0
    assert [r["optimizer"] for r in rows(tmp_path / "results.csv")] == ["nadamw"]
    assert rows(tmp_path / "decisions.csv")[0]["parameter"] == "optimizer.name"


def test_inputs_of_unlike_scales_want_nadamw():
    draws = torch.Generator().manual_seed(0)
    x = torch.randn(600, 24, generator=draws)
    y = (x @ torch.randn(24, 3, generator=draws)).argmax(1)
    x *= torch.logspace(-2, 1.5, 24)
    task = hptune.Task(
        lambda: nn.Linear(24, 3), train=(x[:400], y[:400]), validation=(x[400:], y[400:])
    )
    tuned = hptune.tune(
        task, optimizer="auto", stages=["lr-range"], epochs=10, batch_size=32, seeds=1, device="cpu",
        progress=False, settings={"procedure.budget": 8},
    )  # fmt: skip
    assert tuned.optimizer == "nadamw"
    (own,) = [one for one in tuned.comparisons if one.stage == OPTIMIZER]
    assert [c.label for c in own.candidates if c.tied] == ["nadamw"]


def seeds_of(label: str, losses: list[float], **changes: Any) -> dict[str, Any]:
    return {label: [result(loss, seed=k, **changes) for k, loss in enumerate(losses)]}


def test_the_better_one_is_taken_where_the_noise_tells():
    candidates = seeds_of("nadamw", [0.5, 0.52, 0.48]) | seeds_of("sgd", [0.3, 0.31, 0.29])
    decision = decide_optimizer(candidates)
    assert (decision.value, decision.parameter) == ("sgd", "optimizer.name")
    assert "seeds would tell" not in decision.reason


def test_in_a_tie_the_usual_one_is_taken_and_the_cost_of_telling_is_said():
    candidates = seeds_of("nadamw", [0.51, 0.49]) | seeds_of("sgd", [0.48, 0.5])
    decision = decide_optimizer(candidates)
    assert decision.value == "nadamw" and "tied, so the usual nadamw" in decision.reason
    told = re.search(
        r"(\d+) seeds would tell a difference of 0.01, in about (\d+)", decision.reason
    )
    assert told is not None and int(told[2]) == int(told[1]) * 2 * 2  # of two epochs each


def test_one_that_breaks_loses():
    broken = {"nadamw": [result(9.0, status=Status.DIVERGED, seed=k) for k in range(2)]}
    broken = {k: [replace(r, val_loss=None) for r in rs] for k, rs in broken.items()}
    assert decide_optimizer(broken | seeds_of("sgd", [1.0, 1.1])).value == "sgd"


def test_the_plan_shares_the_range_test_and_the_bracket():
    plan = Plan(epochs=12, per_epoch=100, budget=6, tests=False)
    optimizer, lr = plan.stages([OPTIMIZER, LR_RANGE])
    assert (optimizer.trials, optimizer.short_runs) == (13, 12)  # SGD alone has a range test
    assert lr.trials == lr.short_runs <= 2
    assert optimizer.epochs + lr.epochs <= plan.search
    nothing, whole = replace(plan, budget=4).stages([OPTIMIZER, LR_RANGE])
    assert (nothing.trials, whole.trials, whole.short_runs) == (0, 7, 7)
    assert replace(plan, tests=True).stages([LR_RANGE])[0].trials == 8  # with a range test
    # Beside refinement it gets a quarter of the search.
    for budget, trials in ((12, 0), (20, 13)):
        beside = replace(plan, budget=budget).stages([OPTIMIZER, LR_RANGE, REFINE])
        assert beside[0].trials == trials


def decision_on_optimizer(stage: str) -> Decision:
    return Decision(stage=stage, parameter="optimizer.name", value="sgd", rule="", reason="")


def test_the_stage_is_there_where_the_optimizer_is_open_alone():
    every = load_experiment(None).procedure.stages
    given = {"optimizer": "adam"}
    assert OPTIMIZER not in chosen_stages(every, (), named=False, **given)
    assert chosen_stages(every, (), named=False, optimizer=None)[0] == OPTIMIZER
    assert chosen_stages(["final"], (), named=True, optimizer=None) == [OPTIMIZER, FINAL]
    for stage in (OPTIMIZER, "sweep"):
        decided = [decision_on_optimizer(stage)]
        assert chosen_stages(["final"], decided, named=True, optimizer=None) == [FINAL]
    with pytest.raises(InputError, match="auto alone, and it is adam"):
        chosen_stages(["optimizer", "final"], (), named=True, **given)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("check --set optimizer.name=auto --set optimizer.args.eps=1", "belong to one optimizer"),
        ("sweep optimizer.name --values sgd,auto", "optimizer.name: auto; must be an optimizer"),
    ],
)
def test_what_makes_no_sense_is_told_in_a_line(words: str, told: str, tmp_path: Path, capsys):
    assert run([*words.split(), "--out", str(tmp_path), "--device", "cpu", "--quiet"]) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert told in error


@pytest.mark.parametrize(("iterations", "lr"), [(34, 0.029), (400, 0.0025), (100_000, 1.75e-3)])
def test_nadamw_begins_where_short_runs_want_it(iterations: int, lr: float):
    assert usual_lr(iterations) == pytest.approx(lr)
