"""The next settings to try: those that end best in a draw of what the model of all trials holds possible.

The largest expected improvement stayed near the best one known: after 26 trainings it was 0.62 to 0.79
points above the best of each of 34 tables; these are 0.19 (scripts/quality/order.py).

Source: Thompson 1933; Kandasamy et al. 2018, "Parallelised Bayesian Optimisation via Thompson Sampling".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hptune.analysis.response_surface import FloatArray, ResponseSurface, Setting, along

DRAWN = 900  # settings that are judged for each proposal
NEAR = 1 / 3  # of them lie around the best one known, the others anywhere
# How far around, over the width of the region: from a last correction to a step across.
STEPS = (0.03, 0.1, 0.3)
UNMOVED = 0.4  # of the hyper-parameters of a setting drawn near the best keep their value


@dataclass(frozen=True, kw_only=True)
class Region:
    """Where settings are looked for: the lowest and highest of each hyper-parameter.

    Attributes:
        lr, weight_decay: Equal ratios are equally likely; both ends are above 0.
        momentum: Equal ratios of 1 - momentum are equally likely; both ends are below 1.
        batch_sizes: All that may be taken, rising.
    """

    lr: tuple[float, float]
    momentum: tuple[float, float]
    weight_decay: tuple[float, float]
    batch_sizes: tuple[int, ...]

    def at(self, shares: FloatArray) -> list[Setting]:
        """Return whole runs by their place between the ends, (N, 4) in [0, 1]."""
        sizes = self.batch_sizes
        return [
            Setting(
                lr=_between(*self.lr, lr),
                momentum=1 - _between(1 - self.momentum[0], 1 - self.momentum[1], momentum),
                weight_decay=_between(*self.weight_decay, decay),
                batch_size=sizes[min(int(size * len(sizes)), len(sizes) - 1)],
            )
            for lr, momentum, decay, size in shares
        ]

    def values(self, axis: str) -> list[float]:
        """Return values of one hyper-parameter between its ends, rising, for intervals and lines."""
        if axis == "batch_size":
            return [float(size) for size in self.batch_sizes]
        if axis == "momentum":
            return [1 - damping for damping in along(1 - self.momentum[0], 1 - self.momentum[1])]
        return along(*(self.lr if axis == "lr" else self.weight_decay))

    def shares(self, setting: Setting) -> FloatArray:
        """Return a setting's place between the ends, (4,), held within [0, 1]."""
        sizes = np.log(self.batch_sizes)
        nearest = int(np.abs(sizes - np.log(setting.batch_size)).argmin())
        places = [
            _place(*self.lr, setting.lr),
            _place(1 - self.momentum[0], 1 - self.momentum[1], 1 - setting.momentum),
            _place(*self.weight_decay, max(setting.weight_decay, self.weight_decay[0])),
            (nearest + 0.5) / len(sizes),
        ]
        return np.clip(places, 0.0, 1.0)


def propose(surface: ResponseSurface, region: Region, *, near: Setting, seed: int = 0) -> Setting:
    """Return the setting that ends best at full length in one draw from the model.

    Args:
        surface: Of all trials so far.
        region: Where to look.
        near: The best setting known.
        seed: Of the draw.
    """
    rng = np.random.default_rng(seed)
    shares = rng.uniform(size=(DRAWN, 4))
    beside = round(NEAR * DRAWN)
    step = rng.choice(STEPS, size=(beside, 1)) * rng.standard_normal((beside, 4))
    step[rng.uniform(size=step.shape) < UNMOVED] = 0.0
    shares[:beside] = np.clip(region.shares(near) + step, 0.0, 1.0)
    drawn = region.at(shares)
    return drawn[int(surface.draw(drawn, rng).argmin())]


def _between(low: float, high: float, share: float) -> float:
    return float(low * (high / low) ** share)


def _place(low: float, high: float, value: float) -> float:
    if low == high:  # nothing to choose
        return 0.0
    return float(np.log(value / low) / np.log(high / low))
