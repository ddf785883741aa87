"""What was found, in lines for a person."""

from __future__ import annotations

from collections.abc import Iterator

from hptune.data import READERS
from hptune.data.inspect.found import Arrays, Found, Images, Table

_NAMED = 12  # classes or columns named


def describe(found: Found) -> list[str]:
    """Return what was found, a fact a line."""
    return list(_describe(found))


def _describe(found: Found) -> Iterator[str]:
    if isinstance(found, Images):
        yield f"{found.path}: {describe_parts(found)} in {len(found.classes)} class folders"
        yield from _images(found)
    elif isinstance(found, Arrays):
        yield f"{found.path}: {describe_parts(found)}, {_arrays(found)}"
    elif isinstance(found, Table):
        yield f"{found.path}: {describe_parts(found)}, {len(found.columns)} columns"
        yield from _table(found)
    if found.classes:
        yield f"classes: {describe_classes(found)}"
    imbalance = found.imbalance
    if imbalance is not None:
        yield (
            f"imbalanced: {imbalance.largest} has {imbalance.most:,} to train on, "
            f"{imbalance.smallest} {imbalance.fewest:,}; accuracy alone would hide the small classes"
        )


def describe_parts(found: Found) -> str:
    """Return how many examples there are of each part."""
    total = f"{sum(found.parts.values()):,} {READERS[found.reader].examples}"
    if len(found.parts) == 1:
        return total
    shares = ", ".join(f"{name} {count:,}" for name, count in found.parts.items())
    return f"{total} ({shares})"


def describe_classes(found: Found) -> str:
    """Return the classes and how many training examples each has."""
    shown = [f"{name} ({count:,})" for name, count in list(found.classes.items())[:_NAMED]]
    more = len(found.classes) - _NAMED
    return ", ".join(shown) + (f" and {more} more" if more > 0 else "")


def size_text(size: tuple[int, int]) -> str:
    """Return a width and a height as 640x480."""
    return f"{size[0]}x{size[1]}"


def _images(found: Images) -> Iterator[str]:
    sizes = size_text(found.smallest)
    if not found.same_size:
        sizes = f"sizes differ, {sizes} to {size_text(found.largest)}"
    colour = "colour" if found.coloured else "grey"
    modes = ", ".join(f"{mode} {count:,}" for mode, count in found.modes.items())
    total = sum(found.parts.values())
    opened = "all" if found.looked_into == total else f"{found.looked_into:,} of {total:,}"
    yield f"images: {sizes}, {colour} (modes {modes}); opened {opened}"


def _arrays(found: Arrays) -> str:
    shape = "x".join(map(str, found.shape))
    kind = "images" if len(found.shape) == 3 else "vectors"
    targets = "" if found.classes else "; the targets are quantities: a regression"
    return f"{kind} {shape}, {found.dtype} from {found.low:g} to {found.high:g}{targets}"


def _table(found: Table) -> Iterator[str]:
    yield f"target: {found.target}, {found.why}; {found.kind}: {found.why_kind}"
    inputs = [c for c in found.columns if c.dropped is None and c.name != found.target]
    shown = [
        c.name if c.kind == "number" else f"{c.name} ({c.kind}, {c.distinct} values)"
        for c in inputs[:_NAMED]
    ]
    more = f" and {len(inputs) - _NAMED} more" if len(inputs) > _NAMED else ""
    yield f"inputs: {', '.join(shown)}{more}"
