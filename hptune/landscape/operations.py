"""What torch's elementary operations do to the axes of their tensors, a rule each.

A rule gets the result's value and the arguments, and returns the result's axes, or None where it does
not apply.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from hptune.landscape.axes import Axis, Shape, cut, extent, fresh, hold, resolved, same


@dataclass
class Known:
    """A tensor that goes into an operation: its axes, its value."""

    shape: Shape
    value: Tensor


def held(value: Any) -> Any:
    """Return the axes of what stays as it is: a tensor's, or those of several."""
    if isinstance(value, tuple | list):
        return tuple(held(each) for each in value)
    return [fresh(size, held=True) for size in getattr(value, "shape", ())]


def elementwise(shapes: Iterable[Shape], value: Any) -> Shape:
    """Return the axes of what is computed entry by entry, broadcast."""
    result: list[Axis | None] = [None] * value.ndim
    for shape in shapes:
        for at, axis in enumerate(shape, value.ndim - len(shape)):
            if extent(axis) != value.shape[at]:
                continue  # one entry for all
            if (there := result[at]) is None:
                result[at] = axis
            else:
                same(there, axis)
    return [axis or fresh(size, held=True) for axis, size in zip(result, value.shape, strict=True)]


def _constant(value: Any, *args: Any, **how: Any) -> Shape:
    """One number everywhere, which may be permuted freely."""
    return [fresh(size) for size in value.shape]


def windows(shape: Shape, value: Any) -> Any:
    """Pooling and resizing: over all axes but those of examples and channels."""
    for axis in shape[2:]:
        hold(axis)
    values = value if isinstance(value, tuple | list) else (value,)
    found = [[*shape[:2], *(fresh(n, held=True) for n in own.shape[2:])] for own in values]
    return tuple(found) if isinstance(value, tuple | list) else found[0]


def _convolution(value: Any, x: Known, w: Known, bias: Known | None, *rest: Any) -> Shape | None:
    transposed, groups = rest[3], rest[5]
    for axis in (*x.shape[2:], *w.shape[2:]):
        hold(axis)
    into, out = (w.shape[0], w.shape[1]) if transposed else (w.shape[1], w.shape[0])
    if groups == 1:
        same(x.shape[1], into)
    elif w.value.shape[:2] == (groups, 1):  # a filter for each channel
        out = w.shape[0]
        same(x.shape[1], out)
    else:
        return None
    if bias is not None:
        same(out, bias.shape[0])
    return [x.shape[0], out, *(fresh(size, held=True) for size in value.shape[2:])]


def _batch_norm(value: Any, x: Known, *rest: Any) -> Any:
    for of_channels in rest[:4]:
        if isinstance(of_channels, Known):
            same(x.shape[1], of_channels.shape[0])
    return (x.shape, *(held(own) for own in value[1:]))  # the rest is nothing that nets go on with


def _layer_norm(value: Any, x: Known, over: Sequence[int], *rest: Any) -> Any:
    for weight in rest[:2]:
        if weight is not None:
            for axis, own in zip(x.shape[-len(over) :], weight.shape, strict=True):
                same(axis, own)
    leading = x.shape[: -len(over)]
    return (x.shape, *([*leading, *(fresh(1) for _ in over)] for _ in value[1:]))


def _mm(value: Any, a: Known, b: Known) -> Shape:
    same(a.shape[-1], b.shape[-2])
    for one, other in zip(a.shape[:-2], b.shape[:-2], strict=True):
        same(one, other)
    return [*a.shape[:-1], b.shape[-1]]


def _addmm(value: Any, bias: Known, a: Known, b: Known, **how: Any) -> Shape:
    return elementwise([bias.shape, _mm(value, a, b)], value)


def _mv(value: Any, a: Known, b: Known) -> Shape:
    same(a.shape[1], b.shape[0])
    return [a.shape[0]]


def _unchanged(value: Any, x: Known, *rest: Any, **how: Any) -> Shape:
    return x.shape


def _transposed(value: Any, x: Known, *dims: Any) -> Shape:
    order = list(range(len(x.shape)))
    if len(dims) == 1:
        order = list(dims[0])
    elif len(order) > 1:
        one, other = dims or (0, 1)
        order[one], order[other] = order[other], order[one]
    return [x.shape[at] for at in order]


def _reduced(
    value: Any, x: Known, dims: Any = None, keepdim: bool = False, **how: Any
) -> Shape | None:
    """Sums and the like: the order of what is summed does not matter."""
    if isinstance(value, tuple | list):  # with indices
        return None
    dims = range(len(x.shape)) if dims is None or dims == [] else dims
    gone = {dim % max(len(x.shape), 1) for dim in ([dims] if isinstance(dims, int) else dims)}
    kept = [fresh(1) if at in gone else axis for at, axis in enumerate(x.shape)]
    return kept if keepdim else [axis for at, axis in enumerate(kept) if at not in gone]


def _view(value: Any, x: Known, *rest: Any) -> Shape:
    """A view: each run of axes that becomes a run of others, with as many entries, by itself."""
    old, new = list(x.value.shape), list(value.shape)
    result, i, j = list[Axis](), 0, 0
    while j < len(new):
        if i < len(old) and old[i] == new[j]:
            result.append(x.shape[i])
            i, j = i + 1, j + 1
            continue
        p, q, before, after = i, j, 1, 1
        while before != after or (p == i and q == j):
            if before <= after and p < len(old):
                before, p = before * old[p], p + 1
            elif q < len(new):
                after, q = after * new[q], q + 1
            else:
                break
        result += _regrouped(x.shape[i:p], new[j:q])
        i, j = p, q
    for axis in x.shape[i:]:
        hold(axis)  # of one entry
    return result


def _regrouped(old: Shape, new: Sequence[int]) -> Shape:
    """Return some axes as one and that as others, of which one at most can be permuted."""
    merged: Axis = fresh(1, held=True)
    for axis in old:
        blocks, size = resolved(axis), extent(axis)
        if all(units.held for units, _ in blocks):
            merged = [(units, inner * size) for units, inner in resolved(merged)]
        else:  # which comes again for each entry before it
            hold(merged)
            merged = blocks * extent(merged)
    place = next((at for at, size in enumerate(new) if size > 1), 0)
    behind = math.prod(new) // new[place] if new else 1
    shape = [fresh(size, held=True) for size in new]
    if new and all(inner % behind == 0 for _, inner in merged):
        shape[place] = [(units, inner // behind) for units, inner in merged]
    else:
        hold(merged)
    return shape


def _expanded(value: Any, x: Known, *rest: Any, **how: Any) -> Shape:
    return elementwise([x.shape], value)


def _padded(value: Any, x: Known, pad: Sequence[int], *rest: Any) -> Shape:
    """As `_constant` on either side of what is there."""
    shape = list(x.shape)
    for at in range(len(pad) // 2):
        axis, (low, high) = shape[-1 - at], pad[2 * at : 2 * at + 2]
        if low < 0 or high < 0:
            _, axis = cut(axis, max(-low, 0))
            axis, _ = cut(axis, extent(axis) - max(-high, 0))
        before = fresh(low) if low > 0 else []
        shape[-1 - at] = [*before, *axis, *(fresh(high) if high > 0 else [])]
    return shape


def _sliced(
    value: Any, x: Known, dim: int = 0, start: Any = None, end: Any = None, step: int = 1
) -> Shape | None:
    shape, size = list(x.shape), x.value.shape[dim]
    first, last, _ = slice(start, end).indices(size)
    if value.shape[dim] == size:
        return shape
    if step != 1:
        hold(shape[dim])
        shape[dim] = fresh(value.shape[dim], held=True)
        return shape
    _, rest = cut(shape[dim], first)
    shape[dim], _ = cut(rest, last - first)
    return shape


def _selected(value: Any, x: Known, dim: int = 0, at: int = 0) -> Shape:
    hold(x.shape[dim])
    return [axis for n, axis in enumerate(x.shape) if n != dim % len(x.shape)]


def _unbound(value: Any, x: Known, dim: int = 0) -> Any:
    return tuple(_selected(own, x, dim) for own in value)


def _stacked(value: Any, tensors: Sequence[Known], dim: int = 0) -> Shape:
    shape = elementwise([own.shape for own in tensors], tensors[0].value)
    at = dim % value.ndim
    return [*shape[:at], fresh(len(tensors), held=True), *shape[at:]]


def _split(value: Any, x: Known, sizes: Any, dim: int = 0) -> Any:
    parts, rest = [], x.shape[dim]
    for own in value:
        part, rest = cut(rest, own.shape[dim])
        shape = list(x.shape)
        shape[dim] = part
        parts.append(shape)
    return tuple(parts)


def _joined(value: Any, tensors: Sequence[Known], dim: int = 0) -> Shape:
    shapes = [own.shape for own in tensors if own.value.numel()]
    result = list(shapes[0])
    for at, _ in enumerate(result):
        if at == dim % len(result):
            result[at] = [block for shape in shapes for block in shape[at]]
        else:
            for shape in shapes[1:]:
                same(result[at], shape[at])
    return result


def _looked_up(value: Any, table: Known, at: Known, *rest: Any) -> Shape:
    hold(table.shape[0])
    return [*at.shape, table.shape[1]]


WINDOWS = ("max_pool", "avg_pool", "adaptive", "upsample", "reflection_pad", "replication_pad")
RULES: dict[str, Callable[..., Any]] = {
    "convolution": _convolution,
    "native_batch_norm": _batch_norm, "native_batch_norm_legit": _batch_norm,
    "native_batch_norm_legit_no_training": _batch_norm, "cudnn_batch_norm": _batch_norm,
    "native_layer_norm": _layer_norm,
    "mm": _mm, "bmm": _mm, "addmm": _addmm, "mv": _mv,
    "t": _transposed, "transpose": _transposed, "permute": _transposed,
    "view": _view, "unsafe_view": _view, "reshape": _view,
    "squeeze": _view, "unsqueeze": _view, "expand": _expanded,
    "softmax": _unchanged, "log_softmax": _unchanged, "clone": _unchanged, "alias": _unchanged,
    "detach": _unchanged, "to_copy": _unchanged, "contiguous": _unchanged, "lift_fresh": _unchanged,
    "lift_fresh_copy": _unchanged,
    "mean": _reduced, "sum": _reduced, "amax": _reduced, "amin": _reduced,
    "constant_pad_nd": _padded, "slice": _sliced, "split": _split, "split_with_sizes": _split,
    "unsafe_split": _split, "cat": _joined, "stack": _stacked, "embedding": _looked_up,
    "zeros": _constant, "ones": _constant, "full": _constant, "new_zeros": _constant,
    "new_ones": _constant, "new_full": _constant, "zeros_like": _constant,
    "ones_like": _constant, "full_like": _constant, "select": _selected, "unbind": _unbound,
}  # fmt: skip
