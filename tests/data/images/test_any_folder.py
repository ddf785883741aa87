"""Any folder: never a traceback, never a class or an image lost without a word."""

from __future__ import annotations

import re
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from hptune.cli import run
from hptune.config.load import load_experiment
from hptune.data import DataSpec, load
from hptune.data.images.listing import scan
from hptune.data.inspect import inspect
from hptune.errors import InputError

NAMES = st.sampled_from(
    [
        "cat",
        "dog",
        "a b",
        "ünï",
        "07",
        "no",
        "train",
        "Test",
        "val",
        "training set",
        "images",
        "x.png",
        "#%'",
    ]
)
JUNK = st.sampled_from(["__MACOSX", ".ipynb_checkpoints", ".git"])
GOOD = st.sampled_from(["L", "RGB", "RGBA", "LA", "P", "1", "CMYK", "I;16", "F", "I"])
BAD = st.sampled_from(["empty", "text"])
SUFFIXES = st.sampled_from(["", ".png", ".JPG", ".tif", ".txt"])
PATHS = st.lists(NAMES, max_size=3).map(tuple) | st.tuples(NAMES, JUNK) | st.tuples(JUNK, NAMES)


def trees(modes: st.SearchStrategy[str]) -> st.SearchStrategy[dict]:
    """Folders of any shape; most have class folders too, so that they are read and not refused."""
    some = st.lists(st.tuples(modes, SUFFIXES), max_size=6)
    more = st.lists(st.tuples(modes, SUFFIXES), min_size=4, max_size=7)
    tops = st.sampled_from([(), (), ("train",), ("set", "Training")])
    classes = st.builds(lambda top, a, b: {(*top, "cat"): a, (*top, "dog"): b}, tops, more, more)
    anything = st.dictionaries(PATHS, some, max_size=4)
    return anything | st.builds(lambda right, odd: odd | right, classes, anything)


def write(path: Path, mode: str) -> None:
    """Write a file of a mode, in a format that holds it, whatever it is called."""
    if mode in ("empty", "text"):
        path.write_text("" if mode == "empty" else "no picture")
        return
    levels = np.arange(48).reshape(6, 8) * 5
    if mode in ("I;16", "F", "I"):
        image = Image.fromarray(
            levels.astype({"I;16": "uint16", "F": "float32", "I": "int32"}[mode])
        )
    else:
        image = Image.fromarray(levels.astype(np.uint8)).convert("RGB").convert(mode)
    image.save(path, "TIFF" if mode in ("CMYK", "F", "I") else "PNG")


def make(root: Path, tree: dict[tuple[str, ...], list[tuple[str, str]]]) -> int:
    """Write a tree of files and return how many are images, or called so, and not hidden."""
    count = 0
    for parts, files in tree.items():
        folder = root.joinpath(*parts)
        folder.mkdir(parents=True, exist_ok=True)
        for i, (mode, suffix) in enumerate(files):
            write(folder / f"{i}{suffix}", mode)
            hidden = any(part.startswith((".", "__")) for part in parts)
            image = suffix not in ("", ".txt") or mode not in ("empty", "text", "CMYK", "F", "I")
            image = image or (suffix == "" and mode in ("CMYK", "F", "I"))  # TIFF without an ending
            count += image and not hidden
    return count


def told(notes: list[str] | tuple[str, ...]) -> int:
    """Return how many images notes say are left out."""
    shown = [
        re.search(r"^images .*left out: ([\d,]+)|not used: its ([\d,]+)", note) for note in notes
    ]
    return sum(int((found[1] or found[2]).replace(",", "")) for found in shown if found)


@settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(tree=trees(GOOD))
def test_nothing_is_lost_without_a_word(tree, capsys: pytest.CaptureFixture[str]):
    with TemporaryDirectory() as place:
        root = Path(place, "set")
        root.mkdir()
        made = make(root, tree)
        config = Path(place, "hptune.yaml")
        capsys.readouterr()
        exit_code = run(["init", str(root), "--output", str(config)])
        errors = capsys.readouterr().err
        assert exit_code == 0 or (exit_code == 2 and errors.count("\n") == 1), errors
        if exit_code == 2:
            return
        spec = load_experiment(config).data
        splits = load(spec)
        assert tuple(inspect(root).warnings) == splits.notes
        sizes = [len(s) for s in (splits.train, splits.validation, splits.test) if s is not None]
        assert sum(sizes) + told(splits.notes) == made
        listing = scan(spec)
        for name, label in zip(listing.names, listing.labels, strict=True):
            assert listing.classes[label] in name.split("/")[:-1]


@settings(max_examples=40, deadline=None, derandomize=True)
@given(tree=trees(GOOD | BAD))
def test_the_reader_alone_gives_splits_or_one_line(tree):
    with TemporaryDirectory() as place:
        made = make(Path(place), tree)
        spec = DataSpec(name="image-folder", path=place, resize=8, unreadable=0.9, cache=False)
        try:
            splits = load(spec.change(validation=0.3, test=0))
        except InputError as error:
            assert "\n" not in str(error)
            return
        sizes = [len(s) for s in (splits.train, splits.validation, splits.test) if s is not None]
        assert sum(sizes) + told(splits.notes) == made
