"""What `inspect` finds in folders, npz and csv files, and that the readers take what it approves."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from hptune.data import DataSpec, load
from hptune.data.inspect import Arrays, Images, Table, inspect
from hptune.errors import InputError

RNG = np.random.default_rng(0)


def picture(path: Path, size: tuple[int, int] = (16, 16), mode: str = "RGB") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    channels = {"RGB": (3,), "L": (), "RGBA": (4,)}[mode]
    pixels = RNG.integers(0, 256, (size[1], size[0], *channels), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


def folder(root: Path, counts: dict[str, int], **kwargs) -> Path:
    for name, count in counts.items():
        for i in range(count):
            picture(root / name / f"{i}.png", **kwargs)
    return root


def images(path: Path) -> Images:
    found = inspect(path)
    assert isinstance(found, Images)
    return found


def table(path: Path, frame: pd.DataFrame, target: str | None = None) -> Table:
    frame.to_csv(path, index=False)
    found = inspect(path, target=target)
    assert isinstance(found, Table)
    return found


def test_class_folders_are_counted_and_measured(tmp_path: Path):
    folder(tmp_path, {"cat": 9, "dog": 30})
    picture(tmp_path / "cat" / "wide.png", (40, 20))
    found = images(tmp_path)
    assert found.classes == {"cat": 10, "dog": 30} and found.parts == {"train": 40}
    assert (found.smallest, found.largest, found.same_size) == ((16, 16), (40, 20), False)
    assert found.coloured and found.channels == 3 and found.looked_into == 40
    assert found.imbalance is not None and found.imbalance.ratio == 3
    assert not found.problems


def test_split_folders_are_found_as_the_reader_finds_them(tmp_path: Path):
    for part, count in (("train", 8), ("val", 3), ("test", 2)):
        folder(tmp_path / part, {"a": count, "b": count})
    found = images(tmp_path)
    assert found.parts == {"train": 16, "validation": 6, "test": 4}
    splits = load(DataSpec(name="image-folder", path=str(tmp_path)))
    assert [len(s) for s in (splits.train, splits.validation, splits.test)] == [16, 6, 4]


def test_a_folder_within_a_folder_is_opened(tmp_path: Path):
    folder(tmp_path / "flowers" / "flowers", {"a": 6, "b": 6})
    assert images(tmp_path).classes == {"a": 6, "b": 6}


def test_grey_pictures_stored_as_colour_are_grey(tmp_path: Path):
    for name in ("a", "b"):
        for i in range(6):
            (tmp_path / name).mkdir(exist_ok=True)
            grey = Image.fromarray(RNG.integers(0, 256, (16, 16), dtype=np.uint8))
            grey.convert("RGB").save(tmp_path / name / f"{i}.png")
    found = images(tmp_path)
    assert not found.coloured and found.channels == 3


@pytest.mark.parametrize("damage", [b"", b"\x89PNG\r\n\x1a\n but no picture", "truncated"])
def test_a_damaged_image_is_a_problem_that_names_the_file(tmp_path: Path, damage: bytes | str):
    folder(tmp_path, {"a": 8, "b": 8})
    path = tmp_path / "b" / "5.png"
    path.write_bytes(path.read_bytes()[:-60] if isinstance(damage, str) else damage)
    found = images(tmp_path)
    assert len(found.problems) == 1 and "1 of 16 (b/5.png: " in found.problems[0]
    with pytest.raises(InputError, match=r"5\.png"):
        load(DataSpec(name="image-folder", path=str(tmp_path)))


def test_classes_that_a_part_lacks_are_told(tmp_path: Path):
    folder(tmp_path / "train", {"a": 9, "b": 9})
    folder(tmp_path / "test", {"a": 2, "c": 2})
    shown = " ".join(images(tmp_path).warnings)
    assert "class 'b' has no test images" in shown
    assert "class 'c' has 2 test images and none to train on" in shown


def test_an_empty_class_folder_is_told_and_is_no_imbalance(tmp_path: Path):
    folder(tmp_path, {"cat": 9, "dog": 9})
    (tmp_path / "bird").mkdir()
    found = images(tmp_path)
    assert "'bird' has no images" in " ".join(found.warnings) and found.imbalance is None


def test_a_test_folder_without_a_training_folder_is_told(tmp_path: Path):
    folder(tmp_path, {"test": 6, "a": 6})
    assert "'test' is taken for a class" in " ".join(images(tmp_path).warnings)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda root: folder(root, {"a": 8}), "1 class"),
        (lambda root: folder(root, {"a": 8, "b": 1}), "'b' has 1 of 9 training examples"),
    ],
)
def test_too_few_to_train_on_is_a_problem(tmp_path: Path, make, message: str):
    make(tmp_path)
    assert message in images(tmp_path).problems[0]
    with pytest.raises(InputError):
        load(DataSpec(name="image-folder", path=str(tmp_path)))


def test_fractions_grow_until_each_class_is_in_each_part(tmp_path: Path):
    folder(tmp_path, dict.fromkeys("abc", 5))
    found = images(tmp_path)
    assert not found.problems and found.validation > 0.15
    spec = DataSpec(
        name="image-folder", path=str(tmp_path), validation=found.validation, test=found.test
    )
    assert len(load(spec).validation) >= 3


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda root: None, "must hold a folder of images for each class"),
        (lambda root: picture(root / "1.png"), "move the images into class folders"),
    ],
)
def test_a_folder_that_cannot_be_read_says_what_to_do(tmp_path: Path, make, message: str):
    make(tmp_path)
    with pytest.raises(InputError, match=message):
        inspect(tmp_path)


@pytest.mark.parametrize("name", ["none", "x.parquet"])
def test_what_is_no_data_is_refused(tmp_path: Path, name: str):
    (tmp_path / "x.parquet").write_text("?")
    with pytest.raises(InputError, match="PATH"):
        inspect(tmp_path / name)


def test_an_npz_of_images_with_its_test_set(tmp_path: Path):
    path = tmp_path / "x.npz"
    x, y = RNG.integers(0, 256, (60, 12, 14, 3), dtype=np.uint8), np.arange(60) % 3
    np.savez(path, x_train=x, y_train=y, x_test=x[:9], y_test=y[:9])
    found = inspect(path)
    assert isinstance(found, Arrays)
    assert found.shape == (3, 12, 14) and found.parts == {"train": 60, "test": 9}
    assert found.classes == {"0": 20, "1": 20, "2": 20} and found.kind == "classification"
    assert load(DataSpec(name="npz", path=str(path))).input_shape == found.shape


def test_an_npz_of_a_regression(tmp_path: Path):
    path = tmp_path / "x.npz"
    np.savez(path, x=RNG.normal(size=(60, 4)), y=RNG.normal(size=60))
    found = inspect(path)
    assert isinstance(found, Arrays) and found.kind == "regression" and found.shape == (4,)
    assert load(DataSpec(name="npz", path=str(path))).kind == "regression"


def test_an_npz_with_values_that_are_no_numbers_is_a_problem(tmp_path: Path):
    x = RNG.normal(size=(60, 4))
    x[3, 1] = np.nan
    np.savez(tmp_path / "x.npz", x=x, y=np.arange(60) % 2)
    assert (
        "1 input values in 1 of 60 examples are not finite"
        in inspect(tmp_path / "x.npz").problems[0]
    )


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"arr_0": np.zeros((9, 2))}, "rename the arrays"),
        ({"x": np.zeros((9, 2)), "y": np.zeros(8, int)}, "must be as many"),
        ({"x": np.zeros((9, 2)), "y": np.zeros((9, 2, 2), int)}, "masks"),
    ],
)
def test_an_npz_that_the_reader_refuses_is_refused(tmp_path: Path, arrays: dict, message: str):
    np.savez(tmp_path / "x.npz", **arrays)
    with pytest.raises(InputError, match=message):
        inspect(tmp_path / "x.npz")
    with pytest.raises(InputError, match=message):
        load(DataSpec(name="npz", path=str(tmp_path / "x.npz")))


def rows(n: int = 80) -> dict[str, object]:
    return {"a": RNG.normal(size=n), "b": RNG.choice(["x", "y", "z"], n)}


NUMBERS = RNG.normal(size=80)


@pytest.mark.parametrize(
    ("columns", "target", "why"),
    [
        ({"Species": ["i", "j"] * 40, "u": NUMBERS, "v": -NUMBERS}, "Species", "name"),
        ({"u": NUMBERS, "v": -NUMBERS, "size": 2 * NUMBERS}, "size", "last"),
        ({"size": NUMBERS, "v": -NUMBERS, "k": 1}, "size", "first"),
        ({"id": range(80), "v": NUMBERS, "u": -NUMBERS, "k": 1}, "u", "neither"),
    ],
)
def test_the_likely_target_and_why(tmp_path: Path, columns: dict, target: str, why: str):
    found = table(tmp_path / "x.csv", pd.DataFrame(columns))
    assert found.target == target and why in found.why


def test_a_given_target_is_taken_and_a_misspelt_one_refused(tmp_path: Path):
    frame = pd.DataFrame({**rows(), "y": [0, 1] * 40})
    found = table(tmp_path / "x.csv", frame, "b")
    assert found.target == "b" and list(found.classes) == ["x", "y", "z"]
    with pytest.raises(InputError, match="did you mean 'b'"):
        table(tmp_path / "x.csv", frame, "bb")


@pytest.mark.parametrize(
    ("target", "kind"),
    [
        (RNG.normal(size=80), "regression"),
        (RNG.integers(0, 3, 80), "classification"),
        (np.arange(80) * 7 % 61, "regression"),
        (RNG.integers(0, 3, 80).astype(float), "classification"),
        (RNG.choice(["yes", "no"], 80), "classification"),
    ],
)
def test_classification_or_regression_as_the_reader_sees_it(tmp_path, target, kind):
    frame = pd.DataFrame({**rows(), "y": target})
    found = table(tmp_path / "x.csv", frame)
    assert found.kind == kind and not found.problems
    assert load(DataSpec(name="csv", path=str(tmp_path / "x.csv"), target="y")).kind == kind


def test_columns_of_no_use_are_left_out_with_the_reason(tmp_path: Path):
    n = 80
    y = RNG.integers(0, 3, n)
    frame = pd.DataFrame(
        {
            **rows(n),
            "Unnamed: 0": range(n),
            "customer_id": RNG.permutation(n) * 17 + 5,
            "constant": 1,
            "name": [f"person {k}" for k in range(n)],
            "empty": np.nan,
            "again": np.array(["u", "v", "w"])[y],
            "y": y,
        }
    )
    found = table(tmp_path / "x.csv", frame)
    assert found.dropped == ("Unnamed: 0", "customer_id", "constant", "name", "empty", "again")
    assert len(found.warnings) == 6 and not found.problems
    spec = DataSpec(name="csv", path=str(tmp_path / "x.csv"), target="y")
    splits = load(spec)
    assert splits.input_shape == (4,) and splits.notes == found.warnings
    assert load(spec.change(drop=found.dropped)).record["columns"] == splits.record["columns"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("5.1,3.5,setosa\n4.9,3.0,setosa\n", "first line must name"),
        ("a,b\n", "no rows"),
    ],
)
def test_another_format_is_told(tmp_path: Path, text: str, message: str):
    (tmp_path / "x.csv").write_text(text)
    with pytest.raises(InputError, match=message):
        inspect(tmp_path / "x.csv")


def test_one_class_beside_a_single_example_is_a_problem(tmp_path: Path):
    frame = pd.DataFrame({**rows(), "y": ["p"] * 79 + ["q"]})
    assert "class 'q' has 1 of 80 training examples" in table(tmp_path / "x.csv", frame).problems[0]


def test_columns_to_leave_out_must_be_there(tmp_path: Path):
    pd.DataFrame({**rows(), "y": [0, 1] * 40}).to_csv(tmp_path / "x.csv", index=False)
    for drop, message in ((("c",), "data.drop: 'c'"), (("y",), "is the target")):
        with pytest.raises(InputError, match=message):
            load(DataSpec(name="csv", path=str(tmp_path / "x.csv"), target="y", drop=drop))
