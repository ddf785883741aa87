"""Each kind of data, from what a user has on disk to splits."""

from __future__ import annotations

import importlib
import os
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from hptune.data import DataSpec, load, names
from hptune.data.readers import cache
from hptune.errors import InputError


def labels_of(source) -> torch.Tensor:
    return torch.cat([y for _, y in source.batches(64)])


def make_folder(root: Path, *, classes: int = 3, each: int = 12, size: int = 10) -> Path:
    rng = np.random.default_rng(0)
    for k in range(classes):
        folder = root / f"class{k}"
        folder.mkdir(parents=True)
        for i in range(each):
            pixels = rng.integers(0, 256, (size, size, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / f"{i}.png")
    return root


def test_digits_are_split_stratified_seeded_and_disjoint():
    splits = load(DataSpec())
    sizes = [len(s) for s in (splits.train, splits.validation, splits.test)]
    assert sum(sizes) == 1797 and splits.outputs == 10 and splits.input_shape == (1, 8, 8)
    for source in (splits.train, splits.validation, splits.test):
        share = torch.bincount(labels_of(source), minlength=10) / len(source)
        assert (share - 0.1).abs().max() < 0.02
    again = load(DataSpec())
    assert torch.equal(again.train.inputs, splits.train.inputs)
    other = load(DataSpec(split_seed=1))
    assert other.record["fingerprint"] != splits.record["fingerprint"]


def test_an_image_folder_with_its_own_test_set(tmp_path: Path):
    make_folder(tmp_path / "train"), make_folder(tmp_path / "test", each=5)
    splits = load(DataSpec(name="image-folder", path=str(tmp_path), validation=0.25))
    assert (len(splits.train), len(splits.validation), len(splits.test)) == (27, 9, 15)
    assert splits.classes == ("class0", "class1", "class2")
    pixels = np.asarray(Image.open(tmp_path / "test/class1/3.png"))
    test = splits.test.inputs.numpy()
    assert any(np.array_equal(image, pixels.transpose(2, 0, 1)) for image in test)


def test_images_of_any_size_with_resize_and_grey_ones(tmp_path: Path):
    root = make_folder(tmp_path / "a", size=9)
    Image.new("L", (30, 20)).save(root / "class0" / "other.png")
    with pytest.raises(InputError, match=r"differ in size.*set data\.resize"):
        load(DataSpec(name="image-folder", path=str(root)))
    assert load(DataSpec(name="image-folder", path=str(root), resize=12)).input_shape == (3, 12, 12)
    grey = tmp_path / "grey"
    for k in range(2):
        (grey / str(k)).mkdir(parents=True)
        for i in range(8):
            Image.new("L", (6, 6), i * 9).save(grey / str(k) / f"{i}.png")
    assert load(DataSpec(name="image-folder", path=str(grey))).input_shape == (1, 6, 6)


def test_decoded_images_are_cached_and_a_changed_folder_is_noticed(tmp_path: Path):
    spec = DataSpec(name="image-folder", path=str(make_folder(tmp_path / "a")))
    first, second = load(spec), load(spec)
    assert (first.record["cache"], second.record["cache"]) == ("written", "read")
    assert torch.equal(first.train.inputs, second.train.inputs)
    changed = tmp_path / "a" / "class0" / "0.png"
    Image.new("RGB", (10, 10), "red").save(changed)
    os.utime(changed, ns=(time.time_ns(), time.time_ns() + 10**9))
    third = load(spec)
    assert third.record["cache"] == "written"
    assert third.record["fingerprint"] != first.record["fingerprint"]


def test_a_damaged_cache_is_decoded_again(tmp_path: Path):
    spec = DataSpec(name="image-folder", path=str(make_folder(tmp_path / "a")))
    first = load(spec)
    for entry in cache.entries():
        entry.path.write_bytes(b"half a file")
    assert torch.equal(load(spec).train.inputs, first.train.inputs)


def test_a_streamed_folder_gives_the_images_of_the_one_in_memory(tmp_path: Path):
    root = str(make_folder(tmp_path / "a"))
    held = load(DataSpec(name="image-folder", path=root, normalize="none"))
    streamed = load(
        DataSpec(name="image-folder", path=root, normalize="none", storage="stream", workers=2)
    )
    for (x, y), (x2, y2) in zip(
        held.train.batches(8, seed=1), streamed.train.batches(8, seed=1), strict=True
    ):
        assert torch.equal(y, y2)
        torch.testing.assert_close(x, x2)


def test_a_subset_is_stratified():
    splits = load(DataSpec(subset=500, test_subset=100))
    assert len(splits.train) + len(splits.validation) == 500 and len(splits.test) == 100
    assert torch.bincount(labels_of(splits.train)).min() >= 35


def test_npz_with_one_array_or_with_its_own_splits(tmp_path: Path):
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 256, (60, 7, 7), dtype=np.uint8), rng.integers(0, 3, 60)
    np.savez(tmp_path / "one.npz", x=x, y=y)
    one = load(DataSpec(name="npz", path=str(tmp_path / "one.npz")))
    assert one.input_shape == (1, 7, 7) and one.outputs == 3 and len(one.test) == 9
    np.savez(tmp_path / "two.npz", x_train=x, y_train=y, x_test=x[:10], y_test=y[:10])
    two = load(DataSpec(name="npz", path=str(tmp_path / "two.npz")))
    assert len(two.test) == 10 and len(two.train) + len(two.validation) == 60
    np.savez(tmp_path / "reg.npz", x=rng.normal(size=(50, 4)), y=rng.normal(size=50))
    regression = load(DataSpec(name="npz", path=str(tmp_path / "reg.npz")))
    assert regression.kind == "regression" and regression.outputs == 1


def table(n: int = 80) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "age": rng.normal(40, 10, n),
            "colour": rng.choice(["red", "green", "blue"], n),
            "price": rng.normal(100, 20, n),
            "kind": rng.choice(["a", "b"], n),
        }
    )


def test_csv_classification_with_a_categorical_column(tmp_path: Path):
    table().to_csv(tmp_path / "t.csv", index=False)
    splits = load(DataSpec(name="csv", path=str(tmp_path / "t.csv"), target="kind"))
    assert splits.classes == ("a", "b") and splits.input_shape == (5,)
    assert splits.record["columns"] == ["age", "colour=blue", "colour=green", "colour=red", "price"]
    x = splits.train.inputs
    torch.testing.assert_close(x.mean(0), torch.zeros(5), atol=1e-5, rtol=0)
    torch.testing.assert_close(x.std(0, correction=0), torch.ones(5), atol=1e-5, rtol=0)


def test_csv_regression_standardises_the_target(tmp_path: Path):
    data = table()
    data.to_csv(tmp_path / "t.csv", index=False)
    splits = load(DataSpec(name="csv", path=str(tmp_path / "t.csv"), target="price"))
    assert splits.kind == "regression" and splits.train.targets.shape[1] == 1
    scale = splits.record["target"]
    back = torch.cat([s.targets for s in (splits.train, splits.validation, splits.test)])
    back = back[:, 0].double() * scale["std"][0] + scale["mean"][0]
    np.testing.assert_allclose(np.sort(back.numpy()), np.sort(data["price"]), rtol=1e-5)


def test_the_users_own_function(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "own_data.py").write_text(
        "import numpy as np, torch\n"
        "def arrays(n=40):\n"
        "    rng = np.random.default_rng(0)\n"
        "    return (rng.normal(size=(n, 3)).astype('float32'), rng.integers(0, 2, n))\n"
        "def datasets():\n"
        "    x, y = torch.randn(30, 5), torch.arange(30) % 3\n"
        "    data = torch.utils.data.TensorDataset(x, y)\n"
        "    return data, data\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    splits = load(DataSpec(name="own_data:arrays", args={"n": 60}))
    assert len(splits.train) + len(splits.validation) + len(splits.test) == 60
    own = load(DataSpec(name="own_data:datasets"))
    assert own.outputs == 3 and own.input_shape == (5,) and len(own.test) == 30


OWN_DATASETS = """
import torch
from torch.utils.data import Dataset

LOADED = []
SIGN = 1.0


class Own(Dataset):
    def __init__(self, n=60, held=True):
        self.n = n
        self.labels_ = [int(k % 10 == 0) for k in range(n)]  # a class of a tenth
        if held:
            self.targets = self.labels_

    def __len__(self):
        return self.n

    def __getitem__(self, k):
        LOADED.append(k)
        return torch.full((3,), SIGN * (1.0 + k)), self.labels_[k]


def make(**args):
    return Own(**args)


def both(**args):
    return Own(**args), Own(n=20, **args)
"""


@pytest.fixture
def own_datasets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "own_datasets.py").write_text(OWN_DATASETS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "own_datasets", raising=False)
    yield importlib.import_module("own_datasets")
    sys.modules.pop("own_datasets", None)


@pytest.mark.parametrize("seed", range(4))
def test_a_functions_datasets_are_split_by_class_as_the_spec_says(own_datasets, seed: int):
    spec = DataSpec(name="own_datasets:make", validation=0.25, test=0.2, split_seed=seed)
    splits = load(spec)
    parts = (splits.train, splits.validation, splits.test)
    assert [len(part) for part in parts] == [36, 12, 12]
    assert [int(labels_of(part).sum()) for part in parts] in ([4, 1, 1], [3, 1, 2], [3, 2, 1])
    seen = torch.cat([x[:, 0] for part in parts for x, _ in part.batches(60)])
    assert sorted(seen.tolist()) == [1.0 + k for k in range(60)]
    assert load(spec.change(test=0)).test is None
    assert load(spec.change(name="own_datasets:both")).test is not None
    assert len(load(spec.change(name="own_datasets:both")).test) == 20


def test_keys_that_a_functions_datasets_have_no_use_for_are_said(own_datasets):
    spec = DataSpec(name="own_datasets:make", flip=True, normalize="mean-image")
    assert "not used: data.flip, data.normalize" in load(spec).notes[0]
    assert not [n for n in load(spec.change(flip=False, normalize="none")).notes if "not used" in n]


def test_the_content_of_a_functions_datasets_is_in_the_fingerprint(own_datasets):
    def content() -> str:
        return load(DataSpec(name="own_datasets:make")).record["fingerprint"]

    before = content()
    assert content() == before
    own_datasets.SIGN = -1.0
    assert content() != before


def test_labels_that_a_dataset_holds_are_read_without_its_examples(own_datasets):
    load(DataSpec(name="own_datasets:make", args={"n": 5000}))
    assert len(own_datasets.LOADED) < 500
    splits = load(DataSpec(name="own_datasets:make", args={"n": 3000, "held": False}))
    assert splits.outputs == 2 and len(own_datasets.LOADED) >= 3000


def test_a_functions_datasets_are_read_by_so_many_workers(own_datasets, monkeypatch):
    asked = []

    class Loader(torch.utils.data.DataLoader):
        def __init__(self, *args, **kwargs) -> None:
            asked.append(kwargs.pop("num_workers"))
            super().__init__(*args, **kwargs)

    monkeypatch.setattr("hptune.data.sources.stream.DataLoader", Loader)
    splits = load(DataSpec(name="own_datasets:make", workers=3, validation=0.25))
    list(splits.train.batches(1, seed=0))
    assert asked[-1] == 3


def test_torchvision_sets_are_listed_and_an_absent_one_says_what_to_do(tmp_path: Path):
    for name in ("mnist", "fashionmnist", "kmnist", "emnist", "svhn", "cifar10", "cifar100"):
        assert name in names()
    for name in ("CIFAR10", "fashionmnist", "svhn", "emnist"):
        with pytest.raises(InputError, match=r"data\.download to true"):
            load(DataSpec(name=name, root=str(tmp_path)))


def test_a_torchvision_set_from_its_files(tmp_path: Path):
    import pickle

    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for name in [*(f"data_batch_{k}" for k in range(1, 6)), "test_batch"]:
        batch = {
            "data": rng.integers(0, 256, (20, 3072), dtype=np.uint8),
            "labels": [k % 10 for k in range(20)],
        }
        (folder / name).write_bytes(pickle.dumps(batch))
    (folder / "batches.meta").write_bytes(
        pickle.dumps({"label_names": [str(k) for k in range(10)]})
    )
    import torchvision

    with pytest.MonkeyPatch.context() as patch:
        # The files are ours, so their checksums are not the original's.
        patch.setattr(torchvision.datasets.CIFAR10, "_check_integrity", lambda self: True)
        patch.setattr("torchvision.datasets.cifar.check_integrity", lambda *a: True)
        splits = load(DataSpec(name="cifar-10".replace("-", ""), root=str(tmp_path)))
    assert splits.input_shape == (3, 32, 32) and len(splits.test) == 20


@pytest.mark.slow
def test_sixty_thousand_images_start_in_two_seconds_from_the_cache(
    shared_data: Path, tmp_path: Path
):
    import subprocess

    subprocess.run(["bash", str(shared_data / "unpack"), str(tmp_path), "cifar10"], check=True)
    spec = DataSpec(name="image-folder", path=str(tmp_path / "cifar10"))
    assert load(spec).record["cache"] == "written"
    assert load(spec).record["cache"] == "read"
