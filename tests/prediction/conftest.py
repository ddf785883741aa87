"""Runs that the tests of prediction share: one of each kind of data, trained for a moment."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from hptune.cli import run
from hptune.results.run_dir import RunDir
from hptune.results.tables import Row

NET = """
import numpy as np
from torch import nn

def small(input_shape, outputs, width=16):
    sizes = int(np.prod(input_shape)), width
    return nn.Sequential(nn.Flatten(), nn.Linear(*sizes), nn.BatchNorm1d(width), nn.ReLU(),
                         nn.Linear(width, outputs))

def load(seed=1):
    x = np.random.default_rng(seed).normal(3, 2, (150, 5)).astype(np.float32)
    y = (x[:, 0] > x[:, 1]).astype(int)
    return (x[:100], y[:100]), (x[100:], y[100:])
"""


class Trained(NamedTuple):
    """A run directory, and new data that are its test split."""

    run: Path
    new: Path | None

    @property
    def row(self) -> Row:
        """The row of the seed with the lowest validation loss."""
        rows = RunDir.open(self.run, write=False).rows("train")
        return min(rows, key=lambda row: row["val_loss"])


def passengers(count: int, seed: int) -> pd.DataFrame:
    """A table with an id, gaps, text and a date."""
    rng = np.random.default_rng(seed)
    table = pd.DataFrame(
        {
            "PassengerId": np.arange(1, count + 1) + 1000 * seed,
            "Age": rng.normal(30, 10, count).round(1),
            "Sex": rng.choice(["male", "female"], count),
            "Port": rng.choice(["S", "C", "Q"], count),
            "Fare": rng.lognormal(3, 1, count).round(4),
            "When": pd.date_range("2020-01-01", periods=count, freq="17h"),
        }
    )
    table.loc[rng.choice(count, count // 10), "Age"] = np.nan
    score = 2 * (table.Sex == "female") + (table.Fare > 20) + rng.normal(0, 0.5, count)
    table["Survived"] = np.where(score > 1.5, "Yes", "No")
    table["Price"] = 1000 + 200 * score.round(2)
    return table


def images(folder: Path, count: int, seed: int) -> None:
    """Write images of two classes into class folders."""
    rng = np.random.default_rng(seed)
    for kind, level in (("daisy", 60), ("rose", 110)):
        (folder / kind).mkdir(parents=True)
        for k in range(count):
            pixels = level + rng.integers(0, 60, (12 + k % 2, 12, 3))
            Image.fromarray(pixels.astype(np.uint8)).save(folder / kind / f"{k}.png")


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Trained]:
    """A run of each kind of data, moved away from where it was made."""
    here = tmp_path_factory.mktemp("trained")
    for name, count, seed in (("train", 30, 0), ("val", 10, 1), ("test", 15, 2)):
        images(here / "flowers" / name, count, seed)
    passengers(200, 0).drop(columns="Price").to_csv(here / "train.csv", index=False)
    passengers(200, 0).drop(columns="Survived").to_csv(here / "prices.csv", index=False)
    rng = np.random.default_rng(0)
    x = rng.integers(0, 255, (160, 8, 8, 3)).astype(np.uint8)
    y = np.where(x[:, :4].mean((1, 2, 3)) > x[:, 4:].mean((1, 2, 3)), "cat", "dog")
    np.savez(here / "pets.npz", x_train=x[:120], y_train=y[:120], x_test=x[120:], y_test=y[120:])
    np.savez(here / "new.npz", x=x[120:], y=y[120:])
    (here / "own_net.py").write_text(NET)
    kinds: dict[str, tuple[list[str], Path | None]] = {
        "digits": ([], None),
        "images": (
            ["data.name=image-folder", "data.path=flowers", "data.resize=8"],
            here / "flowers/test",
        ),
        "table": (["data.name=csv", "data.path=train.csv", "data.target=Survived"], None),
        "prices": (["data.name=csv", "data.path=prices.csv", "data.target=Price"], None),
        "npz": (["data.name=npz", "data.path=pets.npz"], here / "new.npz"),
        "own": (["data.name=own_net:load", "model.name=own_net:small"], None),
    }
    common = "train --epochs 3 --lr 0.01 --batch-size 16 --seeds 2 --jobs 1 --quiet --device cpu"
    found = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(here)
        for name, (settings, new) in kinds.items():
            words = [word for setting in settings for word in ("--set", setting)]
            assert run([*common.split(), "--out", f"made/{name}", *words]) == 0
            found[name] = Trained(here / "moved" / name, new)
    (here / "made").rename(here / "moved")
    return found
