"""How far the loss rises around weights: the largest rise in a box, and SAM's one step.

Sources: Keskar et al. 2017, "On large-batch training for deep learning", metric 2.1; Foret et al.
2021, "Sharpness-aware minimization".
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import minimize
from torch import nn

from hptune.errors import InputError
from hptune.landscape.objective import FloatArray, Objective

EPSILONS = (1e-3, 5e-4)  # Keskar's
DIRECTIONS = 100  # of a random subspace, Keskar's
ITERATIONS = 10  # of L-BFGS-B, Keskar's
RHO = 0.05  # SAM's
STEEP = 10.0  # first step of a climb, in half widths of the box
SUBSPACE = 2**30  # bytes that the directions of a subspace may take


@dataclass(frozen=True)
class Rise:
    """How far the loss rises.

    Attributes:
        measure: "box" in the space of all weights, "subspace" in a random one, or "sam".
        radius: Epsilon of the box, or rho, the length of SAM's step.
        directions: Dimensions of the space that was searched.
        seed: Of the search.
        loss: At the weights.
        highest: The highest loss that was found, at least `loss`.
        batches: What it cost, gradients of a batch.
    """

    measure: str
    radius: float
    directions: int
    seed: int
    loss: float
    highest: float
    batches: int

    @property
    def sharpness(self) -> float:
        """100 (highest - loss) / (1 + loss), Keskar's; in per cent of 1 + loss."""
        return 100 * (self.highest - self.loss) / (1 + self.loss)


def sharpness(
    model: nn.Module,
    loss: Any,
    data: Any,
    *,
    epsilons: Sequence[float] = EPSILONS,
    directions: int | None = DIRECTIONS,
    rho: float = RHO,
    iterations: int = ITERATIONS,
    budget: int | None = None,
    seed: int = 0,
    **how: Any,
) -> list[Rise]:
    """Return how far the loss rises in each box, in all directions and in some, and by SAM's step.

    A box is epsilon (|w| + 1) wide to either side of each weight w, or of each coordinate in the
    subspace. What is found is a lower bound of the largest rise, as L-BFGS-B climbs from one point.

    Args:
        model: Left as it was.
        loss: See `hptune.landscape`.
        data: Likewise.
        epsilons: Of the boxes.
        directions: Of the random subspace; None leaves it out, as do nets of fewer weights.
        rho: Length of SAM's step along the gradient.
        iterations: Of each climb.
        budget: Batches gone through at most, in all; None takes what it takes.
        seed: Of the subspace and of where the climbs begin.
        how: Of `Objective`: examples, batch_size, batch_norm, ignored, on_batch.

    Raises:
        InputError: The budget does not suffice, or the loss is not finite.
    """
    with Objective(model, loss, data, **how) as objective:
        start, size, count = objective.start, objective.size, len(objective.batches)
        if directions is not None:
            directions = min(directions, SUBSPACE // (4 * size))
        spaces = [None] if not directions or directions >= size else [None, directions]
        climbs, evaluations = len(spaces) * len(epsilons), 4 * iterations
        if budget is not None:
            evaluations = min(evaluations, (budget // count - 2) // max(climbs, 1))
            if evaluations < 2:
                raise InputError(
                    f"--budget: {budget} batches; must be at least {(2 * climbs + 2) * count} for "
                    f"{climbs} climbs on {count} batches; raise it, or look at fewer --examples"
                )
        at, gradient = objective.gradient()
        if not math.isfinite(at):
            raise InputError(
                f"loss: {at} at the trained weights; must be finite; look at a run that converged"
            )
        norm = float(np.linalg.norm(gradient))
        objective.move(start + (rho / norm * gradient if norm > 0 else 0.0))
        stepped = objective.loss()
        found = [Rise("sam", rho, 1, seed, at, stepped, 2 * count)]
        for space in spaces:
            own = _Space(objective, space, seed)
            for epsilon in epsilons:
                before = objective.done
                highest = own.climb(epsilon, at, iterations, evaluations)
                cost = objective.done - before
                name = "box" if space is None else "subspace"
                found.append(Rise(name, epsilon, own.size, seed, at, highest, cost))
        return found


class _Space:
    """The space that is searched: all weights, or as many random directions through them."""

    def __init__(self, objective: Objective, directions: int | None, seed: int) -> None:
        self._objective, self._seed = objective, seed
        self._basis = None
        self.size, at = objective.size, objective.start
        if directions is not None:
            rng = np.random.default_rng(seed)
            self._basis = rng.standard_normal((objective.size, directions), dtype=np.float32)
            self.size = directions
            # The pseudo-inverse of the basis times the weights: Keskar's width of the box.
            gram = (self._basis.T @ self._basis).astype(np.float64)
            at = np.linalg.solve(gram, self._basis.T @ at.astype(np.float32))
        self._width = np.abs(at) + 1

    def climb(self, epsilon: float, at: float, iterations: int, evaluations: int) -> float:
        """Return the highest loss that is met in the box, `at` where none is higher."""
        highest, objective, basis, scale = at, self._objective, self._basis, 0.0
        bound = epsilon * self._width

        def descended(z: FloatArray) -> tuple[float, FloatArray]:
            nonlocal highest, scale
            offset = z * bound
            # In the basis's own type: it would be copied whole into a wider one each time.
            step = offset if basis is None else basis @ offset.astype(np.float32)
            objective.move(objective.start + step)
            value, gradient = objective.gradient()
            if not math.isfinite(value):
                return math.inf, np.zeros_like(z)
            highest = max(highest, value)
            along = bound * (gradient if basis is None else basis.T @ gradient.astype(np.float32))
            # So steep that the first step, which is as long as the gradient, crosses the box.
            scale = scale or STEEP * math.sqrt(self.size) / max(
                float(np.linalg.norm(along)), 1e-300
            )
            return (at - value) * scale, -along * scale

        # The weights themselves may be a minimum, where no direction leads up.
        first = np.random.default_rng(self._seed).uniform(-1, 1, self.size)
        minimize(
            descended, first, jac=True, method="L-BFGS-B", bounds=[(-1, 1)] * self.size,
            options={"maxiter": iterations, "maxfun": evaluations},
        )  # fmt: skip
        return highest
