"""Runs side by side: what was decided and reached, the differences with their noise, and the cost."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from hptune.errors import InputError
from hptune.report.differing import differing, other_measure, settings_of
from hptune.report.read import RunRecord, number, read_run
from hptune.report.summary import Cost, cost_of, searched
from hptune.report.trust import is_result
from hptune.report.views import ended, final_runs, select
from hptune.report.wording import column as in_words
from hptune.report.wording import is_share, rounded
from hptune.results.records import Curve, Value
from hptune.results.tables import Row, metrics_of
from hptune.stages import BATCH_SIZE

if TYPE_CHECKING:
    from hptune.analysis.difference import Difference

FEWEST, MOST = 2, 8  # runs; more cannot be told apart in a plot
SAME_COST = {"epochs": 0.02, "iterations": 0.02, "seconds": 0.1}  # relative
VALUES = ("optimizer", "policy", "epochs", "batch_size", "lr", "lr_min", "momentum",
          "momentum_min", "weight_decay")  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class ComparedRun:
    """One of the runs.

    Attributes:
        name: Of its folder, with as many of those above as tell it from the others.
        path: The run directory.
        seeds: Of its runs of full length.
        scores: What each of them reached, None where it did not end.
        verdict: How they fit.
        values: What they were trained with; where there are none, what was decided.
        search: What the search cost.
        whole: What the runs of full length cost, all seeds together.
        difference: From the first run; None for the first itself, or where it is not compared.
        better: Whether that is better than the first; None where the noise does not tell.
        apart: Why it is not compared, "" where it is.
    """

    name: str
    path: Path
    seeds: tuple[int, ...]
    scores: tuple[float | None, ...]
    verdict: str
    values: Mapping[str, Value]
    search: Cost
    whole: Cost
    difference: Difference | None = None
    better: bool | None = None
    apart: str = ""

    @property
    def reached(self) -> dict[int, float]:
        """The scores by their seeds, of those that came to their end."""
        both = zip(self.seeds, self.scores, strict=True)
        return {seed: score for seed, score in both if score is not None}


@dataclass(frozen=True, kw_only=True)
class RunsCompared:
    """Runs side by side; the others are compared with the first that has a score.

    Attributes:
        runs: In the order in which they were named.
        column: Of results.csv, by which they are compared; "" where they have none in common.
        higher_is_better: Of that column; None where no run tells.
        sure: Probability with which all differences lie between their ends.
        notes: What else there is to know, a sentence each.
        curves: Those of the runs of full length, by the run's name; none where not asked for.
    """

    runs: tuple[ComparedRun, ...]
    column: str
    higher_is_better: bool | None
    sure: float
    notes: tuple[str, ...]
    curves: Mapping[str, Sequence[Curve]] = field(default_factory=dict, repr=False)

    @property
    def first(self) -> ComparedRun | None:
        """The run that the others are compared with; None where none has a score."""
        return next((run for run in self.runs if not run.apart), None)


def compare_runs(paths: Sequence[Path], *, with_curves: bool = False) -> RunsCompared:
    """Compare run directories.

    The score is the first metric that all of them have, of the test set where all have one. A
    run is not compared that has other data or other metrics, or nothing trained to its end.

    Raises:
        InputError: Too few or too many, one twice, or none of hptune's.
    """
    from hptune.analysis.difference import SURE

    _check(paths)
    records = [read_run(path, with_curves=with_curves) for path in paths]
    settings = [settings_of(record) for record in records]
    told = differing(settings)
    trials = [_of_full_length(record) for record in records]
    column = _column([rows for rows in trials if rows])
    higher = _higher_is_better([row for record in records for row in record.trials], column)
    sure = 1 - (1 - SURE) / (len(paths) - 1)  # so that all differences hold at once: Bonferroni
    runs: list[ComparedRun] = []
    first: int | None = None
    for n, (record, rows, name) in enumerate(zip(records, trials, _names(paths), strict=True)):
        run = _run(record, rows, name, column, {key: settings[n].get(key) for key in told})
        if not run.apart and first is not None:
            apart = other_measure(records[first], record, settings[first], settings[n], column)
            run = replace(run, apart=apart) if apart else _against(run, runs[first], higher, sure)
        first = n if first is None and not run.apart else first
        runs.append(run)
    curves = {
        run.name: select(
            (str(row["trial"]) for row in rows if row["status"] == "complete"), record.curves
        )
        for run, rows, record in zip(runs, trials, records, strict=True)
    }
    return RunsCompared(
        runs=tuple(runs),
        column=column,
        higher_is_better=higher,
        sure=SURE,
        notes=tuple(_notes(runs, records)),
        curves={name: found for name, found in curves.items() if found},
    )


def _check(paths: Sequence[Path]) -> None:
    if not FEWEST <= len(paths) <= MOST:
        raise InputError(
            f"runs: {len(paths)} given; must be {FEWEST} to {MOST} run directories; name "
            + ("another to compare it with" if len(paths) < FEWEST else "fewer of them")
        )
    places = [path.resolve() for path in paths]
    if twice := [path for path, at in zip(paths, places, strict=True) if places.count(at) > 1]:
        raise InputError(f"runs: {twice[0]} is named twice; must be different runs; leave one out")


def _names(paths: Sequence[Path]) -> list[str]:
    """Return the ends of the paths that tell them apart."""
    parts = [path.resolve().parts for path in paths]
    deep = next(n for n in range(1, 1000) if len({own[-n:] for own in parts}) == len(parts))
    return ["/".join(own[-deep:]).lstrip("/") for own in parts]


def _of_full_length(record: RunRecord) -> list[Row]:
    """Return the trials of a run's final runs, else of its training run; baselines are others."""
    runs = [run for run in final_runs(record.evidence) if not run.baseline and ended(run)]
    return record.find(runs[0].trials) if runs else []


def _column(runs: Sequence[Sequence[Row]]) -> str:
    """Return the first column of scores that all runs have; a loss where none has a metric."""
    if not runs:
        return ""
    metrics = [[m for m in metrics_of(rows[0]) if _scores(rows, f"val_{m}")] for rows in runs]
    names = [name for name in metrics[0] if all(name in own for own in metrics)]
    if not any(metrics):
        names = ["loss"]
    columns = [f"{part}_{name}" for part in ("test", "val") for name in names]
    return next((c for c in columns if all(_scores(rows, c) for rows in runs)), "")


def _scores(rows: Iterable[Row], column: str) -> list[float]:
    known = (number(row, column) for row in rows if row["status"] == "complete")
    return [score for score in known if score is not None]


def _higher_is_better(rows: Sequence[Row], column: str) -> bool | None:
    """Read off what some trial's best reading was, beside its last: no name tells it as surely."""
    name = column.partition("_")[2]
    for row in rows:
        best, last = number(row, f"best_val_{name}"), number(row, f"val_{name}")
        if best is not None and last is not None and best != last:
            return best > last
    return False if name == "loss" else True if "accuracy" in name else None


def _run(
    record: RunRecord, rows: Sequence[Row], name: str, column: str, others: Mapping[str, Value]
) -> ComparedRun:
    complete = [row["status"] == "complete" for row in rows]
    scores = [number(row, column) if ok else None for row, ok in zip(rows, complete, strict=True)]
    runs = (run for run in final_runs(record.evidence) if not run.baseline and ended(run))
    final = next(runs, None)
    decided = {d.parameter: d.value for d in record.decisions if not is_result(d)}
    first = next((row for row, ok in zip(rows, complete, strict=True) if ok), decided)
    apart = ""
    if not rows:
        apart = "nothing was trained to its end"
    elif not column or all(score is None for score in scores):
        apart = "other metrics: no score in common with the other runs"
    return ComparedRun(
        name=name,
        path=record.path,
        seeds=tuple(int(number(row, "seed") or 0) for row in rows),
        scores=tuple(scores),
        verdict=final.verdict if final and rows else "",
        values={key: first.get(key) for key in VALUES} | dict(others),
        search=cost_of(searched(record)),
        whole=cost_of(rows),
        apart=apart,
    )


def _against(
    run: ComparedRun, first: ComparedRun, higher_is_better: bool | None, sure: float
) -> ComparedRun:
    from hptune.analysis.difference import difference

    paired = set(run.seeds) == set(first.seeds)
    found = difference(run.reached, first.reached, paired=paired, sure=sure)
    better = None
    if found.is_clear and higher_is_better is not None:
        better = (found.mean > 0) is higher_is_better
    return replace(run, difference=found, better=better)


def _notes(runs: Sequence[ComparedRun], records: Sequence[RunRecord]) -> list[str]:
    """Say by what measures of cost the comparison is fair, and whether seconds can be compared."""
    known = [run for run in runs if not run.apart]
    notes = []
    fair, unfair = [], []
    for name, tolerance in SAME_COST.items() if len(known) > 1 else ():
        costs = [getattr(run.whole, name) / run.whole.trials for run in known]
        low, high = min(costs), max(costs)
        if high <= low * (1 + tolerance):
            fair.append(name)
        else:
            unfair.append(f"{name} ({rounded(low)} to {rounded(high)})")
    if fair or unfair:
        same = f"the same {', '.join(fair)}" if fair else ""
        other = f"different {', '.join(unfair)}" if unfair else ""
        notes.append(
            f"Their runs of full length cost {', but '.join(filter(None, (same, other)))}."
        )
    sizes = {run.values.get("batch_size") for run in known}
    staged = [d for r in records for d in r.decisions if d.stage == BATCH_SIZE and "time" in d.rule]
    if len(sizes) > 1:
        told = "Batch sizes differ, and with them the iterations of an epoch"
        if staged:
            told += "; the batch-size stage chooses by what is reached in near-constant time"
        notes.append(f"{told}.")
    for name, what in (
        ("device", "on other devices"),
        ("executors", "of trials that ran otherwise"),
    ):
        found = [
            (run.name, str(r.manifest[name]))
            for run, r in zip(runs, records, strict=True)
            if r.manifest.get(name)
        ]
        if len({value for _, value in found}) > 1:
            told = "; ".join(f"{run}: {value.replace('; ', ' and ')}" for run, value in found)
            notes.append(f"Seconds do not compare, they are {what} ({told}).")
    missing = [run.name for run in known if len(run.reached) < len(run.seeds)]
    if missing:
        notes.append(f"Some seeds did not come to their end: of {', '.join(missing)}.")
    return notes


def headline(compared: RunsCompared) -> str:
    """Say by what the runs are compared, with which run, and how."""
    first = compared.first
    if first is None or not compared.column:
        return "nothing to compare: " + "; ".join(f"{r.name}: {r.apart}" for r in compared.runs)
    better = {True: ", more is better", False: ", less is better", None: ""}
    return f"{measured(compared)}{better[compared.higher_is_better]}; against {first.name}"


def measured(compared: RunsCompared) -> str:
    """Return by what the runs are compared, with its unit."""
    unit = " in %" if is_share(compared.column) else ""
    return f"{in_words(compared.column)}{unit}" if compared.column else "score"
