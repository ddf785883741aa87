"""The final run: 1cycle with the decided values over several seeds, and the test set once.

Source: Smith 2018, section 5; the verdict: Remarks 1 and 2.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

from hptune.analysis.fitting import read_training
from hptune.errors import StageError
from hptune.results.records import Decision, Stage, Status, Trial, TrialResult
from hptune.sweep.run import Runner

HALVINGS = 2  # of the LR, before a diverged seed is left as it is


def run_final(
    runner: Runner, base: Trial, *, seeds: int, stage: Stage = Stage.FINAL
) -> list[TrialResult]:
    """Train with the decided values, once a seed, and read the test set at the end of each.

    Args:
        runner: Runs the trials.
        base: The full-length run.
        seeds: Repeats; the first has the base's seed.
        stage: FINAL in the procedure, TRAIN by hand.
    """
    trials = [base.change(stage=stage, seed=base.seed + k, test=True) for k in range(seeds)]
    return runner.run(trials)


def run_final_safely(
    runner: Runner, base: Trial, *, seeds: int
) -> tuple[list[TrialResult], list[Decision]]:
    """Run the final runs; where a seed diverges, run all of them again with half the LR.

    The search looks at short runs of few seeds, so the LR it finds may be too large for a long
    run of another seed. What diverges has not read the test set.

    Returns:
        All results, the last `seeds` of them those that count; and the decisions on the LR
        where it had to be lowered.
    """
    results: list[TrialResult] = []
    trial = base
    for attempt in range(HALVINGS + 1):
        last = run_final(runner, trial, seeds=seeds)
        results += last
        diverged = sum(result.status is Status.DIVERGED for result in last)
        if not diverged or attempt == HALVINGS:
            break
        runner.progress.message(
            f"{diverged} of {seeds} seeds diverged at LR {trial.lr:g}; again with half of it"
        )
        trial = trial.change(
            lr=trial.lr / 2, lr_min=None if trial.lr_min is None else trial.lr_min / 2
        )
    if trial is base:
        return results, []
    shared: dict[str, Any] = {
        "stage": Stage.FINAL,
        "rule": "halved until every seed completes",
        "trials": tuple(result.trial.id for result in results),
    }
    reason = f"seeds diverged at {base.lr:g}"
    decisions = [Decision(parameter="lr", value=trial.lr, reason=reason, **shared)]
    if trial.lr_min is not None:
        decisions.append(Decision(parameter="lr_min", value=trial.lr_min, reason=reason, **shared))
    return results, decisions


def decide_final(results: Sequence[TrialResult]) -> Decision:
    """Sum up the final run: mean and standard deviation over the seeds, and whether it fits.

    Raises:
        StageError: No seed ended with a value.
    """
    done = [result for result in results if result.status is Status.COMPLETE]
    stage = results[0].trial.stage
    if not done:
        raise StageError(f"{stage}: no seed completed: {results[0].message}; lower the LR")
    name, values = _headline(done)
    reading = read_training(done[0].curve)
    spread = f" ± {statistics.stdev(values):.4f}" if len(values) > 1 else ""
    lost = len(results) - len(done)
    return Decision(
        stage=stage,
        parameter=name,
        value=statistics.mean(values),
        rule=f"mean over {len(values)} seed{'s' * (len(values) > 1)}, read once at the end",
        reason=f"{statistics.mean(values):.4f}{spread}; {reading.verdict}: "
        + "; ".join(reading.reasons),
        trials=tuple(result.trial.id for result in results),
        warnings=(f"{lost} of {len(results)} seeds did not complete",) * bool(lost)
        + tuple(reading.advice if reading.verdict != "balanced" else ()),
        seconds=sum(result.seconds for result in results),
    )


def _headline(results: Sequence[TrialResult]) -> tuple[str, list[float]]:
    """Return the first metric of the test set, else of the validation set, else the loss."""
    for prefix, metrics in (
        ("test", [r.test_metrics for r in results]),
        ("val", [r.val_metrics for r in results]),
    ):
        for name in metrics[0]:
            values = [m[name] for m in metrics]
            known = [value for value in values if value is not None]
            if len(known) == len(values):
                return f"{prefix}_{name}", known
    losses = [r.test_loss if r.test_loss is not None else r.val_loss for r in results]
    return "test_loss" if results[0].test_loss is not None else "val_loss", [
        loss for loss in losses if loss is not None
    ]
