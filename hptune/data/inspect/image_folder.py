"""Looks at a folder of images: counts all names, opens a sample."""

from __future__ import annotations

import time
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from hptune.data.inspect.found import Images, listed, noted, split_facts
from hptune.data.readers.image_folder import USUAL, Listing, is_image, open_image, read_mode, scan
from hptune.data.spec import DataSpec
from hptune.data.split import class_counts

SAMPLE = 600  # images that are opened, besides the first of each class
SECONDS = 3.0  # after which no more are
_COLOUR = 4.0  # mean difference between channels, of 255, above which an image has colours
_DEEP = ("I;16", "I;16B", "I;16L", "I;16N", "I", "F")  # more than the 8 bits that are read
_TRANSPARENT = ("RGBA", "LA", "PA", "RGBa", "La")
_NAMED = 3  # files named in a message


class _Look(NamedTuple):
    """What opening an image showed: (width, height), Pillow's mode, whether it has colours."""

    size: tuple[int, int]
    mode: str
    coloured: bool


def inspect_data(folder: Path, target: str | None = None) -> Images:
    """Look at class folders, or at training, validation and test folders of them.

    Raises:
        InputError: There are no class folders with images.
    """
    root = _descend(folder)
    listing = scan(DataSpec(name="image-folder", path=str(root)))
    problems: list[str] = []
    looks: dict[int, _Look] = {}
    until = time.monotonic() + SECONDS
    for k in _sample(listing):
        if time.monotonic() > until:
            break
        with noted(problems):
            looks[k] = _look(root / listing.names[k])
    looked_into = len(looks) + len(problems)
    modes = Counter(look.mode for look in looks.values())
    grey = read_mode(looks[k].mode for k in listing.firsts() if k in looks) == "L"
    sizes = sorted({look.size for look in looks.values()}, key=lambda wh: (wh[0] * wh[1], wh))
    facts = split_facts(listing.parts, listing.labels, listing.classes, problems)
    return Images(
        reader="image-folder",
        path=root,
        **facts,
        warnings=(*_unread(listing), *_odd_parts(listing), *_odd_modes(modes, grey)),
        problems=tuple(problems),
        looked_into=looked_into,
        smallest=sizes[0] if sizes else (0, 0),
        largest=sizes[-1] if sizes else (0, 0),
        same_size=len(sizes) < 2,
        modes=dict(modes.most_common()),
        coloured=sum(look.coloured for look in looks.values()) > 0.1 * len(looks),
        channels=1 if grey else 3,
    )


def _descend(folder: Path) -> Path:
    """Return the folder in which the classes are: an archive often unpacks into one of its own."""
    while True:
        inner = [path for path in folder.iterdir() if not path.name.startswith(".")]
        if len(inner) != 1 or not inner[0].is_dir() or any(map(is_image, inner[0].iterdir())):
            return folder
        folder = inner[0]


def _sample(listing: Listing) -> list[int]:
    """Return which images to open: empty files, the first of each class, and some from all over."""
    empty = [k for k, (size, _) in enumerate(listing.stamps) if not size]
    count = len(listing.names)
    spread = np.linspace(0, count - 1, min(SAMPLE, count)).astype(int)
    shuffled = np.random.default_rng(0).permutation(spread).tolist()
    return list(dict.fromkeys([*empty, *listing.firsts(), *shuffled]))


def _look(path: Path) -> _Look:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of odd metadata, which is not read
        image = open_image(path)
        pixels = np.asarray(image.convert("RGB").resize((32, 32)), dtype=np.float32)
    return _Look(image.size, image.mode, float(np.ptp(pixels, axis=2).mean()) > _COLOUR)


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
    for name in listing.classes:
        there = {part: counts[name] for part, counts in held.items() if counts[name]}
        if not there:
            yield (
                f"the class folder {name!r} has no images: nothing teaches the net this class; "
                "add images or remove the folder"
            )
        elif "train" not in there:
            shown = " and ".join(f"{count} {part}" for part, count in there.items())
            yield f"class {name!r} has {shown} images and none to train on"
        elif lacking := [part for part in held if part not in there]:
            yield f"class {name!r} has no {' and no '.join(lacking)} images"


def _odd_modes(modes: Counter[str], grey: bool) -> list[str]:
    colour = modes.total() - sum(modes[mode] for mode in ("L", "1", "LA", *_DEEP))
    deep, clear = (sum(modes[mode] for mode in kind) for kind in (_DEEP, _TRANSPARENT))
    told = (
        (deep, "have more than 8 bits a channel, cut off at 255; convert them to 8 bits first"),
        (clear, "have an alpha channel, which is dropped"),
        (colour * grey, "are in colour, but the first of each class is grey: all are read as grey"),
        ((modes.total() - colour) * (not grey), "are grey: all are read in colour"),
    )
    return [f"{count} of the images opened {what}" for count, what in told if count]
