"""Loss and metrics on the line between two solutions, and on a plane.

Sources: Goodfellow, Vinyals and Saxe 2015, "Qualitatively characterizing neural network optimization
problems" (the line); Li et al. 2018, "Visualizing the loss landscape of neural nets" (the plane,
filter-normalised directions).

At each point batch norms' averages are gathered anew from training data, as those of other weights
say nothing there; dropout is off. Weights are interpolated, other buffers are the start's.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from hptune.errors import InputError
from hptune.landscape.batches import BATCH_SIZE, EXAMPLES, Batches, fixed_batches, step_of
from hptune.landscape.objective import FloatArray, OnBatch
from hptune.task import MetricSpec, Task
from hptune.training.device import Device
from hptune.training.evaluation import evaluate
from hptune.training.statistics import fresh_statistics, running_modules

POINTS = 25  # of a line
SIDE = 15  # points of a plane's side
REACH = 0.25  # of the line's length, beyond either end
Weights = Mapping[str, Tensor]
Row = dict[str, float]


@dataclass(frozen=True)
class Line:
    """What a line shows.

    Attributes:
        rows: A point each: position (0 at the start, 1 at the end), and by the name of the data
            NAME_loss and NAME_METRIC.
        distance: Between the ends, Euclidean.
    """

    rows: list[Row]
    distance: float

    def barrier(self, name: str = "train") -> float:
        """Return how far the loss rises above the straight line between its ends, 0 where nowhere."""
        inside = [row for row in self.rows if 0 <= row["position"] <= 1]
        ends = inside[0][f"{name}_loss"], inside[-1][f"{name}_loss"]
        above = [
            row[f"{name}_loss"] - ((1 - row["position"]) * ends[0] + row["position"] * ends[1])
            for row in inside
        ]
        return max(*above, 0.0)


@dataclass(frozen=True)
class Plane:
    """What a plane shows.

    Attributes:
        rows: A point each: x, y, and by the name of the data NAME_loss and NAME_METRIC.
        places: Where solutions and path lie: x, y and `off`, their distance from the plane.
    """

    rows: list[Row]
    places: list[Row]


def line(
    model: nn.Module,
    start: Weights,
    end: Weights,
    loss: Any,
    data: Mapping[str, Any],
    *,
    points: int = POINTS,
    reach: float = REACH,
    budget: int | None = None,
    **how: Any,
) -> Line:
    """Return loss and metrics on the line through two solutions.

    Args:
        model: Of the architecture; it is left as it was.
        start, end: State dicts.
        loss: See `hptune.landscape`.
        data: By name, the first is the training data, which averages are gathered from.
        points: Between the ends, both included; those beyond have the same distance.
        reach: Beyond either end, of the distance.
        budget: Batches read at most; fewer points are then taken.
        how: Of `Reader`: metrics, examples, batch_size, ignored, on_batch.

    Raises:
        InputError: The solutions are of other models, or the budget does not suffice.
    """
    reader = Reader(model, loss, data, **how)
    points = _affordable(points, lambda n: _line_points(n, reach).size, reader, budget, least=3)
    with reader:
        begin, through = reader.flat(start), reader.flat(end)
        rows = [
            {"position": float(t), **reader.at(begin + t * (through - begin))}
            for t in _line_points(points, reach)
        ]
    return Line(rows, float((through - begin).norm()))


def plane(
    model: nn.Module,
    solutions: Sequence[Weights],
    loss: Any,
    data: Mapping[str, Any],
    *,
    path: Sequence[Weights] = (),
    side: int = SIDE,
    reach: float = REACH,
    budget: int | None = None,
    seed: int = 0,
    **how: Any,
) -> Plane:
    """Return loss and metrics on a plane: through three solutions, or around one.

    Through three, coordinates are distances, the first solution is the origin and the second lies
    on the x axis. Around one with a path, the plane is that of the path's two principal directions,
    coordinates are distances. Around one alone, the directions are random, each filter as long as the
    solution's own, biases and norms stay; coordinates run from -1 to 1.

    Args:
        model: Of the architecture; it is left as it was.
        solutions: Three state dicts, or one.
        loss, data: As of `line`.
        path: State dicts to project onto the plane, such as those of a run.
        side: Points of a side of the grid.
        reach: Beyond the solutions, of the triangle's width.
        budget: Batches read at most; fewer points are then taken.
        seed: Of the random directions.
        how: As of `line`.

    Raises:
        InputError: The solutions do not span a plane, or the budget does not suffice.
    """
    if len(solutions) not in (1, 3):
        raise InputError(
            f"solutions: {len(solutions)}; must be three to lie on the plane, or one to lie in its middle; "
            "give one or three"
        )
    reader = Reader(model, loss, data, **how)
    side = _affordable(side, lambda n: n * n, reader, budget, least=3)
    with reader:
        flat = [reader.flat(weights) for weights in solutions]
        on_path = [reader.flat(weights) for weights in path]
        random = len(flat) == 1 and len(path) < 3
        if random:  # in which a path would hardly show
            along = _random(reader, flat[0], seed)
        else:
            along = _through(flat) if len(flat) == 3 else _principal(flat[0], on_path)
        # Coordinates count lengths of the directions; those that are not random have length 1.
        norms = [float(direction @ direction) for direction in along]
        places = [_place(own, flat[0], along, norms) for own in [*flat, *on_path]]
        xs, ys = _sides(places if len(flat) == 1 else places[:3], side, reach, random=random)
        rows = [
            {
                "x": float(x),
                "y": float(y),
                **reader.at(flat[0] + float(x) * along[0] + float(y) * along[1]),
            }
            for y in ys
            for x in xs
        ]
    return Plane(rows, places)


class Reader:
    """Reads loss and metrics on fixed data at any weights. Use as a context manager.

    Args:
        model: On its device.
        loss: See `hptune.landscape`.
        data: By name; averages are gathered from the first.
        metrics: By name.
        examples: Of each at most, None for all.
        batch_size: Examples a batch.
        ignored: Target that does not count.
        on_batch: Is told how many batches have been read.
    """

    def __init__(
        self,
        model: nn.Module,
        loss: Any,
        data: Mapping[str, Any],
        *,
        metrics: Mapping[str, MetricSpec] | None = None,
        examples: int | None = EXAMPLES,
        batch_size: int = BATCH_SIZE,
        ignored: int | None = None,
        on_batch: OnBatch | None = None,
    ) -> None:
        self.model, self._on_batch, self.done = model, on_batch, 0
        self.parameters = dict(model.named_parameters())
        self._device = Device(next(iter(self.parameters.values())).device)
        self._data: dict[str, Batches] = {
            name: fixed_batches(
                own, self._device.torch_device, examples=examples, batch_size=batch_size
            )
            for name, own in data.items()
        }
        first = next(iter(self._data.values()))
        self._gathered = list(first.batches()) if running_modules(model) else []
        self._task = Task(
            make_model=lambda: model, step=step_of(loss), train=first, validation=first,
            metrics=metrics or {}, ignored=ignored,
        )  # fmt: skip
        # What a point costs.
        counts = [len(list(own.batches())) for own in self._data.values()]
        self.batches = sum(counts) + len(self._gathered)

    def __enter__(self) -> Reader:
        self._before = {name: own.clone() for name, own in self.model.state_dict().items()}
        self._modes = {module: module.training for module in self.model.modules()}
        return self

    def __exit__(self, *error: object) -> None:
        self.model.load_state_dict(self._before)
        for module, training in self._modes.items():
            module.training = training

    def flat(self, weights: Weights) -> Tensor:
        """Return a state dict's parameters as one vector (N,).

        Raises:
            InputError: It is of another model.
        """
        parts = []
        for name, own in self.parameters.items():
            if name not in weights or weights[name].shape != own.shape:
                raise InputError(
                    f"solutions: {name} is not in all of them in the same shape; must be of one "
                    "architecture; give runs of the same model"
                )
            parts.append(weights[name].detach().reshape(-1).to(own.device, own.dtype))
        return torch.cat(parts)

    def at(self, weights: Tensor) -> Row:
        """Return loss and metrics on all data at weights (N,)."""
        with torch.no_grad():
            at = 0
            for own in self.parameters.values():
                own.copy_(weights[at : at + own.numel()].view(own.shape))
                at += own.numel()
        if not self._gathered:
            return self._read()
        with fresh_statistics(self._task, self.model, self._gathered, self._device):
            return self._read()

    def _read(self) -> Row:
        row: Row = {}
        for name, own in self._data.items():
            read = evaluate(self._task, self.model, own, self._device)
            row[f"{name}_loss"] = read.loss
            row |= {f"{name}_{metric}": value for metric, value in read.metrics.items()}
        self.done += self.batches
        if self._on_batch is not None:
            self._on_batch(self.done)
        return row


def _line_points(points: int, reach: float) -> FloatArray:
    """Return positions from -reach to 1 + reach, 0 and 1 among them."""
    step = 1 / (points - 1)
    beyond = math.floor(reach / step + 1e-9)
    return np.arange(-beyond, points + beyond) * step


def _affordable(points: int, count: Any, reader: Reader, budget: int | None, *, least: int) -> int:
    """Return the most points that a budget pays, and no more than asked for."""
    for fewer in range(points, least - 1, -1):
        if budget is None or count(fewer) * reader.batches <= budget:
            return fewer
    raise InputError(
        f"--budget: {budget} batches; must be at least {count(least) * reader.batches} for "
        f"{count(least)} points; raise it, or look at fewer --examples"
    )


def _through(solutions: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
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


def _principal(solution: Tensor, path: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Return the two orthonormal directions in which a path to a solution moves most."""
    away = torch.stack(list(path)) - solution
    _, vectors = torch.linalg.eigh((away @ away.T).double())
    x, y = (away.T @ vectors[:, -n].to(away.dtype) for n in (1, 2))
    if float(y.norm()) <= 1e-6 * float(x.norm()) or not float(x.norm()):
        raise InputError(
            "path: lies on one line; must span a plane; leave it out, or give a longer run's"
        )
    return x / x.norm(), y / y.norm()


def _random(reader: Reader, solution: Tensor, seed: int) -> tuple[Tensor, Tensor]:
    """Return two random directions, each filter of the length that the solution's own has."""
    generator, directions = torch.Generator().manual_seed(seed), []
    for _ in range(2):
        parts, at = [], 0
        for own in reader.parameters.values():
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


def _place(weights: Tensor, origin: Tensor, along: Sequence[Tensor], norms: Sequence[float]) -> Row:
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


def _sides(
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
