"""The directions of a plane through weights, (N,) each, and where weights lie on it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from hptune.errors import InputError
from hptune.landscape.objective import FloatArray

Row = dict[str, float]


def through(solutions: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Return orthonormal directions of the plane through three solutions."""
    x, y = solutions[1] - solutions[0], solutions[2] - solutions[0]
    length = float(x.norm())
    x = x / max(length, 1e-30)
    y = y - (y @ x) * x
    height = float(y.norm())
    if min(length, height) <= 1e-6 * float(solutions[0].norm()):
        raise InputError(
            "solutions: two are equal or all lie on one line; must span a plane; give other runs"
        )
    return x, y / height


def principal(solution: Tensor, path: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Return the two orthonormal directions in which a path to a solution moves most."""
    away = torch.stack(list(path)) - solution
    _, vectors = torch.linalg.eigh((away @ away.T).double())
    x, y = (away.T @ vectors[:, -n].to(away.dtype) for n in (1, 2))
    if float(y.norm()) <= 1e-6 * float(x.norm()) or not float(x.norm()):
        raise InputError(
            "path: lies on one line; must span a plane; leave it out, or give a longer run's"
        )
    return x / x.norm(), y / y.norm()


def random(parameters: Mapping[str, Tensor], solution: Tensor, seed: int) -> tuple[Tensor, Tensor]:
    """Return two random directions, each filter of the length that the solution's own has."""
    generator, directions = torch.Generator().manual_seed(seed), []
    for _ in range(2):
        parts, at = [], 0
        for own in parameters.values():
            random = torch.randn(own.shape, generator=generator).to(own.device, own.dtype)
            weights = solution[at : at + own.numel()].view(own.shape)
            at += own.numel()
            if own.ndim < 2:  # Li et al. leave biases and norms where they are
                parts.append(torch.zeros_like(weights).view(-1))
                continue
            rows, filters = random.flatten(1), weights.flatten(1)
            rows = rows * (filters.norm(dim=1, keepdim=True) / rows.norm(dim=1, keepdim=True))
            parts.append(rows.reshape(-1))
        directions.append(torch.cat(parts))
    return directions[0], directions[1]


def place(weights: Tensor, origin: Tensor, along: Sequence[Tensor], norms: Sequence[float]) -> Row:
    """Return where weights lie on the plane, and how far from it."""
    away = weights - origin
    if abs(float(along[0] @ along[1])) > 1e-4 * math.sqrt(norms[0] * norms[1]):
        # Random directions are only about orthogonal: least squares.
        basis = torch.stack(list(along), 1)
        gram = (basis.T @ basis).double()
        x, y = torch.linalg.solve(gram, (basis.T @ away).double()).tolist()
    else:
        x, y = (
            float(direction @ away) / max(norm, 1e-30)
            for direction, norm in zip(along, norms, strict=True)
        )
    off = float((away - x * along[0] - y * along[1]).norm())
    return {"x": x, "y": y, "off": off}


def sides(
    places: Sequence[Row], side: int, reach: float, *, random: bool
) -> tuple[FloatArray, FloatArray]:
    if random:
        both = np.linspace(-1, 1, side)
        return both, both
    low = [min(place[name] for place in places) for name in ("x", "y")]
    high = [max(place[name] for place in places) for name in ("x", "y")]
    margin = reach * max(h - w for h, w in zip(high, low, strict=True))
    xs, ys = (np.linspace(w - margin, h + margin, side) for w, h in zip(low, high, strict=True))
    return xs, ys
