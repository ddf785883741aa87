"""Where the classes and the parts of a set are found, and what is told of all that is left out."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from PIL import Image

from hptune.data import DataSpec, Splits, load
from hptune.data.images.layout import part_of
from hptune.data.inspect import inspect
from hptune.errors import InputError


def fill(root: Path, *folders: str, each: int = 10, suffix: str = ".png") -> Path:
    """Write small grey images into folders."""
    for level, folder in enumerate(folders):
        (root / folder).mkdir(parents=True, exist_ok=True)
        for i in range(each):
            Image.new("L", (4, 4), 20 * level + i).save(root / folder / f"{i}{suffix}")
    return root


def read(root: Path, **settings: object) -> Splits:
    """Load a folder, which `init` must see as the reader does."""
    spec = DataSpec(name="image-folder", path=str(root), cache=False)
    splits = load(spec.change(**settings))
    if not settings:
        found = inspect(root)
        assert list(found.classes) == list(splits.classes)
        assert found.warnings == splits.notes
        assert sum(found.parts.values()) == sum(sizes(splits))
    return splits


def sizes(splits: Splits) -> list[int]:
    return [len(s) for s in (splits.train, splits.validation, splits.test) if s is not None]


@pytest.mark.parametrize(
    ("train", "validation", "test"),
    [
        ("Training", "val", "Testing"),
        ("TRAIN", "Valid", "Test"),
        ("train", "dev", "test"),
        ("training_set", "validation-set", "test_set"),
        ("TrainingSet", "ValidationSet", "TestSet"),
        ("seg_train/seg_train", "seg_val/seg_val", "seg_test/seg_test"),
        ("Final_Training/Images", "Final_Validation/Images", "Final_Test/Images"),
        ("archive/data/train", "archive/data/val", "archive/data/test"),
    ],
)
def test_parts_by_their_usual_names(tmp_path: Path, train: str, validation: str, test: str):
    fill(tmp_path / train, "a", "b", each=8)
    fill(tmp_path / validation, "a", "b", each=3)
    fill(tmp_path / test, "a", "b", each=2)
    splits = read(tmp_path)
    assert sizes(splits) == [16, 6, 4] and splits.notes == ()


def test_a_wrapper_with_something_beside_it(tmp_path: Path):
    fill(tmp_path, "flowers/a", "flowers/b")
    fill(tmp_path, ".", each=2)
    for name in ("labels", "docs/more"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "x.txt").write_text("?")
    splits = read(tmp_path)
    assert splits.classes == ("a", "b") and sum(sizes(splits)) == 20
    assert "in no class folder, left out: 2 (0.png, 1.png)" in splits.notes[0]


@pytest.mark.parametrize(
    "name", ["trainer", "station", "contest", "invalid", "devices", "evaluate"]
)
def test_a_word_that_only_contains_a_usual_name_is_none(name: str):
    assert part_of(name) is None


@pytest.mark.parametrize(
    "classes", [("train", "car", "plane"), ("test", "control"), ("Val", "Verzasca")]
)
def test_a_class_may_be_called_as_a_part_is(tmp_path: Path, classes: tuple[str, ...]):
    splits = read(fill(tmp_path, *classes))
    assert splits.classes == tuple(sorted(classes)) and sum(sizes(splits)) == 10 * len(classes)
    assert f"the folder {classes[0]!r} is taken for a class" in splits.notes[0]


@pytest.mark.parametrize("word", ["test", "train"])
def test_classes_of_which_each_has_such_a_word_in_its_name(tmp_path: Path, word: str):
    splits = read(fill(tmp_path, f"{word}_positive", f"{word}_negative"))
    assert splits.classes == (f"{word}_negative", f"{word}_positive") and splits.notes == ()


def test_what_may_be_a_part_or_a_class_names_the_key_that_helps(tmp_path: Path):
    root = fill(
        tmp_path, *(f"{a}/{b}" for a in ("train", "car", "plane") for b in ("front", "side"))
    )
    with pytest.raises(InputError, match=r"train/ may be .*car/.*; set data\.train_folder"):
        read(root)
    assert read(root, train_folder=".").classes == ("car", "plane", "train")
    assert read(root, train_folder="train").classes == ("front", "side")


@pytest.mark.parametrize(
    ("folders", "message"),
    [
        (("train", "test"), r"train/ holds 10 images, but not a folder for each class; move"),
        (
            ("val/a", "val/b", "test/a", "test/b"),
            r"no folder train of class folders; set data\.train_folder",
        ),
        (("train/a", "train/b", "val/a", "validation/b"), r"set data\.validation_folder"),
        (("a/train", "a/test", "b/train", "b/test"), r"as train/a; it is below them, as a/test"),
        (("cat",), "1 class"),
    ],
)
def test_what_cannot_be_told_is_one_line_with_a_remedy(tmp_path: Path, folders, message: str):
    with pytest.raises(InputError, match=message):
        read(fill(tmp_path, *folders))


@pytest.mark.parametrize("test", ["test", "test/images", "test/unknown"])
def test_a_test_folder_without_classes_is_told_and_not_used(tmp_path: Path, test: str):
    fill(tmp_path / "train", "a", "b")
    splits = read(fill(tmp_path, test, each=7))
    assert sum(sizes(splits)) == 20 and splits.classes == ("a", "b")
    (note,) = splits.notes
    assert note.startswith("the test folder test/ is not used: its 7 images")
    with pytest.raises(InputError, match=r"data\.test_folder: 'test'; must hold images in folders"):
        read(tmp_path, test_folder="test")


def test_tiny_imagenet(tmp_path: Path):
    for name in ("n01", "n02"):
        fill(tmp_path / "train" / name, "images", suffix=".JPEG")
        (tmp_path / "train" / name / f"{name}_boxes.txt").write_text("0.JPEG\t0\t0\t4\t4\n")
    fill(tmp_path, "val/images", "test/images", each=6, suffix=".JPEG")
    rows = [f"{i}.JPEG\t{'n02' if i < 4 else 'n01'}\t0\t0\t4\t4\n" for i in range(6)]
    (tmp_path / "val" / "val_annotations.txt").write_text("".join(rows))
    (tmp_path / "wnids.txt").write_text("n01\nn02\n")
    splits = read(tmp_path)
    assert splits.classes == ("n01", "n02") and len(splits.validation) == 6
    labels = [int(y) for _, part in splits.validation.batches(6) for y in part]
    assert sorted(labels) == [0, 0, 1, 1, 1, 1]
    unused, others = splits.notes
    assert "test/ is not used: its 6 images" in unused
    assert "no images, left out: 2 (train/n01/n01_boxes.txt" in others


def test_images_that_annotations_do_not_name_are_told(tmp_path: Path):
    fill(tmp_path / "train", "a", "b")
    fill(tmp_path / "val", "images", each=4)
    (tmp_path / "val" / "val_annotations.txt").write_text("0.png\ta\n1.png\tb\nno row of a table\n")
    splits = read(tmp_path)
    assert len(splits.validation) == 2
    assert splits.notes[0].endswith("no class, left out: 2 (val/images/2.png, val/images/3.png)")


def test_images_deeper_in_a_class_folder_are_of_that_class(tmp_path: Path):
    splits = read(fill(tmp_path, "a", "b/s1", "b/s2/left", "c", "c/s1"))
    assert splits.classes == ("a", "b", "c") and sum(sizes(splits)) == 50
    (note,) = splits.notes
    assert "taken for that class: 30 (b/s1/, b/s2/left/, c/s1/)" in note


def test_junk_is_no_class_and_no_image(tmp_path: Path):
    fill(tmp_path, "a", "b", "__MACOSX/a", "a/.ipynb_checkpoints", ".hidden", "b/@eaDir")
    for name in ("._0.png", ".DS_Store", "Thumbs.db", "desktop.ini"):
        (tmp_path / "a" / name).write_bytes(b"?")
    splits = read(tmp_path)
    assert splits.classes == ("a", "b") and sum(sizes(splits)) == 20
    (note,) = splits.notes
    assert note.startswith("hidden and system files and folders, left out: 8 (")


def test_files_are_known_by_their_content(tmp_path: Path):
    fill(tmp_path, "a", "b")
    picture = (tmp_path / "a" / "0.png").read_bytes()
    for name in ("0", "1.txt", "2.JPG", "3.jfif", "4.png.bak"):
        (tmp_path / "a" / f"x{name}").write_bytes(picture)
    for name in ("notes.txt", "BMI.csv", "photo.heic", "data", "empty"):
        (tmp_path / "b" / name).write_text("BMI,GIF,PNG" * (name != "empty"))
    for name in ("pipe", "pipe.png"):  # which would be waited for
        os.mkfifo(tmp_path / "b" / name)
    splits = read(tmp_path)
    assert sum(sizes(splits)) == 25
    others, unnamed = splits.notes
    assert ("no images, left out: 6 (" in others and ".heic 1" in others + "") or ".csv 1" in others
    assert "their content is one: 3 (a/x0, a/x1.txt, a/x4.png.bak)" in unnamed


def test_images_outside_of_class_folders_are_told(tmp_path: Path):
    fill(tmp_path / "train", "a", "b")
    fill(tmp_path, ".", "extra", "train", each=2)
    fill(tmp_path, "test/a", "test/b", each=3)
    splits = read(tmp_path)
    assert sum(sizes(splits)) == 26
    assert (
        "in no class folder, left out: 6 (0.png, 1.png, extra/0.png and 3 more)" in splits.notes[0]
    )


def test_links_are_followed_and_never_for_ever(tmp_path: Path):
    fill(tmp_path / "elsewhere", "c")
    root = fill(tmp_path / "set", "a", "b")
    (root / "c").symlink_to(tmp_path / "elsewhere" / "c")
    (root / "a" / "back").symlink_to(root)
    (root / "gone").symlink_to(tmp_path / "nowhere")
    splits = read(root)
    assert splits.classes == ("a", "b", "c") and sum(sizes(splits)) == 30
    assert splits.notes == ("links that lead nowhere or back, left out: 2 (gone, a/back)",)


def test_files_that_no_reader_knows_are_counted_by_their_ending(tmp_path: Path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x.dcm").write_bytes(bytes(128) + b"DICM")
    with pytest.raises(
        InputError, match=r"no images that hptune reads \(but 2 other files: \.dcm 2\)"
    ):
        read(tmp_path)


def test_names_that_are_no_text_are_read_and_shown(tmp_path: Path):
    fill(tmp_path, "with space", "ünï", "new\nline")
    (tmp_path / "ünï" / "0.png").rename(tmp_path / "ünï" / "\udcff.png")
    (tmp_path / "caf\udce9").mkdir()
    splits = read(tmp_path)
    assert splits.classes == ("caf�", "new�line", "with space", "ünï") and sum(sizes(splits)) == 30
