"""Reading an LR range test: where learning begins, where the validation loss is lowest, where it turns up.

Source: Smith 2018, section 4.1 and Remark 1: the validation loss shows the largest usable LR,
where it stops improving and turns up or becomes ragged.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

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
        interval: Plausible bounds of `lr_max`.
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
    begin, lowest, rise, divergence = (
        _median([getattr(mark, name) for mark in same])
        for name in ("begin", "lowest", "rise", "divergence")
    )
    first, last = _median([m.first for m in marks]), _median([m.last for m in marks])
    low, middle, high = _maximum(verdict, lowest, rise, divergence, first, last)
    if verdict == "ok" and len(same) > 1:
        own = [_maximum(verdict, m.lowest, m.rise, m.divergence, first, last)[1] for m in same]
        low, high = min(low, *own), max(high, *own)
    warnings = []
    if verdict != "ok":
        warnings.append(f"the range test is {verdict}: the LR is a guess from it")
    elif high - low > 1:
        warnings.append("the usable LR is uncertain by more than a decade")
    if len(set(verdicts)) > 1:
        warnings.append(f"the seeds disagree: {', '.join(verdicts)}")
    value = _lr(middle)
    assert value is not None
    return LrRangeReading(
        verdict=verdict,
        lr_begin=_lr(begin),
        lr_lowest=_lr(lowest),
        lr_rise=_lr(rise),
        lr_divergence=_lr(divergence),
        lr_max=value,
        interval=(10**low, 10**high),
        lr_min=value / 10,
        by=same[0].by,
        reason=_reason(verdict, same[0].by, begin, lowest, rise, divergence, value),
        warnings=tuple(warnings),
    )


def _mark(curve: Curve, examples: int | None) -> _Marks:
    """Read the validation loss where it tells enough, else the training loss."""
    usable = np.isfinite(curve.lr) & (curve.lr > 0)
    x = np.log10(curve.lr[usable]) if usable.any() else np.array([-2.0])
    x = delayed(x, curve.momentum[usable])
    train = curve.train_loss[usable]
    divergence = _divergence(x, train)
    if np.isfinite(curve.val_loss[usable]).sum() >= LEAST_POINTS:
        marks = _marks(x, curve.val_loss, usable, divergence, "validation")
        if not examples or examples >= FEW_EXAMPLES:
            return marks
        if marks.fall > ERRORS * sampling_error(marks.start, examples):
            return marks
    return _marks(x, curve.train_loss, usable, divergence, "training")


def _marks(
    x: FloatArray, everything: FloatArray, usable: NDArray[np.bool_], divergence: float, by: str
) -> _Marks:
    """Read one of a test's losses, over the iterations with a usable LR."""
    ends = (float(x[0]), float(x[-1]))

    def nothing(verdict: str) -> _Marks:
        return _Marks(verdict=verdict, divergence=divergence, first=ends[0], last=ends[1], by=by)

    loss = everything[usable]
    known = np.isfinite(loss)
    if known.sum() < LEAST_POINTS:
        if not math.isnan(divergence) and divergence < ends[0] + 0.3 * (ends[1] - ends[0]) + 1e-9:
            return nothing("diverges-at-once")
        return nothing("cannot-say")
    x, loss = x[known], loss[known]
    untrained = float(everything[np.isfinite(everything)][0])  # LR may begin at 0
    start = float(np.median(loss[: max(2, len(loss) // START)]))
    smoothed = smooth(_clipped(loss, start))
    best = int(smoothed.argmin())
    fall = start - float(smoothed[best])
    if not has_learned(loss, smoothed, untrained) or fall <= 1e-9 * abs(start):
        early = not math.isnan(divergence) and divergence < (ends[0] + ends[1]) / 2
        return nothing("diverges-at-once" if early else "never-learns")
    begin = float(x[begin_of_learning(smoothed, start)])
    turn = turning_point(smoothed, fall)
    rise = divergence if turn is None else float(x[turn])
    lowest = float(x[best])
    open_ended = math.isnan(rise) and lowest > ends[1] - EDGE * (ends[1] - ends[0])
    verdict = "still-improving" if open_ended else "ok"
    return _Marks(
        verdict=verdict,
        begin=begin,
        lowest=lowest,
        rise=rise,
        divergence=divergence,
        first=ends[0],
        last=ends[1],
        by=by,
        start=start,
        fall=fall,
    )


def has_learned(loss: FloatArray, smoothed: FloatArray, untrained: float) -> bool:
    """Return whether a loss falls by more than its noise before it is lowest.

    From its highest point, or from the untrained net: one that learns at once has no plateau.

    Args:
        loss: (N,), finite.
        smoothed: The same without its spikes, (N,).
        untrained: The loss before the first step.
    """
    best = int(smoothed.argmin())
    noise = noise_of(loss[: best + 1] if best >= LEAST_POINTS else loss)
    # A longer test is smoothed over more points, so less of its noise is left.
    left = min(1.0, math.sqrt(USUAL_WIDTH / width_of(len(loss))))
    fall = float(smoothed[: best + 1].max() - smoothed[best])
    return fall > LEARNED * noise * left or untrained - float(smoothed[best]) > 2 * LEARNED * noise


def begin_of_learning(smoothed: FloatArray, start: float) -> int:
    """Return the place from which on a loss has come down by a tenth of its fall.

    Source: Smith 2018, section 4.1: the minimum LR is where the loss begins to fall.
    """
    return int(np.argmax(smoothed < start - BEGIN * (start - float(smoothed.min()))))


def turning_point(smoothed: FloatArray, fall: float) -> int | None:
    """Return the place after the lowest loss where it has risen clearly; None where it has not.

    Source: Smith 2018, Remark 1: the largest usable LR is where the validation loss turns up.
    """
    best = int(smoothed.argmin())
    rise = max(RISE * fall, LEARNED * noise_of(smoothed[: best + 1]))
    over = smoothed > smoothed[best] + rise
    over[: best + 1] = False
    return int(np.argmax(over)) if over.any() else None


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
    known = np.flatnonzero(np.isfinite(train))
    blank = np.isnan(train)
    blank[(known[-1] + 1 if len(known) else len(train)) :] = False
    if not len(train) or (not len(known) and not np.isinf(train).any()):
        return math.nan
    at = diverged_at(train[~blank].tolist())
    return math.nan if at is None else float(x[~blank][at])


def _clipped(loss: FloatArray, start: float) -> FloatArray:
    fall = start - float(np.min(loss))
    return np.minimum(loss, start + CLIP * max(fall, 1e-12 * abs(start)))


def _maximum(
    verdict: str, lowest: float, rise: float, divergence: float, first: float, last: float
) -> tuple[float, float, float]:
    """Return lower bound, value and upper bound of the maximum, as log10 LR."""
    if verdict == "ok":
        # Between the lowest loss and the turn: the loss follows the LR with a delay, so the
        # first is too low and the second too high.
        high = last if math.isnan(rise) else rise
        return lowest, (lowest + high) / 2, high
    if verdict == "still-improving":
        return lowest, last, last + 1
    if verdict == "diverges-at-once":
        at = first if math.isnan(divergence) else divergence
        return at - 3, at - 2, at - 1
    middle = (first + last) / 2
    return first, middle, last


def _reason(
    verdict: str,
    by: str,
    begin: float,
    lowest: float,
    rise: float,
    divergence: float,
    value: float,
) -> str:
    if verdict == "never-learns":
        return f"the {by} loss falls nowhere by more than its noise"
    if verdict == "cannot-say":
        return "too few finite losses to read"
    if verdict == "diverges-at-once":
        return "the loss diverges before it has fallen"
    parts = [f"{by} loss falls from LR {10**begin:.2g}", f"is lowest at {10**lowest:.2g}"]
    if not math.isnan(rise):
        parts.append(f"turns up at {10**rise:.2g}")
    if not math.isnan(divergence):
        parts.append(f"diverges at {10**divergence:.2g}")
    if verdict == "still-improving":
        parts.append("and still improves where the test ends")
    return ", ".join(parts) + f"; largest usable LR about {value:.2g}"


def _median(values: Sequence[float]) -> float:
    known = [value for value in values if not math.isnan(value)]
    return float(np.median(known)) if known else math.nan


def _lr(log: float) -> float | None:
    return None if math.isnan(log) else float(10**log)
