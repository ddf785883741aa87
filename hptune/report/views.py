"""What a run recorded of its stages, joined with the curves of its trials; nothing is decided here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from hptune.report.wording import parameter, stage_title
from hptune.results.evidence import Candidate, Comparison, Evidence, FinalRun, Model, RangeTest
from hptune.results.records import Curve, Decision
from hptune.stages import FINAL, LR_RANGE, STAGES

if TYPE_CHECKING:
    from hptune.analysis.lr_range import LrRangeReading

Curves = Mapping[str, Curve]
"""The curves of a run by the ids of their trials."""


def range_test(evidence: Sequence[Evidence]) -> tuple[RangeTest, LrRangeReading] | None:
    """Return the last LR range test and how it was read, None where none is recorded."""
    from hptune.analysis.lr_range import LrRangeReading  # and numpy, which `hptune show` needs not

    tests = [one for one in evidence if isinstance(one, RangeTest)]
    try:
        return (tests[-1], LrRangeReading(**tests[-1].reading)) if tests else None
    except TypeError:  # another version's reading has other fields
        return None


def comparisons(evidence: Sequence[Evidence]) -> list[Comparison]:
    """Return what the stages compared, in the order in which it was decided."""
    return [one for one in evidence if isinstance(one, Comparison)]


def models(evidence: Sequence[Evidence]) -> list[Model]:
    """Return what models of all trials say."""
    return [one for one in evidence if isinstance(one, Model)]


def final_runs(evidence: Sequence[Evidence]) -> list[FinalRun]:
    """Return the runs of full length, the procedure's own first and baselines last."""
    runs = [one for one in evidence if isinstance(one, FinalRun)]
    return sorted(runs, key=lambda run: (run.baseline, run.stage != FINAL))


def decided_lr(test: RangeTest, decisions: Sequence[Decision]) -> float | None:
    """Return the maximum LR that came of a range test, None where the stage was not finished."""
    own = [d for d in decisions if (d.stage, d.parameter) == (test.stage, "lr")]
    if not own or not set(test.trials) & set(own[-1].trials):
        return None
    value = own[-1].value
    return float(value) if isinstance(value, int | float) and value > 0 else None


def decided_by(comparison: Comparison, decisions: Sequence[Decision]) -> list[Decision]:
    """Return the decisions that came of a comparison: on what was compared, and what goes with it."""
    own = [d for d in decisions if d.stage == comparison.stage]
    trials = [d.trials for d in own if d.parameter == comparison.parameter]
    return [d for d in own if d.trials in trials[-1:]]


def ended(run: FinalRun) -> list[str]:
    """Return the trials of a final run that came to their end."""
    return [t for t, score in zip(run.trials, run.scores, strict=False) if score is not None]


def select(trials: Iterable[str], curves: Curves) -> list[Curve]:
    """Return the curves of these trials, of those that have one."""
    return [curves[trial] for trial in trials if trial in curves]


def paired_curves(comparison: Comparison, curves: Curves) -> list[tuple[Candidate, list[Curve]]]:
    """Return the candidates that have curves, each with those of the seeds that all of them ran.

    The mean over other seeds would show a difference between seeds as one between candidates.
    """
    drawn = [(c, own) for c in comparison.candidates if (own := select(c.trials, curves))]
    shared = set.intersection(*(set(c.seeds) for c, _ in drawn)) if drawn else set()
    paired = []
    for candidate, own in drawn:
        ran = zip(candidate.trials, candidate.seeds, strict=False)
        same = select((trial for trial, seed in ran if seed in shared), curves)
        paired.append((candidate, same or own))
    return paired


def heading(comparison: Comparison) -> tuple[str, str]:
    """Return a comparison's name for files and links, and its title.

    For instance ("momentum", "Momentum"), ("momentum-lr", "Maximum LR after momentum") and
    ("sweep-dropout", "Sweep of model.dropout").
    """
    stage, name = STAGES.get(comparison.stage), parameter(comparison.parameter)
    anchor = file_name(f"{comparison.stage}-{comparison.parameter.rpartition('.')[2]}")
    if stage is None or not stage.parameter:
        return anchor, f"{stage_title(comparison.stage)} of {name}"
    if stage.name == LR_RANGE:
        return "lr-confirmation", "LR confirmation"
    if stage.parameter != comparison.parameter:
        return anchor, f"{name[0].upper()}{name[1:]} after {stage.title.lower()}"
    return stage.name, stage.title


def file_name(text: str) -> str:
    """Return a text as a part of a file's name."""
    return "".join(c if c.isalnum() or c in "-_" else "-" for c in text)
