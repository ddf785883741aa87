"""A process of the user's, from its start to its end, with all that it starts in turn."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from hptune.errors import InputError, one_line

GRACE = 5.0  # seconds for a process to end by itself when it is told to
OTHERS = 0.5  # for what it had started, once it has ended itself
_TAIL = 3  # last lines of the output that a message repeats
_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None) if sys.platform == "linux" else None


@contextmanager
def started(
    words: Sequence[str], output: Path, environment: Mapping[str, str]
) -> Iterator[subprocess.Popen[bytes]]:
    """Start a command as it is written, no shell between, and end it with the block.

    What it prints goes to the end of a file. It gets a group of its own, which is ended as a whole, and
    ends when this process does, however it does.

    Raises:
        InputError: There is no such program.
    """
    output.parent.mkdir(parents=True, exist_ok=True)
    with output.open("ab") as file:
        try:
            process = subprocess.Popen(
                list(words),
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                env={**os.environ, **environment},
                start_new_session=True,
                preexec_fn=_dies_with_parent if _libc is not None else None,
            )
        except OSError as error:
            raise InputError(
                f"command: {words[0]!r}; cannot be started ({one_line(error)}); must be a program on "
                "the path; correct it"
            ) from None
    try:
        yield process
    finally:
        end(process)


def end(process: subprocess.Popen[bytes]) -> None:
    """End a process with its group, kindly at first."""
    for number, seconds in ((signal.SIGTERM, GRACE), (signal.SIGKILL, GRACE)):
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(seconds)
            end_at = time.monotonic() + OTHERS
            while _has_others(process.pid) and time.monotonic() < end_at:
                time.sleep(0.02)
            if not _has_others(process.pid):
                return


def how_it_ended(code: int, output: Path) -> str:
    """Return in one line how a process ended that should have gone on, with what it said last."""
    if code < 0:
        name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
        how = f"ended by {name}"
        if code == -signal.SIGKILL:
            how += ", as the system does when memory runs out"
    else:
        how = f"exit code {code}"
    said = last_lines(output)
    return f"{how}; its last lines: {said}" if said else how


def last_lines(output: Path) -> str:
    """Return the last lines of an output, in one line."""
    try:
        with output.open("rb") as file:
            file.seek(max(0, output.stat().st_size - 4000))
            text = file.read().decode(errors="replace")
    except OSError:
        return ""
    lines = deque((line.strip() for line in text.splitlines() if line.strip()), _TAIL)
    return one_line(" | ".join(lines), 300)


def _has_others(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def _dies_with_parent() -> None:
    assert _libc is not None
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
