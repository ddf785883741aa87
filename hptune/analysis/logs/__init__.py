"""Logs of training as people have them: a reader a format, and one way from their cells to a curve."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from hptune.analysis.logs.curve import Run, run_of
from hptune.analysis.logs.files import RULE, tables_in
from hptune.analysis.logs.runs import runs_of
from hptune.errors import InputError, one_line

__all__ = ["Run", "read_log"]


def read_log(path: Path) -> list[Run]:
    """Return the runs of a file or a folder of any tool, in its order; at least one has a curve.

    Raises:
        InputError: It is not there, or no curve is in it.
    """
    try:
        tables = [run for table in tables_in(path) for run in runs_of(table)]
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(
            f"{path}: cannot be read ({one_line(error)}); {RULE}; correct the path or the file"
        ) from None
    runs = [run_of(table) for table in tables]
    if all(np.isnan([*run.curve.train_loss, *run.curve.val_loss]).all() for run in runs):
        what = "a file in it" if path.is_dir() else "another file"
        raise InputError(f"{path}: holds no numbers of a loss or an accuracy; {RULE}; name {what}")
    return runs
