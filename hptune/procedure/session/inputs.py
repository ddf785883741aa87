"""Where a stage takes its values from: flag, decision, experiment file, default, in this order."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Callable, Iterable, Mapping

from hptune.results.records import Decision, Scalar, Value


class Inputs:
    """The values that a stage starts from, each with the place it was taken from.

    Args:
        flags: Given on the command line.
        written: From the experiment file; None where it leaves a value out.
        decisions: Made before, the latest last.
        tell: Is told in a line of each value that is taken.
    """

    def __init__(
        self,
        flags: Mapping[str, Scalar],
        written: Mapping[str, Scalar],
        decisions: Iterable[Decision],
        tell: Callable[[str], None],
    ) -> None:
        self._decided: dict[str, tuple[Value, str]] = {}
        self._found = ChainMap(
            _from(flags, "from the command line"),
            self._decided,
            _from(written, "from the experiment file"),
        )
        self._tell, self._told = tell, dict[str, tuple[Value, str]]()
        self.take_in(decisions)

    def take_in(self, decisions: Iterable[Decision]) -> None:
        """Let later stages use these decisions."""
        self._decided.update({d.parameter: (d.value, f"decided by {d.stage}") for d in decisions})

    def known(self, name: str) -> bool:
        """Say whether a value is given anywhere but by default."""
        return name in self._found

    def number(self, name: str, default: float, *, quiet: bool = False) -> float:
        """Return a value and tell where it comes from, once as long as that stays."""
        value, source = self._found.get(name, (default, "default"))
        assert isinstance(value, int | float)
        if not quiet and self._told.get(name) != (value, source):
            self._told[name] = (value, source)
            self._tell(f"  {name} {value:g} ({source})")
        return float(value)


def _from(values: Mapping[str, Scalar], source: str) -> dict[str, tuple[Value, str]]:
    return {name: (value, source) for name, value in values.items() if value is not None}
