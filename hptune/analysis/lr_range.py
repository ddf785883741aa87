"""Reading an LR range test: where learning begins, where the validation loss is lowest, where it turns up.

Source: Smith 2018, section 4.1 and Remark 1: the validation loss shows the largest usable LR,
where it stops improving and turns up or becomes ragged.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hptune.analysis.smoothing import (
    FEW_EXAMPLES,
    FloatArray,
    noise_of,
    sampling_error,
    smooth,
    width_of,
)
from hptune.results.divergence import diverged_at
from hptune.results.records import Curve

LEAST_POINTS = 8
START = 12  # a curve's first part of so many is its start
BEGIN = 0.1  # a net learns where so much of the fall is behind it
RISE = 0.1  # a loss has turned up where it is so much of the fall above its lowest
LEARNED = 3.0  # noises: a smaller change of a smoothed loss may be chance
EDGE = 0.1  # of the test, in log LR: a lowest loss this close to the end may not be the lowest
CLIP = 2.0  # falls above the start; higher losses tell no more and would drown the rest
DISAGREE = 2.0  # between what the two losses show: less is the width of a reading
RISING = 0.95  # of the steps of LR: a range test only rises
RANGE = 5.0  # last LR over the first: less is a warm-up or a constant
USUAL_WIDTH = 5  # of the smoothing, for which the bounds on the noise hold
# Over few validation examples a fall of fewer standard errors than these may be chance, or a batch
# norm's statistics catching up.
ERRORS = 3.0


@dataclass(frozen=True)
class LrRangeReading:
    """What a range test shows. Learning rates are None where the test does not show them.

    Attributes:
        verdict: "ok", "still-improving" (the range ends too early), "diverges-at-once" (it
            begins too high), "never-learns" or "cannot-say".
        lr_begin: Where learning begins.
        lr_lowest: Of the lowest smoothed loss.
        lr_rise: Where the loss turns up or becomes ragged.
        lr_divergence: Where the test diverged.
        lr_max: The largest usable LR; always finite, a guess where the verdict is not "ok".
        interval: Plausible bounds of `lr_max`; what the training loss shows lies within them, too.
        lr_min: A tenth of the maximum.
        by: "validation" or "training": the loss that was read.
        reason: In words, with the numbers.
        warnings: What speaks against trusting it.
    """

    verdict: str
    lr_begin: float | None
    lr_lowest: float | None
    lr_rise: float | None
    lr_divergence: float | None
    lr_max: float
    interval: tuple[float, float]
    lr_min: float
    by: str
    reason: str
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class _Marks:
    """What one loss of one curve shows; LRs as log10, NaN where it does not show one."""

    verdict: str
    first: float  # LR of the test
    last: float
    by: str
    begin: float = math.nan
    lowest: float = math.nan
    rise: float = math.nan
    divergence: float = math.nan
    start: float = 0.0  # the loss, and how far it falls from there
    fall: float = 0.0


def is_range_test(lr: FloatArray) -> bool:
    """Say whether LR only rises, and by much.

    Args:
        lr: In the order of the iterations, (N,); NaN where it was not read.
    """
    lr = lr[np.isfinite(lr)]
    positive = lr[lr > 0]
    if len(lr) < 5 or not len(positive):
        return False
    return bool(np.mean(np.diff(lr) > 0) >= RISING and positive[-1] >= RANGE * positive[0])


def read_lr_range(curves: Sequence[Curve], examples: int | None = None) -> LrRangeReading:
    """Read a range test from one curve, or from several that differ in their seed.

    Args:
        curves: Rising LR; losses of any sign and scale, NaN where not read. The validation
            loss is read where there is enough of it, else the training loss.
        examples: In the validation set; None where it is not known. Where their loss falls by
            less than so few can tell, the training loss is read.
    """
    marks = [_mark(curve, examples) for curve in curves]
    verdicts = [mark.verdict for mark in marks]
    # In the order of the seeds: that of a set would change from process to process.
    verdict = max(dict.fromkeys(verdicts), key=lambda v: (verdicts.count(v), v == "ok"))
    same = [mark for mark in marks if mark.verdict == verdict]
    ends: dict[str, Any] = {name: _median(marks, name) for name in ("first", "last")}
    shown: dict[str, Any] = {
        name: _median(same, name) for name in ("begin", "lowest", "rise", "divergence")
    }
    typical = replace(same[0], **ends, **shown)
    low, middle, high = _maximum(typical)
    if verdict == "ok" and len(same) > 1:
        own = [_maximum(replace(mark, **ends))[1] for mark in same]
        low, high = min(low, *own), max(high, *own)
    value = float(10**middle)
    reason = _reason(typical, value)
    if verdict == "ok" and typical.by == "validation":
        other = _by_training(curves)
        if abs(other - middle) > math.log10(DISAGREE):
            low, high = min(low, other), max(high, other)
            reason += f"; the training loss says {10**other:.2g}"
    warnings = []
    if verdict != "ok":
        warnings.append(f"the range test is {verdict}: the LR is a guess from it")
    elif high - low > 1:
        warnings.append("the usable LR is uncertain by more than a decade")
    if len(set(verdicts)) > 1:
        warnings.append(f"the seeds disagree: {', '.join(verdicts)}")
    return LrRangeReading(
        verdict=verdict,
        lr_begin=_lr(typical.begin),
        lr_lowest=_lr(typical.lowest),
        lr_rise=_lr(typical.rise),
        lr_divergence=_lr(typical.divergence),
        lr_max=value,
        interval=(10**low, 10**high),
        lr_min=value / 10,
        by=typical.by,
        reason=reason,
        warnings=tuple(warnings),
    )


def _by_training(curves: Sequence[Curve]) -> float:
    """Return the largest usable LR as log10 that the training losses show, NaN where they do not."""
    marks = [_marks(curve, curve.train_loss, "training") for curve in curves]
    own = [_maximum(mark)[1] for mark in marks if mark.verdict == "ok"]
    return float(np.median(own)) if own else math.nan


def _mark(curve: Curve, examples: int | None) -> _Marks:
    """Read the validation loss where it tells enough, else the training loss."""
    if np.isfinite(curve.val_loss[_usable(curve)]).sum() >= LEAST_POINTS:
        marks = _marks(curve, curve.val_loss, "validation")
        if not examples or examples >= FEW_EXAMPLES:
            return marks
        if marks.fall > ERRORS * sampling_error(marks.start, examples):
            return marks
    return _marks(curve, curve.train_loss, "training")


def _usable(curve: Curve) -> NDArray[np.bool_]:
    return np.isfinite(curve.lr) & (curve.lr > 0)


def _marks(curve: Curve, everything: FloatArray, by: str) -> _Marks:
    """Read one of a test's losses, over the iterations with a usable LR."""
    usable = _usable(curve)
    x = np.log10(curve.lr[usable]) if usable.any() else np.array([-2.0])
    x = delayed(x, curve.momentum[usable])
    divergence = _divergence(x, curve.train_loss[usable])
    first, last = float(x[0]), float(x[-1])
    marks = _Marks(verdict="cannot-say", first=first, last=last, by=by, divergence=divergence)
    loss = everything[usable]
    known = np.isfinite(loss)
    if known.sum() < LEAST_POINTS:
        early = divergence < first + 0.3 * (last - first) + 1e-9  # False where it is NaN
        return replace(marks, verdict="diverges-at-once") if early else marks
    x, loss = x[known], loss[known]
    untrained = float(everything[np.isfinite(everything)][0])  # LR may begin at 0
    start = float(np.median(loss[: max(2, len(loss) // START)]))
    highest = start + CLIP * max(start - float(loss.min()), 1e-12 * abs(start))
    smoothed = smooth(np.minimum(loss, highest))
    best = int(smoothed.argmin())
    fall = start - float(smoothed[best])
    if not _has_learned(loss, smoothed, untrained) or fall <= 1e-9 * abs(start):
        early = divergence < (first + last) / 2
        return replace(marks, verdict="diverges-at-once" if early else "never-learns")
    # It has turned up where it is clearly above its lowest, after that.
    rise = max(RISE * fall, LEARNED * noise_of(smoothed[: best + 1]))
    over = np.flatnonzero(smoothed[best:] > smoothed[best] + rise)
    turn = float(x[best + over[0]]) if len(over) else divergence
    lowest = float(x[best])
    open_ended = math.isnan(turn) and lowest > last - EDGE * (last - first)
    return replace(
        marks,
        verdict="still-improving" if open_ended else "ok",
        begin=float(x[np.argmax(smoothed < start - BEGIN * fall)]),
        lowest=lowest,
        rise=turn,
        start=start,
        fall=fall,
    )


def _has_learned(loss: FloatArray, smoothed: FloatArray, untrained: float) -> bool:
    """Return whether a loss falls by more than its noise before it is lowest.

    From its highest point, or from the untrained net: one that learns at once has no plateau.
    """
    best = int(smoothed.argmin())
    noise = noise_of(loss[: best + 1] if best >= LEAST_POINTS else loss)
    # A longer test is smoothed over more points, so less of its noise is left.
    left = min(1.0, math.sqrt(USUAL_WIDTH / width_of(len(loss))))
    fall = float(smoothed[: best + 1].max() - smoothed[best])
    return fall > LEARNED * noise * left or untrained - float(smoothed[best]) > 2 * LEARNED * noise


def delayed(x: FloatArray, momentum: FloatArray) -> FloatArray:
    """Return for each loss the LR that made it: with momentum M a step lasts 1 / (1 - M) iterations.

    A test of a hundred iterations over six decades would else read half a decade too high.

    Args:
        x: Log LR, (N,), rising.
        momentum: (N,).
    """
    known = momentum[np.isfinite(momentum) & (momentum >= 0) & (momentum < 1)]
    if not len(known):
        return x
    delay = min(round(1 / (1 - float(np.median(known)))), len(x) // 10)
    return np.concatenate([np.full(delay, x[0]), x[: len(x) - delay]])


def _divergence(x: FloatArray, train: FloatArray) -> float:
    """Return the log10 LR at which the training loss diverged; NaN between numbers is a blank."""
    if np.isnan(train).all():
        return math.nan
    known = np.flatnonzero(np.isfinite(train))
    end = known[-1] + 1 if len(known) else len(train)
    read = np.flatnonzero(~np.isnan(train) | (np.arange(len(train)) >= end))
    at = diverged_at(train[read].tolist())
    return math.nan if at is None else float(x[read[at]])


def _maximum(marks: _Marks) -> tuple[float, float, float]:
    """Return lower bound, value and upper bound of the maximum, as log10 LR."""
    if marks.verdict == "ok":
        # Between the lowest loss and the turn: the loss follows the LR with a delay, so the
        # first is too low and the second too high.
        high = marks.last if math.isnan(marks.rise) else marks.rise
        return marks.lowest, (marks.lowest + high) / 2, high
    if marks.verdict == "still-improving":
        return marks.lowest, marks.last, marks.last + 1
    if marks.verdict == "diverges-at-once":
        at = marks.first if math.isnan(marks.divergence) else marks.divergence
        return at - 3, at - 2, at - 1
    return marks.first, (marks.first + marks.last) / 2, marks.last


def _reason(marks: _Marks, value: float) -> str:
    if marks.verdict == "never-learns":
        return f"the {marks.by} loss falls nowhere by more than its noise"
    if marks.verdict == "cannot-say":
        return "too few finite losses to read"
    if marks.verdict == "diverges-at-once":
        return "the loss diverges before it has fallen"
    parts = [
        f"{marks.by} loss falls from LR {10**marks.begin:.2g}",
        f"is lowest at {10**marks.lowest:.2g}",
    ]
    if not math.isnan(marks.rise):
        parts.append(f"turns up at {10**marks.rise:.2g}")
    if not math.isnan(marks.divergence):
        parts.append(f"diverges at {10**marks.divergence:.2g}")
    if marks.verdict == "still-improving":
        parts.append("and still improves where the test ends")
    return ", ".join(parts) + f"; largest usable LR about {value:.2g}"


def _median(marks: Sequence[_Marks], name: str) -> float:
    """Return the median of what the curves show; NaN where none shows it."""
    known = [value for mark in marks if not math.isnan(value := getattr(mark, name))]
    return float(np.median(known)) if known else math.nan


def _lr(log: float) -> float | None:
    return None if math.isnan(log) else float(10**log)
