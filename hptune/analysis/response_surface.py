"""One regression of the final validation cost on the hyper-parameters of every trial that was run.

A Gaussian process over the logarithms of the hyper-parameters and of the run's length. Its kernel's
parameters are not fixed at their likeliest values but drawn from their posterior, so that what a few
trials leave open shows in the intervals.

Source: Snoek, Larochelle and Adams 2012 (the model, its parameters drawn); Murray, Adams and MacKay
2010 (elliptical slice sampling).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cholesky, solve_triangular
from scipy.special import ndtr
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, Kernel, Matern

FloatArray = NDArray[np.float64]

FEWEST = 4  # trials: fewer say nothing of a shape in five dimensions
DRAWS = 8  # of the kernel's parameters; more changed no interval that was measured
BURN_IN, THINNING = 24, 3  # steps of the sampler
GRID = 41  # values along an axis
BAND = (0.05, 0.95)
# Over which factor of each hyper-parameter the cost is expected to change its course: some steps of
# the grids that the report compares (LR by 3, 1 - momentum by 2, weight decay by 10, batch size by 2).
# A prior only, a factor of e wide each way: the trials correct it.
FACTORS = (10.0, 10.0, 1000.0, 16.0, 10.0)
PRIOR_WIDTH = 1.0
# Standard deviation of a repeat over the distance from the median trial to the best, before any
# repeat has been seen, and how far it may be off.
NOISE, NOISE_WIDTH = 0.1, 1.5
# Distances from the median trial to the best by which a cost counts as worse than the median, at most.
FARTHEST = 10.0
# Of the Matérn kernel: the least smooth one, since the cost has kinks where runs begin to break.
# Against 2.5 it was as good or better in proposals and its intervals held (scripts/quality/calibration.py).
SMOOTHNESS = 1.5
# Of the variance over settings: the part that runs of all lengths share. A third of the length ranks
# settings nearly as the whole does (scripts/quality/taskset.py), and what a longer run adds to all
# settings alike is a part of its own, or it would be taken for a shape that short runs do not show.
SHARED = 0.7
# Longer runs prefer lower LRs: the best one falls with a power of the length, this one and how far it
# may be off (scripts/quality/lengths.py). It widens what short runs alone say of the LR.
SHIFT, SHIFT_WIDTH = 0.4, 0.5
ENDLESS = 1e6  # a scale on which nothing changes
JITTER = 1e-8


@dataclass(frozen=True, kw_only=True)
class Setting:
    """Hyper-parameters of a run, and its length over that of the final run."""

    lr: float
    momentum: float
    weight_decay: float
    batch_size: float
    length: float = 1.0


@dataclass(frozen=True)
class Line:
    """The cost along one hyper-parameter, with a band that holds it with 90 % probability.

    Attributes:
        values: Of the hyper-parameter, (N,).
        mean, low, high: The cost there, (N,).
    """

    values: FloatArray
    mean: FloatArray
    low: FloatArray
    high: FloatArray


class ResponseSurface:
    """The cost at the end of a run as a function of its setting.

    Costs may have any scale and sign. Those above the median count by their logarithm, so that
    they say where not to look but do not bend the surface where it matters, and beyond `FARTHEST` they
    count alike; a trial that diverged counts as the worst that ended.

    Args:
        settings: Of the trials.
        costs: What each reached at its end, (N,); not finite where it diverged.
        lr_grows_with_momentum: Whether a step is as long as LR / (1 - momentum), as SGD's is and
            Adam's is not.
        seed: Of the sampler.

    Raises:
        ValueError: Fewer than `FEWEST` trials, or none that ended.
    """

    def __init__(
        self,
        settings: Sequence[Setting],
        costs: Sequence[float],
        *,
        lr_grows_with_momentum: bool = True,
        seed: int = 0,
    ) -> None:
        values = np.asarray(costs, dtype=float)
        if len(values) < FEWEST or not np.isfinite(values).any():
            raise ValueError(f"{len(values)} trials; must be {FEWEST} at least, and one that ended")
        self._effective, self._seed = lr_grows_with_momentum, seed
        decays = [s.weight_decay for s in settings if s.weight_decay > 0]
        self._least_decay = min(decays, default=1.0) / 10  # a magnitude below stands for none
        self.settings = tuple(settings)
        self._warp = _Warp(values)
        x, y = self._points(settings), self._warp(values)
        self._processes = _posterior(x, y, np.random.default_rng(seed))

    def predict(self, settings: Sequence[Setting]) -> tuple[FloatArray, FloatArray]:
        """Return mean and standard deviation of the cost at settings, each (N,)."""
        costs = self.samples(settings)
        return costs.mean(axis=0), costs.std(axis=0)

    def probability(self, setting: Setting, other: Setting) -> float:
        """Return the probability that a setting has the lower expected cost of two."""
        x, found = self._points([setting, other]), []
        for process in self._processes:
            mean, cov = process.predict(x, return_cov=True)
            variance = cov[0, 0] + cov[1, 1] - 2 * cov[0, 1]
            found.append(ndtr((mean[1] - mean[0]) / math.sqrt(max(float(variance), JITTER))))
        return float(np.mean(found))

    def best(self, among: Sequence[Setting] = ()) -> Setting:
        """Return which setting is expected to end best at full length, by default of all trials'."""
        settings = [replace(setting, length=1.0) for setting in among or self.settings]
        return settings[int(self.predict(settings)[0].argmin())]

    def samples(self, settings: Sequence[Setting], count: int = 512) -> FloatArray:
        """Return costs drawn jointly from the posterior, (about `count`, N)."""
        rng, x = np.random.default_rng(self._seed), self._points(settings)
        drawn = [_draws(process, x, count // DRAWS, rng) for process in self._processes]
        return self._warp.inverse(np.concatenate(drawn))

    def interval(self, axis: str, at: Setting, values: Sequence[float]) -> tuple[float, float]:
        """Return where the best value of a hyper-parameter lies with 90 % probability.

        Args:
            axis: A field of `Setting`.
            at: The other hyper-parameters, and the length.
            values: Among which the best is looked for, rising, such as those of `Region.values`.
        """
        costs = self.samples([replace(at, **{axis: value}) for value in values])
        low, high = np.quantile(costs.argmin(axis=1), BAND, method="inverted_cdf")
        return float(values[int(low)]), float(values[int(high)])

    def line(self, axis: str, at: Setting, values: Sequence[float]) -> Line:
        """Return the cost along a hyper-parameter; the arguments are those of `interval`."""
        costs = self.samples([replace(at, **{axis: value}) for value in values])
        low, high = np.quantile(costs, BAND, axis=0)
        return Line(np.asarray(values, dtype=float), costs.mean(axis=0), low, high)

    def draw(self, settings: Sequence[Setting], rng: np.random.Generator) -> FloatArray:
        """Return the costs at settings in one draw from the posterior, (N,), on the process's scale."""
        process = self._processes[rng.integers(len(self._processes))]
        return _draws(process, self._points(settings), 1, rng).ravel()

    def _points(self, settings: Sequence[Setting]) -> FloatArray:
        """Return settings as coordinates of the process, (N, 5): logarithms over `FACTORS`."""
        raw = np.array(
            [(s.lr, s.momentum, s.weight_decay, s.batch_size, s.length) for s in settings]
        )
        damping = 1 - raw[:, 1]
        lr = raw[:, 0] / damping if self._effective else raw[:, 0]
        decay = np.maximum(raw[:, 2], self._least_decay)
        columns = np.column_stack([lr, damping, decay, raw[:, 3], raw[:, 4]])
        return np.asarray(np.log(columns) / np.log(FACTORS))


def _draws(process: _Process, x: FloatArray, count: int, rng: np.random.Generator) -> FloatArray:
    """Return joint draws of the costs at points, (count, N)."""
    mean, cov = process.predict(x, return_cov=True)
    root = np.linalg.cholesky(cov + JITTER * np.eye(len(x)) * max(1.0, cov.max()))
    return np.asarray(mean + rng.standard_normal((count, len(x))) @ root.T)


def along(low: float, high: float, count: int = GRID) -> list[float]:
    """Return values from one end to the other by equal ratios."""
    return [float(value) for value in np.geomspace(low, high, count)]


class _Warp:
    """Puts costs on the scale of the process: the median at 0, the best at -1, above 0 logarithmic."""

    def __init__(self, costs: FloatArray) -> None:
        finite = costs[np.isfinite(costs)]
        self._median = float(np.median(finite))
        self._fall = self._median - float(finite.min())
        if self._fall <= 0:  # half of all trials are equal and the best
            self._fall = float(finite.max()) - self._median or 1.0
        self._worst = max(float(self._raw(finite).max()), 1.0)

    def __call__(self, costs: FloatArray) -> FloatArray:
        warped = np.full(len(costs), self._worst)
        finite = np.isfinite(costs)
        warped[finite] = self._raw(costs[finite])
        return warped

    def _raw(self, costs: FloatArray) -> FloatArray:
        scaled = (costs - self._median) / self._fall
        return np.where(scaled > 0, np.log1p(np.clip(scaled, 0, FARTHEST)), scaled)

    def inverse(self, warped: FloatArray) -> FloatArray:
        """Return costs again, none above the worst one known."""
        capped = np.minimum(warped, self._worst)
        scaled = np.where(capped > 0, np.expm1(np.maximum(capped, 0)), capped)
        return self._median + self._fall * scaled


class _Process:
    """A Gaussian process over points whose LR is that of equal standing at full length."""

    def __init__(self, x: FloatArray, y: FloatArray, parameters: FloatArray) -> None:
        kernel, noise, self._shift = _model(parameters)
        process = GaussianProcessRegressor(kernel, alpha=noise, optimizer=None)
        self._process = process.fit(_shifted(x, self._shift), y)

    def predict(self, x: FloatArray, **wanted: bool) -> Any:
        """Return what scikit-learn's `predict` does."""
        return self._process.predict(_shifted(x, self._shift), **wanted)


def _shifted(x: FloatArray, shift: float) -> FloatArray:
    """Return points with LR x length^shift in the place of the LR."""
    return np.column_stack([x[:, 0] + shift * x[:, -1], x[:, 1:]])


def _model(parameters: FloatArray) -> tuple[Kernel, float, float]:
    """Return the covariance, the variance of the noise, and the shift."""
    variance, *scales, noise = np.exp(parameters[:-1])
    return _kernel(variance, scales), noise + JITTER, float(parameters[-1])


def _posterior(x: FloatArray, y: FloatArray, rng: np.random.Generator) -> list[_Process]:
    """Return processes whose parameters are drawn from their posterior, given points and costs."""
    count = 1 + x.shape[1]
    middle = np.array([0.0] * count + [2 * math.log(NOISE), SHIFT])
    width = np.array([PRIOR_WIDTH] * count + [2 * NOISE_WIDTH, SHIFT_WIDTH])

    def likelihood(offset: FloatArray) -> float:
        """Return the logarithm of the marginal likelihood, less a constant."""
        kernel, noise, shift = _model(middle + offset)
        covariance = kernel(_shifted(x, shift)) + noise * np.eye(len(x))
        root = cholesky(covariance, lower=True)
        whitened = solve_triangular(root, y, lower=True)
        return float(-(whitened @ whitened) / 2 - np.log(root.diagonal()).sum())

    drawn, offset = [], np.zeros(len(middle))
    for step in range(BURN_IN + THINNING * DRAWS):
        offset = _slice_step(offset, width, likelihood, rng)
        if step >= BURN_IN and (step - BURN_IN) % THINNING == THINNING - 1:
            drawn.append(_Process(x, y, middle + offset))
    return drawn


def _kernel(variance: float, scales: Sequence[float]) -> Kernel:
    """Return the covariance of costs: of the setting, of setting and length, of the length alone."""
    *own, length = scales
    parts = (
        (SHARED, [*own, ENDLESS]),
        (1 - SHARED, [*own, length]),
        (1.0, [*[ENDLESS] * len(own), length]),
    )
    kernels = [ConstantKernel(variance * share) * Matern(at, nu=SMOOTHNESS) for share, at in parts]
    return kernels[0] + kernels[1] + kernels[2]


def _slice_step(
    offset: FloatArray,
    width: FloatArray,
    likelihood: Callable[[FloatArray], float],
    rng: np.random.Generator,
) -> FloatArray:
    """Return the next state of elliptical slice sampling under a normal prior."""
    direction = width * rng.standard_normal(len(width))
    level = likelihood(offset) + math.log(rng.uniform())
    angle = rng.uniform(0, 2 * math.pi)
    low, high = angle - 2 * math.pi, angle
    while True:
        proposed = offset * math.cos(angle) + direction * math.sin(angle)
        if likelihood(proposed) > level or high - low < 1e-6:
            return proposed
        low, high = (angle, high) if angle < 0 else (low, angle)
        angle = rng.uniform(low, high)
