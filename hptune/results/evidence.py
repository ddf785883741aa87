"""What decisions rest on, as data: compared candidates, range tests, final runs; kept in comparisons.json.

The terminal, the page and the Python API read these records. Nobody recomputes what was decided,
and nobody reads numbers out of a sentence.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from hptune.results.cells import finite
from hptune.results.records import Value


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """One value that was compared, over its seeds.

    Attributes:
        label: The value in short, "0.95-0.85".
        values: The columns of results.csv that it sets, by name.
        trials: Ids, one a seed.
        seeds: The seed of each trial.
        scores: What each trial reached, in the metric's own sign; None where it did not end.
        score: Mean over the seeds, put on the footing of the candidate with the most seeds; None
            where a seed did not end.
        difference: How much worse than the best, over the seeds that both have; at least 0.
        noise: Standard deviation of that difference; None where it is not known.
        tied: Whether the noise does not tell it from the best. The best is tied with itself.
        status: How its trials ended, the worst of them.
        epochs: Of all its trials.
    """

    label: str
    values: Mapping[str, Value]
    trials: tuple[str, ...]
    seeds: tuple[int, ...]
    scores: tuple[float | None, ...]
    score: float | None
    difference: float | None
    noise: float | None
    tied: bool
    status: str
    epochs: float


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """The candidates of a decision, side by side.

    Attributes:
        stage: Which stage compared them.
        parameter: What was compared, as decisions.csv calls it.
        by: "loss", or the metric that they were judged by; of the validation set.
        higher_is_better: Of the metric.
        candidates: In the order in which they ran.
        best: Label of the candidate with the best score; None where none came to its end.
        chosen: Label of the candidate that was decided for; None where none was.
        rule: By which rule, in words.
        noise: Standard deviation of a difference between the best and another of as many seeds.
        interval: Plausible bounds of the value; None where they are not known.
        epochs: What the comparison cost; what another stage had run before costs nothing.
    """

    stage: str
    parameter: str
    by: str
    higher_is_better: bool
    candidates: tuple[Candidate, ...]
    best: str | None
    chosen: str | None
    rule: str
    noise: float | None
    interval: tuple[float, float] | None = None
    epochs: float = 0.0


@dataclass(frozen=True, kw_only=True)
class RangeTest:
    """The last LR range test of a stage, and how it was read.

    Attributes:
        stage: Which stage ran it.
        trials: Ids, one a seed.
        earlier: Ids of the tests before it, over other ranges.
        reading: The fields of `hptune.analysis.lr_range.LrRangeReading`.
    """

    stage: str
    trials: tuple[str, ...]
    earlier: tuple[str, ...]
    reading: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class FinalRun:
    """Runs of full length, one a seed.

    Attributes:
        stage: "final" or "train".
        trials: Ids, one a seed, also of those that did not end.
        column: The headline's column of results.csv, "test_accuracy".
        scores: The headline of each trial; None where it did not end.
        verdict: How the runs fit, the most common verdict of the seeds; "" where none ended.
        agreement: How many seeds say so, in words; "" for one seed.
        reasons: The evidence of the first seed that says so.
        advice: What to do next.
        baseline: Whether these are a comparison's runs.
    """

    stage: str
    trials: tuple[str, ...]
    column: str
    scores: tuple[float | None, ...]
    verdict: str = ""
    agreement: str = ""
    reasons: tuple[str, ...] = ()
    advice: tuple[str, ...] = ()
    baseline: bool = False


Evidence = Comparison | RangeTest | FinalRun
_KINDS = {"comparison": Comparison, "range-test": RangeTest, "final-run": FinalRun}


def evidence_key(evidence: Evidence) -> tuple[object, ...]:
    """Return what tells evidence apart: a newer one of the same key takes the place of the old."""
    about = evidence.parameter if isinstance(evidence, Comparison) else ""
    return type(evidence), evidence.stage, about, getattr(evidence, "baseline", False)


def evidence_text(evidence: Iterable[Evidence]) -> str:
    """Return evidence as the JSON of comparisons.json; a number that is not finite is null in it."""
    names = {cls: name for name, cls in _KINDS.items()}
    entries = [finite({"kind": names[type(one)], **asdict(one)}) for one in evidence]
    for entry in entries:
        if None in (entry.get("interval") or ()):
            entry["interval"] = None
    return json.dumps(entries, indent=1) + "\n"


def evidence_from(data: bytes) -> list[Evidence]:
    """Return the evidence that such a JSON holds.

    Raises:
        ValueError: It is none.
    """
    try:
        entries = json.loads(data)
        for entry in entries:
            if "candidates" in entry:
                entry["candidates"] = [_made(Candidate, one) for one in entry["candidates"]]
        return [_made(_KINDS[entry.pop("kind")], entry) for entry in entries]
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError("it holds no evidence") from error


def _made(kind: Callable[..., Any], entry: Mapping[str, Any]) -> Any:
    """Return a record of a JSON object, whose lists are the record's tuples."""
    return kind(**{name: tuple(v) if isinstance(v, list) else v for name, v in entry.items()})
