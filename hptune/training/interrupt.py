"""Signals that end a run, once what is in flight is saved.

Ctrl-C; SIGTERM, by which a scheduler takes a machine back; SIGUSR1, by which it says so beforehand. The
first one lets trials in flight save themselves, after the iteration that they are at, before it
raises KeyboardInterrupt. Where nothing is in flight it raises at once, and so does a second Ctrl-C.
"""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

GRACE = 20.0  # seconds for what is in flight: a scheduler kills after about 30
LOOK = 0.5  # seconds between two looks at `requested` of those that wait for others
_NAMES = ("SIGINT", "SIGTERM", "SIGUSR1")  # Windows has no SIGUSR1
_UNTOUCHED = (signal.SIG_DFL, signal.default_int_handler)
_in_flight, _requested = 0, False


def requested() -> bool:
    """Say whether what is in flight is to save itself and end."""
    return _requested


def request(wanted: bool = True) -> None:
    """Let what is in flight in this process save itself and end, as a signal does; or go on."""
    global _requested
    _requested = wanted


@contextmanager
def in_flight() -> Iterator[None]:
    """Hold signals back in the block, which looks at `requested` and raises KeyboardInterrupt itself."""
    global _in_flight
    _in_flight += 1
    try:
        yield
    finally:
        _in_flight -= 1


class Stopping:
    """Of what waits for other processes that train: it lets them save themselves, and ends in time."""

    def __init__(self) -> None:
        self._until = math.inf

    def holding(self, goes_on: Callable[[], object]) -> Iterator[None]:
        """Yield as long as something goes on, with signals held back, or until time is up.

        Raises:
            KeyboardInterrupt: A signal came meanwhile.
        """
        with in_flight():
            while goes_on() and time.monotonic() < self._until:
                yield
            if _requested:
                raise KeyboardInterrupt

    def begins(self) -> bool:
        """Say, once, that a signal has come: what trains is to be told."""
        new = _requested and math.isinf(self._until)
        if new:
            self._until = time.monotonic() + GRACE
        return new


def _just_ends(handler: Any) -> bool:
    """Say whether a handler does no more than to end the process, as Ray's too."""
    return handler in _UNTOUCHED or str(getattr(handler, "__module__", "")).startswith("ray.")


def on_signal(number: int, frame: FrameType | None) -> None:
    """Request an end, or raise. A signal handler.

    Raises:
        KeyboardInterrupt: Nothing is in flight, or Ctrl-C is pressed again.
    """
    again = _requested and number == signal.SIGINT  # schedulers send several, and to every process
    if again or not _in_flight:
        raise KeyboardInterrupt
    request()


@contextmanager
def signals_handled() -> Iterator[None]:
    """Handle the signals in the block, but those that are ignored or that someone else handles."""
    if threading.current_thread() is not threading.main_thread():
        yield  # signals are the main thread's
        return
    known = [getattr(signal, name) for name in _NAMES if hasattr(signal, name)]
    before = {number: signal.getsignal(number) for number in known}
    own = {number: handler for number, handler in before.items() if _just_ends(handler)}
    for number in own:
        signal.signal(number, on_signal)
    try:
        yield
    finally:
        for number, handler in own.items():
            signal.signal(number, handler)
        request(False)
