"""Learning-rate policies: LR and momentum as pure functions of the position in a run.

Every policy gives two arrays with a value for each iteration. Momentum moves by the same
mechanism as LR, mirrored: it falls while LR rises.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hptune.errors import InputError

FloatArray = NDArray[np.float64]
MOMENTUM_MODES = ("auto", "cyclical", "increasing", "constant")
STEPSIZE = 0.45  # of the run: one cycle, then a tenth of the run at a very small LR


@dataclass(frozen=True)
class Schedule:
    """LR and momentum of every iteration of a run, each of shape (iterations,)."""

    lr: FloatArray
    momentum: FloatArray


@dataclass(frozen=True)
class Parameter:
    """An argument of a policy. A length is a fraction of the run, iterations, or text with a unit."""

    name: str
    default: float | str | None
    text: str


@dataclass(frozen=True)
class Position:
    """A run as a policy sees it.

    Attributes:
        iteration: 0, 1, ... of shape (iterations,), as floats.
        lr: The maximum, or the start where a policy only falls.
        lr_min: The minimum or start of a cycle; None where the user gave none.
        per_epoch: Iterations an epoch, None where it is not known.
        args: The policy's own arguments, complete with defaults.
    """

    iteration: FloatArray
    lr: float
    lr_min: float | None
    per_epoch: float | None
    args: Mapping[str, Any]

    def length(self, name: str) -> float:
        """Return a length argument in iterations."""
        return _length(name, self.args[name], len(self.iteration), self.per_epoch)


@dataclass(frozen=True)
class Policy:
    """A policy by name.

    Attributes:
        lr: LR of every iteration.
        cycle: How high LR stands in its cycle, from 0 to 1, for the momentum that mirrors
            it; None where LR does not cycle.
    """

    name: str
    summary: str
    parameters: tuple[Parameter, ...]
    lr: Callable[[Position], FloatArray]
    cycle: Callable[[Position], FloatArray] | None = None


def schedule(
    name: str,
    iterations: int,
    *,
    lr: float,
    lr_min: float | None = None,
    momentum: float = 0.9,
    momentum_min: float | None = None,
    momentum_mode: str = "auto",
    iterations_per_epoch: float | None = None,
    args: Mapping[str, Any] | None = None,
) -> Schedule:
    """Compute a policy's LR and momentum for a whole run.

    Args:
        name: One of `POLICIES`.
        iterations: Length of the run.
        lr: Maximum LR.
        lr_min: Minimum LR; each policy has its default.
        momentum: Maximum of momentum.
        momentum_min: Minimum of momentum.
        momentum_mode: "cyclical" (falls while LR rises), "increasing" (rises with it), "constant",
            or "auto": cyclical where a minimum is given, else constant.
        iterations_per_epoch: Lets lengths be given in epochs.
        args: The policy's own arguments.

    Raises:
        InputError: Unknown policy or argument, or a value out of range.
    """
    policy = find_policy(name)
    given = dict(args or {})
    known = {p.name: p.default for p in (*policy.parameters, *COMMON)}
    for key in given:
        if key not in known:
            raise InputError(
                f"policy {name}: no argument {key!r}; must be of {', '.join(sorted(known))}"
                + _did_you_mean(key, known)
            )
    if iterations < 1:
        raise InputError(f"iterations: {iterations}; must be at least 1; lengthen the run")
    if momentum_mode not in MOMENTUM_MODES:
        raise InputError(
            f"policy.momentum: {momentum_mode!r}; must be of {', '.join(MOMENTUM_MODES)}"
            + _did_you_mean(momentum_mode, MOMENTUM_MODES)
        )
    position = Position(
        iteration=np.arange(iterations, dtype=np.float64),
        lr=lr,
        lr_min=lr_min,
        per_epoch=iterations_per_epoch,
        args=known | given,
    )
    return Schedule(
        lr=_warmed_up(policy, position),
        momentum=_momentum(policy, position, momentum, momentum_min, momentum_mode),
    )


def find_policy(name: str) -> Policy:
    """Return a policy by name.

    Raises:
        InputError: There is none of this name.
    """
    if name not in POLICIES:
        raise InputError(
            f"policy: {name!r}; must be of {', '.join(POLICIES)}" + _did_you_mean(name, POLICIES)
        )
    return POLICIES[name]


def _did_you_mean(name: str, known: Any) -> str:
    close = get_close_matches(str(name), [str(k) for k in known], 1)
    return f"; did you mean {close[0]!r}?" if close else "; choose one of these"


def _length(name: str, value: Any, iterations: int, per_epoch: float | None) -> float:
    rule = (
        "must be a fraction of the run (0 to 1), a number of iterations (above 1), "
        "or text like '41 epochs' or '5000 iterations'; give one of these"
    )
    number, unit = value, ""
    if isinstance(value, str):
        head, _, unit = value.strip().partition(" ")
        try:
            number = float(head)
        except ValueError:
            raise InputError(f"policy.args.{name}: {value!r}; {rule}") from None
    if isinstance(number, bool) or not isinstance(number, int | float) or not number > 0:
        raise InputError(f"policy.args.{name}: {value!r}; {rule}")
    if unit.startswith("epoch"):
        if per_epoch is None:
            raise InputError(
                f"policy.args.{name}: {value!r}; the length of an epoch is not known here; "
                "give a fraction of the run or iterations"
            )
        return max(1.0, float(round(number * per_epoch)))
    if unit.startswith("iteration"):
        return float(number)
    if unit:
        raise InputError(f"policy.args.{name}: {value!r}; {rule}")
    return float(number) if number > 1 else max(1.0, float(round(number * iterations)))


# The policies


def _one_cycle(p: Position) -> FloatArray:
    """The author's: up for a stepsize, down to 0 for another, never below a thousandth of the start.

    Source: measured from the author's published logs, Smith 2018.
    """
    low = p.lr / 10 if p.lr_min is None else p.lr_min
    s = p.length("stepsize")
    i = p.iteration
    rise = low + (p.lr - low) * i / s
    fall = p.lr * (1 - (i - s) / s)
    return np.where(i <= s, rise, np.maximum(fall, low * float(p.args["floor"])))


def _triangle(i: FloatArray, stepsize: float) -> FloatArray:
    """Height of a triangle wave with half period `stepsize`: 0 at 0, 1 at `stepsize`, 0 at twice that."""
    cycle = np.floor(1 + i / (2 * stepsize))
    height: FloatArray = np.maximum(0.0, 1 - np.abs(i / stepsize - 2 * cycle + 1))
    return height


def _one_cycle_height(p: Position) -> FloatArray:
    """The author's momentum goes on after the cycle with the same period and half the height.

    Source: the author's published logs; his solver's cycles are "triangular2".
    """
    s = p.length("stepsize")
    return _triangle(p.iteration, s) / 2.0 ** np.floor(p.iteration / (2 * s))


def _anneal(start: float, end: float, fraction: FloatArray, how: str) -> FloatArray:
    if how == "linear":
        return (end - start) * fraction + start
    return end + (start - end) / 2.0 * (1 + np.cos(np.pi * fraction))


def _torch_phases(p: Position, three: bool) -> list[float]:
    """Return the last iterations of the phases of torch's OneCycleLR."""
    n, up = len(p.iteration), float(p.args["pct_start"])
    if three:
        return [up * n - 1, 2 * up * n - 2, n - 1]
    return [up * n - 1, n - 1]


def _phased(p: Position, ends: list[float], values: list[float]) -> FloatArray:
    how = p.args["anneal"]
    result = np.full(len(p.iteration), values[-1])
    start = 0.0
    covered = np.zeros(len(p.iteration), dtype=bool)
    for k, end in enumerate(ends):
        here = ~covered & ((p.iteration <= end) | (k == len(ends) - 1))
        fraction = (p.iteration - start) / max(end - start, 1e-12)
        result[here] = _anneal(values[k], values[k + 1], fraction, how)[here]
        covered |= here
        start = end
    return result


def _torch_one_cycle(three: bool) -> Callable[[Position], FloatArray]:
    def lr(p: Position) -> FloatArray:
        low = p.lr / 25 if p.lr_min is None else p.lr_min
        last = low / float(p.args["final_div_factor"])
        values = [low, p.lr, low, last] if three else [low, p.lr, last]
        return _phased(p, _torch_phases(p, three), values)

    return lr


def _torch_one_cycle_height(three: bool) -> Callable[[Position], FloatArray]:
    def height(p: Position) -> FloatArray:
        values = [0.0, 1.0, 0.0, 0.0] if three else [0.0, 1.0, 0.0]
        return _phased(p, _torch_phases(p, three), values)

    return height


def _clr_height(p: Position) -> FloatArray:
    s = p.length("stepsize")
    height = _triangle(p.iteration, s)
    mode: str = p.args["mode"]
    if mode == "triangular":
        return height
    if mode == "triangular2":
        return height / 2.0 ** np.floor(p.iteration / (2 * s))
    if mode == "exp-range":
        return height * float(p.args["gamma"]) ** p.iteration
    raise InputError(
        f"policy.args.mode: {mode!r}; must be triangular, triangular2 or exp-range; choose one"
    )


def _clr(p: Position) -> FloatArray:
    low = p.lr / 10 if p.lr_min is None else p.lr_min
    return low + (p.lr - low) * _clr_height(p)


def _constant(p: Position) -> FloatArray:
    return np.full(len(p.iteration), p.lr)


def _step(p: Position) -> FloatArray:
    return p.lr * float(p.args["gamma"]) ** np.floor(p.iteration / p.length("stepsize"))


def _multistep(p: Position) -> FloatArray:
    given = p.args["milestones"]
    milestones = given if isinstance(given, list | tuple) else str(given).split(",")
    passed = np.zeros(len(p.iteration))
    for value in milestones:
        value = _plain(value)
        passed += p.iteration >= _length("milestones", value, len(p.iteration), p.per_epoch)
    return p.lr * float(p.args["gamma"]) ** passed


def _plain(value: Any) -> Any:
    """Return the number that a text from a comma-separated list holds, or the text."""
    try:
        return float(value)
    except (TypeError, ValueError):
        return value


def _exponential(p: Position) -> FloatArray:
    return p.lr * float(p.args["gamma"]) ** (p.iteration / p.length("period"))


def _inv(p: Position) -> FloatArray:
    return p.lr * (1 + float(p.args["gamma"]) * p.iteration) ** -float(p.args["power"])


def _cosine(p: Position) -> FloatArray:
    low = p.lr_min or 0.0
    return low + (p.lr - low) * (1 + np.cos(np.pi * p.iteration / len(p.iteration))) / 2


def _restarts_position(p: Position) -> FloatArray:
    """Return how far each iteration is into its cycle, from 0 to 1."""
    period, factor = p.length("period"), float(p.args["period_multiplier"])
    if factor == 1:
        return (p.iteration % period) / period
    cycle = np.floor(np.log(p.iteration / period * (factor - 1) + 1) / np.log(factor) + 1e-12)
    begin = period * (factor**cycle - 1) / (factor - 1)
    place: FloatArray = (p.iteration - begin) / (period * factor**cycle)
    return place


def _cosine_restarts(p: Position) -> FloatArray:
    low = p.lr_min or 0.0
    return low + (p.lr - low) * (1 + np.cos(np.pi * _restarts_position(p))) / 2


def _linear(p: Position) -> FloatArray:
    start, end = float(p.args["start_factor"]), float(p.args["end_factor"])
    fraction = np.minimum(p.iteration / p.length("length"), 1.0)
    return p.lr * (start + (end - start) * fraction)


def _lr_range(p: Position) -> FloatArray:
    fraction = _range_position(p)
    if p.args["mode"] == "linear":
        low = p.lr_min or 0.0
        return low + (p.lr - low) * fraction
    if p.args["mode"] == "exponential":
        low = p.lr_min or p.lr * 1e-6
        return low * (p.lr / low) ** fraction
    raise InputError(f"policy.args.mode: {p.args['mode']!r}; must be linear or exponential")


def _range_position(p: Position) -> FloatArray:
    return p.iteration / max(len(p.iteration) - 1, 1)


# What holds for every policy

COMMON = (
    Parameter("warmup", None, "length of a linear rise in front of the policy; none by default"),
    Parameter("warmup_factor", 0.1, "LR at the start of the warm-up over the policy's first LR"),
    Parameter("momentum_stepsize", None, "half a cycle of momentum where it is not LR's own cycle"),
)


def _warmed_up(policy: Policy, p: Position) -> FloatArray:
    if p.args["warmup"] is None:
        return policy.lr(p)
    n = len(p.iteration)
    warmup = min(int(p.length("warmup")), n)
    first = policy.lr(_shortened(p, max(n - warmup, 1)))
    factor = float(p.args["warmup_factor"])
    rise = first[0] * (factor + (1 - factor) * np.arange(warmup) / warmup)
    return np.concatenate([rise, first])[:n]


def _shortened(p: Position, iterations: int) -> Position:
    return Position(np.arange(iterations, dtype=np.float64), p.lr, p.lr_min, p.per_epoch, p.args)


def _momentum(policy: Policy, p: Position, high: float, low: float | None, mode: str) -> FloatArray:
    if mode == "auto":
        mode = "constant" if low is None or low == high else "cyclical"
    if mode == "constant" or low is None:
        return np.full(len(p.iteration), high)
    if p.args["momentum_stepsize"] is not None:
        height = _triangle(p.iteration, p.length("momentum_stepsize"))
    elif policy.cycle is not None:
        height = policy.cycle(p)
    else:
        stepsize = _length("stepsize", STEPSIZE, len(p.iteration), p.per_epoch)
        height = _triangle(p.iteration, stepsize)
    return high - (high - low) * height if mode == "cyclical" else low + (high - low) * height


_STEPSIZE = Parameter("stepsize", STEPSIZE, "half a cycle")
_TORCH = (
    Parameter("pct_start", 0.3, "fraction of the run in which LR rises"),
    Parameter("final_div_factor", 1e4, "LR at the start over LR at the end"),
    Parameter("anneal", "cos", "cos or linear"),
)

POLICIES: Mapping[str, Policy] = {
    policy.name: policy
    for policy in (
        Policy(
            "1cycle",
            "the report's: one linear cycle shorter than the run, then a very small LR",
            (_STEPSIZE, Parameter("floor", 1e-3, "lowest LR over the LR at the start")),
            _one_cycle,
            _one_cycle_height,
        ),
        Policy(
            "1cycle-cosine",
            "torch's OneCycleLR: cosine up, cosine down",
            _TORCH,
            _torch_one_cycle(False),
            _torch_one_cycle_height(False),
        ),
        Policy(
            "1cycle-three-phase",
            "torch's OneCycleLR with three_phase: up, down to the start, on to nearly 0",
            _TORCH,
            _torch_one_cycle(True),
            _torch_one_cycle_height(True),
        ),
        Policy(
            "clr",
            "cyclical LR: triangles between lr_min and lr",
            (
                _STEPSIZE,
                Parameter("mode", "triangular", "triangular, triangular2 or exp-range"),
                Parameter("gamma", 0.9999, "decay an iteration in exp-range"),
            ),
            _clr,
            _clr_height,
        ),
        Policy("constant", "the same LR throughout", (), _constant),
        Policy(
            "step",
            "LR times gamma every stepsize",
            (
                Parameter("stepsize", 1 / 3, "length of a step"),
                Parameter("gamma", 0.1, "factor at every step"),
            ),
            _step,
        ),
        Policy(
            "multistep",
            "LR times gamma at each milestone",
            (
                Parameter("milestones", "0.5,0.75", "positions, with commas or as a list"),
                Parameter("gamma", 0.1, "factor at every milestone"),
            ),
            _multistep,
        ),
        Policy(
            "exponential",
            "LR times gamma every period, smoothly",
            (
                Parameter("gamma", 0.1, "factor a period"),
                Parameter("period", 1.0, "length in which LR falls by gamma; the run by default"),
            ),
            _exponential,
        ),
        Policy(
            "inv",
            "Caffe's inv: lr (1 + gamma i)^-power",
            (
                Parameter("gamma", 1e-4, "an iteration"),
                Parameter("power", 0.75, "exponent"),
            ),
            _inv,
        ),
        Policy("cosine", "half a cosine from lr to lr_min", (), _cosine),
        Policy(
            "cosine-restarts",
            "cosine with warm restarts",
            (
                Parameter("period", 1.0, "length of the first cycle"),
                Parameter("period_multiplier", 1.0, "each cycle over the one before"),
            ),
            _cosine_restarts,
        ),
        Policy(
            "linear",
            "a straight line from start_factor lr to end_factor lr",
            (
                Parameter("start_factor", 1.0, "of lr, at the start"),
                Parameter("end_factor", 0.0, "of lr, at the end of the length"),
                Parameter("length", 1.0, "of the line; LR stays afterwards"),
            ),
            _linear,
        ),
        Policy(
            "lr-range",
            "the LR range test: from lr_min up to lr",
            (Parameter("mode", "linear", "linear or exponential"),),
            _lr_range,
            _range_position,
        ),
    )
}
