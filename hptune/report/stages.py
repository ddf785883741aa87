"""What the stages of a run compared: its range test, its paired comparisons, its final runs."""

from __future__ import annotations

import math
import re
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from hptune.analysis.lr_range import LrRangeReading, read_lr_range
from hptune.analysis.rules import named_rules
from hptune.report.read import RunRecord, TrialRecord
from hptune.report.wording import parameter as parameter_name
from hptune.report.wording import plain
from hptune.report.wording import stage as stage_name
from hptune.results.records import Curve, Decision
from hptune.results.run_dir import VALIDATION_EXAMPLES
from hptune.stages import BATCH_SIZE, FINAL, LR_RANGE, MOMENTUM, SEARCH, SWEEP, TRAIN, WEIGHT_DECAY

FULL_LENGTH = (FINAL, TRAIN)
_NUMBERS = ("batch_size", "lr", "momentum", "weight_decay")
_OWN = {
    LR_RANGE: "lr",
    MOMENTUM: "momentum",
    WEIGHT_DECAY: "weight_decay",
    BATCH_SIZE: "batch_size",
    SEARCH: "lr",
}
_SHORT = {"lr": "LR ", "weight_decay": "WD ", "momentum": "M ", "batch_size": "batch "}
# The ranking's words in a decision's reason: by what, and how large the noise is.
_JUDGED = re.compile(r"validation (\S+) [^;]*; noise ([-+.e\d]+) \(")


@dataclass(frozen=True)
class RangeTest:
    """The last LR range test, one trial a seed.

    Attributes:
        trials: With a curve each.
        earlier: Tests before it, over another range.
        reading: What it shows.
        rules: What other LR finders make of its last trial; rules that find nothing left out.
        decided: The maximum LR that came of it, None where the stage was not finished.
    """

    trials: tuple[TrialRecord, ...]
    earlier: int
    reading: LrRangeReading
    rules: dict[str, float]
    decided: float | None

    @property
    def curves(self) -> list[Curve]:
        """The curves of its trials."""
        return curves(self.trials)


@dataclass(frozen=True)
class Candidate:
    """What a stage compared: one value over its seeds.

    Attributes:
        label: The value in short.
        trials: One a seed.
        end: What it was judged by, mean over the seeds that have it.
        chosen: Whether the stage decided for it.
        tied: Whether the noise does not tell it from the best.
    """

    label: str
    trials: tuple[TrialRecord, ...]
    end: float | None
    chosen: bool
    tied: bool

    @property
    def curves(self) -> list[Curve]:
        """The curves that can be drawn."""
        return curves(self.trials)

    @property
    def status(self) -> str:
        """How its trials ended, the worst first."""
        return ", ".join(sorted({str(trial.row.get("status")) for trial in self.trials})[::-1])


@dataclass(frozen=True)
class Comparison:
    """The candidates of a stage, side by side.

    Attributes:
        stage: Which.
        parameter: What was compared, the first of the decisions' parameters.
        decisions: That came of it; none where the stage was not finished.
        candidates: In the order in which they ran.
        by: "loss", or the metric that they were judged by.
        higher_is_better: Of the metric.
        noise: Of a difference between two candidates, None where it is not told.
    """

    stage: str
    parameter: str
    decisions: tuple[Decision, ...]
    candidates: tuple[Candidate, ...]
    by: str
    higher_is_better: bool
    noise: float | None

    @property
    def column(self) -> str:
        """The column of results.csv that the candidates were judged by."""
        return f"val_{self.by}"

    @property
    def title(self) -> str:
        """What was compared, in words."""
        name = stage_name(self.stage)
        if self.stage == LR_RANGE:
            return "LR confirmation"
        if self.stage == SWEEP:
            return f"Sweep of {parameter_name(self.parameter)}"
        if self.parameter == "lr" and self.stage != SEARCH:
            return f"LR after {name.lower()}"
        return name

    @property
    def chosen(self) -> Candidate | None:
        """The candidate that was decided for."""
        return next((c for c in self.candidates if c.chosen), None)


@dataclass(frozen=True)
class FinalRun:
    """Runs of full length, one a seed.

    Attributes:
        stage: final or train.
        trials: Those that came to their end.
        lost: Those that did not.
        decision: None where it was interrupted.
        column: The headline's column of results.csv.
        values: The headline's values, one a seed.
        baseline: Whether these are a comparison's runs.
    """

    stage: str
    trials: tuple[TrialRecord, ...]
    lost: tuple[TrialRecord, ...]
    decision: Decision | None
    column: str
    values: tuple[float, ...]
    baseline: bool

    @property
    def curves(self) -> list[Curve]:
        """The curves of the trials that came to their end."""
        return curves(self.trials)


def curves(trials: Iterable[TrialRecord]) -> list[Curve]:
    """Return the curves of the trials that have one."""
    return [trial.curve for trial in trials if trial.curve is not None]


def range_test(record: RunRecord) -> RangeTest | None:
    """Return the last LR range test of a run, or None."""
    tests = [t for t in record.trials if t.policy == "lr-range" and t.curve is not None]
    if not tests:
        return None
    last = tests[-1]
    same = [t for t in tests if _settings(t) == _settings(last)]
    shown = curves(same)
    rules = named_rules(shown[-1].lr, shown[-1].train_loss)
    decided = [d for d in record.decisions if (d.stage, d.parameter) == (LR_RANGE, "lr")]
    value = decided[-1].value if decided and last.id in decided[-1].trials else None
    examples = record.manifest.get(VALIDATION_EXAMPLES)
    return RangeTest(
        trials=tuple(same),
        earlier=len({_settings(t) for t in tests}) - 1,
        reading=read_lr_range(shown, examples if isinstance(examples, int) else None),
        rules={name: lr for name, lr in rules.items() if math.isfinite(lr) and lr > 0},
        decided=float(value) if isinstance(value, int | float) and value > 0 else None,
    )


def comparisons(record: RunRecord) -> list[Comparison]:
    """Return what the stages compared, in their order; stages without a decision last."""
    groups: dict[tuple[str, tuple[str, ...]], list[Decision]] = {}
    for decision in record.decisions:
        if decision.stage not in FULL_LENGTH:
            groups.setdefault((decision.stage, decision.trials), []).append(decision)
    found = [
        _comparison(stage, decisions, record.find(names))
        for (stage, names), decisions in groups.items()
    ]
    decided = {name for d in record.decisions for name in d.trials}
    for stage in dict.fromkeys(trial.stage for trial in record.trials):
        left = [t for t in record.trials if t.stage == stage and t.id not in decided]
        if stage not in FULL_LENGTH and not any(c.stage == stage for c in found if c):
            found.append(_comparison(stage, [], left))
    return [comparison for comparison in found if comparison is not None]


def final_runs(record: RunRecord) -> list[FinalRun]:
    """Return the runs of full length, the procedure's own first and baselines last."""
    found = []
    for decision in record.decisions:
        name = decision.parameter.removeprefix("baseline_")
        if decision.stage in FULL_LENGTH and name.startswith(("test_", "val_")):
            baseline = name != decision.parameter
            found.append(_final(decision, name, record.find(decision.trials), baseline))
    for stage in FULL_LENGTH:
        trials = [t for t in record.trials if t.stage == stage]
        if trials and not any(run.stage == stage for run in found):
            last = [t for t in trials if _settings(t) == _settings(trials[-1])]
            found.append(_final(None, _headline(record, last), last, False))
    shown = [run for run in found if run.trials or run.lost]
    return sorted(shown, key=lambda run: (run.baseline, run.stage != FINAL))


def _final(
    decision: Decision | None, column: str, trials: Sequence[TrialRecord], baseline: bool
) -> FinalRun:
    done = tuple(t for t in trials if t.complete)
    values = [t.number(column) for t in done]
    return FinalRun(
        stage=str(decision.stage if decision else trials[0].stage if trials else ""),
        trials=done,
        lost=tuple(t for t in trials if not t.complete),
        decision=decision,
        column=column,
        values=tuple(v for v in values if v is not None),
        baseline=baseline,
    )


def _headline(record: RunRecord, trials: Sequence[TrialRecord]) -> str:
    names = [f"{part}_{m}" for part in ("test", "val") for m in (*record.metrics, "loss")]
    return next((n for n in names if any(t.number(n) is not None for t in trials)), "val_loss")


def _comparison(
    stage: str, decisions: Sequence[Decision], trials: Sequence[TrialRecord]
) -> Comparison | None:
    trials = [t for t in trials if t.policy != "lr-range"]
    if not trials:
        return None
    by, noise, higher = _judged(decisions)
    parameter = decisions[0].parameter if decisions else _OWN.get(stage, "")
    varied = _varied(trials, _column(parameter, trials[0]))
    groups: dict[tuple[object, ...], list[TrialRecord]] = {}
    for trial in trials:
        groups.setdefault(tuple(_values(trial, c) for c in varied), []).append(trial)
    decided = {_column(d.parameter, trials[0]): d.value for d in decisions}
    drafts = [(own, _end(own, f"val_{by}"), _matches(own[0], decided)) for own in groups.values()]
    ends = [end for _, end, _ in drafts if end is not None]
    best = (max if higher else min)(ends, default=math.nan)
    candidates = [
        Candidate(
            label=label(own[0], varied),
            trials=tuple(own),
            end=end,
            chosen=chosen,
            tied=end is not None and noise is not None and abs(end - best) <= noise,
        )
        for own, end, chosen in drafts
    ]
    return Comparison(
        stage=stage,
        parameter=parameter or varied[0],
        decisions=tuple(decisions),
        candidates=tuple(candidates),
        by=by,
        higher_is_better=higher,
        noise=noise,
    )


def label(trial: TrialRecord, columns: Sequence[str]) -> str:
    """Return a trial by its values in some columns, "0.95–0.85" for what cycles.

    The first column is what was compared and stands without its name.
    """
    parts: list[str] = []
    for name in columns:
        text = plain(trial.row.get(name))
        if name == "momentum":
            low = trial.row.get("momentum_min")
            text += " constant" if low is None else f"–{plain(low)}"
        parts.append(_SHORT.get(name, f"{name} ") * bool(parts) + text)
    return ", ".join(parts)


def _varied(trials: Sequence[TrialRecord], first: str) -> list[str]:
    """Return the columns in which the candidates differ, and before them what was compared."""
    known = dict.fromkeys(c for t in trials for c in t.row)
    swept = list(known)[: list(known).index("train_loss")] if "train_loss" in known else []
    swept = swept[swept.index("weight_decay") + 1 :] if "weight_decay" in swept else []
    names = [*_NUMBERS, *swept]

    varied = [n for n in names if len({_values(t, n) for t in trials}) > 1]
    if first in names and first not in varied:
        varied.insert(0, first)
    return sorted(varied, key=lambda name: name != first) or ["lr"]


def _values(trial: TrialRecord, column: str) -> tuple[object, ...]:
    """Return what a column stands for: constant momentum differs from one that falls."""
    low = trial.row.get("momentum_min") if column == "momentum" else None
    return trial.row.get(column), low


def _column(parameter: str, trial: TrialRecord) -> str:
    """Return the column that a decision's parameter has: "dropout" for "model.dropout"."""
    short = parameter.rpartition(".")[2]
    return short if parameter not in trial.row and short in trial.row else parameter


def _matches(trial: TrialRecord, decided: Mapping[str, object]) -> bool:
    # Decided epochs are the final run's.
    names = [name for name in decided if name in trial.row and name != "epochs"]
    return bool(names) and all(_same(trial, name, decided[name]) for name in names)


def _same(trial: TrialRecord, name: str, value: object) -> bool:
    own = trial.row.get(name)
    if own is None and name == "momentum_min":
        own = trial.row.get("momentum")
    if isinstance(own, int | float) and isinstance(value, int | float):
        return math.isclose(own, value, rel_tol=1e-6)
    return own == value


def _end(trials: Sequence[TrialRecord], column: str) -> float | None:
    values = [t.number(column) for t in trials if t.row.get("status") in ("complete", "pruned")]
    known = [value for value in values if value is not None]
    return statistics.fmean(known) if known else None


def _judged(decisions: Sequence[Decision]) -> tuple[str, float | None, bool]:
    """Return by what a stage judged, the noise it found, and whether higher is better."""
    higher = any("highest validation" in d.rule for d in decisions)
    for decision in decisions:
        found = _JUDGED.search(decision.reason)
        if found:
            noise = _number(found[2])
            return found[1], noise, higher
    return "loss", None, False


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if np.isfinite(number) else None


def _settings(trial: TrialRecord) -> tuple[object, ...]:
    """Return what repeats over seeds share."""
    names = ("policy", "batch_size", "lr", "lr_min", "momentum", "momentum_min", "weight_decay")
    return tuple(trial.row.get(name) for name in names)
