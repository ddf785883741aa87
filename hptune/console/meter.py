"""How far a count is, and the time left: a bar on a terminal, a line a minute in a pipe."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from hptune.console.terminal import PLAIN_SECONDS, Console

if TYPE_CHECKING:
    from rich.progress import Progress


class Meter:
    """Tells of a count on stderr. Use as a context manager.

    Args:
        console: Where; one that is silent tells nothing.
        what: Is counted, in words.
        about: What the count will come to, about; None where nobody knows.
    """

    def __init__(self, console: Console, what: str, about: int | None) -> None:
        self._console, self._what, self._about = console, what, about
        self._began = self._told = time.monotonic()
        self._estimated = False
        self._bar: Progress | None = None

    def __enter__(self) -> Meter:
        if self._console.live:
            from rich.progress import Progress

            self._bar = Progress(console=self._console.rich, transient=True)
            self._row = self._bar.add_task(self._what, total=self._about)
            self._bar.start()
        return self

    def __exit__(self, *error: Any) -> None:
        if self._bar is not None:
            self._bar.stop()

    def __call__(self, done: int) -> None:
        """Take in how far it is."""
        if self._bar is not None:
            self._bar.update(self._row, completed=done)
            return
        now = time.monotonic()
        soon = not self._estimated and now - self._began > 2
        if soon or now - self._told > PLAIN_SECONDS:
            self._told, self._estimated = now, True
            of = f" of about {self._about}" if self._about else ""
            self._console.message(f"  {done}{of} {self._what}{self._left(done, now)}")

    def _left(self, done: int, now: float) -> str:
        if not self._about or done > self._about:
            return ""
        return f", about {(now - self._began) / done * (self._about - done):.0f} s left"
