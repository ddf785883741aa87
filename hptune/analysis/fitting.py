"""Reading a training run: underfitting, overfitting, or the flat end that is the aim.

Source: Smith 2018, Remarks 1 and 2, Figures 2 to 4.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hptune.analysis.smoothing import FloatArray, noise_of, smooth
from hptune.results.divergence import diverged_at
from hptune.results.records import Curve

LEAST_POINTS = 5
RISEN = 0.05  # of the fall, above the lowest validation loss: the run has overfitted
FALLING = 0.03  # of the fall, in the last twentieth of the run: too short or too weak a run
MEMORISED = 1 / 500  # of the early training loss: nothing is left to fit
LARGE_LR = 0.2  # of its maximum: a run that has memorised here has too little regularisation
SHARE = 0.1  # of the readings with a large LR at which nothing is left to fit
KNOWS = 0.1  # of the early validation loss: below it memorising has done no harm
LEARNED = 0.05  # of accuracy, or of the early loss: a run that gains less has not learned

ADVICE = {
    "underfit": (
        "train longer, raise the maximum LR, or reduce other regularisation (weight decay, dropout)",
    ),
    "overfit": (
        "regularise more: a larger LR first, then more weight decay, augmentation or dropout",
    ),
    "diverged": ("lower the maximum LR, or warm up more slowly; check the inputs for NaN",),
    "not-learning": (
        "run an LR range test; try a much smaller weight decay; check labels and initialisation",
    ),
    "balanced": (),
    "cannot-say": ("read the validation loss more often",),
}


@dataclass(frozen=True)
class TrainingReading:
    """What a training run shows.

    Attributes:
        verdict: underfit, balanced, overfit, diverged, not-learning or cannot-say.
        diverged_at: The iteration, where it diverged.
        reasons: The evidence, with numbers.
        advice: What to do next, in the report's terms.
    """

    verdict: str
    diverged_at: int | None
    reasons: tuple[str, ...]
    advice: tuple[str, ...]


def read_training(curve: Curve) -> TrainingReading:
    """Read a training run; a curve too short or too blank gets the verdict "cannot-say"."""
    at = _diverged_at(curve)
    if at is not None:
        return _reading("diverged", f"the loss diverged at iteration {at}", at=at)
    known = np.isfinite(curve.val_loss)
    val, when = curve.val_loss[known], curve.iteration[known]
    train = curve.train_loss[np.isfinite(curve.train_loss)]
    if len(val) < LEAST_POINTS:
        return _reading(
            "cannot-say",
            f"the validation loss has {len(val)} values; {LEAST_POINTS} are needed",
        )
    # The first reading may be of the untrained net, whose loss says nothing of the run.
    early = float(np.median(val[1 : max(3, len(val) // 10 + 1)]))
    # Spikes at a large LR are cut: they would drown the course.
    course = smooth(np.minimum(val, max(early, float(np.median(val))) + _spread(val)))
    lowest, end = int(course.argmin()), float(np.median(val[-max(1, len(val) // 20) :]))
    best = float(course[lowest])
    # Without a training loss, the best of the validation loss says whether anything was learned.
    if _has_not_learned(curve, val, train, early, end if len(train) else best):
        return _reading(
            "not-learning", f"the loss ends at {end:.4g}, after {early:.4g} early in the run"
        )
    fall = max(early - best, 1e-12)
    noise = noise_of(val[-max(LEAST_POINTS, len(val) // 4) :])
    fit = _train_course(train)
    rise = end - best
    if (
        rise > max(RISEN * fall, 3 * noise)
        and lowest < 0.9 * len(val)
        and not fit[-1] > fit[int(lowest / len(val) * len(fit))]  # or it was not read
    ):
        return _reading(
            "overfit",
            f"the validation loss is lowest ({best:.4g}) at iteration {when[lowest]} and ends at "
            f"{end:.4g}; {_shown(fit)}",
        )
    memorised = _memorised_at(curve)
    if memorised is not None and end > KNOWS * early:
        return _reading(
            "overfit",
            f"the training loss has nothing left to fit from iteration {memorised} on, with LR "
            f"still large, while the validation loss ends at {end:.4g}",
        )
    falling = _fall_at_end(val)
    if falling > max(FALLING * fall, 2 * noise):
        return _reading(
            "underfit",
            f"the validation loss still falls at the end, by {falling:.3g} in the last twentieth "
            f"of the run, to {end:.4g}",
        )
    return _reading(
        "balanced",
        f"the validation loss is flat at the end: {end:.4g}, lowest {best:.4g}; {_shown(fit)}",
    )


def _reading(verdict: str, *reasons: str, at: int | None = None) -> TrainingReading:
    return TrainingReading(verdict, at, reasons, ADVICE[verdict])


def _diverged_at(curve: Curve) -> int | None:
    """Return the iteration at which the training loss diverged, or a loss stopped being a number."""
    for losses in (curve.train_loss, curve.val_loss):
        read = np.flatnonzero(~np.isnan(losses))
        at = diverged_at(losses[read].tolist()) if losses is curve.train_loss else None
        if at is None and np.isinf(losses[read]).any():
            at = int(np.argmax(np.isinf(losses[read])))
        if at is not None:
            return int(curve.iteration[read[at]])
    return None


def _spread(val: FloatArray) -> float:
    return float(np.median(val) - val.min())


def _train_course(train: FloatArray) -> FloatArray:
    return smooth(train) if len(train) >= 3 else np.array([np.nan])


def _shown(fit: FloatArray) -> str:
    return f"the training loss ends at {fit[-1]:.4g}" if fit[-1] == fit[-1] else "no training loss"


def _fall_at_end(val: FloatArray) -> float:
    """Return how much the loss fell within the last twentieth of the run, three readings at least."""
    tail = val[-max(3, round(len(val) / 20)) :]
    half = len(tail) // 2
    return float(np.median(tail[:half]) - np.median(tail[-half:]))


def _memorised_at(curve: Curve) -> int | None:
    """Return the iteration at which the training data were memorised, if LR was still large then.

    Source: Zhang 2017 for memorising; Smith 2018, Remark 6 for what it says of the balance.
    """
    read = np.isfinite(curve.train_loss) & np.isfinite(curve.lr)
    if read.sum() < LEAST_POINTS:
        return None
    course, lr = smooth(curve.train_loss[read]), curve.lr[read]
    early = float(np.median(course[: max(1, len(course) // 20)]))
    if early <= 0 or course.min() < 0:
        return None  # a loss that passes 0 has no such floor
    large = lr >= LARGE_LR * lr.max()
    fitted = large & (course <= MEMORISED * early)
    if fitted.sum() < SHARE * large.sum():
        return None
    return int(curve.iteration[read][int(np.argmax(fitted))])


def _has_not_learned(
    curve: Curve, val: FloatArray, train: FloatArray, early: float, end: float
) -> bool:
    share = max(1, len(train) // 20)
    first = float(np.median(train[:share])) if len(train) else early
    last = float(np.median(train[-share:])) if len(train) else end
    fall = max(first - last, early - end)
    accuracy = curve.metrics.get("accuracy", np.empty(0))
    accuracy = accuracy[np.isfinite(accuracy)]
    if len(accuracy) >= LEAST_POINTS:
        # A loss may fall to that of guessing; a net that knows more shows it here.
        guesses = float(np.median(accuracy[-3:])) <= float(accuracy[0]) + LEARNED
        return guesses and fall <= LEARNED * max(abs(first), abs(early))
    return fall <= 3 * min(noise_of(losses) for losses in (train, val) if len(losses))
