"""What is asked of a data set, and what loading it gives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from hptune.errors import InputError
from hptune.section import (
    Arguments,
    Count,
    Fraction,
    NotNegative,
    Positive,
    Rate,
    Real,
    Section,
    Seed,
    Size,
)

if TYPE_CHECKING:  # the experiment has this section, and reads without torch
    from hptune.task import Source

Cell = Annotated[str, BeforeValidator(str)]  # YAML reads -999 as a number
Kind = Literal["classification", "regression"]
Layout = Literal["auto", "channels-first", "channels-second", "channels-last", "no-channels"]
# Keys that say where the data are and how they are read; all others change what a trial learns from.
# The layout shows in the content, as the arrays that are trained on.
WHERE_AND_HOW = ("path", "root", "workers", "cache", "storage", "download", "layout", "unreadable")
# Keys that say nothing of the data where they are off: trials without them are what they were.
DATA_METHODS = ("label_noise", "shuffle_labels", "mixup", "cutmix")


class DataSpec(Section):
    """Which data, how split, scaled and augmented: the section `data` of an experiment."""

    name: str = Field(
        "digits",
        description="digits, image-folder, npz, npy, csv, a torchvision set, or package.module:function",
    )
    root: str | None = Field(None, description="folder of a torchvision set; relative as path is")
    path: str | None = Field(
        None, description="folder or file, relative to the config's folder or the working folder"
    )
    target: str | None = Field(None, description="column of a csv to predict")
    drop: tuple[str, ...] | None = Field(
        None,
        description="columns of a csv to leave out; null leaves out ids, constants and the like",
    )
    missing: tuple[Cell, ...] = Field(
        (), description="cells of a csv that mean missing, as empty ones and ? among numbers do"
    )
    kind: Kind | None = Field(None, description="what the targets are, null finds out")
    layout: Layout = Field(
        "auto", description="of arrays: which axis of an example is the channels"
    )
    resize: Count | None = Field(None, description="side in pixels that images are scaled to")
    download: bool = Field(False, description="whether a torchvision set may be fetched")
    unreadable: Rate = Field(
        0.001, description="part of the images that may be left out since they cannot be read"
    )
    train_folder: str | None = Field(
        None, description="under path, with the class folders; null looks for the usual names"
    )
    validation_folder: str | None = Field(None, description="likewise")
    test_folder: str | None = Field(None, description="likewise")
    validation: Fraction = Field(0.15, description="split off where the data bring no such set")
    test: Rate = Field(0.15, description="likewise for the test set, 0 for none")
    split_seed: Seed = Field(0, description="of the split and the subsets")
    subset: Count | None = Field(None, description="training and validation examples, null for all")
    test_subset: Count | None = Field(None, description="test examples to use, null for all")
    normalize: Literal["standardize", "mean-image", "imagenet", "none"] = Field(
        "standardize",
        description="per channel or column; or less their mean, not divided; or colour images by "
        "ImageNet's, as pretrained weights want them; or as they are. "
        "Targets of a regression are standardized too, unless none",
    )
    scale: Positive = Field(1.0, description="largest pixel: 1, or 255 for nets tuned to raw ones")
    flip: bool = Field(False, description="mirror half of the training images")
    crop: Size = Field(0, description="padding in pixels of random crops, 0 for none")
    cutout: Size = Field(0, description="side in pixels of a blanked square, 0 for none")
    mixup: NotNegative = Field(
        0.0,
        description="alpha of mixup: each training example is averaged with another, and so are their "
        "targets, the own share drawn from Beta(alpha, alpha); 0 for none",
    )
    cutmix: NotNegative = Field(
        0.0,
        description="alpha of CutMix, likewise: a rectangle of each training image is another's; with "
        "mixup, half of the images get the one and half the other",
    )
    label_noise: Annotated[Real, Field(ge=0, le=1)] = Field(
        0.0, description="part of the training labels that become another class, by split_seed"
    )
    shuffle_labels: bool = Field(
        False,
        description="deal the training labels out anew, by split_seed, so that none can be learnt",
    )
    storage: Literal["auto", "memory", "stream"] = Field(
        "auto", description="where images are kept; auto streams what does not fit into memory"
    )
    workers: Size = Field(2, description="processes that read a stream or your own Dataset")
    cache: bool = Field(True, description="keep decoded images in hptune's cache folder")
    args: Arguments = Field(default_factory=dict, description="of your own function")

    @model_validator(mode="after")
    def _wrong_in_one_way(self) -> Self:
        if self.label_noise and self.shuffle_labels:
            raise InputError(
                f"data.label_noise: {self.label_noise:g} with data.shuffle_labels; of shuffled labels "
                "most are wrong already; leave one of the two out"
            )
        return self

    @property
    def methods(self) -> dict[str, Any]:
        """What is done to the training examples after they are read, as far as it is on, by key."""
        return {key: value for key in DATA_METHODS if (value := getattr(self, key))}

    def identity(self) -> dict[str, Any]:
        """Return the values that tell what a trial learns from; those of a method that is off do not."""
        no_part = {*WHERE_AND_HOW, *DATA_METHODS} - self.methods.keys()
        return self.model_dump(mode="json", exclude=no_part)

    @property
    def place(self) -> Path:
        """The folder or file of `path`."""
        return Path(self.path or "").expanduser()


@dataclass(frozen=True, kw_only=True)
class Splits:
    """A data set, split.

    Attributes:
        train, validation, test: The splits; a test split may be missing.
        input_shape: Of one example, without the batch.
        outputs: Classes, or columns of a regression's target.
        kind: "classification" or "regression".
        classes: Names of the classes, empty for a regression.
        whole: Whether the inputs are vectors of whole numbers, which may be ids, such as of tokens.
        record: What was found, in plain values: normalisation, columns, a fingerprint of the content.
        notes: What the user should know of the data before training, a sentence each.
    """

    train: Source
    validation: Source
    test: Source | None = None
    input_shape: tuple[int, ...]
    outputs: int
    kind: str
    classes: tuple[str, ...] = ()
    whole: bool = False
    record: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
