"""Where a stage takes its values from: flag, decision, experiment file, default, in this order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from hptune.results.records import Decision, Scalar, Value


class Inputs:
    """The values that a stage starts from, each with the place it was taken from.

    Args:
        flags: Given on the command line.
        written: From the experiment file; None where it leaves a value out.
        decisions: Made before, the latest last.
        tell: Hears a line for each value that is taken.
    """

    def __init__(
        self,
        flags: Mapping[str, Scalar],
        written: Mapping[str, Scalar],
        decisions: Iterable[Decision],
        tell: Callable[[str], None],
    ) -> None:
        self._flags = {name: value for name, value in flags.items() if value is not None}
        self._written = {name: value for name, value in written.items() if value is not None}
        self._decided: dict[str, Decision] = {}
        self._tell = tell
        self.take_in(decisions)

    def take_in(self, decisions: Iterable[Decision]) -> None:
        """Let later stages use these decisions."""
        self._decided.update({decision.parameter: decision for decision in decisions})

    def known(self, name: str) -> bool:
        """Say whether a value is given anywhere but by default."""
        return name in self._flags or name in self._decided or name in self._written

    def number(self, name: str, default: float, *, quiet: bool = False) -> float:
        """Return a value and tell where it comes from."""
        value, source = self._find(name, default)
        if not quiet:
            self._tell(f"  {name} {value:g} ({source})")
        return value

    def _find(self, name: str, default: float) -> tuple[float, str]:
        if name in self._flags:
            return _number(self._flags[name]), "from the command line"
        if name in self._decided:
            decision = self._decided[name]
            return _number(decision.value), f"decided by {decision.stage}"
        if name in self._written:
            return _number(self._written[name]), "from the experiment file"
        return default, "default"


def _number(value: Value) -> float:
    assert isinstance(value, int | float)
    return float(value)
