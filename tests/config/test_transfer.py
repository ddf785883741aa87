"""Frozen and decayed blocks by keys, from the shell and from Python."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import hptune
from hptune.cli import run
from hptune.config.build import build_task
from hptune.config.load import with_value
from hptune.config.schema import Experiment
from hptune.config.starter import write_starter
from hptune.data.inspect import inspect
from hptune.data.sources.normalize import IMAGENET, image_normalization
from hptune.errors import InputError

SMALL = ["--device", "cpu", "--set", "data.subset=200", "--set", "training.epochs=1"]


def changed(**keys: object) -> Experiment:
    experiment = Experiment()
    for key, value in keys.items():
        experiment = with_value(experiment, key.replace("__", "."), value)
    return experiment


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({"model__freeze": 2.5}, "model.freeze: 2.5; must be a whole number of blocks"),
        ({"model__freeze": True}, "must be a whole number of blocks"),
        ({"model__unfreeze": 0.5}, "nothing is frozen; set model.freeze"),
        ({"model__freeze": 1, "model__unfreeze": [0.5, 0.2]}, "must rise"),
        ({"model__freeze": 1, "model__unfreeze": 1}, "must be less than 1"),
        ({"optimizer__layer_decay": 0}, "must be greater than 0"),
        ({"optimizer__layer_decay": 1.1}, "must be less than or equal to 1"),
    ],
)
def test_values_that_the_keys_do_not_take(keys: dict[str, object], expected: str):
    with pytest.raises(InputError, match=expected) as caught:
        changed(**keys)
    assert "\n" not in str(caught.value)


def test_a_name_is_a_list_of_one_and_what_is_frozen_identifies_the_task():
    assert changed(model__freeze="1").model == changed(model__freeze=["1"]).model
    tasks = [
        build_task(changed(**keys))
        for keys in (
            {},
            {"model__freeze": 1},
            {"model__freeze": 2},
            {"model__freeze": 2, "model__unfreeze": 0.5},
        )
    ]
    assert len({task.fingerprint for task in tasks}) == 4


def test_a_wrong_part_is_told_before_any_trial(tmp_path: Path, capsys):
    words = ["check", *SMALL, "--set", "model.freeze=[heat]", "--set", "model.name=resnet-8"]
    assert run([*words, "--out", str(tmp_path)]) == 2
    assert "did you mean 'head'" in capsys.readouterr().err.splitlines()[-1]


def test_a_check_says_what_is_frozen_of_which_blocks(tmp_path: Path, capsys):
    words = ["check", *SMALL, "--set", "model.freeze=-1", "--json", "--out", str(tmp_path)]
    assert run(words) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["blocks"].startswith("3: 1, 4, 7")
    assert found["frozen"].endswith("in 2 of 3 blocks") and found["parameters"] == 256 * 10 + 10


@pytest.mark.parametrize(
    ("key", "values"), [("model.freeze", "0,2"), ("optimizer.layer_decay", "1,0.5")]
)
def test_a_sweep_over_what_is_frozen_and_decayed(
    key: str, values: str, tmp_path: Path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    words = ["sweep", key, "--values", values, *SMALL, "--seeds", "1", "--json", "--out", "r"]
    assert run([*words, "--set", "procedure.lr_range.epochs=1"]) == 0
    document = json.loads(capsys.readouterr().out)
    swept = [d for d in document["decisions"] if d["parameter"] == key]
    assert str(swept[0]["value"]) in values.split(",")
    assert {str(t[key]) for t in document["trials"] if t.get(key) is not None} >= set(
        values.split(",")
    )


def test_a_model_of_ones_own_in_python(tmp_path: Path):
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(80, 4, generator=draw)
    task = hptune.Task(
        lambda: nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 2)),
        train=(x, (x[:, 0] > 0).long()),
    )
    settings = {"model.freeze": "0", "optimizer.layer_decay": 0.5}
    options = {"epochs": 2, "batch_size": 16, "device": "cpu", "progress": False}
    nets = [
        hptune.train(task, lr=lr, out=tmp_path / str(lr), settings=settings, **options).model()
        for lr in (0.1, 0.01)
    ]
    assert torch.equal(nets[0][0].weight, nets[1][0].weight)  # as the seed made it
    assert not torch.equal(nets[0][3].weight, nets[1][3].weight)
    with pytest.raises(InputError, match="must match parts of the model"):
        hptune.train(task, lr=0.1, settings={"model.freeze": "conv"}, **options)


def test_a_loop_of_ones_own_freezes_itself():
    experiment = changed(model__freeze=1, command="python train.py", loop__iterations_per_epoch=3)
    with pytest.raises(InputError, match="with a training loop of your own"):
        build_task(experiment)


def test_a_loop_of_ones_own_steps_itself():
    experiment = changed(
        training__average="ema", command="python train.py", loop__iterations_per_epoch=3
    )
    with pytest.raises(InputError, match=r"training.average: ema with a training loop of your own"):
        build_task(experiment)


def test_images_normalized_by_imagenets_mean_and_deviation():
    images = np.random.default_rng(0).integers(0, 256, (4, 3, 5, 5), np.uint8)
    expected = (torch.from_numpy(images) / 255 - torch.tensor(IMAGENET[0]).view(3, 1, 1)) / (
        torch.tensor(IMAGENET[1]).view(3, 1, 1)
    )
    for scale in (1.0, 255.0):
        normalize = image_normalization(images, np.arange(4), "imagenet", scale)
        torch.testing.assert_close(normalize(torch.from_numpy(images)), expected)
    with pytest.raises(InputError, match="are no colour images"):
        build_task(changed(data__normalize="imagenet"))


def test_init_proposes_pretrained_weights_for_a_few_photos(tmp_path: Path):
    from PIL import Image

    for kind in ("cat", "dog"):
        (tmp_path / kind).mkdir()
        for n in range(4):
            Image.new("RGB", (80, 70), (n * 20, 90, 30)).save(tmp_path / kind / f"{n}.png")
    text = write_starter(inspect(tmp_path), ".", name="a", summary=[], file="hptune.yaml")
    assert '# model: {name: "torchvision:resnet18", args: {weights: DEFAULT}, freeze: -1' in text
    assert "DEFAULT" not in write_starter(None, "", name="a", summary=[], file="hptune.yaml")
