"""The axes of a net's tensors as rows of blocks of units, and what makes two of them one.

Source: Ainsworth, Hayase and Srinivasa 2022, "Git Re-Basin", section 3.
"""

from __future__ import annotations

from dataclasses import dataclass

Block = tuple["Units", int]
"""Units, and how many neighbouring entries of the axis each of them has."""
Axis = list[Block]
Shape = list[Axis]


@dataclass(eq=False)
class Units:
    """Units that one permutation is for; where they have been found to be others, `are` says which.

    Attributes:
        size: How many.
        are: None while they stand for themselves.
        held: Whether they stay where they are.
    """

    size: int
    are: Axis | None = None
    held: bool = False


def resolved(axis: Axis) -> Axis:
    """Return an axis as blocks of units that stand for themselves."""
    found: Axis = []
    for units, inner in axis:
        if units.are is None:
            found.append((units, inner))
        else:
            found += [(own, within * inner) for own, within in resolved(units.are)]
    return found


def extent(axis: Axis) -> int:
    """Return the entries of an axis."""
    return sum(units.size * inner for units, inner in axis)


def fresh(size: int, *, held: bool = False) -> Axis:
    """Return an axis of units of which nothing is known yet."""
    return [(Units(size, held=held), 1)]


def hold(axis: Axis) -> None:
    """Let all units of an axis stay where they are."""
    for units, _ in resolved(axis):
        units.held = True


def cut(axis: Axis, at: int) -> tuple[Axis, Axis]:
    """Return an axis in two parts; units that the cut goes through are held."""
    before: Axis = []
    blocks = resolved(axis)
    for number, (units, inner) in enumerate(blocks):
        size = units.size * inner
        if at <= 0:
            return before, blocks[number:]
        if at >= size:
            before.append((units, inner))
            at -= size
            continue
        if at % inner:
            units.held = True
            parts = [*fresh(at, held=True), *fresh(size - at, held=True)]
        else:
            counts = at // inner, units.size - at // inner
            units.are = [(Units(count, held=units.held), 1) for count in counts]
            parts = [(own, inner) for own, _ in units.are]
        return [*before, parts[0]], [parts[1], *blocks[number + 1 :]]
    return before, []


def same(one: Axis, other: Axis) -> None:
    """Let two axes of one length be permuted alike."""
    one, other = resolved(one), resolved(other)
    while one and other:
        least = min(units.size * inner for units, inner in (one[0], other[0]))
        (first, one), (second, other) = cut(one, least), cut(other, least)
        if len(resolved(first)) > 1:  # they share units, which the second cut went through
            one, other = resolved([*first, *one]), resolved([*second, *other])
            continue
        ((u, k),), ((v, m),) = resolved(first), resolved(second)
        if u is v and k == m:
            continue
        if u is v or u.held or v.held or max(k, m) % min(k, m):
            u.held = v.held = True
        elif k >= m:  # the finer ones have to move in the others' steps
            v.are = [(u, k // m)]
        else:
            u.are = [(v, m // k)]
        one, other = resolved(one), resolved(other)
