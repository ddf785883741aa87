"""What comes of a stage or of a whole command."""

from __future__ import annotations

from dataclasses import dataclass, field

from hptune.results.evidence import Evidence
from hptune.results.records import Decision, TrialResult


@dataclass
class Outcome:
    """What a command did: its decisions, the trials it looked at, and what the decisions rest on."""

    decisions: list[Decision] = field(default_factory=list)
    results: list[TrialResult] = field(default_factory=list)
    evidence: list[Evidence] = field(default_factory=list)

    def __add__(self, other: Outcome) -> Outcome:
        return Outcome(
            self.decisions + other.decisions,
            self.results + other.results,
            self.evidence + other.evidence,
        )
