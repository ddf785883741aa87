"""The image files of a set, each with its class and its part, and what is left out."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hptune.data.images.layout import Layout, find_layout
from hptune.data.images.names import endings, listed, shown
from hptune.data.images.tree import Folder
from hptune.data.spec import DataSpec
from hptune.data.split import Indices, class_counts
from hptune.data.split import places as places_of


@dataclass(frozen=True)
class Listing:
    """The image files of a set.

    Attributes:
        names: Relative to the root.
        stamps: Size in bytes and modification time in ns of each file.
        labels: Class of each file, (N,).
        classes: Names of the classes.
        parts: Indices of each of train, validation and test that is there.
        notes: What was left out and what was guessed, a sentence each.
    """

    root: Path
    names: list[str]
    stamps: list[tuple[int, int]]
    labels: NDArray[np.int64]
    classes: list[str]
    parts: dict[str, Indices]
    notes: list[str]

    def firsts(self) -> list[int]:
        """Return the first image of each class."""
        found: list[int] = np.unique(self.labels, return_index=True)[1].tolist()
        return found

    def key(self, *how: object) -> str:
        """Return what changes with the files, and with how they are read."""
        digest = hashlib.blake2b(repr(how).encode(), digest_size=12)
        for name, (size, modified) in zip(self.names, self.stamps, strict=True):
            digest.update(os.fsencode(name) + f"\0{size}\0{modified}\0".encode())
        return digest.hexdigest()

    def without(self, left_out: set[int]) -> Listing:
        """Return the listing of all images but some."""
        if not left_out:
            return self
        kept = [k for k in range(len(self.names)) if k not in left_out]
        now = np.full(len(self.names), -1)
        now[kept] = np.arange(len(kept))
        parts = {part: now[there] for part, there in self.parts.items()}
        return replace(
            self,
            names=[self.names[k] for k in kept],
            stamps=[self.stamps[k] for k in kept],
            labels=self.labels[kept],
            parts={part: there[there >= 0] for part, there in parts.items()},
        )

    def class_notes(self) -> Iterator[str]:
        """Yield which classes have no images in which part."""
        held = {
            part: class_counts(self.labels[place], self.classes)
            for part, place in self.parts.items()
        }
        for name in self.classes:
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


def scan(spec: DataSpec) -> Listing:
    """List the image files of a set without opening them.

    Raises:
        InputError: There are no class folders with images, or several readings of the folders.
    """
    layout = find_layout(spec)
    called = {folder.name for folder in layout.parts["train"].folder.folders}
    for part in layout.parts.values():
        called |= set(
            part.labels.values() if part.labels else (f.name for f in part.folder.holding)
        )
    classes = sorted({shown(name) for name in called})
    place = {name: k for k, name in enumerate(classes)}
    numbers = {name: place[shown(name)] for name in called}
    names, stamps, labels = list[str](), list[tuple[int, int]](), list[int]()
    sizes: dict[str, int] = {}
    read: list[Folder] = []
    deeper: list[Folder] = []
    for name, part in layout.parts.items():
        begin = len(names)
        for top in [part.folder] if part.labels else part.folder.folders:
            places = [folder for folder in top.below() if folder.files]
            if part.labels is None:
                read += top.below()
                deeper += [each for each in places if each is not top and len(places) > 1]
            for folder in places:
                for file, *stamp in folder.files:
                    label = part.labels.get(file) if part.labels else top.name
                    if label is not None:
                        names.append(folder.within(file))
                        stamps.append((stamp[0], stamp[1]))
                        labels.append(numbers[label])
        sizes[name] = len(names) - begin
    notes = [*layout.notes, *_left_out(layout, read, set(names)), *_guessed(read, deeper)]
    labelled = np.array(labels, dtype=np.int64)
    return Listing(spec.place, names, stamps, labelled, classes, places_of(sizes), notes)


def _left_out(layout: Layout, read: Sequence[Folder], taken: set[str]) -> Iterator[str]:
    """Yield how many images and other files are not read, and why."""
    everything = list(layout.tree.below())
    named = [part.folder for part in layout.parts.values() if part.labels]
    told = {folder.path for top in [*layout.unused, *named] for folder in top.below()}
    stray = [name for each in everything if each.path not in told for name in _left(each, taken)]
    others = [folder.within(name) for folder in read for name in folder.others]
    links = [folder.within(name) for folder in everything for name in folder.links]
    junk = list(dict.fromkeys(name for folder in everything for name in folder.junk))
    if stray:
        yield (
            f"images in no class folder, left out: {len(stray):,} ({listed(stray)}); move them into class "
            "folders"
        )
    for top in named:
        if unnamed := [name for folder in top.below() for name in _left(folder, taken)]:
            yield (
                f"images that the annotations in {top.path}/ give no class, left out: {len(unnamed):,} "
                f"({listed(unnamed)})"
            )
    if others:
        yield (
            f"files in class folders that are no images, left out: {len(others):,} ({listed(others)}; "
            f"by ending: {endings(others)})"
        )
    if links:
        yield f"links that lead nowhere or back, left out: {len(links):,} ({listed(links)})"
    if junk:
        count = sum(len(folder.junk) for folder in everything)
        yield f"hidden and system files and folders, left out: {count:,} ({listed(junk)})"


def _left(folder: Folder, taken: set[str]) -> list[str]:
    """Return the images in a folder that were not taken."""
    names = (folder.within(name) for name, *_ in folder.files)
    return [name for name in names if name not in taken]


def _guessed(read: Sequence[Folder], deeper: Sequence[Folder]) -> Iterator[str]:
    """Yield what was taken for an image, or for one of a class, though something speaks against it."""
    unnamed = [folder.within(name) for folder in read for name in folder.unnamed]
    if unnamed:
        yield (
            "files without the ending of an image, read since their content is one: "
            f"{len(unnamed):,} ({listed(unnamed)})"
        )
    if deeper:
        count = sum(len(folder.files) for folder in deeper)
        yield (
            f"images in folders within class folders, taken for that class: {count:,} "
            f"({listed([f'{folder.path}/' for folder in deeper])}); if those folders are the classes, set "
            "data.train_folder to the folder that holds them"
        )
