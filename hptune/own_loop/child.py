"""Inside a command that hptune has started: the trial that it is to run, and the way back."""

from __future__ import annotations

import atexit
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from hptune.errors import HptuneError, InputError, TrialError
from hptune.own_loop.assignment import Assignment
from hptune.own_loop.told import TrialEnded
from hptune.own_loop.trial import Trial
from hptune.results.records import Status
from hptune.training.device import reseed

VARIABLE = "HPTUNE_TRIAL"  # of the environment: the file with the assignment
_asked: list[Trial] = []  # a process runs one trial


def report_of(assignment: Path) -> Path:
    """Return the file in which a command tells, beside its assignment."""
    return assignment.with_suffix(".jsonl")


def trial() -> Trial:
    """Return the trial that this process was started for, by `hptune run -- COMMAND` and its like.

    The generators of torch, NumPy and Python get the trial's seed. Of several processes under `torchrun`
    the one of rank 0 tells and saves.

    Raises:
        InputError: hptune has not started it.
    """
    path = os.environ.get(VARIABLE)
    if path is None:
        raise InputError(
            "hptune.trial: this process was not started by hptune; must be, to have a trial; start it "
            "as `hptune run -- python SCRIPT.py`, or use hptune.Trial.from_file('tuned.yaml')"
        )
    if not _asked:
        assignment = Assignment.parse(Path(path).read_text(encoding="utf-8"))
        rank, ranks = (int(os.environ.get(n, d)) for n, d in (("RANK", 0), ("WORLD_SIZE", 1)))
        sink = JsonLines(Path(os.devnull) if rank else report_of(Path(path)))
        reseed(assignment.trial.seed)
        _asked.append(made := Trial(assignment, sink, rank=rank, ranks=ranks))
        atexit.register(_conclude, made, sink)
    return _asked[0]


class JsonLines:
    """Hands on to the process that started this one what the loop tells, a line each."""

    def __init__(self, path: Path) -> None:
        self._file: IO[str] = path.open("a", encoding="utf-8")
        self.has_ended = False

    def began(self, history: Mapping[str, Any] | None) -> None:
        """Say that it begins."""
        self.say("began", history=history)

    def losses(self, values: list[float], seconds: float) -> None:
        """Tell the next training losses."""
        self.say("losses", values=values, seconds=seconds)

    def reading(self, iteration: int, values: Mapping[str, float]) -> None:
        """Tell values after an iteration."""
        self.say("reading", iteration=iteration, values=dict(values))

    def ended(self, status: Status, message: str) -> None:
        """Say how it ended."""
        self.has_ended = True
        self.say("ended", status=status, message=message)

    def rehearsed(self, seen: Mapping[str, Any]) -> None:
        """Tell what a rehearsal has shown."""
        self.say("rehearsed", seen=dict(seen))

    def failed(self, message: str) -> None:
        """Say what the loop did not do that it must."""
        self.has_ended = True
        self.say("failed", message=message)

    def say(self, what: str, **about: Any) -> None:
        """Write a line, which a reader sees at once."""
        self._file.write(json.dumps({"what": what, **about}) + "\n")
        self._file.flush()


def _conclude(made: Trial, sink: JsonLines) -> None:
    """Conclude the trial when the process ends; how it ends otherwise, its exit code says."""
    if sink.has_ended:
        return
    if hasattr(sys, "last_value"):
        # After an exception its exit code says how it ended, and its output why, unless it is ours.
        if isinstance(sys.last_value, HptuneError):
            sink.failed(str(sys.last_value))
        return
    try:
        made.finish()
    except TrialEnded:
        pass
    except TrialError as error:
        sink.failed(str(error))
