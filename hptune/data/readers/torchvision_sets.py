"""The image-classification sets of torchvision, by name."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hptune.data.assemble import Content, splits_of
from hptune.data.readers.image_folder import load_files
from hptune.data.readers.npz import as_images
from hptune.data.spec import DataSpec, Splits
from hptune.data.split import places
from hptune.errors import InputError, one_line

# Class names of torchvision.datasets whose examples are an image and its class.
_CLASSES = """
    CIFAR10 CIFAR100 Caltech101 Caltech256 Country211 DTD EMNIST EuroSAT FGVCAircraft FashionMNIST
    Flowers102 Food101 GTSRB Imagenette KMNIST MNIST OxfordIIITPet PCAM QMNIST RenderedSST2 SEMEION
    STL10 SUN397 SVHN StanfordCars USPS
"""
SETS = {name.lower(): name for name in _CLASSES.split()}
# What differs from the usual "train" and "test": the values that a set's `split` takes.
_OWN_SPLITS = {
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

    name = SETS[spec.name.lower()]
    cls = getattr(torchvision.datasets, name)
    accepted = set(inspect.signature(cls).parameters)
    if "kwargs" in accepted:  # which go on to MNIST
        accepted |= {"train", "download"}
    args: dict[str, Any] = dict(spec.args)
    if name == "EMNIST":  # whose `split` is which of its alphabets
        args.setdefault("split", "balanced")
    if "download" in accepted:
        args["download"] = spec.download
    choices: list[dict[str, Any]] = [{}]
    if "train" in accepted:
        choices = [{"train": True}, {"train": False}]
    elif "split" in accepted:
        choices = [{"split": value} for value in _OWN_SPLITS.get(name, ("train", "test"))]
    parts = [_open(cls, spec.root or "data", args | choice) for choice in choices]
    arrays = [_arrays(part, spec) for part in parts]
    images = np.concatenate([images for images, _ in arrays])
    labels = np.concatenate([labels for _, labels in arrays])
    names = getattr(parts[0], "classes", None) or sorted({str(k) for k in labels.tolist()})
    sizes = dict(zip(("train", "test"), (len(y) for _, y in arrays), strict=False))
    content = Content(
        inputs=images, targets=labels, classes=[str(n) for n in names], parts=places(sizes)
    )
    return splits_of(spec, content)


def _open(cls: Any, root: str, args: dict[str, Any]) -> Any:
    try:
        return cls(root, **args)
    except (RuntimeError, FileNotFoundError, OSError) as error:
        raise InputError(
            f"data.root: {root!r}; {cls.__name__} is not there: {one_line(error, 120)}; "
            "set data.root to its folder, or data.download to true"
        ) from None
    except TypeError as error:
        raise InputError(f"data.args: {cls.__name__} refuses them: {error}") from None


def _arrays(part: Any, spec: DataSpec) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Return (N, C, H, W) images and (N,) labels, from the set's own arrays where it has them."""
    data = getattr(part, "data", None)
    labels = next((getattr(part, n) for n in ("targets", "labels") if hasattr(part, n)), None)
    if data is None or labels is None or spec.resize is not None:
        return load_files([part[k] for k in range(len(part))], spec)
    return as_images(np.asarray(data))[0], np.asarray(labels, dtype=np.int64)
