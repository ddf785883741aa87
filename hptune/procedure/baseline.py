"""A comparison with the usual kind of policy at its usual length.

Source: Smith 2018, Table 2; Smith and Topin 2017 for the super-convergence ratio.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from hptune.analysis.criterion import Criterion
from hptune.procedure.final import decide_final, run_final
from hptune.results.records import Decision, Status, Trial, TrialResult
from hptune.results.settings import PolicySpec
from hptune.trials.run import Runner

MOMENTUM = 0.9


def run_baseline(
    runner: Runner, final: Trial, *, policy: str, epochs: float, seeds: int
) -> list[TrialResult]:
    """Train the same values by a policy of the usual kind, at its usual length.

    The report's baselines start at the LR that 1cycle starts at, keep momentum at 0.9 and take
    several times as long (Table 2).

    Args:
        final: A trial of the final run.
        policy: A policy that lowers the LR step by step, or keeps it.
        epochs: Length of the baseline over that of the final run.
    """
    lr = final.lr if final.lr_min is None else final.lr_min
    base = final.change(
        policy=PolicySpec(name=policy),
        iterations=round(final.iterations * epochs),
        lr=lr,
        lr_min=None,
        momentum=MOMENTUM,
        momentum_min=None,
        settings=final.settings.change(evaluations=round(final.settings.evaluations * epochs)),
    )
    return run_final(runner, base, seeds=seeds)


def decide_baseline(
    final: Sequence[TrialResult], baseline: Sequence[TrialResult], by: Criterion
) -> Decision:
    """Compare the final run with a baseline: what it reached, and when it was where 1cycle ended.

    Raises:
        StageError: No seed of the baseline ended with a value.
    """
    own = decide_final(baseline)
    trial = baseline[0].trial
    done = [r for r in final if r.status is Status.COMPLETE]
    target = statistics.mean(by.at_end(result) for result in done)
    epochs = statistics.mean(result.epochs for result in done)
    when = [_epochs_to(result, target, by) for result in baseline]
    known = [value for value in when if value is not None]
    if len(known) == len(when):
        ratio = statistics.mean(known) / epochs
        told = f"after {statistics.mean(known):.3g} epochs: super-convergence ratio {ratio:.2f}"
    else:
        ratio = baseline[0].epochs / epochs
        told = (
            f"not within {baseline[0].epochs:.3g} epochs: super-convergence ratio above {ratio:.2f}"
        )
    return replace(
        own,
        parameter=f"baseline_{own.parameter}",
        rule=f"{trial.policy.name} at LR {trial.lr:g}, momentum {trial.momentum:g}, "
        f"{baseline[0].epochs:.3g} epochs in the place of {epochs:.3g}; {own.rule}",
        reason=f"{own.reason}; reached the final run's validation {by.name} {by.shown(target)} {told}",
    )


def _epochs_to(result: TrialResult, target: float, by: Criterion) -> float | None:
    """Return the epoch of the first reading that is as good as the target, or None."""
    costs = by.evaluations(result.curve)
    reached = np.flatnonzero(costs <= target)  # NaN is no reading and compares false
    return float(result.curve.epoch[reached[0]]) if len(reached) else None
