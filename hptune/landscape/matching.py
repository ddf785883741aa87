"""Weight matching: another net's units in the order in which its weights are nearest to a first one's.

Two runs learn much the same units in another order, so that the line between them has a barrier that
says nothing of the basins. Without it they may lie in one.

Source: Ainsworth, Hayase and Srinivasa 2022, "Git Re-Basin", algorithm 1.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor, nn
from torch.fx import GraphModule
from torch.fx.experimental.proxy_tensor import make_fx
from torch.utils._pytree import tree_leaves

from hptune.errors import InputError, one_line
from hptune.landscape.axes import Shape, Units, resolved
from hptune.landscape.batches import BATCH_SIZE, fixed_batches, step_of
from hptune.landscape.objective import still
from hptune.landscape.reader import Weights
from hptune.landscape.tracing import trace_axes
from hptune.step import Step
from hptune.task import Batch

ROUNDS = 100  # through all groups at most; it is settled after some ten
EXAMPLES = 32  # that the net is traced with
ALIKE = 1e-3  # of the largest output: how far those of the permuted net may be off


@dataclass(frozen=True)
class Matching:
    """A net with its units in another order: it computes the same.

    Attributes:
        weights: Its state dict.
        groups: Sets of units that were put into an order each.
        units: How many these have.
        moved: How many of them are at another place.
        held: Parameters no axis of which can be permuted, such as the last bias, by name.
        unknown: Operations that held some in place, by name.
        before, distance: From the first net, Euclidean over its parameters, before and after.
    """

    weights: dict[str, Tensor]
    groups: int
    units: int
    moved: int
    held: tuple[str, ...]
    unknown: tuple[str, ...]
    before: float
    distance: float

    def __str__(self) -> str:
        """Return what was matched in one line."""
        text = (
            f"matched: {self.moved} of {self.units} units moved, in {self.groups} layers; distance "
            f"{self.before:.4g} before, {self.distance:.4g} after"
        )
        if self.held:
            few = ", ".join(self.held[:3]) + (", ..." if len(self.held) > 3 else "")
            text += f"; no units to permute in {few} ({len(self.held)} in all)"
        if self.unknown:
            text += f"; there is no rule for {', '.join(self.unknown)}"
        return text


class _Place(NamedTuple):
    """Where units are in the weights: name, axis, first entry, entries a unit."""

    name: str
    axis: int
    first: int
    inner: int


def match(model: nn.Module, start: Weights, end: Weights, loss: Any, data: Any) -> Matching:
    """Return a net of the same function as `end` whose units are in the order of those of `start`.

    Args:
        model: Of the architecture; it is left as it was. What it computes is traced on a batch.
        start: A state dict.
        end: Another.
        loss: See `hptune.landscape`.
        data: Likewise; a few examples are read.

    Raises:
        InputError: The net cannot be traced, or no units of it can be permuted.
    """
    device = next(model.parameters()).device
    batch, *_ = fixed_batches(data, device, examples=EXAMPLES, batch_size=BATCH_SIZE).batches()
    # The model's own state dict may be what was given.
    start, end = ({n: v.clone() for n, v in given.items()} for given in (start, end))
    own = {n: v.shape for n, v in model.state_dict().items()}
    for given in (start, end):
        theirs = {n: v.shape for n, v in given.items()}
        if other := [n for n in own | theirs if own.get(n) != theirs.get(n)]:
            raise InputError(
                f"match: {other[0]} is not in both nets in the same shape; must be of one architecture; "
                "give runs of the same model"
            )
    with _at(model, end), torch.no_grad():
        args, kwargs = _call_of(model, step_of(loss), batch)
        # What is in no state dict is a constant, which holds the units that it meets.
        weights = {n: v.detach().clone() for n, v in _named(model).items() if n in end}
        traced = trace_axes(_traced(model, weights, args, kwargs), weights)
        first = {name: start[name].to(device) for name in weights}
        places = _places(traced.shapes)
        if not places:
            raise InputError(
                "match: no units of this net can be permuted"
                + (f" past {', '.join(sorted(traced.unknown))}" if traced.unknown else "")
                + "; must have hidden units between linear layers or convolutions; leave it out"
            )
        of_parameters = dict(model.named_parameters())
        orders = _orders(
            {n: v for n, v in first.items() if n in of_parameters}, weights, traced.shapes, places
        )
        permuted = {n: _permuted(v, traced.shapes[n], orders) for n, v in weights.items()}
        _check(model, permuted, args, kwargs)

    def distance(other: Mapping[str, Tensor]) -> float:
        parts = [(other[n] - first[n]).double().square().sum() for n in of_parameters]
        return float(torch.stack(parts).sum().sqrt())

    movable = {place.name for own in places.values() for place in own}
    found = {units: order.cpu() for units, order in orders.items()}
    moved = sum(int((order != torch.arange(len(order))).sum()) for order in found.values())
    return Matching(
        weights=_with_tied(model, end, permuted),
        groups=len(found),
        units=sum(map(len, found.values())),
        moved=moved,
        held=tuple(name for name in of_parameters if name not in movable),
        unknown=tuple(sorted(traced.unknown)),
        before=distance(weights),
        distance=distance(permuted),
    )


@contextmanager
def _at(model: nn.Module, weights: Weights) -> Iterator[None]:
    with still(model, "running"):
        model.load_state_dict(weights)
        yield


def _named(model: nn.Module) -> dict[str, Tensor]:
    return dict(model.named_parameters()) | dict(model.named_buffers())


def _call_of(model: nn.Module, step: Step, batch: Batch) -> tuple[Any, Any]:
    """Return the arguments that a step calls a model with."""
    calls: list[tuple[Any, Any]] = []
    hook = model.register_forward_pre_hook(
        lambda _, args, kwargs: calls.append((args, kwargs)), with_kwargs=True
    )
    try:
        step(model, batch)
    finally:
        hook.remove()
    if len(calls) != 1:
        raise InputError(
            f"match: a batch goes through the model {len(calls)} times; must go through it once, as its "
            "units are found by that; leave it out"
        )
    return calls[0]


def _traced(model: nn.Module, weights: Mapping[str, Tensor], args: Any, kwargs: Any) -> GraphModule:
    def computed(weights: dict[str, Tensor]) -> list[Tensor]:
        return _outputs(model, weights, args, kwargs)

    try:
        # Recurrent layers would be one operation of a library otherwise.
        with warnings.catch_warnings(action="ignore"), torch.backends.mkldnn.flags(enabled=False):
            graph: GraphModule = make_fx(computed)(weights)
    except Exception as error:
        raise InputError(
            f"match: the net cannot be traced ({type(error).__name__}: {one_line(error)}); must be "
            "computed of its inputs by torch's operations alone; leave it out"
        ) from error
    return graph


def _outputs(
    model: nn.Module, weights: Mapping[str, Tensor], args: Any, kwargs: Any
) -> list[Tensor]:
    """Return all that a model computes with other tensors in the place of its weights.

    By hand, as torch's `functional_call` leaves them in a part that a model has under two names.
    """
    names = {id(own): name for name, own in _named(model).items()}
    stores: list[dict[str, Any]] = [
        store for part in model.modules() for store in (part._parameters, part._buffers)
    ]
    before = [dict(store) for store in stores]
    try:
        for store in stores:
            for name, own in store.items():
                if own is not None:
                    store[name] = weights.get(names[id(own)], own)
        returned = model(*args, **kwargs)
    finally:
        for store, own in zip(stores, before, strict=True):
            store.update(own)
    return [leaf for leaf in tree_leaves(returned) if isinstance(leaf, Tensor)]


def _places(shapes: Mapping[str, Shape]) -> dict[Units, list[_Place]]:
    """Return where all units are that can be permuted."""
    found: dict[Units, list[_Place]] = {}
    for name, shape in shapes.items():
        for axis, blocks in enumerate(shape):
            first = 0
            for units, inner in resolved(blocks):
                if not units.held and units.size > 1:
                    found.setdefault(units, []).append(_Place(name, axis, first, inner))
                first += units.size * inner
    return found


def _orders(
    start: Mapping[str, Tensor],
    end: Mapping[str, Tensor],
    shapes: Mapping[str, Shape],
    places: Mapping[Units, list[_Place]],
) -> dict[Units, Tensor]:
    """Return the order of each group of units, found group by group while the others stay."""
    orders = {units: torch.arange(units.size) for units in places}

    def alike(own: list[_Place]) -> float:
        names = {place.name for place in own if place.name in start}
        pairs = [(start[n], _permuted(end[n], shapes[n], orders)) for n in names]
        return sum(float((one.double() * other.double()).sum()) for one, other in pairs)

    for _ in range(ROUNDS):
        settled = True
        for units, own in places.items():
            likeness = torch.zeros(units.size, units.size, dtype=torch.float64)
            for place in own:
                if place.name in start:
                    likeness += _likeness(place, units, start, end, shapes, orders)
            order = torch.from_numpy(linear_sum_assignment(likeness.numpy(), maximize=True)[1])
            before, now = orders[units], alike(own)
            orders[units] = order
            # A weight with these units on two axes may lose more than is won.
            if alike(own) > now + 1e-9 * abs(now):
                settled = False
            else:
                orders[units] = before
        if settled:
            break
    return orders


def _likeness(
    place: _Place,
    units: Units,
    start: Mapping[str, Tensor],
    end: Mapping[str, Tensor],
    shapes: Mapping[str, Shape],
    orders: Mapping[Units, Tensor],
) -> Tensor:
    """Return how like each unit of one net is to each of the other by one of its weights."""
    shape = list(shapes[place.name])
    shape[place.axis] = []  # as it is
    both = start[place.name], _permuted(end[place.name], shape, orders)
    one, other = (
        w.narrow(place.axis, place.first, units.size * place.inner)
        .movedim(place.axis, 0)
        .reshape(units.size, -1)
        .double()
        .cpu()
        for w in both
    )
    return one @ other.T


def _permuted(weight: Tensor, shape: Shape, orders: Mapping[Units, Tensor]) -> Tensor:
    for axis, blocks in enumerate(shape):
        index, first, blocks = list[Tensor](), 0, resolved(blocks)
        if not any(units in orders for units, _ in blocks):
            continue  # all of it stays
        for units, inner in blocks:
            order = orders.get(units, torch.arange(units.size))
            index.append((first + order[:, None] * inner + torch.arange(inner)).flatten())
            first += units.size * inner
        weight = weight.index_select(axis, torch.cat(index).to(weight.device))
    return weight


def _check(model: nn.Module, permuted: Mapping[str, Tensor], args: Any, kwargs: Any) -> None:
    """Compute a batch with both: a rule that a net breaks must not pass for a barrier.

    The weights themselves are set, which a net may hold in other places than its modules' own.
    """
    before = _outputs(model, {}, args, kwargs)
    for name, own in _named(model).items():
        if name in permuted:
            own.copy_(permuted[name])
    for one, other in zip(before, _outputs(model, {}, args, kwargs), strict=True):
        off = float((one - other).abs().max()) if one.numel() else 0.0
        if not off <= ALIKE * max(float(one.abs().max()), 1e-6):
            raise InputError(
                f"match: with its units permuted the net computes something else (by {off:.2g}); must "
                "compute the same; leave it out"
            )


def _with_tied(
    model: nn.Module, state: Weights, permuted: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """Return a whole state dict: a weight that has several names is in it under each."""
    every = [
        *model.named_parameters(remove_duplicate=False),
        *model.named_buffers(remove_duplicate=False),
    ]
    first = {id(value): name for name, value in reversed(every)}
    names = {name: first[id(value)] for name, value in every}
    return {
        name: permuted[names[name]] if names.get(name) in permuted else value
        for name, value in state.items()
    }
