"""Reading a training run: underfitting, overfitting, or the flat end that is the aim.

Source: Smith 2018, Remarks 1 and 2, Figures 2 to 4.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hptune.analysis.smoothing import FloatArray, noise_of, smooth
from hptune.results.divergence import FACTOR, diverged_at
from hptune.results.records import Curve

LEAST_POINTS = 5
# The fall is that of the validation loss, from early in the run to its minimum.
RISEN = 0.05  # of the fall: a validation loss this far above its minimum has risen
FALLING = 0.03  # of the fall, within the last twentieth of the run: the loss is not flat yet
MEMORISED = 1 / 500  # of the early training loss: below this a net has memorised its data
LARGE_LR = 0.2  # of its maximum
SHARE = 0.1  # of the readings with a large LR that have to be below MEMORISED
KNOWS = 0.1  # of the early validation loss: below it memorising has done no harm
LEARNED = 0.05  # of accuracy, or of the early loss: a run that gains less has not learned
RECENT = 3  # readings on either side of the comparison that tells a plateau
FLAT = 0.05  # of the fall so far: a gain below this is none

FAR = 30.0  # as divergence's factor: a net that memorises may bring the validation loss far up

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
# A training loss that still falls may be that of a net that memorises.
ALONE = ("read the validation loss: train longer where it falls too, else regularise more",)


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
    """Classify a training run by the shape of its validation loss.

    In this order: a loss that diverges; fewer than five readings (cannot-say, unless a training
    loss alone tells that the net does not learn, or still does); a loss that falls by
    no more than its noise (not-learning); one that rises clearly above its minimum while the
    training loss does not (overfit), or a training loss near 0 while LR is still large (overfit);
    one that still falls in the last twentieth of the run (underfit); else it is flat (balanced).

    Source: Smith 2018, Remarks 1 and 2: a validation loss that still falls at the end is
    underfitting, one that turns up is overfitting, and a flat end is the aim.
    """
    at = _diverged_at(curve)
    if at is not None:
        return _reading("diverged", f"the loss diverged at iteration {at}", at=at)
    known = np.isfinite(curve.val_loss)
    val, when = curve.val_loss[known], curve.iteration[known]
    train = curve.train_loss[np.isfinite(curve.train_loss)]
    if len(val) < LEAST_POINTS:
        return _without_validation(len(val), train)
    # The first reading may be of the untrained net, whose loss says nothing of the run.
    early = float(np.median(val[1 : max(3, len(val) // 10 + 1)]))
    middle = float(np.median(val))
    # Spikes at a large LR are cut, or the smoothed loss would follow them.
    smoothed = smooth(np.minimum(val, max(early, middle) + (middle - float(val.min()))))
    lowest, end = int(smoothed.argmin()), float(np.median(val[-max(1, len(val) // 20) :]))
    best = float(smoothed[lowest])
    # Without a training loss, the best of the validation loss says whether anything was learned.
    if _has_not_learned(curve, val, train, early, end if len(train) else best):
        return _reading(
            "not-learning", f"the loss ends at {end:.4g}, after {early:.4g} early in the run"
        )
    fall = max(early - best, 1e-12)
    noise = noise_of(val[-max(LEAST_POINTS, len(val) // 4) :])
    fit = smooth(train) if len(train) >= 3 else np.array([np.nan])
    told = "no training loss" if np.isnan(fit[-1]) else f"the training loss ends at {fit[-1]:.4g}"
    if (
        end - best > max(RISEN * fall, 3 * noise)
        and lowest < 0.9 * len(val)
        and not fit[-1] > fit[int(lowest / len(val) * len(fit))]  # or it was not read
    ):
        return _reading(
            "overfit",
            f"the validation loss is lowest ({best:.4g}) at iteration {when[lowest]} and ends at "
            f"{end:.4g}; {told}",
        )
    memorised = _memorised_at(curve)
    if memorised is not None and end > KNOWS * early:
        return _reading(
            "overfit",
            f"the training loss has nothing left to fit from iteration {memorised} on, with LR "
            f"still large, while the validation loss ends at {end:.4g}",
        )
    tail = val[-max(3, round(len(val) / 20)) :]
    half = len(tail) // 2
    falling = float(np.median(tail[:half]) - np.median(tail[-half:]))
    if falling > max(FALLING * fall, 2 * noise):
        return _reading(
            "underfit",
            f"the validation loss still falls at the end, by {falling:.3g} in the last twentieth "
            f"of the run, to {end:.4g}",
        )
    return _reading(
        "balanced",
        f"the validation loss is flat at the end: {end:.4g}, lowest {best:.4g}; {told}",
    )


def _without_validation(values: int, train: FloatArray) -> TrainingReading:
    """Say what a training loss shows where the validation loss has so few values.

    Where it has none, a training loss that never falls, or still falls, is a verdict; one that is
    flat is of a net that may have learned what holds, or only its data.
    """
    plural = "s" * (values != 1)
    needed = f"the validation loss has {values} value{plural}; {LEAST_POINTS} are needed"
    if len(train) < LEAST_POINTS:
        return _reading("cannot-say", needed)
    share = max(3, len(train) // 10)
    first, before, last = (
        float(np.median(part))
        for part in (train[:share], train[-2 * share : -share], train[-share:])
    )
    chance = 3 * noise_of(train) * np.sqrt(2 / share)  # of the difference of two means
    if first - last <= chance:
        verdict, told = "not-learning", "does not fall by more than its noise"
    elif before - last > max(2 * FALLING * (first - last), chance):  # in a tenth of the run
        verdict, told = "underfit", "still falls at the end"
    else:
        verdict, told = "cannot-say", "falls and is flat at the end"
    told = f"the training loss {told}: {last:.4g}, after {first:.4g} at the start"
    if values:
        verdict = "cannot-say"
    advice = ADVICE[verdict] if verdict != "underfit" else ALONE
    return TrainingReading(verdict, None, (needed, told), advice)


def _reading(verdict: str, *reasons: str, at: int | None = None) -> TrainingReading:
    return TrainingReading(verdict, at, reasons, ADVICE[verdict])


def _diverged_at(curve: Curve) -> int | None:
    """Return the iteration at which a loss diverged: the validation loss where it is alone or infinite."""
    alone = np.isnan(curve.train_loss).all()
    for losses, factor in ((curve.train_loss, FACTOR), (curve.val_loss, FAR if alone else np.inf)):
        read = np.flatnonzero(~np.isnan(losses))
        at = diverged_at(losses[read].tolist(), factor)
        if at is not None:
            return int(curve.iteration[read[at]])
    return None


def _memorised_at(curve: Curve) -> int | None:
    """Return the iteration from which the training loss is near 0, if LR was still large there.

    Such a net has memorised its training data in spite of the regularisation by a large LR.
    Source: Zhang 2017 for memorising; Smith 2018, Remark 6 for what it says of the balance.
    """
    read = np.isfinite(curve.train_loss) & np.isfinite(curve.lr)
    if read.sum() < LEAST_POINTS:
        return None
    smoothed, lr = smooth(curve.train_loss[read]), curve.lr[read]
    early = float(np.median(smoothed[: max(1, len(smoothed) // 20)]))
    if early <= 0 or smoothed.min() < 0:
        return None  # a loss that passes 0 has no such floor
    large = lr >= LARGE_LR * lr.max()
    fitted = large & (smoothed <= MEMORISED * early)
    if fitted.sum() < SHARE * large.sum():
        return None
    return int(curve.iteration[read][int(np.argmax(fitted))])


def _has_not_learned(
    curve: Curve, val: FloatArray, train: FloatArray, early: float, end: float
) -> bool:
    """Return whether neither loss falls by more than its noise, nor the accuracy rises."""
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


def on_plateau(curve: Curve) -> bool:
    """Say whether the last readings of the validation loss no longer fall, from the start of a run.

    Source: Smith 2018, section 4.4, Figure 12: weight decays are compared from a snapshot taken there.
    """
    read = curve.val_loss[np.isfinite(curve.val_loss)]
    if len(read) < 2 * RECENT:
        return False
    before, now = np.median(read[-2 * RECENT : -RECENT]), np.median(read[-RECENT:])
    fall = max(curve.train_loss[0], read[0]) - min(before, now)
    return bool(fall > 0 and before - now < FLAT * fall)
