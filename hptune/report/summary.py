"""What a reader wants first: the values, whether to trust them, how well it went, what it cost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from hptune.analysis.fitting import ADVICE, read_training
from hptune.report.read import RunRecord, TrialRecord
from hptune.report.stages import FULL_LENGTH, Comparison, FinalRun, comparisons
from hptune.report.wording import parameter, plain, spread, stage
from hptune.results.records import Decision, Status
from hptune.stages import FINAL, SEARCH

ORDER = ("lr", "lr_min", "momentum", "momentum_min", "weight_decay", "batch_size", "epochs")
LONGEST = 60  # characters of a rule that can stand in the summary
_RESULTS = ("test_", "val_", "baseline_")
MEANING = {
    "balanced": "Neither under- nor overfitting, which is the aim.",
    "underfit": "The run could still learn more.",
    "overfit": "The run fits the training data better than it generalises.",
    "diverged": "The loss ran away.",
    "not-learning": "The net did not learn.",
    "cannot-say": "The curve does not show how it fits.",
}


@dataclass(frozen=True)
class Value:
    """A decided value and how far to trust it.

    Attributes:
        name: The parameter in words.
        text: The value.
        trust: clear, tie, follows or open.
        why: The trust in words.
        anchor: Of the section with the evidence, "" where there is none.
    """

    name: str
    text: str
    trust: str
    why: str
    anchor: str


@dataclass(frozen=True)
class Verdict:
    """How the final runs fit: the most common verdict over the seeds, with evidence and advice."""

    name: str
    meaning: str
    agreement: str
    reasons: tuple[str, ...]
    advice: tuple[str, ...]


@dataclass(frozen=True)
class Cost:
    """What some trials took."""

    trials: int
    epochs: float
    seconds: float


def decided_values(record: RunRecord, anchors: dict[int, str]) -> list[Value]:
    """Return the values in force, in the order of the procedure.

    Args:
        record: The run.
        anchors: Sections by the place of their comparison.
    """
    latest = {d.parameter: d for d in record.decisions if not d.parameter.startswith(_RESULTS)}
    names = [*(n for n in ORDER if n in latest), *(n for n in latest if n not in ORDER)]
    found = comparisons(record)
    values = []
    for name in names:
        decision = latest[name]
        place = next(
            (k for k, own in enumerate(found) if any(d is decision for d in own.decisions)), None
        )
        trust, why = _trust(decision, None if place is None else found[place])
        values.append(
            Value(
                parameter(name),
                plain(decision.value),
                trust,
                why,
                "" if place is None else anchors.get(place, ""),
            )
        )
    return values


def verdict(run: FinalRun) -> Verdict | None:
    """Return how a final run fits; the first seed's verdict where the seeds are divided evenly."""
    readings = [read_training(curve) for curve in run.curves]
    if not readings:
        return None
    counts = Counter(reading.verdict for reading in readings)
    name, most = counts.most_common(1)[0]
    agreement = ""
    if len(readings) > 1:
        others = ", ".join(f"{n} {other}" for other, n in counts.items() if other != name)
        agreement = f"{most} of {len(readings)} seeds" + (f"; {others}" if others else "")
    reasons = next(reading.reasons for reading in readings if reading.verdict == name)
    return Verdict(name, MEANING.get(name, ""), agreement, reasons, ADVICE.get(name, ()))


def headline(run: FinalRun) -> str:
    """Return a final run's value: "97.13 ± 0.19 %"."""
    return spread(run.column, run.values) if run.values else "–"


def warnings(record: RunRecord) -> list[str]:
    """Return all that speaks against trusting the run, each once."""
    advice = {text for texts in ADVICE.values() for text in texts}
    found = [
        f"{stage(d.stage)}: {text}"
        for d in record.decisions
        for text in d.warnings
        if text not in advice
    ]
    for status in (Status.FAILED, Status.DIVERGED):
        lost = [
            t for t in record.trials if t.row.get("status") == status and t.policy != "lr-range"
        ]
        if lost:
            names = ", ".join(dict.fromkeys(stage(t.stage).lower() for t in lost))
            found.append(f"{_count(len(lost), 'trial')} {status} ({names})")
    return [*dict.fromkeys(found), *record.problems]


def costs(record: RunRecord) -> dict[str, Cost]:
    """Return what search and final runs took, those of them that there were."""
    final = [t for t in record.trials if t.stage in FULL_LENGTH]
    search = [t for t in record.trials if t.stage not in FULL_LENGTH]
    return {
        name: cost_of(trials)
        for name, trials in (("search", search), ("final runs", final))
        if trials
    }


def cost_of(trials: Sequence[TrialRecord]) -> Cost:
    """Return what trials took."""
    return Cost(
        len(trials),
        sum(t.number("epochs") or 0.0 for t in trials),
        sum(t.number("seconds") or 0.0 for t in trials),
    )


def _trust(decision: Decision, comparison: Comparison | None) -> tuple[str, str]:
    """Return how far the comparison bears a decision."""
    if comparison is not None and comparison.stage == SEARCH:
        return "open", f"{decision.rule}, one run each"
    if decision.stage == FINAL:  # lowered by what happened there, and compared with nothing
        return "open", decision.reason
    if comparison is None or decision.parameter != comparison.parameter:
        why = decision.reason if decision.parameter == "momentum_min" else decision.rule
        return "follows", why if len(why) <= LONGEST else ""
    ends = [c for c in comparison.candidates if c.end is not None]
    tied = [c for c in ends if c.tied]
    if len(ends) < 2:
        return "open", "compared with nothing"
    if comparison.chosen is None or comparison.noise is None:
        return "open", f"of {_count(len(ends), 'candidate')}; the noise is not known"
    if len(tied) < 2:
        return "clear", f"best of {len(ends)}, beyond the noise"
    return "tie", f"{len(tied)} of {len(ends)} within the noise, so the rule decides"


def _count(number: int, word: str) -> str:
    return f"{number} {word}{'s' * (number != 1)}"
