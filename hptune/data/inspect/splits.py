"""What all kinds of data have in common: counts, and fractions that they can be split by."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from numpy.typing import NDArray

from hptune.data.spec import DataSpec
from hptune.data.split import Indices, class_counts, divide
from hptune.errors import InputError

# Of a small set with many classes a larger part is needed, so that each class is in it.
_FRACTIONS = ((0.15, 0.15), (0.2, 0.2), (0.25, 0.25), (0.3, 0.3), (0.3, 0.0), (0.5, 0.0))


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
        before = len(refused)
        with noted(refused):
            divide(DataSpec(validation=validation, test=test), parts, labels, classes)
        if len(refused) == before:
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
