"""The Hessian's spectrum: largest eigenvalues, trace, density.

Sources: Sagun, Bottou and LeCun 2016, "Eigenvalues of the Hessian in deep learning"; Ghorbani,
Krishnan and Xiao 2019, "An investigation into neural net optimization via Hessian eigenvalue
density" (stochastic Lanczos quadrature).
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, eigsh
from torch import nn

from hptune.errors import InputError
from hptune.landscape.objective import FloatArray, Objective

Products = Literal["exact", "differences"]
TOP, STEPS, VECTORS = 5, 40, 2
NEAR_ZERO = 0.01  # of the largest eigenvalue
POINTS = 400  # of the density's curve
TOLERANCE = 1e-3
EXACT = 1000  # weights up to which all eigenvalues are computed


@dataclass(frozen=True)
class Spectrum:
    """What is known of a Hessian's eigenvalues.

    Attributes:
        top: The largest eigenvalues, the largest first.
        lowest: The lowest eigenvalue that was met, at or above the true one.
        trace: Sum of all eigenvalues.
        trace_error: Standard error of that over the random vectors; 0 where it is exact, NaN with
            one vector.
        near_zero: Share of the eigenvalues of less than 1 % of the largest in size.
        grid, density: Density of the eigenvalues, its integral is 1; each eigenvalue is smeared to
            a bell of 1 % of the spectrum's width.
        nodes, shares: The same without smearing: points and their shares of all eigenvalues.
        exact: Whether all eigenvalues were computed.
        weights: Number of weights.
        loss, gradient_norm: Where the model stands.
        products: Hessian-vector products that it took.
        converged: Whether every one of `top` did.
    """

    top: FloatArray
    lowest: float
    trace: float
    trace_error: float
    near_zero: float
    grid: FloatArray
    density: FloatArray
    nodes: FloatArray
    shares: FloatArray
    exact: bool
    weights: int
    loss: float
    gradient_norm: float
    products: int
    converged: bool


def hessian(
    model: nn.Module,
    loss: Any,
    data: Any,
    *,
    top: int = TOP,
    steps: int = STEPS,
    vectors: int = VECTORS,
    budget: int | None = None,
    products: Products = "exact",
    exact_up_to: int = EXACT,
    seed: int = 0,
    **how: Any,
) -> Spectrum:
    """Return the spectrum of the Hessian of a loss at a model's weights.

    A net of few weights has all its eigenvalues computed, where the budget allows it.

    Args:
        model: Left as it was.
        loss: See `hptune.landscape`.
        data: Likewise.
        top: How many of the largest eigenvalues, to 1e-3 of each.
        steps: Of Lanczos for the density, at least 2; 0 leaves the density and the trace out.
        vectors: Random vectors that the density is averaged over.
        budget: Batches of Hessian-vector products at most; None takes what it takes.
        products: "exact", or "differences" of gradients: see `Objective.difference`.
        exact_up_to: Weights up to which all eigenvalues are computed.
        seed: Of the random vectors.
        how: Of `Objective`: examples, batch_size, batch_norm, ignored, on_batch.

    Raises:
        InputError: The budget does not suffice, or curvlinops is not installed.
    """
    with Objective(model, loss, data, **how) as objective:
        count, size = len(objective.batches), objective.size
        allowed = math.inf if budget is None else budget // count - 1
        needed = max(2 * min(top, size) + 2, 12) + 1  # of ARPACK's basis
        if steps:
            affordable = min(allowed / 2, allowed - needed) / vectors
            steps = max(int(min(steps, affordable)), 2)
        if allowed < needed + steps * vectors:
            least = (needed + steps * vectors + 1) * count
            raise InputError(
                f"--budget: {budget} batches; must be at least {least} "
                f"for {top} eigenvalues on {count} batches; raise it, or look at fewer --examples"
            )
        value, gradient = objective.gradient()
        by_difference = partial(objective.difference, gradient=gradient)
        multiply, made = _counted(objective.product if products == "exact" else by_difference)
        operator = _Symmetric(multiply, size)
        about: dict[str, Any] = {
            "weights": size,
            "loss": value,
            "gradient_norm": float(np.linalg.norm(gradient)),
        }
        if size <= min(max(exact_up_to, needed), allowed):
            columns = np.stack([multiply(unit) for unit in np.eye(size)])
            nodes = np.linalg.eigvalsh((columns + columns.T) / 2)
            whole = (nodes, np.full(size, 1 / size), float(nodes.sum()), 0.0)
            found = nodes[::-1][:top].copy()
            return _spectrum(found, *whole, exact=True, made=made(), converged=True, **about)
        if not multiply(np.random.default_rng(seed).standard_normal(size)).any():
            # All of it is zero, of which neither ARPACK nor Lanczos make anything.
            flat = (np.zeros(top), np.zeros(1), np.ones(1), 0.0, 0.0)
            return _spectrum(*flat, exact=False, made=made(), converged=True, **about)
        left = allowed - steps * vectors - 1
        found, converged = _largest(operator, top, gradient, left, seed)
        density = _quadrature(operator, steps, vectors, seed)
        return _spectrum(found, *density, exact=False, made=made(), converged=converged, **about)


def _largest(
    operator: _Symmetric, top: int, gradient: FloatArray, allowed: float, seed: int
) -> tuple[FloatArray, bool]:
    """Return the largest eigenvalues, those that converged first, and whether all did."""
    basis = min(max(2 * top + 2, 12), operator.size)
    # Most of the gradient lies along the largest eigenvalues; what is random keeps it from missing one.
    random = np.random.default_rng(seed).standard_normal(operator.size)
    first = random / np.linalg.norm(random)
    norm = float(np.linalg.norm(gradient))
    if norm > 0:
        first = first + gradient / norm
    restarts = None if allowed == math.inf else max(int((allowed - basis) // (basis - top)), 1)
    try:
        found = eigsh(
            operator.scipy, k=top, which="LA", v0=first, ncv=basis, tol=TOLERANCE,
            maxiter=restarts, return_eigenvectors=False,
        )  # fmt: skip
    except ArpackNoConvergence as error:
        return np.sort(error.eigenvalues)[::-1], False
    return np.sort(found)[::-1], True


def _quadrature(
    operator: _Symmetric, steps: int, vectors: int, seed: int
) -> tuple[FloatArray, FloatArray, float, float]:
    """Return points and shares of the density, the trace and its error."""
    if not steps:
        return np.empty(0), np.empty(0), math.nan, math.nan
    fast_lanczos = _fast_lanczos()
    nodes, shares, traces = [], [], []
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for _ in range(vectors):
            values, columns = fast_lanczos(operator, steps)
            share = columns[0].numpy() ** 2
            nodes.append(values.numpy())
            shares.append(share / share.sum() / vectors)
            traces.append(operator.size * float(share @ nodes[-1]))
    error = float(np.std(traces, ddof=1) / math.sqrt(vectors)) if vectors > 1 else math.nan
    return np.concatenate(nodes), np.concatenate(shares), float(np.mean(traces)), error


def _spectrum(
    top: FloatArray,
    nodes: FloatArray,
    shares: FloatArray,
    trace: float,
    error: float,
    *,
    exact: bool,
    made: int,
    converged: bool,
    **about: Any,
) -> Spectrum:
    met = np.concatenate([nodes, top])
    low, high = (float(met.min()), float(met.max())) if len(met) else (math.nan, math.nan)
    largest = max(abs(low), abs(high))
    close = float(shares[np.abs(nodes) <= NEAR_ZERO * largest].sum()) if len(nodes) else math.nan
    width = (high - low) / 100 or 1e-12
    grid = np.linspace(low - 4 * width, high + 4 * width, POINTS) if len(nodes) else np.empty(0)
    bells = np.exp(-0.5 * ((grid[:, None] - nodes) / width) ** 2)
    density = bells @ shares / (width * math.sqrt(2 * math.pi))
    return Spectrum(
        top=top, lowest=low, trace=trace, trace_error=error, near_zero=close, grid=grid,
        density=density, nodes=nodes, shares=shares, exact=exact, products=made,
        converged=converged, **about,
    )  # fmt: skip


def _counted(
    multiply: Callable[[FloatArray], FloatArray],
) -> tuple[Callable[[FloatArray], FloatArray], Callable[[], int]]:
    made = 0

    def counted(vector: FloatArray) -> FloatArray:
        nonlocal made
        made += 1
        return multiply(np.asarray(vector, dtype=np.float64).reshape(-1))

    return counted, lambda: made


class _Symmetric:
    """A symmetric matrix (N, N) by its products, as scipy and curvlinops take them; float64."""

    def __init__(self, multiply: Callable[[FloatArray], NDArray[np.float64]], size: int) -> None:
        self.size, self.shape = size, (size, size)
        self.device, self.dtype = torch.device("cpu"), torch.float64
        self._multiply = multiply
        self.scipy = LinearOperator((size, size), matvec=multiply, dtype=np.float64)

    def __matmul__(self, vector: torch.Tensor) -> torch.Tensor:
        return torch.from_numpy(self._multiply(vector.numpy()))


def _fast_lanczos() -> Callable[[Any, int], tuple[torch.Tensor, torch.Tensor]]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what it imports that torch is to lose
            from curvlinops.papyan2020traces.spectrum import fast_lanczos
    except ImportError:
        raise InputError(
            "hptune landscape hessian: curvlinops is not installed; the density needs it; "
            'pip install "hptune[landscape]", or leave the density out with --steps 0'
        ) from None
    lanczos: Callable[[Any, int], tuple[torch.Tensor, torch.Tensor]] = fast_lanczos
    return lanczos
