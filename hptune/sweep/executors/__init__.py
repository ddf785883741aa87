"""Executors: how the trials of a sweep are run, one after another or several at once."""

from __future__ import annotations

from hptune.sweep.executors.choice import Execution, ExecutorName, tell_of_mixing
from hptune.sweep.executors.job import Executor, Job, Listener

__all__ = ["Execution", "Executor", "ExecutorName", "Job", "Listener", "tell_of_mixing"]
