"""Images in a folder a class."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch.utils.data import Dataset

from hptune.data.assemble import image_splits
from hptune.data.readers import cache
from hptune.data.spec import DataSpec, Splits
from hptune.errors import InputError, one_line

SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm"}
)
_USUAL = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev"),
    "test": ("test", "testing"),
}
# Of decoded pixels; beyond this a set is streamed. A fraction of a small machine's memory.
MEMORY_BYTES = 4 * 2**30


@dataclass(frozen=True)
class Listing:
    """The image files of a set.

    Attributes:
        names: Relative to the root.
        stamps: Size in bytes and modification time in ns of each file.
        labels: Class of each file, (N,).
        classes: Names of the classes.
        parts: Index range of each of train, validation and test that is there.
    """

    root: Path
    names: list[str]
    stamps: list[tuple[int, int]]
    labels: NDArray[np.int64]
    classes: list[str]
    parts: dict[str, range]


def load(spec: DataSpec) -> Splits:
    """Load class folders, from `path` or from its training, validation and test folders.

    Raises:
        InputError: No folder, no images, a single class, a damaged file, or mixed sizes.
    """
    listing = scan(spec)
    mode, shape = _probe(listing, spec)
    size = len(listing.names) * int(np.prod(shape))
    images: Any
    if spec.storage == "stream" or (spec.storage == "auto" and size > MEMORY_BYTES):
        images, cached = _Files(listing, mode, spec.resize), "streamed"
    else:
        images, cached = _decoded(spec, listing, mode)
    return image_splits(
        spec,
        images,
        listing.labels,
        listing.classes,
        {name: np.arange(part.start, part.stop) for name, part in listing.parts.items()},
        {"path": str(listing.root), "cache": cached},
    )


def scan(spec: DataSpec) -> Listing:
    """List the image files of a set without opening them.

    Raises:
        InputError: There is no such folder, or nothing in it.
    """
    if spec.path is None:
        raise InputError("data.path: missing; an image folder needs the folder; set data.path")
    root = Path(spec.path).expanduser()
    if not root.is_dir():
        raise InputError(
            f"data.path: {spec.path!r}; must be a folder that exists; correct the path"
        )
    folders = _part_folders(root, spec)
    classes = sorted({entry.name for f in folders.values() for entry in _folders(f)})
    if not classes:
        raise InputError(
            f"data.path: {spec.path!r}; must hold a folder of images for each class; it has no "
            "folders: move the images into class folders"
        )
    names: list[str] = []
    stamps: list[tuple[int, int]] = []
    labels: list[int] = []
    parts: dict[str, range] = {}
    for part, folder in folders.items():
        begin = len(names)
        for label, name in enumerate(classes):
            for path, size, modified in _images(folder / name):
                names.append(os.path.relpath(path, root))
                stamps.append((size, modified))
                labels.append(label)
        parts[part] = range(begin, len(names))
        if len(names) == begin:
            raise InputError(
                f"data.path: {str(folder)!r}; must hold images ({', '.join(sorted(SUFFIXES)[:4])}, "
                "...) in its class folders; it has none: check the path"
            )
    return Listing(root, names, stamps, np.array(labels, dtype=np.int64), classes, parts)


def load_files(
    pairs: Sequence[tuple[Any, int]], spec: DataSpec
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return images and labels from pairs of a PIL image and its class."""
    mode = "L" if all(image.mode == "L" for image, _ in pairs) else "RGB"
    images = [_pixels(image, mode, spec.resize) for image, _ in pairs]
    if len({image.shape for image in images}) > 1:
        raise InputError(
            "data.resize: not set; the images differ in size; set data.resize to a side in pixels"
        )
    return np.stack(images), np.array([label for _, label in pairs], dtype=np.int64)


def _part_folders(root: Path, spec: DataSpec) -> dict[str, Path]:
    given = {
        "train": spec.train_folder,
        "validation": spec.validation_folder,
        "test": spec.test_folder,
    }
    found: dict[str, Path] = {}
    for part, name in given.items():
        if name is not None:
            if not (root / name).is_dir():
                raise InputError(
                    f"data.{part}_folder: {name!r}; must be a folder in {root}; correct the name"
                )
            found[part] = root / name
            continue
        usual = next((root / u for u in _USUAL[part] if (root / u).is_dir()), None)
        if usual is not None:
            found[part] = usual
    return found if "train" in found else {"train": root}


def _folders(folder: Path) -> list[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        return [e for e in entries if e.is_dir() and not e.name.startswith(".")]


def _images(folder: Path) -> Iterable[tuple[str, int, int]]:
    if not folder.is_dir():
        return
    with os.scandir(folder) as entries:
        found = [
            e
            for e in entries
            if Path(e.name).suffix.lower() in SUFFIXES and not e.name.startswith(".")
        ]
    for entry in sorted(found, key=lambda e: e.name):
        stat = entry.stat()
        yield entry.path, stat.st_size, stat.st_mtime_ns


def firsts(listing: Listing) -> list[int]:
    """Return the first image of each class, by which grey or colour is chosen."""
    places: list[int] = np.unique(listing.labels, return_index=True)[1].tolist()
    return places


def _probe(listing: Listing, spec: DataSpec) -> tuple[str, tuple[int, ...]]:
    """Return the colour mode and the shape of the images, from the first of each class."""
    images = [_open(listing.root / listing.names[k]) for k in firsts(listing)]
    mode = "L" if all(image.mode in ("L", "1") for image in images) else "RGB"
    return mode, _pixels(images[0], mode, spec.resize).shape


def _key(listing: Listing, mode: str, side: int | None) -> str:
    """Return a key that changes with the files and with how they are decoded."""
    files = [(n, *s) for n, s in zip(listing.names, listing.stamps, strict=True)]
    return cache.listing_key(files, ("v1", mode, side))


def _decoded(spec: DataSpec, listing: Listing, mode: str) -> tuple[NDArray[np.uint8], str]:
    """Return all images (N, C, H, W) and where they came from."""
    key = _key(listing, mode, spec.resize)
    if spec.cache:
        images = cache.read(listing.root, key)
        if images is not None and len(images) == len(listing.names):
            return images, "read"
    first = _pixels(_open(listing.root / listing.names[0]), mode, spec.resize)
    images = np.empty((len(listing.names), *first.shape), dtype=np.uint8)

    def decode(k: int) -> None:
        path = listing.root / listing.names[k]
        pixels = _pixels(_open(path), mode, spec.resize)
        if pixels.shape != first.shape:
            raise InputError(
                f"data.resize: not set; the images differ in size ({listing.names[0]} is "
                f"{first.shape[2]}x{first.shape[1]}, {listing.names[k]} {pixels.shape[2]}x"
                f"{pixels.shape[1]}); set data.resize to a side in pixels"
            )
        images[k] = pixels

    # Pillow decodes without the interpreter's lock.
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for _ in pool.map(decode, range(len(listing.names)), chunksize=256):
            pass
    if not spec.cache:
        return images, "off"
    return images, "written" if cache.write(listing.root, key, images) else "not writable"


def _open(path: Path) -> Image.Image:
    try:
        with Image.open(path) as image:
            image.load()
            return image
    except (OSError, SyntaxError, ValueError) as error:
        raise InputError(
            f"data: {path} is not a readable image ({one_line(error, 100)}); every "
            "image must decode; remove or replace the file"
        ) from None


def _pixels(image: Image.Image, mode: str, side: int | None) -> NDArray[np.uint8]:
    """Return an image as (C, H, W), scaled to a square of `side` where one is given."""
    image = image.convert(mode)
    if side is not None and image.size != (side, side):
        image = image.resize((side, side), Image.Resampling.BILINEAR)
    pixels = np.asarray(image, dtype=np.uint8)
    return pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)


class _Files(Dataset[tuple[torch.Tensor, int]]):
    """Images decoded when they are asked for."""

    def __init__(self, listing: Listing, mode: str, side: int | None) -> None:
        self._listing, self._mode, self._side = listing, mode, side
        self.key = _key(listing, mode, side)

    def __getitem__(self, k: int) -> tuple[torch.Tensor, int]:
        path = self._listing.root / self._listing.names[k]
        pixels = _pixels(_open(path), self._mode, self._side)
        return torch.from_numpy(np.ascontiguousarray(pixels)), int(self._listing.labels[k])
