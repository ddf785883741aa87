"""Keys that are set and that the data at hand have no use for: said, not passed over."""

from __future__ import annotations

from collections.abc import Iterable

from hptune.data.spec import DataSpec

AUGMENTATION = ("flip", "crop", "cutout")
_ARRAYS, _FILES = ("npz", "npy"), ("image-folder",)
# By key, the bundled formats that it is for; the others are for all.
_FOR = {
    "target": ("csv",),
    "drop": ("csv",),
    "missing": ("csv",),
    "kind": ("csv", *_ARRAYS),
    "layout": _ARRAYS,
    "resize": _FILES,
    "train_folder": _FILES,
    "validation_folder": _FILES,
    "test_folder": _FILES,
    "storage": _FILES,
}


def unused_by_format(spec: DataSpec) -> list[str]:
    """Return a sentence on the keys that are set and are for other formats."""
    keys = [key for key, names in _FOR.items() if spec.name not in names]
    return unused(spec, keys, f"{spec.name} has no use for it")


def unused(spec: DataSpec, keys: Iterable[str], why: str) -> list[str]:
    """Return a sentence on those of these keys that are not as they are by default."""
    fields = DataSpec.model_fields
    changed = [f"data.{key}" for key in keys if getattr(spec, key) != fields[key].default]
    return [f"not used: {', '.join(changed)}; {why}"] if changed else []
