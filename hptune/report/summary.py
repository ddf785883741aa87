"""What a reader wants first: the values, whether to trust them, how well it went, what it cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hptune.report.read import RunRecord, TrialRecord
from hptune.report.trust import Trust, comparison_of, is_result, trust_of
from hptune.report.views import anchor_of, final_runs, unrecorded
from hptune.report.wording import PARAMETERS, parameter, plain, spread, stage_title
from hptune.results.evidence import FinalRun
from hptune.results.records import Status
from hptune.stages import WHOLE_RUNS

MEANING = {
    "balanced": "The run neither under- nor overfits, which is the aim.",
    "underfit": "The run could still learn more.",
    "overfit": "The run fits the training data better than it generalises.",
    "diverged": "The loss grew without bound.",
    "not-learning": "The net did not learn.",
    "cannot-say": "The curve does not show how the run fits.",
}


@dataclass(frozen=True)
class Value:
    """A decided value and how far to trust it.

    Attributes:
        name: The parameter in words.
        text: The value.
        trust: How far to trust it.
        anchor: The section that shows the comparison, "" where there is none.
    """

    name: str
    text: str
    trust: Trust
    anchor: str


@dataclass(frozen=True)
class Cost:
    """What some trials took."""

    trials: int
    epochs: float
    seconds: float


def decided_values(record: RunRecord) -> list[Value]:
    """Return the values in force, in the order in which a reader asks for them."""
    latest = {d.parameter: d for d in record.decisions if not is_result(d)}
    values = []
    for name in sorted(latest, key=[*PARAMETERS, *latest].index):
        decision = latest[name]
        comparison = comparison_of(decision, record.evidence)
        trust = trust_of(decision, record.evidence)
        anchor = anchor_of(comparison) if comparison else ""
        values.append(Value(parameter(name), plain(decision.value), trust, anchor))
    return values


def headline(run: FinalRun) -> str:
    """Return what a final run reached: "97.13 ± 0.19 %"."""
    scores = [score for score in run.scores if score is not None]
    return spread(run.column, scores) if scores else "–"


def warnings(record: RunRecord) -> list[str]:
    """Return all that speaks against trusting the run, each once."""
    advice = {text for run in final_runs(record) for text in run.advice}
    found = [
        f"{stage_title(d.stage)}: {text}"
        for d in record.decisions
        for text in d.warnings
        if text not in advice
    ]
    for status in (Status.FAILED, Status.DIVERGED):
        lost = [t for t in record.trials if t.row.get("status") == status]
        lost = [t for t in lost if t.policy != "lr-range"]  # a range test is meant to diverge
        if lost:
            names = ", ".join(dict.fromkeys(stage_title(t.stage).lower() for t in lost))
            found.append(f"{len(lost)} trial{'s' * (len(lost) > 1)} {status} ({names})")
    missing = unrecorded(record)
    if missing:
        found.append(
            f"No record says what came of the trials of: {', '.join(missing)}. The run was "
            "interrupted there or is of an older version of hptune; the same command makes the "
            "record, and the trials stand in the table below."
        )
    return [*dict.fromkeys(found), *record.problems]


def costs(record: RunRecord) -> dict[str, Cost]:
    """Return what the search and the final runs took, those of the two that there were."""
    search = [trial for trial in record.trials if trial.stage not in WHOLE_RUNS]
    final = [trial for trial in record.trials if trial.stage in WHOLE_RUNS]
    found = {"search": search, "final runs": final}
    return {name: cost_of(trials) for name, trials in found.items() if trials}


def cost_of(trials: Sequence[TrialRecord]) -> Cost:
    """Return what trials took."""
    return Cost(
        len(trials),
        sum(t.number("epochs") or 0.0 for t in trials),
        sum(t.number("seconds") or 0.0 for t in trials),
    )
