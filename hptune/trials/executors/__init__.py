"""Executors: how the trials of a sweep are run, one after another or several at once.

Their table stands here and imports none of them. A new one is its file and a row: a class with the
methods of `executor.Executor`, and a function `make(execution, task, trials)` that returns one for a
sweep of a task, by what an `execution.Execution` knows of the run.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ExecutorKind:
    """What an executor is.

    Attributes:
        name: As for `--executor`.
        summary: For the shell's help.
        several: Whether it may run several trials at once, so that `--jobs` goes with it.
        module: Has its `make`; by default it is called as the executor is.
    """

    name: str
    summary: str
    several: bool = True
    module: str = ""


DISTRIBUTED = ExecutorKind(
    "distributed", "each trial on several devices"
)  # asked for by their number


@dataclass(frozen=True)
class Cluster:
    """Which Ray cluster, and what a trial takes of it.

    Attributes:
        address: "auto" for the one that this machine belongs to, HOST:PORT of its head, or None
            for RAY_ADDRESS, else for one of this machine alone that is started and ended.
        cpus: Of a trial, which trains with as many threads.
        gpus: Of a trial, also a part of one; None is one where the driver trains on CUDA.
    """

    address: str | None = None
    cpus: int = 1
    gpus: float | None = None


EXECUTORS: dict[str, ExecutorKind] = {
    kind.name: kind
    for kind in (
        ExecutorKind("auto", "the fastest by a timed probe", module="choice"),
        ExecutorKind("inline", "one trial after another", several=False),
        ExecutorKind("processes", "each trial in a worker process"),
        ExecutorKind("fused", "many small trials of one model as one"),
        ExecutorKind("ray", "each trial on a node of a Ray cluster"),
    )
}
