"""Branches: candidates that share the beginning of a run and differ from a snapshot on.

Source: Smith 2018, section 4.4 and Figure 12.
"""

from __future__ import annotations

from collections.abc import Callable

from hptune.errors import StageError
from hptune.results.records import Curve, Status, Trial
from hptune.training.lengths import evaluation_points, iterations_per_epoch
from hptune.trials.run import Runner

LATEST = 0.5  # of the run: a candidate needs the rest to show its effect


def branch_point(runner: Runner, parent: Trial, ready: Callable[[Curve], bool]) -> str:
    """Run a trial until its curve is ready to branch from, at the latest to the middle of it.

    Args:
        runner: Runs the trial.
        parent: The run whose beginning the branches share.
        ready: Asked after each evaluation.

    Returns:
        What `Trial.snapshot` names; found again where an earlier call has made it.

    Raises:
        StageError: The parent diverged.
    """
    folder = runner.run_dir.snapshot(parent.digest).parent
    found = min(folder.glob(f"{parent.digest}@*.pt"), default=None)
    name = found.stem if found else _made(runner, parent, ready)
    done = int(name.partition("@")[2])
    # Counted also where it was found, so that a run and its resume spend alike.
    per_epoch = iterations_per_epoch(len(runner.task.train), parent.batch_size)
    runner.budget.count(parent, done / per_epoch)
    return name


def _made(runner: Runner, parent: Trial, ready: Callable[[Curve], bool]) -> str:
    due = evaluation_points(parent.iterations, parent.settings.evaluations)
    for at in [at for at in due if at <= LATEST * parent.iterations] or due[:1]:
        result = runner.parent(parent, at)
        if result.status is not Status.PRUNED:
            raise StageError(
                f"{parent.stage}: the run to branch from {result.status} after "
                f"{len(result.curve)} iterations: {result.message}; lower the LR"
            )
        if ready(result.curve):
            break
    name = f"{parent.digest}@{at}"
    runner.run_dir.snapshot(parent.digest).replace(runner.run_dir.snapshot(name))
    return name
