"""The image-classification sets of torchvision, by name."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np

from hptune.data.assemble import image_splits
from hptune.data.readers.image_folder import load_files
from hptune.data.spec import DataSpec, Splits
from hptune.data.split import places
from hptune.errors import InputError, one_line

# Class names of torchvision.datasets whose examples are an image and its class.
SETS = {
    name.lower().replace("_", "-"): name
    for name in (
        "CIFAR10",
        "CIFAR100",
        "Caltech101",
        "Caltech256",
        "Country211",
        "DTD",
        "EMNIST",
        "EuroSAT",
        "FGVCAircraft",
        "FashionMNIST",
        "Flowers102",
        "Food101",
        "GTSRB",
        "Imagenette",
        "KMNIST",
        "MNIST",
        "OxfordIIITPet",
        "PCAM",
        "QMNIST",
        "RenderedSST2",
        "SEMEION",
        "STL10",
        "SUN397",
        "SVHN",
        "StanfordCars",
        "USPS",
    )
}
_SPLITS = {"split": ("train", "test"), "train": (True, False)}
# What differs from the usual two: the values that the set's own argument takes.
_OWN_SPLITS = {
    "DTD": ("train", "test"),
    "FGVCAircraft": ("trainval", "test"),
    "Imagenette": ("train", "val"),
    "OxfordIIITPet": ("trainval", "test"),
}


def load(spec: DataSpec) -> Splits:
    """Load a set by its torchvision name.

    Raises:
        InputError: Its files are not under `root` and may not be fetched.
    """
    import torchvision

    name = SETS[spec.name.lower().replace("_", "-")]
    cls = getattr(torchvision.datasets, name)
    accepted = inspect.signature(cls).parameters
    # EMNIST's own `split` is something else: which of its alphabets.
    key = "train" if name == "EMNIST" else next((k for k in _SPLITS if k in accepted), None)
    values = () if key is None else _OWN_SPLITS.get(name, _SPLITS[key])
    parts = [
        _open(cls, spec, accepted, {} if key is None else {key: value})
        for value in values or (None,)
    ]
    arrays = [_arrays(part, spec) for part in parts]
    images = np.concatenate([images for images, _ in arrays])
    labels = np.concatenate([labels for _, labels in arrays])
    names = getattr(parts[0], "classes", None) or sorted({str(k) for k in labels.tolist()})
    return image_splits(
        spec,
        images,
        labels,
        [str(n) for n in names],
        places(dict(zip(("train", "test"), (len(y) for _, y in arrays), strict=False))),
    )


def _open(cls: Any, spec: DataSpec, accepted: Any, split: dict[str, Any]) -> Any:
    args = dict(spec.args) | split
    if "download" in accepted or cls.__name__ == "EMNIST":
        args["download"] = spec.download
    if cls.__name__ == "EMNIST":
        args.setdefault("split", "balanced")
    root = spec.root or "data"
    try:
        return cls(root, **args)
    except (RuntimeError, FileNotFoundError, OSError) as error:
        raise InputError(
            f"data.root: {root!r}; {cls.__name__} is not there: {one_line(error, 120)}; "
            "set data.root to its folder, or data.download to true"
        ) from None
    except TypeError as error:
        raise InputError(f"data.args: {cls.__name__} refuses them: {error}") from None


def _arrays(part: Any, spec: DataSpec) -> tuple[np.ndarray, np.ndarray]:
    """Return (N, C, H, W) uint8 images and (N,) labels, from the set's own arrays where it has them."""
    data, labels = getattr(part, "data", None), getattr(part, "targets", None)
    if labels is None:
        labels = getattr(part, "labels", None)
    if data is None or labels is None or spec.resize is not None:
        return load_files([part[k] for k in range(len(part))], spec)
    images = np.asarray(data)
    if images.ndim == 3:
        images = images[:, None]
    elif images.shape[-1] in (1, 3) and images.shape[1] not in (1, 3):
        images = images.transpose(0, 3, 1, 2)
    return images, np.asarray(labels, dtype=np.int64)
