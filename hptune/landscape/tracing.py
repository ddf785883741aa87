"""Which axes of a net's weights can be permuted together without a change of what it computes.

A net is traced on a batch to torch's elementary operations. Each axis of a tensor is a row of blocks
of units; an operation makes axes one, as a product of matrices does, or splits them, as a
concatenation does, or holds them in place. What no rule is known for holds all that goes in, so that
what is left free is sound.

Source: Ainsworth, Hayase and Srinivasa 2022, "Git Re-Basin", section 3.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.fx import GraphModule, Node
from torch.utils._pytree import tree_leaves, tree_map_only

from hptune.landscape.axes import Shape, fresh, hold, resolved
from hptune.landscape.operations import RULES, WINDOWS, Known, elementwise, held, windows


@dataclass
class Traced:
    """What each tensor of a net's weights has on its axes.

    Attributes:
        shapes: By the name of a parameter or buffer.
        unknown: Operations without a rule, by name, that held units in place.
    """

    shapes: dict[str, Shape]
    unknown: set[str] = field(default_factory=set)


def trace_axes(graph: GraphModule, weights: Mapping[str, Tensor]) -> Traced:
    """Return which axes of weights are permuted together.

    Args:
        graph: As of `make_fx` of a function of a mapping of these weights, with values recorded.
        weights: Parameters and buffers by name.
    """
    own = iter(weights.items())
    traced, known = Traced({}), dict[Node, Any]()
    for node in graph.graph.nodes:
        if node.op == "placeholder":
            name, value = next(own)
            free = value.is_floating_point()
            known[node] = [fresh(size, held=not free) for size in value.shape]
            traced.shapes[name] = known[node]
        elif node.op == "call_function":
            known[node] = _through(node, known, traced.unknown)
        elif node.op == "output":
            for leaf in tree_leaves(node.args):
                _hold_all(known.get(leaf))
        else:
            known[node] = held(_value(node))  # a constant
    return traced


def _through(node: Node, known: Mapping[Node, Any], unknown: set[str]) -> Any:
    name = node.target.__name__.partition(".")[0] if callable(node.target) else ""
    if name == "getitem":
        source, at = node.args
        return known[source][at]  # type: ignore[index]
    value = _value(node)
    inputs = [leaf for leaf in tree_leaves((node.args, node.kwargs)) if isinstance(leaf, Node)]
    rule = RULES.get(name.strip("_"))
    if rule is None and torch.Tag.pointwise in getattr(node.target, "tags", ()):
        return elementwise([known[n] for n in inputs], value)
    if rule is None and name.strip("_").startswith(WINDOWS):
        return windows(known[inputs[0]], value)
    if rule is not None:
        args = tree_map_only(Node, lambda n: Known(known[n], _value(n)), node.args)
        with suppress(TypeError, ValueError):  # arguments that the rule does not know
            found = rule(value, *args, **node.kwargs)
            if found is not None:
                return found
    if any(not _is_held(known[n]) for n in inputs):
        unknown.add(name.strip("_"))
        for each in inputs:
            _hold_all(known[each])
    return held(value)


def _value(node: Node) -> Any:
    return node.meta.get("val")


def _hold_all(found: Any) -> None:
    for shape in found if isinstance(found, tuple) else [found or []]:
        for axis in shape:
            hold(axis)


def _is_held(found: Any) -> bool:
    shapes = found if isinstance(found, tuple) else [found]
    return all(u.held for shape in shapes for axis in shape for u, _ in resolved(axis))
