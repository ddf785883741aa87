"""What decisions rest on, as data: compared candidates, range tests, final runs; kept in comparisons.json.

The terminal, the page and the Python API read these records. Nobody recomputes what was decided,
and nobody reads numbers out of a sentence.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

from hptune.results.cells import finite
from hptune.results.records import Value


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """One value that was compared, over its seeds."""

    label: str  # the value in short, "0.95-0.85"
    values: Mapping[str, Value]  # the columns of results.csv that it sets, by name
    trials: tuple[str, ...]  # ids, one a seed
    seeds: tuple[int, ...]
    scores: tuple[
        float | None, ...
    ]  # of each trial, in the metric's sign; None where it did not end
    # Their mean, on the footing of the candidate with the most seeds; None where a seed did not end.
    score: float | None
    difference: (
        float | None
    )  # how much worse than the best, over the seeds that both have; 0 or more
    noise: float | None  # standard deviation of that difference; None where it is not known
    tied: bool  # whether the noise does not tell it from the best, which is tied with itself
    status: str  # how its trials ended, the worst of them
    epochs: float  # of all its trials


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """The candidates of a decision, side by side."""

    stage: str
    parameter: str  # as decisions.csv calls it
    by: str  # "loss", or the metric that they were judged by; of the validation set
    higher_is_better: bool  # of the metric
    candidates: tuple[Candidate, ...]  # in the order in which they ran
    best: str | None  # label of the best score; None where none came to its end
    chosen: str | None  # label of what was decided for; None where none was
    rule: str  # in words
    noise: (
        float | None
    )  # standard deviation of the difference of the best and another of as many seeds
    interval: tuple[float, float] | None = None  # plausible bounds of the value, where known
    epochs: float = 0.0  # what it cost; what another stage had run before costs nothing


@dataclass(frozen=True, kw_only=True)
class RangeTest:
    """The last LR range test of a stage, and how it was read."""

    stage: str
    trials: tuple[str, ...]  # ids, one a seed
    earlier: tuple[str, ...]  # ids of the tests before it, over other ranges
    reading: Mapping[str, Any]  # the fields of `hptune.analysis.lr_range.LrRangeReading`


@dataclass(frozen=True, kw_only=True)
class FinalRun:
    """Runs of full length, one a seed."""

    stage: str  # "final" or "train"
    trials: tuple[str, ...]  # ids, also of those that did not end
    column: str  # the headline's of results.csv, "test_accuracy"
    scores: tuple[float | None, ...]  # the headline of each trial; None where it did not end
    verdict: str = ""  # how the runs fit, as most of the seeds say; "" where none ended
    agreement: str = ""  # how many seeds say so, in words; "" for one seed
    reasons: tuple[str, ...] = ()  # the evidence of the first seed that says so
    advice: tuple[str, ...] = ()  # what to do next
    baseline: bool = False  # whether these are a comparison's runs


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


def _made(kind: type, entry: Mapping[str, Any]) -> Any:
    """Return a record of a JSON object, whose lists are the record's tuples."""
    values = {name: tuple(v) if isinstance(v, list) else v for name, v in entry.items()}
    for name, hint in get_type_hints(kind).items():
        if name in values and not _fits(values[name], hint):
            raise TypeError(name)
    return kind(**values)


def _fits(value: object, hint: Any) -> bool:
    parts = get_args(hint)
    if isinstance(hint, UnionType):
        return any(_fits(value, part) for part in parts)
    if get_origin(hint) is tuple:
        return isinstance(value, tuple) and all(_fits(item, parts[0]) for item in value)
    return isinstance(value, (int, float) if hint is float else get_origin(hint) or hint)
