"""Arrays of any usual name and type in npz and npy files, and in functions of the user's own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from hptune.data import DataSpec, load
from hptune.data.inspect import inspect
from hptune.errors import InputError

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(60, 4)).astype("f4"), np.arange(60) % 3


def read(path: Path, spec: dict | None = None, **arrays):
    np.savez(path / "x.npz", **arrays)
    return load(DataSpec(name="npz", path=str(path / "x.npz"), **(spec or {})))


@pytest.mark.parametrize(
    "names",
    [
        *("X y", "images labels", "data target", "inputs targets", "features label", "img class"),
        *(
            "X_train Y_train",
            "train_x train_y",
            "trainImages trainLabels",
            "Xtr ytr",
            "arr_0 arr_1",
        ),
    ],
)
def test_the_usual_names(tmp_path: Path, names: str):
    splits = read(tmp_path, **dict(zip(names.split(), (X, Y), strict=True)))
    assert splits.outputs == 3 and splits.input_shape == (4,)
    assert len(splits.train) + len(splits.validation) + len(splits.test) == 60


@pytest.mark.parametrize("word", ["val", "valid", "validation", "dev"])
def test_a_validation_set_of_any_usual_name(tmp_path: Path, word: str):
    other = RNG.normal(size=(30, 4)).astype("f4")
    arrays = {
        "train_images": X,
        "train_labels": Y,
        f"{word}_images": other,
        f"{word}_labels": Y[:30],
    }
    splits = read(tmp_path, **arrays)
    assert len(splits.validation) == 30 and len(splits.train) + len(splits.test) == 60


def test_arrays_that_are_not_read_are_named_and_may_be_anything(tmp_path: Path):
    splits = read(tmp_path, x=X, y=Y, meta=np.array({"a": 1}, dtype=object), x_val=X[:9])
    assert "arrays that are not read: meta, x_val" in splits.notes


def test_positions_stand_for_names_and_are_said(tmp_path: Path):
    splits = read(tmp_path, arr_0=Y, arr_1=X)
    assert splits.input_shape == (4,) and "'arr_1' is taken for the inputs" in splits.notes[0]


def test_an_npy_is_read_with_those_beside_it(tmp_path: Path):
    np.save(tmp_path / "X_train.npy", X), np.save(tmp_path / "y_train.npy", Y)
    np.save(tmp_path / "notes.npy", Y)
    path = tmp_path / "X_train.npy"
    splits = load(DataSpec(name="npy", path=str(path)))
    assert splits.outputs == 3 and splits.notes == ("arrays that are not read: notes",)
    assert inspect(path).reader == "npy" and inspect(path).warnings == splits.notes


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": X, "y": np.array(["a", 1] * 30, dtype=object)}, "Python objects.*convert them"),
        ({"x": X[:0], "y": Y[:0]}, "must hold examples"),
        ({"x": np.array(3.0), "y": Y}, "must hold examples"),
        ({"x": X + 1j, "y": Y}, "complex64; must be numbers"),
        (
            {"x_train": X, "y_train": Y, "x_val": X[:, :3], "y_val": Y},
            r"\(4,\) to train and \(3,\)",
        ),
        ({"x": np.where(X > 3, np.inf, X), "y": Y, "z": X}, "input values in .* of 60 examples"),
        ({"x": X * np.float64(1e300), "y": Y}, "range of 32-bit floats"),
        ({"x": X, "y": np.where(Y == 1, np.nan, Y / 7)}, "20 of 60 target values"),
        (
            {"x_train": X, "y_train": Y, "x_test": X, "y_test": np.array(["a"] * 60)},
            "of type number",
        ),
    ],
)
def test_what_cannot_be_used_is_refused_in_one_line(tmp_path: Path, arrays: dict, message: str):
    with pytest.raises(InputError, match=message) as refused:
        read(tmp_path, **arrays)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("content", [b"hello " * 40, b"PK\x03\x04" + b"0" * 90, b""])
def test_another_kind_of_file_is_refused(tmp_path: Path, content: bytes):
    (tmp_path / "x.npz").write_bytes(content)
    with pytest.raises(InputError, match="does not hold plain arrays"):
        load(DataSpec(name="npz", path=str(tmp_path / "x.npz")))


@pytest.mark.parametrize(("dtype", "below", "largest"), [
    ("u1", 256, 255), ("i4", 256, 255), ("u2", 4096, 4095), ("u2", 65536, 65535), ("i8", 3, 255),
])  # fmt: skip
def test_pixels_of_whole_numbers_run_to_one(tmp_path: Path, dtype: str, below: int, largest: int):
    x = RNG.integers(0, below, (60, 9, 9)).astype(dtype)
    x.flat[:] = np.where(np.arange(x.size) % 2, below - 1, x.flat)
    splits = read(tmp_path, {"normalize": "none"}, x=x, y=Y)
    pixels = next(iter(splits.train.batches(64)))[0]
    assert pixels.max().item() == pytest.approx((below - 1) / largest)


def test_no_normalisation_is_none_for_vectors_and_targets(tmp_path: Path):
    splits = read(tmp_path, {"normalize": "none", "kind": "regression"}, x=X, y=1e3 * X[:, 0])
    rows = splits.train.inputs.numpy()
    assert all((row == X).all(1).any() for row in rows)
    np.testing.assert_allclose(splits.train.targets[:, 0].numpy(), 1e3 * rows[:, 0], rtol=1e-6)
    standardized = read(tmp_path, x=X, y=1e3 * X[:, 0])
    assert standardized.train.targets.std(0, correction=0).item() == pytest.approx(1, abs=1e-5)
    assert any("the targets are standardized" in note for note in standardized.notes)


def test_less_the_mean_is_not_divided(tmp_path: Path):
    splits = read(tmp_path, {"normalize": "mean-image"}, x=100 * X + 7, y=Y)
    torch.testing.assert_close(splits.train.inputs.mean(0), torch.zeros(4), atol=1e-3, rtol=0)
    assert splits.train.inputs.std() > 50


def test_ids_stay_whole_numbers(tmp_path: Path):
    ids = RNG.integers(0, 100, (60, 7)).astype("u2")
    splits = read(tmp_path, {"normalize": "none"}, x=ids, y=Y)
    assert splits.train.inputs.dtype == torch.int64 and splits.train.inputs.max() > 50


@pytest.mark.parametrize(
    ("shape", "layout", "found"),
    [
        ((8, 8, 8, 1), "auto", (1, 8, 8, 8)),
        ((5, 3, 8, 8), "auto", (3, 5, 8, 8)),
        ((5, 3, 8, 8), "channels-first", (5, 3, 8, 8)),
        ((50, 6), "channels-last", (6, 50)),
    ],
)
def test_volumes_video_and_signals_are_normalised_by_channel(tmp_path: Path, shape, layout, found):
    splits = read(tmp_path, {"layout": layout}, x=3 + RNG.normal(size=(60, *shape)), y=Y)
    assert splits.input_shape == found
    channels = next(iter(splits.train.batches(64)))[0].transpose(0, 1).flatten(1)
    torch.testing.assert_close(channels.mean(1), torch.zeros(found[0]), atol=1e-4, rtol=0)


def test_images_stay_images_for_a_regression(tmp_path: Path):
    y = RNG.normal(size=60)
    assert read(tmp_path, x=RNG.normal(size=(60, 9, 9, 3)), y=y).input_shape == (3, 9, 9)
    flat = read(tmp_path, x=RNG.normal(size=(60, 9, 3)), y=y)
    assert flat.input_shape == (27,) and "flattened for the regression" in flat.notes[0]


def test_keys_of_no_use_are_said(tmp_path: Path):
    spec = {"flip": True, "scale": 255.0, "resize": 32, "target": "y", "validation": 0.2}
    assert read(tmp_path, spec, x=X, y=Y).notes == (
        "not used: data.target, data.resize; npz has no use for it",
        "not used: data.flip, data.scale; the inputs are no images",
    )


def test_what_init_warns_of_is_what_training_hears(tmp_path: Path):
    y = np.repeat(np.eye(3), 20, axis=0)
    splits = read(tmp_path, x=RNG.normal(size=(60, 5, 5, 5)), y=y, x_test=X, ids=Y)
    assert inspect(tmp_path / "x.npz").warnings == splits.notes and len(splits.notes) == 3


def test_a_functions_arrays_are_read_alike(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "own_arrays.py").write_text(
        "import numpy as np\n"
        "def volumes():\n"
        "    return np.random.default_rng(0).normal(size=(60, 5, 3, 8, 8)), np.arange(60) % 2 * 1.0\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    splits = load(DataSpec(name="own_arrays:volumes", layout="channels-first"))
    assert splits.input_shape == (5, 3, 8, 8) and splits.classes == ("0", "1")
    assert "written as floats" in splits.notes[0]
