"""A look at data before any trial, so that nothing is learnt, or not learnt, by mistake."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from hptune.data.sanity import inputs, labels
from hptune.data.sanity.seen import see
from hptune.data.spec import DataSpec, Splits
from hptune.errors import InputError
from hptune.task import Source

__all__ = ["look", "looked_at"]


def looked_at(spec: DataSpec, splits: Splits) -> Splits:
    """Return splits with what `look` has to say added to their notes.

    Raises:
        InputError: As of `look`.
    """
    found = look(
        {"train": splits.train, "validation": splits.validation, "test": splits.test},
        classes=splits.classes if splits.kind == "classification" else None,
        guessed=spec.kind is None,
        scale=spec.scale,
    )
    return replace(splits, notes=tuple(dict.fromkeys([*splits.notes, *found])))


def look(
    splits: Mapping[str, Source | None],
    *,
    classes: Sequence[str] | None = None,
    ignored: int | None = None,
    guessed: bool = False,
    own_step: bool = False,
    scale: float = 1.0,
) -> list[str]:
    """Return what a user should know of the data before training, a sentence each.

    Of a large split, examples that are spread evenly over it are looked at. Nothing is drawn at
    random and nothing is changed, so trials stay what they were.

    Args:
        splits: "train" and others.
        classes: Names of the classes, as far as they have names; None where targets are no classes.
        ignored: A target that the loss leaves out, which is no class.
        guessed: Whether it was found out, not asked for, that they are none.
        own_step: Whether a step of the user's own decides what it reads of an example. Then nothing
            is said of targets, and nothing is an error.
        scale: Size that inputs are meant to have.

    Raises:
        InputError: Nothing can be learnt: inputs that are not finite or all the same, targets that
            are all the same.
    """
    seen = [see(name, source) for name, source in splits.items() if source is not None]
    train, *others = [one if ignored is None else one.without(ignored) for one in seen]
    fault = inputs.fault([train, *others])
    if not own_step:
        fault = fault or labels.fault(train, classes)
        if fault:
            raise InputError(fault)
    if fault:
        return [fault]
    notes = inputs.notes(train, others, scale)
    if own_step:
        return notes
    if classes is not None:
        return notes + labels.notes(train, others, classes)
    return notes + labels.badly_scaled(train) + (labels.classes_as_floats(train) if guessed else [])
