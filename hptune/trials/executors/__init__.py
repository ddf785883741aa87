"""Executors: how the trials of a sweep are run, one after another or several at once."""

from __future__ import annotations

from hptune.trials.executors.choice import Execution, ExecutorName, warn_if_mixed
from hptune.trials.executors.job import Executor, Job, Listener

__all__ = ["Execution", "Executor", "ExecutorName", "Job", "Listener", "warn_if_mixed"]
