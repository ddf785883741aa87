"""Alternating runs of contestants, and what is said of their times."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from typing import Any, Literal, Self

Contestant = Callable[[int], float]
"""Runs once, with a seed, and returns what was measured: seconds, or MiB."""

Better = Literal["faster", "less"]
PLAIN = "plain"


@dataclass(frozen=True)
class Quartiles:
    """A median between its quartiles."""

    low: float
    median: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Self:
        """Summarise some values; one stands for itself."""
        if len(values) < 2:
            return cls(values[0], values[0], values[0])
        low, median, high = statistics.quantiles(values, n=4, method="inclusive")
        return cls(low, median, high)


@dataclass(frozen=True)
class Row:
    """What a contestant needed, and how that compares with the plain loop round by round.

    Attributes:
        kind: "faster": `ratio` is the plain loop's time over this one's, more is better.
            "less": this one's over the plain loop's, less is better.
        measured: Seconds, or MiB where the part is memory.
        ratio: None where nothing is compared.
        aim: Bound of the ratio's median, or of the measure's where nothing is compared.
    """

    part: str
    case: str
    contestant: str
    kind: Better
    n: int
    measured: Quartiles
    ratio: Quartiles | None = None
    aim: float | None = None
    note: str = ""

    @property
    def met(self) -> bool | None:
        """Whether the aim is met; None without an aim."""
        if self.aim is None:
            return None
        if self.kind == "faster":
            return self.ratio is not None and self.ratio.median >= self.aim
        return (self.ratio or self.measured).median <= self.aim

    def document(self) -> dict[str, Any]:
        """Return the row in plain values."""
        return {**asdict(self), "met": self.met}


def alternate(
    contestants: Mapping[str, Contestant], repeats: int, *, warm_up: bool = True
) -> dict[str, list[float]]:
    """Run all contestants in turn, in the other order every second round.

    Args:
        contestants: By name.
        repeats: Rounds that count.
        warm_up: Whether a round that does not count goes before them.
    """
    taken: dict[str, list[float]] = {name: [] for name in contestants}
    first = -1 if warm_up else 0
    for number in range(first, repeats):
        names = list(contestants) if number % 2 else list(reversed(contestants))
        for name in names:
            _tell(f"  {name}, round {number + 1} of {repeats}")
            measured = contestants[name](number + 1)
            if number >= 0:
                taken[name].append(measured)
    _tell("")
    return taken


def _tell(text: str) -> None:
    """Write over the last line of a terminal."""
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


def rows(
    part: str,
    case: str,
    taken: Mapping[str, Sequence[float]],
    kind: Better,
    aims: Mapping[str, float] | None = None,
    *,
    against: str = PLAIN,
    notes: Mapping[str, str] | None = None,
) -> list[Row]:
    """Compare every contestant with the plain loop of the same round."""
    base = taken.get(against)
    found = []
    for name, own in taken.items():
        ratio = None
        if base is not None:
            pairs = zip(base, own, strict=True)
            ratio = Quartiles.of([b / o if kind == "faster" else o / b for b, o in pairs])
        aim, note = (aims or {}).get(name), (notes or {}).get(name, "")
        found.append(Row(part, case, name, kind, len(own), Quartiles.of(own), ratio, aim, note))
    return found


class OwnProcess:
    """A fresh process that is kept, and runs functions one at a time."""

    def __init__(self) -> None:
        self._pool = ProcessPoolExecutor(1, mp_context=get_context("spawn"))

    def __call__(self, function: Callable[..., float], *args: Any) -> float:
        """Return what a function of this project returns there."""
        return self._pool.submit(function, *args).result()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown()
