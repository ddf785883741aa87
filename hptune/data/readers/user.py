"""The user's own data: a function by "package.module:name"."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hptune.data.readers.npz import from_arrays
from hptune.data.sources.stream import StreamSource
from hptune.data.spec import DataSpec, Splits
from hptune.errors import InputError
from hptune.user_code import find


def load(spec: DataSpec) -> Splits:
    """Call the user's function with `data.args` and take what it returns.

    It may return `Splits`; or (train, test) or (train, validation, test), each an (inputs,
    targets) pair of arrays or tensors, or a torch Dataset; or one such pair or Dataset alone.

    Raises:
        InputError: No such function, or something else returned.
    """
    function = find(spec.name, "data.name")
    try:
        returned = function(**spec.args)
    except TypeError as error:
        raise InputError(
            f"data.args: {spec.name} refuses them: {error}; correct data.args"
        ) from error
    if isinstance(returned, Splits):
        return returned
    parts = _named(returned, spec.name)
    if all(_is_pair(part) for part in parts.values()):
        arrays = {name: (np.asarray(x), np.asarray(y)) for name, (x, y) in parts.items()}
        return from_arrays(spec, arrays)
    return _datasets(spec, parts)


def _named(returned: Any, name: str) -> dict[str, Any]:
    if _is_pair(returned) or not isinstance(returned, list | tuple):
        returned = (returned,)
    if not 1 <= len(returned) <= 3:
        raise InputError(
            f"data.name: {name} returned {len(returned)} parts; must be (train, test) or (train, "
            "validation, test); correct the function"
        )
    names = ("train", "test") if len(returned) == 2 else ("train", "validation", "test")
    return {n: part for n, part in zip(names, returned, strict=False) if part is not None}


def _is_pair(part: Any) -> bool:
    return (
        isinstance(part, list | tuple)
        and len(part) == 2
        and all(isinstance(a, np.ndarray | Tensor) for a in part)
    )


def _datasets(spec: DataSpec, parts: dict[str, Any]) -> Splits:
    for part in parts.values():
        if not (hasattr(part, "__len__") and hasattr(part, "__getitem__")):
            raise InputError(
                f"data.name: {spec.name} returned a {type(part).__name__}; must be Splits, arrays or "
                "map-style Datasets; correct the function"
            )
    train = parts["train"]
    if "validation" not in parts:
        order = torch.randperm(len(train), generator=torch.Generator().manual_seed(spec.split_seed))
        held = max(1, round(len(train) * spec.validation))
        parts["validation"] = torch.utils.data.Subset(train, order[:held].tolist())
        parts["train"] = torch.utils.data.Subset(train, order[held:].tolist())
    inputs, targets = train[0]
    shape = tuple(torch.as_tensor(np.asarray(inputs)).shape)
    labels = np.array([np.asarray(train[k][1]) for k in range(len(train))])
    kind = spec.kind or ("regression" if labels.dtype.kind == "f" else "classification")
    classes = [str(v) for v in range(int(labels.max()) + 1)] if kind == "classification" else []
    digest = hashlib.blake2b(repr((spec.name, spec.args, len(train))).encode(), digest_size=8)
    digest.update(np.ascontiguousarray(labels).data)

    def source(part: Any) -> StreamSource:
        return StreamSource(part, len(part), workers=0)

    return Splits(
        train=source(parts["train"]),
        validation=source(parts["validation"]),
        test=source(parts["test"]) if "test" in parts else None,
        input_shape=shape,
        outputs=len(classes) if classes else int(np.size(targets)),
        kind=kind,
        classes=tuple(classes),
        record={
            "train": len(parts["train"]),
            "validation": len(parts["validation"]),
            "test": len(parts["test"]) if "test" in parts else None,
            "split_seed": spec.split_seed,
            "fingerprint": digest.hexdigest(),
        },
    )
