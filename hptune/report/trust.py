"""How far a decision can be trusted, from the comparison that it rests on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hptune.results.evidence import Comparison, Evidence
from hptune.results.records import Decision
from hptune.stages import FINAL, SEARCH, STAGES


@dataclass(frozen=True)
class Trust:
    """How far a decision can be trusted.

    Attributes:
        word: "clear" (better than the others by more than the noise), "tie" (a rule chose among
            equals), "follows" (from another decision), or "open" (nothing was compared that
            could settle it).
        why: The same in one sentence.
    """

    word: str
    why: str


def is_result(decision: Decision) -> bool:
    """Return whether a decision is on what a final run reached, not on a value to train with."""
    return decision.parameter.startswith(("test_", "val_", "baseline_"))


def trust_of(decision: Decision, evidence: Sequence[Evidence]) -> Trust:
    """Return how far a decision can be trusted.

    Args:
        decision: On the value of a hyper-parameter.
        evidence: All that a run recorded.
    """
    if decision.stage == FINAL:
        changed = f"The final run changed it ({decision.reason}) and compared it with nothing else."
        return Trust("open", changed)
    if decision.stage == SEARCH:
        return Trust("open", "A joint search runs each trial once, so chance may have chosen it.")
    comparison = comparison_of(decision, evidence)
    if comparison is not None:
        return _trust_in(comparison)
    stage = STAGES.get(decision.stage)
    if stage is not None and stage.parameter in ("", decision.parameter):
        return Trust("open", "The record of what it was compared with is missing.")
    source = min((decision.rule, decision.reason), key=lambda text: (not text, len(text)))
    return Trust("follows", f"It follows from another decision: {source}.")


def comparison_of(decision: Decision, evidence: Sequence[Evidence]) -> Comparison | None:
    """Return the comparison that a decision came of: of its stage, its parameter and its trials.

    A stage may decide on a parameter twice: the LR goes with another batch size, and is then
    confirmed.
    """
    about, trials = (decision.stage, decision.parameter), set(decision.trials)
    for own in evidence:
        if isinstance(own, Comparison) and (own.stage, own.parameter) == about:
            compared = {trial for candidate in own.candidates for trial in candidate.trials}
            if compared <= trials:
                return own
    return None


def _trust_in(comparison: Comparison) -> Trust:
    ended = [c for c in comparison.candidates if c.score is not None]
    tied = [c for c in ended if c.tied]
    seeds = max((len(c.seeds) for c in ended), default=0)
    if len(ended) < 2:
        return Trust("open", "It was compared with nothing that came to its end.")
    if comparison.chosen is None or comparison.noise is None:
        why = (
            f"It was compared with {len(ended) - 1} others, but how large the noise is, is unknown."
        )
        return Trust("open", why)
    if comparison.chosen not in [c.label for c in tied]:
        why = f"{comparison.best} did better here, but not clearly enough for the rule to take it."
        return Trust("open", why)
    if len(tied) > 1:
        alone = ", as far as one seed each can tell" if seeds < 2 else ""
        why = f"{len(tied)} of {len(ended)} did equally well within the noise{alone}; a rule chose."
        return Trust("tie", why)
    if seeds < 2:
        why = f"It did best of {len(ended)}, but one seed each cannot tell for sure."
        return Trust("clear", why)
    why = f"It did best of {len(ended)}, by more than the noise over up to {seeds} seeds."
    return Trust("clear", why)
