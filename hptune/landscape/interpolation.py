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
from torch import nn

from hptune.errors import InputError
from hptune.landscape import directions
from hptune.landscape.objective import FloatArray
from hptune.landscape.reader import Reader, Row, Weights

POINTS = 25  # of a line
SIDE = 15  # points of a plane's side
REACH = 0.25  # of the line's length, beyond either end


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
        start: A state dict.
        end: Another.
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
    points = _affordable(points, lambda n: line_points(n, reach).size, reader, budget, least=3)
    with reader:
        begin, through = reader.flat(start), reader.flat(end)
        rows = [
            {"position": float(t), **reader.at(begin + t * (through - begin))}
            for t in line_points(points, reach)
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
        loss: As of `line`.
        data: As of `line`.
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
            along = directions.random(reader.parameters, flat[0], seed)
        else:
            along = (
                directions.through(flat)
                if len(flat) == 3
                else directions.principal(flat[0], on_path)
            )
        # Coordinates count lengths of the directions; those that are not random have length 1.
        norms = [float(direction @ direction) for direction in along]
        places = [directions.place(own, flat[0], along, norms) for own in [*flat, *on_path]]
        xs, ys = directions.sides(
            places if len(flat) == 1 else places[:3], side, reach, random=random
        )
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


def line_points(points: int, reach: float = REACH) -> FloatArray:
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
