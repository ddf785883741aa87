"""Tells of the user's code that changed since the trials of a run directory were run."""

from __future__ import annotations

import json
from collections.abc import Callable

from hptune.fingerprint import changed_code
from hptune.results.run_dir import RunDir
from hptune.task import Task

CODE = "code"  # in the manifest: the source files of the user that the trials depend on


def changed_files(run_dir: RunDir, task: Task) -> list[str]:
    """Return the source files of the user that changed since the trials here were run."""
    before = run_dir.facts().get(CODE)
    return changed_code(json.loads(before), task.code) if isinstance(before, str) else []


def tell_of_changed_code(run_dir: RunDir, task: Task, tell: Callable[[str], None]) -> None:
    """Say which source files of the user changed since the trials here were run, once a change."""
    now = json.dumps(dict(task.code), sort_keys=True)
    if run_dir.facts().get(CODE) == now:
        return
    changed = changed_files(run_dir, task)
    run_dir.add_fact(CODE, now)
    trials = len(run_dir.rows())
    if changed and trials:
        were = "trial here was run; it is" if trials == 1 else "trials here were run; they are"
        tell(
            f"{', '.join(changed)} changed since {trials} {were} kept, and not used; what was "
            "decided before holds until its stage runs again"
        )
