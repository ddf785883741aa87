"""How a folder of images is laid out: its training, validation and test folders, and its classes."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NoReturn

from hptune.data.images.names import endings, listed
from hptune.data.images.tree import Folder, walk
from hptune.data.spec import DataSpec
from hptune.errors import InputError

# By part of a set, what its folder is usually called.
WORDS = {
    "train": ("train", "training", "trainset"),
    "validation": ("val", "valid", "validation", "dev"),
    "test": ("test", "testing", "testset"),
}


@dataclass(frozen=True)
class Part:
    """A training, validation or test set, or all of a set that is not divided.

    Attributes:
        folder: In which the class folders are; or the images, where a file names their classes.
        labels: Class of each image by its name, None where its folder says it.
    """

    folder: Folder
    labels: Mapping[str, str] | None = None


@dataclass(frozen=True)
class Layout:
    """What the folders of a set mean.

    Attributes:
        tree: All that lies under the root.
        parts: "train" at least; it is everything where the data are not divided.
        unused: Validation and test folders whose images have no classes.
        notes: What was guessed, and what is not used.
    """

    tree: Folder
    parts: Mapping[str, Part]
    unused: list[Folder]
    notes: list[str]


def find_layout(spec: DataSpec) -> Layout:
    """Tell training, validation and test folders from class folders.

    Raises:
        InputError: It cannot be told, or there are no class folders; the message names the key
            that helps.
    """
    root, notes = spec.place, list[str]()
    tree = walk(root)
    given = {
        part: _given(root, tree, part, name)
        for part in WORDS
        if (name := getattr(spec, f"{part}_folder")) is not None
    }
    if "train" in given:
        top = tree
        train: Folder | None = _unwrap(given["train"])
    else:
        top = _unwrap(replace(tree, files=[]))  # images beside the folder that holds all else
        train = _training_folder(root, top, notes)
        train = None if train is None else _unwrap(train)
    if train is None or train.path == top.path:
        taken = {folder.path for folder in given.values()}
        train = Folder(top.path, top.files, [f for f in top.folders if f.path not in taken])
        train.count = len(train.files) + sum(folder.count for folder in train.folders)
        named: dict[str, list[Folder]] = {}
    else:
        named = _by_part(top)
    classes = {folder.name for folder in train.holding}
    if not classes:
        _no_classes(root, train)
    _refuse_split_classes(root, train)
    parts, unused = {"train": Part(train)}, list[Folder]()
    for part in ("validation", "test"):
        folder = given.get(part) or _one(root, part, named.get(part, []))
        if folder is None:
            continue
        found = _labelled(root, folder, classes)
        if found is not None:
            parts[part] = found
        elif part in given:
            raise InputError(
                f"data.{part}_folder: {getattr(spec, f'{part}_folder')!r}; must hold images in folders "
                f"that are called as the classes are ({listed(sorted(classes))}); correct the name"
            )
        else:
            unused.append(folder)
            notes.append(
                f"the {part} folder {folder.path}/ is not used: its {folder.count:,} images are in no "
                f"folders that are called as the classes are ({listed(sorted(classes))}), so nothing "
                "says what they show"
            )
    return Layout(tree, parts, unused, notes)


def part_of(name: str) -> str | None:
    """Return the part of a set that a folder is called by, None where it is none or several."""
    words = {word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+", name)}
    found = [part for part, known in WORDS.items() if words & set(known)]
    return found[0] if len(found) == 1 else None


def _is_exact(name: str) -> bool:
    """Say whether a folder is called by nothing but the usual word."""
    return any(name.lower() in known for known in WORDS.values())


def _by_part(top: Folder) -> dict[str, list[Folder]]:
    """Return the folders of each part by their names; those called by the word alone go first."""
    named: dict[str, list[Folder]] = {}
    for folder in top.holding:
        if (part := part_of(folder.name)) is not None:
            named.setdefault(part, []).append(folder)
    return {
        part: [folder for folder in found if _is_exact(folder.name)] or found
        for part, found in named.items()
    }


def _given(root: Path, tree: Folder, part: str, name: str) -> Folder:
    path = os.path.normpath(name)
    if not (root / path).is_dir():
        raise InputError(
            f"data.{part}_folder: {name!r}; must be a folder in {root}; correct the name"
        )
    return tree if path == "." else walk(root, path)


def _unwrap(folder: Folder) -> Folder:
    """Return the folder in which there is more than one: an archive often unpacks into its own."""
    while not folder.files and len(folder.holding) == 1 and folder.holding[0].holding:
        folder = folder.holding[0]
    return folder


def _training_folder(root: Path, top: Folder, notes: list[str]) -> Folder | None:
    """Return the folder of the training images, None where all are in class folders."""
    named = _by_part(top)
    others = [folder for folder in top.holding if part_of(folder.name) is None]
    trains = named.get("train", [])
    if len(trains) > 1 and not any(folder.holding for folder in trains):
        trains = []  # classes such as train_stop, train_station
    train = _one(root, "train", trains)
    divided = named.keys() - {"train"}
    if train is None:
        whole = [folder for found in named.values() for folder in found if folder.holding]
        if whole or (len(named) > 1 and not others):
            told = (whole or top.holding)[0].path
            _ambiguous(
                root,
                f"{told}/ is called as a part of a set is, but there is no folder train of class folders",
            )
    elif len(_unwrap(train).holding) > 1:
        if divided or not any(other.holding for other in others):
            return train
        _ambiguous(
            root, f"{train.path}/ may be the training set, or a class as {others[0].path}/ is"
        )
    elif divided or not others:
        _ambiguous(
            root,
            f"{train.path}/ holds {train.count:,} images, but not a folder for each class",
            "move the images into class folders; or ",
        )
    notes += [
        f"the folder {folder.name!r} is taken for a class, as those beside it; if it is the "
        f"{part_of(folder.name)} set, set data.train_folder to the training set's folder"
        for folder in top.holding
        if _is_exact(folder.name)
    ]
    return None


def _ambiguous(root: Path, what: str, remedy: str = "") -> NoReturn:
    raise InputError(
        f"data.path: {str(root)!r}; {what}; {remedy}set data.train_folder to the folder that holds the "
        "training set's class folders, or to . if all folders are classes"
    )


def _one(root: Path, part: str, found: list[Folder]) -> Folder | None:
    if len(found) > 1:
        raise InputError(
            f"data.path: {str(root)!r}; {listed([f.path for f in found])} may each be the {part} folder; "
            f"must be one; set data.{part}_folder to it"
        )
    return found[0] if found else None


def _no_classes(root: Path, folder: Folder) -> NoReturn:
    others = [name for below in folder.below() for name in below.others]
    held = f"{folder.count:,} images" if folder.count else "no images"
    if others and not folder.count:
        held += f" that hptune reads (but {len(others):,} other files: {endings(others)})"
    raise InputError(
        f"data.path: {str(root / folder.path)!r}; must hold a folder of images for each class; it holds "
        f"{held} and no such folders: move the images into class folders, or read them with a function "
        "of your own (data.name: package.module:function)"
    )


def _refuse_split_classes(root: Path, train: Folder) -> None:
    inner = [below for folder in train.holding for below in folder.holding]
    if inner and all(_is_exact(below.name) for below in inner):
        raise InputError(
            f"data.path: {str(root)!r}; must be divided into training and test folders above the "
            f"classes, as train/{train.holding[0].name}; it is below them, as {inner[0].path}: move the "
            "folders"
        )


def _labelled(root: Path, folder: Folder, classes: set[str]) -> Part | None:
    """Return a validation or test set, by its folders or by Tiny-ImageNet's file of annotations."""
    for name in folder.others:
        if name.endswith("_annotations.txt") and (
            labels := _annotations(root / folder.within(name))
        ):
            return Part(folder, labels)
    while not classes & {below.name for below in folder.holding}:
        if folder.files or len(folder.holding) != 1:
            return None
        folder = folder.holding[0]
    return Part(folder)


def _annotations(path: Path) -> dict[str, str]:
    """Return the class of each image of lines that begin with a file's name, a tab and its class."""
    rows = [line.split("\t") for line in path.read_text(errors="replace").splitlines()]
    return {row[0].strip(): row[1].strip() for row in rows if len(row) > 1}
