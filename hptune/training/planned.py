"""LR and momentum of every iteration of a trial."""

from __future__ import annotations

from hptune.policies import Schedule, schedule
from hptune.results.records import Trial


def planned(trial: Trial, per_epoch: int) -> Schedule:
    """Return what a trial's policy gives.

    Args:
        trial: With its policy, minima and maxima.
        per_epoch: Iterations of an epoch.
    """
    return schedule(
        trial.policy.name,
        trial.iterations,
        lr=trial.lr,
        lr_min=trial.lr_min,
        momentum=trial.momentum,
        momentum_min=trial.momentum_min,
        momentum_mode=trial.policy.momentum,
        iterations_per_epoch=per_epoch,
        args=trial.policy.args,
    )
