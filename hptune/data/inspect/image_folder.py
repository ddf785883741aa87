"""Looks at a folder of images: counts all names, opens a sample."""

from __future__ import annotations

import time
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from hptune.data.inspect.found import Images, listed
from hptune.data.inspect.splits import split_facts
from hptune.data.readers.image_folder import USUAL, Listing, is_image, read_mode, scan
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
    """What opening a sample showed; sizes and modes by the place in the listing."""

    sizes: dict[int, tuple[int, int]] = field(default_factory=dict)
    modes: dict[int, str] = field(default_factory=dict)
    colours: list[bool] = field(default_factory=list)
    damaged: list[str] = field(default_factory=list)


def inspect_data(folder: Path, target: str | None = None) -> Images:
    """Look at class folders, or at training, validation and test folders of them.

    Raises:
        InputError: There are no class folders with images.
    """
    root = _descend(folder)
    try:
        listing = scan(DataSpec(name="image-folder", path=str(root)))
    except InputError:
        tables = sorted(path for path in root.iterdir() if path.suffix in (".csv", ".npz"))
        if not tables:
            raise
        raise InputError(
            f"PATH: {str(root)!r} holds no class folders with images, but {tables[0].name}; did you "
            f"mean {str(tables[0])!r}?"
        ) from None
    sample = _open_sample(listing)
    modes = Counter(sample.modes.values())
    grey = read_mode(sample.modes.get(k, "L") for k in listing.firsts()) == "L"
    problems: list[str] = []
    if sample.damaged:
        files = listed([str(root / name) for name in sorted(sample.damaged)], _NAMED)
        problems.append(
            f"{files} cannot be decoded; every image must be readable; remove or replace what is "
            "damaged"
        )
    facts = split_facts(listing.parts, listing.labels, listing.classes, problems)
    by_area = sorted(sample.sizes.values(), key=lambda size: (size[0] * size[1], size))
    return Images(
        reader="image-folder",
        path=root,
        **facts,
        warnings=(*_unread(listing), *_odd_parts(listing), *_odd_modes(modes, grey)),
        problems=tuple(problems),
        looked_into=len(sample.sizes) + len(sample.damaged),
        smallest=by_area[0] if by_area else (0, 0),
        largest=by_area[-1] if by_area else (0, 0),
        same_size=len(set(by_area)) < 2,
        modes=dict(modes.most_common()),
        coloured=bool(sample.colours) and float(np.mean(sample.colours)) > 0.1,
        channels=1 if grey else 3,
    )


def _descend(folder: Path) -> Path:
    """Return the folder in which the classes are: an archive often unpacks into one of its own."""
    while True:
        inner = [path for path in folder.iterdir() if not path.name.startswith(".")]
        if len(inner) != 1 or not inner[0].is_dir() or any(map(is_image, inner[0].iterdir())):
            return folder
        folder = inner[0]


def _open_sample(listing: Listing) -> _Sample:
    """Open an even sample of the images, and the first of each class; empty files need no opening."""
    count = len(listing.names)
    spread = np.linspace(0, count - 1, min(SAMPLE, count)).astype(int)
    chosen = sorted({*spread.tolist(), *listing.firsts()})
    sizes = [size for size, _ in listing.stamps]
    sample = _Sample(damaged=[listing.names[k] for k in range(count) if not sizes[k]])
    begin = time.monotonic()
    for k in np.random.default_rng(0).permutation(chosen).tolist():
        if sizes[k]:
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
            sample.sizes[k], sample.modes[k] = image.size, image.mode
    except (OSError, SyntaxError, ValueError):
        sample.damaged.append(listing.names[k])


def _unread(listing: Listing) -> Iterator[str]:
    folders = [name for name in listing.unread if name.endswith("/")]
    others = [name for name in listing.unread if not name.endswith("/")]
    if others:
        yield f"{len(others)} files are no images and are not read: {listed(others, _NAMED)}"
    if folders:
        yield (
            f"{len(folders)} folders are no class folders and are not read: "
            f"{listed(folders, _NAMED)}; move their images into class folders"
        )


def _odd_parts(listing: Listing) -> Iterator[str]:
    """Yield what is odd about training, validation and test folders."""
    usual = {name for names in USUAL.values() for name in names} & set(listing.classes)
    if set(listing.parts) == {"train"} and usual:
        yield (
            f"the folder {min(usual)!r} is taken for a class, since there is no folder train beside "
            "it; rename the training folder to train"
        )
    held = {
        part: class_counts(listing.labels[place], listing.classes)
        for part, place in listing.parts.items()
    }
    train = held.pop("train")
    for name in listing.classes:
        if not train[name] and not any(counts[name] for counts in held.values()):
            yield (
                f"the class folder {name!r} has no images: nothing teaches the net this class; "
                "add images or remove the folder"
            )
    for part, counts in held.items():
        for name, count in counts.items():
            if count and not train[name]:
                yield f"class {name!r} has {count} {part} images and none to train on"
            elif train[name] and not count:
                yield f"class {name!r} has no {part} images"


def _odd_modes(modes: Counter[str], grey: bool) -> Iterator[str]:
    if deep := sum(modes[mode] for mode in _DEEP):
        yield (
            f"{deep} of the images opened have more than 8 bits a channel and are cut off at 255; "
            "convert them to 8 bits first"
        )
    if clear := sum(modes[mode] for mode in _TRANSPARENT):
        yield f"{clear} of the images opened have an alpha channel, which is dropped"
    colour = sum(n for mode, n in modes.items() if mode not in ("L", "1", "LA", *_DEEP))
    if grey and colour:
        yield (
            f"{colour} of the images opened are in colour, but the first of each class is grey: all "
            "are read as grey"
        )
    elif not grey and 0 < colour < modes.total():
        yield "some images are grey and some in colour: all are read in colour"
