"""What is asked of a data set, and what loading it gives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from hptune.task import Source

# Keys that say where the data are and how they are read; all others change what a trial learns from.
WHERE_AND_HOW = ("path", "root", "workers", "cache", "storage", "download")


@dataclass(frozen=True, kw_only=True)
class DataSpec:
    """A data set by name, and how to split, scale and augment it.

    Attributes:
        name: A bundled set, a torchvision set, image-folder, npz, csv, or "package.module:function".
        root: Folder of a torchvision set.
        path: Folder of images, or the npz or csv file.
        target: Column of a csv to predict.
        drop: Columns of a csv that are no inputs.
        kind: "classification" or "regression"; None finds out.
        resize: Side in pixels that images are scaled to; None takes them as they are.
        download: Whether a torchvision set may be fetched.
        train_folder, validation_folder, test_folder: Under `path`; None looks for the usual names.
        validation, test: Fractions split off where the data bring no such split.
        split_seed: Of the split, independent of the run's seed.
        subset: Training and validation examples to use, None for all.
        test_subset: Test examples to use, None for all.
        normalize: "standardize" (per channel), "mean-image" (subtracted, not divided) or "none".
        scale: Largest value of a pixel after loading: 1 or, for nets tuned to raw pixels, 255.
        flip: Whether training images are mirrored at random.
        crop: Pixels of padding for random crops, 0 for none.
        cutout: Side in pixels of a square that is blanked at random, 0 for none.
        storage: "memory", "stream", or "auto": memory where it fits.
        workers: Processes that decode while streaming.
        cache: Whether decoded images are kept on disk beside the data.
        args: For the user's own function.
    """

    name: str = "digits"
    root: str | None = None
    path: str | None = None
    target: str | None = None
    drop: tuple[str, ...] = ()
    kind: str | None = None
    resize: int | None = None
    download: bool = False
    train_folder: str | None = None
    validation_folder: str | None = None
    test_folder: str | None = None
    validation: float = 0.15
    test: float = 0.15
    split_seed: int = 0
    subset: int | None = None
    test_subset: int | None = None
    normalize: str = "standardize"
    scale: float = 1.0
    flip: bool = False
    crop: int = 0
    cutout: int = 0
    storage: str = "auto"
    workers: int = 2
    cache: bool = True
    args: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Splits:
    """A data set, split.

    Attributes:
        train, validation, test: The splits; a test split may be missing.
        input_shape: Of one example, without the batch.
        outputs: Classes, or columns of a regression's target.
        drop: Columns of a csv that are no inputs.
        kind: "classification" or "regression".
        classes: Names of the classes, empty for a regression.
        record: What was found, in plain values: counts, normalisation, a fingerprint of the content.
    """

    train: Source
    validation: Source
    test: Source | None
    input_shape: tuple[int, ...]
    outputs: int
    kind: str
    classes: tuple[str, ...] = ()
    record: Mapping[str, Any] = field(default_factory=dict)
