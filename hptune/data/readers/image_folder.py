"""Images in a folder a class."""

from __future__ import annotations

import hashlib
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

from hptune.data.assemble import Content, splits_of
from hptune.data.readers import cache
from hptune.data.spec import DataSpec, Splits
from hptune.data.split import Indices, places
from hptune.errors import InputError, one_line

SUFFIXES = frozenset(
    [".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm"]
)
USUAL = {
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
        parts: Indices of each of train, validation and test that is there.
        unread: What lies between the images and is not read, relative to the root; folders end in "/".
    """

    root: Path
    names: list[str]
    stamps: list[tuple[int, int]]
    labels: NDArray[np.int64]
    classes: list[str]
    parts: dict[str, Indices]
    unread: list[str]

    def firsts(self) -> list[int]:
        """Return the first image of each class, by which grey or colour is chosen."""
        found: list[int] = np.unique(self.labels, return_index=True)[1].tolist()
        return found

    def key(self, mode: str, side: int | None) -> str:
        """Return what changes with the files and with how they are decoded."""
        digest = hashlib.blake2b(repr(("v1", mode, side)).encode(), digest_size=12)
        for name, (size, modified) in zip(self.names, self.stamps, strict=True):
            digest.update(f"{name}\0{size}\0{modified}\0".encode())
        return digest.hexdigest()


def load(spec: DataSpec) -> Splits:
    """Load class folders, from `path` or from its training, validation and test folders.

    Raises:
        InputError: No images, a single class, a damaged file, or mixed sizes.
    """
    listing = scan(spec)
    opened = [open_image(listing.root / listing.names[k]) for k in listing.firsts()]
    files = _Files(listing, read_mode(image.mode for image in opened), spec.resize)
    shape = files.pixels(listing.firsts()[0]).shape
    size = len(listing.names) * int(np.prod(shape))
    images: Any = files
    cached = "streamed"
    if spec.storage == "memory" or (spec.storage == "auto" and size <= MEMORY_BYTES):
        images, cached = _decoded(files, shape, spec.cache)
    content = Content(
        inputs=images,
        targets=listing.labels,
        classes=listing.classes,
        parts=listing.parts,
        record={"cache": cached},
    )
    return splits_of(spec, content)


def scan(spec: DataSpec) -> Listing:
    """List the image files of a set without opening them.

    Raises:
        InputError: There are no class folders, or no images in them.
    """
    root = spec.place
    folders = _part_folders(root, spec)
    classes = sorted({e.name for f in folders.values() for e in _visible(f) if e.is_dir()})
    if not classes:
        raise InputError(
            f"data.path: {spec.path!r}; must hold a folder of images for each class; it has no "
            "folders: move the images into class folders"
        )
    names: list[str] = []
    stamps: list[tuple[int, int]] = []
    labels: list[int] = []
    unread: list[str] = []
    sizes: dict[str, int] = {}
    for part, folder in folders.items():
        begin = len(names)
        for label, name in enumerate(classes):
            where = os.path.relpath(folder / name, root)
            for entry in _visible(folder / name):
                if is_image(Path(entry.name)):
                    stat = entry.stat()
                    names.append(f"{where}/{entry.name}")
                    stamps.append((stat.st_size, stat.st_mtime_ns))
                    labels.append(label)
                else:
                    unread.append(f"{where}/{entry.name}{'/' * entry.is_dir()}")
        sizes[part] = len(names) - begin
        if not sizes[part]:
            raise InputError(
                f"data.path: {str(folder)!r}; must hold images ({', '.join(sorted(SUFFIXES)[:4])}, "
                "...) in its class folders; it has none: check the path"
            )
    if folders["train"] != root:
        beside = [e.name for e in _visible(root) if e.is_dir()]
        unread += [f"{name}/" for name in beside if root / name not in folders.values()]
    return Listing(
        root, names, stamps, np.array(labels, dtype=np.int64), classes, places(sizes), unread
    )


def is_image(path: Path) -> bool:
    """Say whether a file is an image, by its ending."""
    return path.suffix.lower() in SUFFIXES


def read_mode(modes: Iterable[str]) -> str:
    """Return how images are read, grey ("L") or in colour ("RGB"), by Pillow's modes of some."""
    return "L" if all(mode in ("L", "1") for mode in modes) else "RGB"


def load_files(
    pairs: Sequence[tuple[Any, int]], spec: DataSpec
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return images and labels from pairs of a PIL image and its class."""
    mode = read_mode(image.mode for image, _ in pairs)
    images = [_pixels(image, mode, spec.resize) for image, _ in pairs]
    if len({image.shape for image in images}) > 1:
        raise InputError(
            "data.resize: not set; the images differ in size; set data.resize to a side in pixels"
        )
    return np.stack(images), np.array([label for _, label in pairs], dtype=np.int64)


def _part_folders(root: Path, spec: DataSpec) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for part, usual in USUAL.items():
        given = getattr(spec, f"{part}_folder")
        if given is not None and not (root / given).is_dir():
            raise InputError(
                f"data.{part}_folder: {given!r}; must be a folder in {root}; correct the name"
            )
        for name in usual if given is None else (given,):
            if (root / name).is_dir():
                found[part] = root / name
                break
    return found if "train" in found else {"train": root}


def _visible(folder: Path) -> list[os.DirEntry[str]]:
    """Return what is in a folder, by name; nothing where there is no such folder."""
    if not folder.is_dir():
        return []
    with os.scandir(folder) as entries:
        return sorted((e for e in entries if e.name[0] != "."), key=lambda e: e.name)


def _decoded(
    files: _Files, shape: tuple[int, ...], use_cache: bool
) -> tuple[NDArray[np.uint8], str]:
    """Return all images (N, C, H, W) and where they came from."""
    root, names = files.listing.root, files.listing.names
    kept = cache.read(root, files.key) if use_cache else None
    if kept is not None and len(kept) == len(names):
        return kept, "read"
    images = np.empty((len(names), *shape), dtype=np.uint8)
    first = names[files.listing.firsts()[0]]

    def decode(k: int) -> None:
        pixels = files.pixels(k)
        if pixels.shape != shape:
            raise InputError(
                f"data.resize: not set; the images differ in size ({first} is {shape[2]}x{shape[1]}, "
                f"{names[k]} {pixels.shape[2]}x{pixels.shape[1]}); set data.resize to a side in "
                "pixels"
            )
        images[k] = pixels

    # Pillow decodes without the interpreter's lock.
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for _ in pool.map(decode, range(len(names)), chunksize=256):
            pass
    if not use_cache:
        return images, "off"
    return images, "written" if cache.write(root, files.key, images) else "not writable"


def open_image(path: Path) -> Image.Image:
    """Return a decoded image.

    Raises:
        InputError: It is none.
    """
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
        self.listing, self._mode, self._side = listing, mode, side
        self.key = listing.key(mode, side)

    def pixels(self, k: int) -> NDArray[np.uint8]:
        """Return an image as (C, H, W)."""
        image = open_image(self.listing.root / self.listing.names[k])
        return _pixels(image, self._mode, self._side)

    def __getitem__(self, k: int) -> tuple[torch.Tensor, int]:
        pixels = np.ascontiguousarray(self.pixels(k))
        return torch.from_numpy(pixels), int(self.listing.labels[k])
