"""What lies in a folder: images, folders of them, and what is neither."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePath

from PIL import Image

from hptune.errors import InputError

_ENDING = re.compile(
    r"\.(jpe?g|jpe|jfif|a?png|bmp|dib|gif|webp|avif|tiff?|p[bfgnp]m|jp2|j2k|jpx|mpo|tga|ico|pcx|sgi|qoi)$",
    re.IGNORECASE,
)
# What is hidden, and what systems and programs leave behind.
_JUNK = re.compile(
    r"\.|(__macosx|(eh)?thumbs\.db|desktop\.ini|__pycache__|@eadir|\$recycle\.bin|lost\+found)$",
    re.IGNORECASE,
)
_SNIFFED = ("PNG", "JPEG", "GIF", "WEBP", "JPEG2000", "AVIF")  # known by their first bytes


@dataclass
class Folder:
    """A folder, relative to the root of a set.

    Attributes:
        path: "" for the root itself.
        files: Name, size in bytes and modification time in ns of each image.
        folders: The folders in it, by name.
        unnamed: Names of those that are images by their content, but not by their ending.
        others: Names of files that are no images.
        links: Names of links that lead nowhere, or to a folder that they lie in.
        junk: Names of hidden files and folders, and of those that systems leave behind.
    """

    path: str
    files: list[tuple[str, int, int]] = field(default_factory=list)
    folders: list[Folder] = field(default_factory=list)
    unnamed: list[str] = field(default_factory=list)
    others: list[str] = field(default_factory=list)
    links: list[str] = field(default_factory=list)
    junk: list[str] = field(default_factory=list)
    count: int = 0  # images here and below

    @property
    def name(self) -> str:
        """The last part of its path."""
        return PurePath(self.path).name

    @property
    def holding(self) -> list[Folder]:
        """The folders in it that hold images, at any depth."""
        return [folder for folder in self.folders if folder.count]

    def within(self, name: str) -> str:
        """Return the path of what lies in it."""
        return f"{self.path}/{name}" if self.path else name

    def below(self) -> Iterator[Folder]:
        """Yield the folder and all those in it, at any depth."""
        yield self
        for folder in self.folders:
            yield from folder.below()


def walk(root: Path, path: str = "", above: frozenset[tuple[int, int]] = frozenset()) -> Folder:
    """Return what lies in a folder, without opening what is an image by its ending.

    Links are followed, but not to a folder that they lie in themselves.

    Raises:
        InputError: A folder cannot be listed.
    """
    place = os.path.join(root, path)  # noqa: PTH118, for each of many files
    found = Folder(path)
    try:
        stat = os.stat(place)  # noqa: PTH116
        above |= {(stat.st_dev, stat.st_ino)}
        with os.scandir(place) as entries:
            listed = sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        raise InputError(
            f"data.path: {place!r}; must be a folder that can be read: {error.strerror}; change its "
            "permissions or move it out of the data"
        ) from None
    for entry in listed:
        if _JUNK.match(entry.name):
            found.junk.append(entry.name)
        elif entry.is_dir():
            target = entry.stat()
            if (target.st_dev, target.st_ino) in above:
                found.links.append(entry.name)
            else:
                found.folders.append(walk(root, found.within(entry.name), above))
        elif _ENDING.search(entry.name) and (entry.is_file() or not Path(entry.path).exists()):
            found.files.append((entry.name, *_stamp(entry)))
        elif _is_image(entry):
            found.unnamed.append(entry.name)
            found.files.append((entry.name, *_stamp(entry)))
        else:
            broken = entry.is_symlink() and not entry.is_file()
            (found.links if broken else found.others).append(entry.name)
    found.count = len(found.files) + sum(folder.count for folder in found.folders)
    return found


def _stamp(entry: os.DirEntry[str]) -> tuple[int, int]:
    try:
        stat = entry.stat()
    except OSError:  # a link that leads nowhere: told when it is opened
        return 0, 0
    return stat.st_size, stat.st_mtime_ns


def _is_image(entry: os.DirEntry[str]) -> bool:
    """Say whether a file without the ending of an image is one, by its first bytes."""
    try:
        if not entry.is_file():
            return False
        with open(entry.path, "rb") as file:  # noqa: PTH123
            begin = file.read(32)
    except OSError:
        return False
    Image.init()
    if begin[:2] == b"BM":
        return begin[6:10] == bytes(4)  # which are reserved
    if begin[:4] in (b"II*\0", b"MM\0*"):  # raw photographs too are TIFF files, with endings
        return "." not in entry.name
    known = (Image.OPEN[name][1] for name in _SNIFFED if name in Image.OPEN)
    return any(accept is not None and accept(begin) is True for accept in known)
