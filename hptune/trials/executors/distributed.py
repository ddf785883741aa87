"""Distributed: each trial on several devices together, a process for each; one trial or more at once."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping, Sequence
from importlib import import_module
from multiprocessing.connection import wait
from typing import Any

from hptune.errors import TrialError
from hptune.results.records import Trial
from hptune.task import Task
from hptune.training.device import Device
from hptune.training.result import failed
from hptune.training.trial_run import Job
from hptune.trials.executors.execution import Execution, teams
from hptune.trials.executors.executor import Listener, Results
from hptune.trials.executors.processes import ATTEMPTS
from hptune.trials.executors.team import Team, measure_together

Places = tuple[Device, ...]
"""The devices of a trial, by rank."""


class Distributed:
    """Runs jobs on teams of processes that are started once for a task and kept.

    Args:
        places: The devices of each team.
    """

    threads: int | None = 1

    def __init__(self, places: Sequence[Places]) -> None:
        self._places = tuple(places)
        self._task: Task | None = None
        self._teams: list[Team] = []

    def run(self, task: Task, jobs: Sequence[Job], listener: Listener) -> Results:
        """Yield the jobs with their results as they end."""
        waiting, attempts = deque(jobs), Counter[str]()
        try:
            while waiting or self._busy:
                self._use(task, len(waiting))
                for team in self._teams:
                    if waiting and not team.job:
                        team.train(waiting.popleft(), listener)
                ready = wait([connection for team in self._busy for connection in team.awaited])
                for team in self._busy:
                    team.hear(ready, listener)
                    if team.goes_on:
                        continue
                    job, team.job = team.job, None
                    assert job is not None, "the busy ones have one"
                    attempts[job.trial.id] += 1
                    if team.failure:
                        self._end(team)
                    if team.result is not None:
                        yield job, team.result
                    elif team.has_lost_one and attempts[job.trial.id] < ATTEMPTS:
                        waiting.appendleft(job)
                    else:
                        yield job, failed(task, job.trial, team.places[0], team.failure)
        finally:
            for team in self._busy:  # stopped halfway: its results are not wanted
                self._end(team)

    def seconds_of_iteration(self, task: Task, trial: Trial, how: Mapping[str, Any]) -> float:
        """Return the seconds that an iteration takes on a team; see `measure_iteration`.

        Raises:
            TrialError: The trial fails.
        """
        self._use(task, 1)
        team = self._teams[0]
        try:
            seconds = team.ask(measure_together, (trial, dict(how)))
            if team.failure:
                raise TrialError(f"model {task.model}: {team.failure}")
        except BaseException:
            self._end(team)  # some of its processes may still be at it
            raise
        return float(seconds)

    def close(self) -> None:
        """End the processes."""
        for team in list(self._teams):
            self._end(team)

    @property
    def in_words(self) -> str:
        """The executor with what may move the last bits of a curve."""
        words = f"{len(self._places[0])} devices a trial"
        return words if len(self._places) == 1 else f"{len(self._places)} trials at once, {words}"

    @property
    def _busy(self) -> list[Team]:
        return [team for team in self._teams if team.job]

    def _use(self, task: Task, trials: int) -> None:
        """Start the teams that are missing for so many trials more; all of them anew for another task."""
        if task is not self._task:
            self.close()
            self._task = task
            if self._places[0][0].torch_device.type == "cpu":
                import_module("torch._dynamo")  # by DistributedDataParallel; once for all forks
        for team in [team for team in self._teams if not team.job and not team.is_alive]:
            self._end(team)
        missing = Counter(self._places)
        missing.subtract(team.places for team in self._teams)
        free = len(self._teams) - len(self._busy)
        for places in list(missing.elements())[: max(trials - free, 0)]:
            others = [connection for team in self._teams for connection in team.connections]
            self._teams.append(Team(task, places, others))

    def _end(self, team: Team) -> None:
        team.close()
        self._teams.remove(team)


def make(execution: Execution, task: Task, trials: Sequence[Trial]) -> Distributed:
    """Return teams for as many trials as there are to be at once, the same ones from stage to stage."""
    places = teams(execution.device, execution.jobs)
    distributed: Distributed = execution.kept.setdefault(places, Distributed(places))
    return distributed


def seconds_of_iteration(
    execution: Execution, task: Task, trial: Trial, how: Mapping[str, Any]
) -> float:
    """Return what an iteration takes on the devices of a trial; see `measure_iteration`."""
    return make(execution, task, [trial]).seconds_of_iteration(task, trial, how)
