"""What a reader wants first: the values, whether to trust them, how well it went, what it cost."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from hptune.report.read import RunRecord, numbers
from hptune.report.trust import Trust, comparison_of, is_result, trust_of
from hptune.report.views import comparisons, final_runs, heading
from hptune.report.wording import PARAMETERS, parameter, plain, stage_title
from hptune.results.records import Status
from hptune.results.tables import Row
from hptune.stages import FINAL, LR_RANGE, WHOLE_RUNS


class Value(NamedTuple):
    """A decided value, how far to trust it, and the section that shows the comparison, "" for none."""

    name: str
    text: str
    trust: Trust
    anchor: str


class Cost(NamedTuple):
    """What some trials took."""

    trials: int
    epochs: float
    iterations: float
    seconds: float


def decided_values(record: RunRecord) -> list[Value]:
    """Return the values in force, in the order in which a reader asks for them."""
    latest = {d.parameter: d for d in record.decisions if not is_result(d)}
    values = []
    for name in sorted(latest, key=[*PARAMETERS, *latest].index):
        decision = latest[name]
        comparison = comparison_of(decision, record.evidence)
        trust = trust_of(decision, record.evidence)
        anchor = heading(comparison)[0] if comparison else ""
        values.append(Value(parameter(name), plain(decision.value), trust, anchor))
    return values


def warnings(record: RunRecord) -> list[str]:
    """Return all that speaks against trusting the run, each once."""
    advice = {text for run in final_runs(record.evidence) for text in run.advice}
    found = [
        f"{stage_title(d.stage)}: {text}"
        for d in record.decisions
        for text in d.warnings
        if text not in advice
    ]
    for status in (Status.FAILED, Status.DIVERGED):
        lost = [
            stage_title(str(row["stage"]))
            for row in record.trials
            if row["status"] == status
            # A range test and a bracket look for the LR at which runs diverge.
            and not (status is Status.DIVERGED and row["stage"] == LR_RANGE)
            and row.get("policy") != "lr-range"
        ]
        if lost:
            names = ", ".join(dict.fromkeys(lost)).lower()
            found.append(f"{len(lost)} trial{'s' * (len(lost) > 1)} {status} ({names})")
    ran = dict.fromkeys(str(row["stage"]) for row in record.trials)
    known = {one.stage for one in record.evidence}
    missing = ", ".join(stage_title(stage) for stage in ran if stage not in known)
    if missing:
        found.append(
            f"No record says what came of the trials of: {missing}. The run was "
            "interrupted there or is of an older version of hptune; the same command makes the "
            "record, and the trials stand in the table below."
        )
    return [*dict.fromkeys(found), *record.problems]


def costs(record: RunRecord) -> dict[str, Cost]:
    """Return what the search and the final runs took, those of the two that there were."""
    search = {row["trial"] for row in searched(record)}
    found = {
        name: [row for row in record.trials if (row["trial"] in search) is is_search]
        for name, is_search in (("search", True), ("final runs", False))
    }
    return {name: cost_of(trials) for name, trials in found.items() if trials}


def searched(record: RunRecord) -> list[Row]:
    """Return the trials of the search; whole runs of an LR that lost against the final one are of it."""
    kept = {trial for run in final_runs(record.evidence) for trial in run.trials}
    beaten = {
        trial
        for one in comparisons(record.evidence)
        if one.stage == FINAL
        for candidate in one.candidates
        for trial in candidate.trials
    } - kept
    rows = record.trials
    return [r for r in rows if r["stage"] not in WHOLE_RUNS or r["trial"] in beaten]


def cost_of(trials: Iterable[Row]) -> Cost:
    """Return what trials took."""
    trials = list(trials)
    sums = (sum(numbers(trials, name)) for name in ("epochs", "iterations", "seconds"))
    return Cost(len(trials), *sums)
