"""Branches: candidates that share the beginning of a run and differ from a snapshot on.

Source: Smith 2018, section 4.4 and Figure 12.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from hptune.errors import StageError
from hptune.results.records import Curve, Status, Trial
from hptune.training.lengths import evaluation_points
from hptune.trials.paired import Candidates
from hptune.trials.run import Runner

LATEST = 0.5  # of the run: a candidate needs the rest to show its effect


def branch_point(runner: Runner, parent: Trial, ready: Callable[[Curve], bool]) -> str:
    """Run a trial until its curve is ready to branch from, at the latest to the middle of it.

    Args:
        runner: Runs the trial.
        parent: The run whose beginning the branches share.
        ready: Asked at each reading of the validation set.

    Returns:
        What `Trial.snapshot` names; found again where an earlier call has made it.

    Raises:
        StageError: The parent diverged.
    """
    folder = runner.run_dir.snapshot(parent.digest).parent
    for path in sorted(folder.glob(f"{parent.digest}@*.pt")):
        return path.stem
    due = evaluation_points(parent.iterations, parent.settings.evaluations)
    points = [at for at in due if at <= LATEST * parent.iterations] or due[:1]
    for at in points:
        result = runner.parent(parent, at)
        if result.status is not Status.PRUNED:
            raise StageError(
                f"{parent.stage}: the run to branch from {result.status} after "
                f"{len(result.curve)} iterations: {result.message}; lower the LR"
            )
        if ready(result.curve):
            break
    runner.budget.add(result)
    name = f"{parent.digest}@{at}"
    runner.run_dir.snapshot(parent.digest).replace(runner.run_dir.snapshot(name))
    return name


def run_branches(
    runner: Runner, parent: Trial, snapshot: str, changes: Mapping[str, Mapping[str, Any]]
) -> Candidates:
    """Run every candidate from the snapshot on.

    Args:
        runner: Runs the trials.
        parent: The run whose beginning they share.
        snapshot: From `branch_point`.
        changes: The candidates by label, each as the fields of `parent` that it changes.
    """
    trials = [parent.change(snapshot=snapshot, **change) for change in changes.values()]
    results = runner.run(trials)
    return {label: [result] for label, result in zip(changes, results, strict=True)}
