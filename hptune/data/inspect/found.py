"""What was found in a data set: facts, what is worth a warning, and what stands in the way."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from hptune.data import READERS
from hptune.data.spec import DataSpec, Kind
from hptune.data.split import Indices, class_counts, divide
from hptune.errors import InputError

IMBALANCED = 3.0  # examples of the largest class over those of the smallest
_NAMED = 12  # classes or columns named
# Of a small set with many classes a larger part is needed, so that each class is in it.
_FRACTIONS = ((0.15, 0.15), (0.2, 0.2), (0.25, 0.25), (0.3, 0.3), (0.3, 0.0), (0.5, 0.0))


@dataclass(frozen=True, kw_only=True)
class Imbalance:
    """The largest and the smallest class of the training examples."""

    largest: str
    most: int
    smallest: str
    fewest: int

    @property
    def ratio(self) -> float:
        """How many times the smallest class the largest one is."""
        return self.most / max(1, self.fewest)


@dataclass(frozen=True, kw_only=True)
class Found:
    """What all kinds of data have in common.

    Attributes:
        reader: The `data.name` that reads it.
        path: Folder or file.
        kind: What its targets are.
        parts: Examples of each of train, validation and test that the data bring.
        classes: Training examples of each class, empty for a regression.
        validation, test: Fractions to split off, as far as the data bring no such split.
        warnings: What a user should know before training.
        problems: What the reader refuses, with the remedy; nothing can be trained before it is mended.
    """

    reader: str
    path: Path
    kind: Kind = "classification"
    parts: Mapping[str, int] = field(default_factory=dict)
    classes: Mapping[str, int] = field(default_factory=dict)
    validation: float = 0.15
    test: float = 0.15
    warnings: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()

    @property
    def imbalance(self) -> Imbalance | None:
        """The largest and the smallest class where they differ much, else None."""
        by_size = sorted((count, name) for name, count in self.classes.items() if count)
        if len(by_size) < 2:
            return None
        (fewest, smallest), (most, largest) = by_size[0], by_size[-1]
        found = Imbalance(largest=largest, most=most, smallest=smallest, fewest=fewest)
        return found if found.ratio >= IMBALANCED else None

    def describe(self) -> list[str]:
        """Return what was found, a fact a line."""
        total = f"{sum(self.parts.values()):,} {READERS[self.reader].examples}"
        if len(self.parts) > 1:
            total += f" ({', '.join(f'{name} {n:,}' for name, n in self.parts.items())})"
        first, *rest = self._facts()
        lines = [f"{self.path}: {total}{first}", *rest]
        if self.classes:
            counted = [f"{name} ({count:,})" for name, count in self.classes.items()]
            lines.append(f"classes: {listed(counted, _NAMED)}")
        if (found := self.imbalance) is not None:
            lines.append(
                f"imbalanced: {found.largest} has {found.most:,} to train on, {found.smallest} "
                f"{found.fewest:,}; accuracy alone would hide the small classes"
            )
        return lines

    def _facts(self) -> list[str]:
        """Return what to say behind the number of examples, and further lines."""
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class Images(Found):
    """A folder of images.

    Attributes:
        looked_into: Images that were opened; the others were counted.
        smallest, largest: (width, height) of those with the fewest and the most pixels.
        same_size: Whether all that were opened have one size.
        modes: How many were opened of each of Pillow's modes.
        coloured: Whether they are colour images, not grey ones stored as such.
        channels: That the reader gives, 1 or 3.
    """

    looked_into: int = 0
    smallest: tuple[int, int] = (0, 0)
    largest: tuple[int, int] = (0, 0)
    same_size: bool = True
    modes: Mapping[str, int] = field(default_factory=dict)
    coloured: bool = False
    channels: int = 3

    def _facts(self) -> list[str]:
        sizes = size_text(self.smallest)
        if not self.same_size:
            sizes = f"sizes differ, {sizes} to {size_text(self.largest)}"
        colour = "colour" if self.coloured else "grey"
        modes = ", ".join(f"{mode} {count:,}" for mode, count in self.modes.items())
        total = sum(self.parts.values())
        opened = "all" if self.looked_into == total else f"{self.looked_into:,} of {total:,}"
        return [
            f" in {len(self.classes)} class folders",
            f"images: {sizes}, {colour} (modes {modes}); opened {opened}",
        ]


@dataclass(frozen=True, kw_only=True)
class Arrays(Found):
    """An npz file.

    Attributes:
        shape: Of one example, as the reader gives it: (F,), or channels first.
        dtype: Of the inputs.
        low, high: Smallest and largest input value.
    """

    shape: tuple[int, ...] = ()
    dtype: str = ""
    low: float = 0.0
    high: float = 0.0

    def _facts(self) -> list[str]:
        shape = "x".join(map(str, self.shape))
        form = ("vectors", "signals", "images", "volumes")[len(self.shape) - 1]
        targets = "" if self.classes else "; the targets are quantities: a regression"
        return [f", {form} {shape}, {self.dtype} from {self.low:g} to {self.high:g}{targets}"]


@dataclass(frozen=True, kw_only=True)
class Column:
    """A column of a table.

    Attributes:
        kind: number, date, yes-no or text.
        distinct: Values that differ.
        missing: Cells without a value.
        dropped: Why it is of no use as an input, None where it is.
    """

    name: str
    kind: str
    distinct: int
    missing: int
    dropped: str | None = None


@dataclass(frozen=True, kw_only=True)
class Table(Found):
    """A csv file.

    Attributes:
        target: The column to predict.
        why: What speaks for it.
        why_kind: What speaks for a classification or a regression.
        columns: All columns, the target too.
    """

    target: str = ""
    why: str = ""
    why_kind: str = ""
    columns: tuple[Column, ...] = ()

    @property
    def dropped(self) -> tuple[str, ...]:
        """The columns that are left out."""
        return tuple(column.name for column in self.columns if column.dropped is not None)

    def _facts(self) -> list[str]:
        inputs = [
            c.name if c.kind == "number" else f"{c.name} ({c.kind}, {c.distinct} values)"
            for c in self.columns
            if c.dropped is None and c.name != self.target
        ]
        return [
            f", {len(self.columns)} columns",
            f"target: {self.target}, {self.why}; {self.kind}: {self.why_kind}",
            f"inputs: {listed(inputs, _NAMED)}",
        ]


def size_text(size: tuple[int, int]) -> str:
    """Return a width and a height as 640x480."""
    return f"{size[0]}x{size[1]}"


def listed(names: Sequence[str], most: int) -> str:
    """Return the first few names and how many more there are."""
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")


@contextmanager
def noted(problems: list[str]) -> Iterator[None]:
    """Take what a reader refuses down as a problem."""
    try:
        yield
    except InputError as error:
        problems.append(str(error).replace("data.path: ", "", 1))


def split_facts(
    parts: Mapping[str, Indices],
    labels: NDArray[Any] | None,
    classes: Sequence[str],
    problems: list[str],
) -> dict[str, Any]:
    """Return parts, classes and fractions of data as the fields of `Found`, by the readers' own splitting.

    Args:
        parts: Indices of each of train, validation and test that the data bring.
        labels: Class of each example, None for a regression.
        classes: Names of the classes.
        problems: What stands in the way; that no split is possible is added.
    """
    counts = {} if labels is None else class_counts(labels[parts["train"]], classes)
    facts: dict[str, Any] = {
        "kind": "regression" if labels is None else "classification",
        "parts": {name: len(part) for name, part in parts.items()},
        "classes": counts,
    }
    refused: list[str] = []
    for validation, test in _FRACTIONS:
        with noted(refused):
            divide(DataSpec(validation=validation, test=test), parts, labels, classes)
            return facts | {"validation": validation, "test": test}
    held = {name: count for name, count in counts.items() if count}
    if len(held) < 2:
        problems.append(refused[0])
    else:
        rarest = min(held, key=held.__getitem__)
        problems.append(
            f"class {rarest!r} has {held[rarest]} of {sum(held.values())} training examples in "
            f"{len(held)} classes; too few to split validation and test sets off; add examples or "
            "leave the class out"
        )
    return facts
