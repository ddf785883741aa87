"""Looks at a folder of images: counts all names, opens a sample."""

from __future__ import annotations

import os
import time
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from hptune.data.inspect.found import Images
from hptune.data.inspect.splits import fractions
from hptune.data.readers.image_folder import SUFFIXES, Listing, firsts, scan
from hptune.data.spec import DataSpec
from hptune.data.split import class_counts
from hptune.errors import InputError

SAMPLE = 600  # images that are opened
SECONDS = 3.0  # after which images are opened for their size alone
_COLOUR = 4.0  # mean difference between channels, of 255, above which an image has colours
_DEEP = ("I;16", "I;16B", "I;16L", "I;16N", "I", "F")  # more than the 8 bits that are read
_TRANSPARENT = ("RGBA", "LA", "PA", "RGBa", "La")
_NAMED = 3  # files named in a message


@dataclass
class _Sample:
    """What opening a sample showed."""

    sizes: list[tuple[int, int]] = field(default_factory=list)
    modes: Counter[str] = field(default_factory=Counter)
    colours: list[bool] = field(default_factory=list)
    damaged: list[str] = field(default_factory=list)


def inspect_data(folder: Path, target: str | None = None) -> Images:
    """Look at class folders, or at training, validation and test folders of them.

    Raises:
        InputError: There are no class folders with images.
    """
    root = _descend(folder)
    listing = _scan(root)
    sample = _open_sample(listing)
    grey = _is_grey(listing)
    classes = _counts(listing, listing.parts["train"])
    validation, test, unsplittable = fractions(listing.parts, listing.labels)
    problems = [
        *_damaged(listing, sample.damaged),
        *_too_few(classes, unsplittable),
    ]
    if not sample.sizes:
        problems.append(f"{root}: none of the images that were opened can be read; check the files")
        sample.sizes.append((0, 0))
    by_area = sorted(sample.sizes, key=lambda size: (size[0] * size[1], size))
    return Images(
        reader="image-folder",
        path=root,
        parts={name: len(part) for name, part in listing.parts.items()},
        classes=classes,
        validation=validation,
        test=test,
        warnings=(*_odd_files(listing), *_odd_parts(listing, classes), *_odd_modes(sample, grey)),
        problems=tuple(problems),
        looked_into=len(sample.sizes) + len(sample.damaged),
        smallest=by_area[0],
        largest=by_area[-1],
        same_size=by_area[0] == by_area[-1] and len(set(sample.sizes)) == 1,
        modes=dict(sample.modes.most_common()),
        coloured=bool(sample.colours) and float(np.mean(sample.colours)) > 0.1,
        channels=1 if grey else 3,
    )


def _descend(folder: Path) -> Path:
    """Return the folder in which the classes are: an archive often unpacks into one of its own."""
    while True:
        inner = [path for path in folder.iterdir() if not path.name.startswith(".")]
        if len(inner) != 1 or not inner[0].is_dir() or _has_images(inner[0]):
            return folder
        folder = inner[0]


def _scan(root: Path) -> Listing:
    try:
        return scan(DataSpec(name="image-folder", path=str(root)))
    except InputError as error:
        if _has_images(root):
            raise InputError(
                f"PATH: {str(root)!r} holds images and no class folders; a class is a folder: move "
                "the images of each class into one"
            ) from None
        tables = sorted(path.name for path in root.iterdir() if path.suffix in (".csv", ".npz"))
        if tables:
            raise InputError(
                f"PATH: {str(root)!r} holds no class folders with images, but {tables[0]}; did you "
                f"mean {str(root / tables[0])!r}?"
            ) from None
        raise InputError(str(error).replace("data.path", "PATH", 1)) from None


def _has_images(folder: Path) -> bool:
    with os.scandir(folder) as entries:
        return any(Path(e.name).suffix.lower() in SUFFIXES for e in entries if e.is_file())


def _counts(listing: Listing, part: range) -> dict[str, int]:
    return class_counts(listing.labels[part.start : part.stop], listing.classes)


def _is_grey(listing: Listing) -> bool:
    modes = []
    for k in firsts(listing):
        try:
            with Image.open(listing.root / listing.names[k]) as image:
                modes.append(image.mode)
        except (OSError, SyntaxError, ValueError):
            continue  # told as damaged
    return bool(modes) and all(mode in ("L", "1") for mode in modes)


def _open_sample(listing: Listing) -> _Sample:
    """Open an even sample of the images, and all that are empty files."""
    spread = np.linspace(0, len(listing.names) - 1, min(SAMPLE, len(listing.names))).astype(int)
    chosen = sorted({*spread.tolist(), *firsts(listing)})
    order = np.random.default_rng(0).permutation(chosen).tolist()
    sample = _Sample()
    sample.damaged += [
        name for name, (size, _) in zip(listing.names, listing.stamps, strict=True) if not size
    ]
    begin = time.monotonic()
    for k in order:
        if listing.stamps[k][0]:
            _open(listing, k, sample, decode=time.monotonic() - begin < SECONDS)
    return sample


def _open(listing: Listing, k: int, sample: _Sample, *, decode: bool) -> None:
    try:
        with warnings.catch_warnings(), Image.open(listing.root / listing.names[k]) as image:
            warnings.simplefilter("ignore")  # of odd metadata, which is not read
            if decode:
                image.load()
                pixels = np.asarray(image.convert("RGB").resize((32, 32)), dtype=np.float32)
                sample.colours.append(float(np.ptp(pixels, axis=2).mean()) > _COLOUR)
            sample.sizes.append(image.size)
            sample.modes[image.mode] += 1
    except (OSError, SyntaxError, ValueError):
        sample.damaged.append(listing.names[k])


def _damaged(listing: Listing, names: Sequence[str]) -> Iterator[str]:
    if names:
        yield (
            f"{_some([str(listing.root / name) for name in sorted(names)])} cannot be decoded; every "
            "image must be readable; remove or replace the file" + ("s" if len(names) > 1 else "")
        )


def _too_few(classes: dict[str, int], unsplittable: str | None) -> Iterator[str]:
    filled = [name for name, count in classes.items() if count]
    if len(filled) < 2:
        only = f" ({filled[0]})" if filled else ""
        yield (
            f"{len(filled)} class{only} has training images; a classifier needs 2 at least; add a "
            "folder of images for each class"
        )
    elif unsplittable is not None:
        smallest = min(filled, key=lambda name: classes[name])
        yield (
            f"class {smallest!r} has {classes[smallest]} training images, of {sum(classes.values())} "
            f"in {len(filled)} classes; too few to split validation and test sets off; add images "
            "or remove the class"
        )


def _odd_files(listing: Listing) -> Iterator[str]:
    """Yield what in the class folders is not read."""
    others: list[str] = []
    nested = 0
    folders = {Path(name).parent for name in listing.names}
    for folder in sorted(folders):
        with os.scandir(listing.root / folder) as entries:
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                if entry.is_dir():
                    nested += 1
                elif Path(entry.name).suffix.lower() not in SUFFIXES:
                    others.append(str(folder / entry.name))
    if others:
        yield f"{len(others)} files are no images and are not read: {_some(sorted(others))}"
    if nested:
        yield f"{nested} folders inside class folders are not read; move their images up"


def _odd_parts(listing: Listing, classes: dict[str, int]) -> Iterator[str]:
    """Yield what is odd about training, validation and test folders."""
    usual = {"train", "training", "val", "valid", "validation", "dev", "test", "testing"}
    if set(listing.parts) == {"train"} and usual & set(listing.classes):
        name = sorted(usual & set(listing.classes))[0]
        yield (
            f"the folder {name!r} is taken for a class, since there is no folder train beside it; "
            "rename the training folder to train"
        )
    for name, held_at_all in _counts(listing, range(len(listing.names))).items():
        if not held_at_all:
            yield (
                f"the class folder {name!r} has no images: nothing teaches the net this class; "
                "add images or remove the folder"
            )
    for part, place in listing.parts.items():
        if part == "train":
            continue
        held = _counts(listing, place)
        for name in listing.classes:
            if held[name] and not classes[name]:
                yield f"class {name!r} has {held[name]} {part} images and none to train on"
            elif classes[name] and not held[name]:
                yield f"class {name!r} has no {part} images"
    if len(listing.parts) > 1:
        inside = {Path(name).parts[0] for name in listing.names}
        beside = [p.name for p in listing.root.iterdir() if p.is_dir() and p.name[0] != "."]
        unread = sorted(set(beside) - inside)
        if unread:
            yield f"beside the split's folders, {_some(unread)} is not read"


def _odd_modes(sample: _Sample, grey: bool) -> Iterator[str]:
    deep = sum(sample.modes[mode] for mode in _DEEP)
    if deep:
        yield (
            f"{deep} of the images opened have more than 8 bits a channel and are cut off at 255; "
            "convert them to 8 bits first"
        )
    clear = sum(sample.modes[mode] for mode in _TRANSPARENT)
    if clear:
        yield f"{clear} of the images opened have an alpha channel, which is dropped"
    colour = sum(n for mode, n in sample.modes.items() if mode not in ("L", "1", "LA", *_DEEP))
    if grey and colour:
        yield (
            f"{colour} of the images opened are in colour, but the first of each class is grey: all "
            "are read as grey"
        )
    elif not grey and 0 < colour < sum(sample.modes.values()):
        yield "some images are grey and some in colour: all are read in colour"


def _some(names: Sequence[str]) -> str:
    """Return the first few names and how many more there are."""
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")
