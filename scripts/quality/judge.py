"""The whole procedure on a problem: what it decides, what that costs, and what it reaches."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from tempfile import TemporaryDirectory

import hptune
from hptune.errors import StageError
from scripts.quality import store
from scripts.quality.problems import PROBLEMS

FINAL_SEEDS = 3
DECIDED = ("lr", "momentum", "weight_decay", "batch_size", "epochs")
REACHED = ("val_loss", "test_loss", "test_accuracy")


def final_seeds(name: str) -> int:
    """Return the repeats of a problem's final run: fewer where a training takes long."""
    return min(FINAL_SEEDS, PROBLEMS[name].seeds)


def run_judge(
    name: str,
    seed: int,
    *,
    budget: float,
    stages: Sequence[str] | None,
    label: str,
    optimizer: str | None = None,
    where: str | None = None,
    settings: Mapping[str, object] | None = None,
) -> None:
    """Run the procedure on a problem's split of a seed, unless that is stored.

    Args:
        name: Of the problem.
        seed: Of the split and the first training.
        budget: Epochs of the search over those of the final run.
        stages: Those that run; None runs all. The final run is always made.
        label: Names the code that decides, so that several versions stand side by side.
        optimizer: In the place of the problem's own; stored apart, with the one decided for.
        where: Name of the file for the row, in the place of the usual one.
        settings: Further keys of the experiment.
    """
    told = ",".join(stages) if stages is not None else "all"
    key = {"label": label, "problem": name, "seed": seed, "budget": budget, "stages": told}
    decided: dict[str, str] = {}
    if optimizer is not None:
        key, decided = {**key, "optimizer": optimizer}, {"decided": ""}
    where = where or ("optimizers" if decided else "judge")
    if store.has(where, **key):
        return
    problem, began = PROBLEMS[name], time.perf_counter()
    row: dict[str, object] = dict.fromkeys(
        (*key, *decided, *DECIDED, "lr_low", "lr_high", "search_epochs", "trials", "seconds", *REACHED,
         "message"), ""
    )  # fmt: skip
    with TemporaryDirectory() as folder:
        try:
            tuned = hptune.tune(
                problem.make(seed), stages=stages, seeds=final_seeds(name), epochs=problem.epochs,
                seed=seed, optimizer=optimizer or problem.optimizer, precision="fp32", device="cpu",
                progress=False, out=folder, settings={"procedure.budget": budget, **(settings or {})},
            )  # fmt: skip
        except StageError as error:
            row["message"] = " ".join(str(error).split())
        else:
            row |= _decided(tuned) | dict.fromkeys(decided, tuned.optimizer)
    store.add(where, row | key | {"seconds": round(time.perf_counter() - began, 1)})


def _decided(tuned: hptune.Tuned) -> dict[str, object]:
    trials = {result.trial.digest: result for result in tuned.results}
    final = set(tuned.decision.trials)
    searched = [r for r in trials.values() if r.trial.id not in final]
    interval = getattr(tuned, "interval", {}).get("lr", ("", ""))
    return {
        **{name: getattr(tuned, name) for name in DECIDED},
        "lr_low": interval[0],
        "lr_high": interval[1],
        "search_epochs": round(sum(r.epochs for r in searched), 2),
        "trials": len(searched),
        **{name: tuned.metrics.get(name, "") for name in REACHED},
    }
