"""The label that the loss ignores: no class, though it stands among the labels of the data."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch

from hptune.data import Splits
from hptune.data.sources.memory import TensorSource
from hptune.errors import InputError
from hptune.losses import ignored_in_words


def leave_out(splits: Splits, ignored: int, *, raw: bool) -> tuple[Splits, int | None]:
    """Return splits whose classes are those that count, and the target that does not.

    Readers number the labels of the data from 0. The ignored one gets the number back by which the
    loss knows it.

    Args:
        splits: Of the data.
        ignored: The loss's `ignore_index`, a label as the data have it.
        raw: Whether examples that are read one by one may have labels that nobody has numbered.

    Returns:
        The splits, and None where no example has this label.

    Raises:
        InputError: It is no label of the data, but the number of another one.
    """
    if splits.kind != "classification":
        return splits, None
    given = {"train": splits.train, "validation": splits.validation, "test": splits.test}
    sources = {name: source for name, source in given.items() if source is not None}
    held: dict[str, Any] = {k: s for k, s in sources.items() if isinstance(s, TensorSource)}
    names, label = splits.classes, str(ignored)
    if len(held) < len(sources):
        return splits, ignored if raw or 0 <= ignored < splits.outputs else None
    if label in names:
        at = names.index(label)
        number = torch.arange(len(names))
        number[at:] -= int(at != ignored)
        number[at] = ignored
        for name, source in held.items():
            held[name] = source.with_targets(number[source.targets])
        if at != ignored:
            names = names[:at] + names[at + 1 :]
    elif 0 <= ignored < len(names) and all(name.lstrip("-").isdigit() for name in names):
        raise InputError(
            f"loss: ignores the target {ignored}, which is no label of the data, but the number of "
            f"the class {names[ignored]!r}; must ignore a label of the data; correct ignore_index"
        )
    targets = [source.targets for source in held.values()]
    count = sum(int((own == ignored).sum()) for own in targets)
    if not count:
        return splits, None
    note = ignored_in_words(count, sum(own.numel() for own in targets), ignored)
    changed = replace(
        splits, **held, classes=names, outputs=len(names), notes=(*splits.notes, note)
    )
    return changed, ignored
