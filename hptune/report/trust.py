"""How far a decision can be trusted, from the comparison that it rests on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from hptune.report.wording import rounded
from hptune.results.evidence import Comparison, Evidence, Model
from hptune.results.records import Decision
from hptune.stages import BALANCE, FINAL, REFINE, SEARCH, STAGES

SURE = 0.95  # probability


class Trust(NamedTuple):
    """How far a decision can be trusted.

    Attributes:
        word: "clear" (better than the others by more than the noise), "tie" (a rule chose among
            equals), "follows" (from another decision), or "open" (nothing was compared that
            could settle it).
        why: The same in one sentence.
        brief: The same in a few words.
    """

    word: str
    why: str
    brief: str


def is_result(decision: Decision) -> bool:
    """Return whether a decision is on what a final run reached, not on a value to train with."""
    return decision.parameter.startswith(("test_", "val_", "baseline_"))


def trust_of(decision: Decision, evidence: Sequence[Evidence]) -> Trust:
    """Return how far a decision on a hyper-parameter can be trusted, by all that a run recorded."""
    comparison = comparison_of(decision, evidence)
    models = [one for one in evidence if isinstance(one, Model)]
    name, modelled = decision.parameter, decision.stage in (REFINE, FINAL)
    # The model is told again with the final runs, of what they had decided.
    own = [m for m in models[-1:] if modelled and m.values.get(name) == decision.value]
    if own and name in own[0].intervals:
        return _trust_by(own[0], name)
    dueled = any(isinstance(own, Comparison) and own.stage == FINAL for own in evidence)
    if decision.stage == FINAL and not dueled:
        changed = f"The final run changed it ({decision.reason}) and compared it with nothing else."
        return Trust("open", changed, "lowered by the final run")
    if decision.stage == SEARCH:
        chance = "A joint search runs each trial once, so chance may have chosen it."
        return Trust("open", chance, "the best trial of a search")
    if comparison is not None:
        return _trust_in(comparison)
    stage = STAGES.get(decision.stage)
    follows = decision.parameter.endswith("_min")  # of a cycle: it goes with the maximum
    if stage is not None and stage.parameter in ("", decision.parameter) and not follows:
        if not decision.trials:
            before = "It is the value from before, and was compared with nothing."
            return Trust("open", before, "kept: compared with nothing")
        missing = "The record of what it was compared with is missing."
        return Trust("open", missing, "its record is missing")
    source = min((decision.rule, decision.reason), key=lambda text: (not text, len(text)))
    return Trust("follows", f"It follows from another decision: {source}.", source)


def comparison_of(decision: Decision, evidence: Sequence[Evidence]) -> Comparison | None:
    """Return the comparison that a decision came of: of its stage, its parameter and its trials.

    A stage may decide on a parameter twice: the LR goes with another batch size, and is then
    confirmed. One of the balance of regularisation decides on several at once.
    """
    about, trials = (decision.parameter, BALANCE), set(decision.trials)
    for own in evidence:
        if not isinstance(own, Comparison) or own.stage != decision.stage:
            continue
        if own.parameter in about:
            compared = {trial for candidate in own.candidates for trial in candidate.trials}
            if compared <= trials:
                return own
    return None


def _trust_by(model: Model, parameter: str) -> Trust:
    low, high = (rounded(end) for end in model.intervals[parameter])
    best = f"By a model of {len(model.trials)} trials the best lies from {low} to {high} with 90 %"
    brief = f"the best lies from {low} to {high} with 90 %"
    value = model.values[parameter]
    if not float(model.intervals[parameter][0]) <= value <= float(model.intervals[parameter][1]):
        brief = f"outside {low} to {high}, where the best lies"
    if not model.rivals:
        return Trust("open", f"{best}.", brief)
    least = min(model.rivals.values())
    told = f"{best}; what was decided beats its closest rival with a probability of {least:.2f}."
    return Trust("clear" if least > SURE else "tie", told, brief)


def _trust_in(comparison: Comparison) -> Trust:
    ended = [c for c in comparison.candidates if c.score is not None]
    tied = [c.label for c in ended if c.tied]
    of, seeds = len(ended), max((len(c.seeds) for c in ended), default=0)
    if of < 2:
        nothing = "It was compared with nothing that came to its end."
        return Trust("open", nothing, "nothing else came to its end")
    if comparison.chosen is None or comparison.noise is None:
        others = f"It was compared with {of - 1} others"
        unknown = f"{others}, but how large the noise is, is unknown."
        return Trust("open", unknown, f"best of {of}, by an unknown noise")
    if comparison.chosen not in tied:
        better = f"{comparison.best} did better here"
        unclear = f"{better}, but not clearly enough for the rule to take it."
        return Trust("open", unclear, f"{better}, not clearly")
    if len(tied) > 1:
        equal = f"{len(tied)} of {of} did equally well within the noise"
        if seeds < 2:
            equal = f"One seed each does not tell {len(tied)} of {of} apart"
        how = "the best was taken" if comparison.chosen == comparison.best else "a rule chose"
        return Trust("tie", f"{equal}; {how}.", f"a tie of {len(tied)} in {of}; {how}")
    if seeds < 2:
        ahead = f"It did best of {of}, and so far ahead that one seed each tells."
        return Trust("clear", ahead, f"best of {of}, far ahead")
    clear = f"It did best of {of}, by more than the noise over up to {seeds} seeds."
    return Trust("clear", clear, f"best of {of} by more than the noise, {seeds} seeds")
