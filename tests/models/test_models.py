"""Parameter counts against the papers, shapes, and errors."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from hptune.errors import InputError
from hptune.models import build
from hptune.models.caffe import LocalResponseNorm

RGB = (3, 32, 32)


def count(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize(
    ("name", "millions"),
    [
        ("resnet-20", 0.27),
        ("resnet-32", 0.46),
        ("resnet-44", 0.66),
        ("resnet-56", 0.85),
        ("resnet-110", 1.7),
        ("densenet-40-12", 1.0),
    ],
)
def test_parameter_counts_are_the_papers(name: str, millions: float):
    model = build(name, {}, input_shape=RGB, outputs=10)
    assert count(model) / 1e6 == pytest.approx(millions, abs=0.03 if millions > 0.9 else 0.006)


def test_the_wide_resnet_has_four_times_the_channels():
    model = build("wide-resnet-32-4", {}, input_shape=RGB, outputs=10)
    assert model.head.in_features == 256
    assert count(model) == pytest.approx(7.4e6, rel=0.02)


def test_three_layer_is_caffes_cifar10_full():
    model = build("three-layer", {}, input_shape=RGB, outputs=10)
    assert count(model) == 32 * 75 + 32 + 32 * 800 + 32 + 64 * 800 + 64 + 1024 * 10 + 10
    assert not any(isinstance(m, nn.BatchNorm2d) for m in model.modules())
    assert model.conv1.weight.std().item() == pytest.approx(1e-4, rel=0.1)


def test_lenet_is_caffes():
    model = build("lenet", {}, input_shape=(1, 28, 28), outputs=10)
    assert count(model) == 20 * 25 + 20 + 50 * 500 + 50 + 800 * 500 + 500 + 5010
    assert not any(isinstance(m, nn.BatchNorm2d) for m in model.modules())


def test_lrn_within_a_channel_by_its_formula():
    x = torch.randn(1, 2, 5, 5, generator=torch.Generator().manual_seed(0))
    out = LocalResponseNorm(3, 0.5, 0.75)(x)
    window = x[0, 1, 1:4, 2:5]
    expected = x[0, 1, 2, 3] / (1 + 0.5 / 9 * window.square().sum()) ** 0.75
    torch.testing.assert_close(out[0, 1, 2, 3], expected)


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("mlp", (7,)),
        ("mlp", (1, 8, 8)),
        ("three-layer", (1, 28, 28)),
        ("three-layer", (3, 40, 24)),
        ("lenet", (3, 32, 32)),
        ("resnet-20", (1, 28, 28)),
        ("wide-resnet-14-2", (3, 64, 64)),
        ("densenet-13-4", (3, 32, 32)),
    ],
)
def test_every_net_takes_the_datas_shape(name: str, shape: tuple[int, ...]):
    model = build(name, {}, input_shape=shape, outputs=7)
    assert model(torch.zeros(2, *shape)).shape == (2, 7)


def test_mlp_has_the_widths_asked_for():
    model = build("mlp", {"hidden": [5, 3], "dropout": 0.4}, input_shape=(4,), outputs=2)
    assert [m.out_features for m in model if isinstance(m, nn.Linear)] == [5, 3, 2]
    assert [m.p for m in model if isinstance(m, nn.Dropout)] == [0.4, 0.4]


def test_a_torchvision_model_with_weights_from_a_file(tmp_path: Path):
    args = {"name": "torchvision:resnet18", "input_shape": (3, 64, 64)}
    first = build(args["name"], {}, input_shape=args["input_shape"], outputs=5)
    torch.save(first.state_dict(), tmp_path / "w.pt")
    weights = {"weights": str(tmp_path / "w.pt")}
    second = build(args["name"], weights, input_shape=args["input_shape"], outputs=3)
    assert torch.equal(second.conv1.weight, first.conv1.weight)
    assert second.fc.out_features == 3


def test_the_users_own_callable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "own_model.py").write_text(
        "from torch import nn\n"
        "def net(outputs, width=4):\n"
        "    return nn.Sequential(nn.Flatten(), nn.LazyLinear(width), nn.Linear(width, outputs))\n"
        "def nothing():\n    return 3\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    model = build("own_model:net", {"width": 6}, input_shape=(2, 3), outputs=4)
    assert model(torch.zeros(1, 2, 3)).shape == (1, 4)
    with pytest.raises(InputError, match=r"must return a torch\.nn\.Module"):
        build("own_model:nothing", {}, input_shape=(3,), outputs=2)


@pytest.mark.parametrize(
    ("name", "args", "shape", "expected"),
    [
        ("reznet-20", {}, RGB, "did you mean 'resnet-20'"),
        ("resnet-21", {}, RGB, r"depth must be 6n \+ 2; 20 is the nearest"),
        ("mlp", {"hiden": [3]}, RGB, "takes dropout, hidden"),
        ("mlp", {"hidden": [0]}, RGB, "positive whole numbers"),
        ("resnet-20", {}, (12,), "needs images"),
        ("lenet", {}, (1, 8, 8), "needs 12x12 at least"),
        ("torchvision:resnet19", {}, RGB, "did you mean 'torchvision:resnet18'"),
        ("torchvision:resnet18", {}, (1, 28, 28), "needs colour images"),
        ("torchvision:resnet18", {"weights": "absent.pt"}, RGB, "must be a file with a state_dict"),
        ("nowhere:net", {}, RGB, "cannot be imported"),
    ],
)
def test_wrong_models_are_told_in_one_line(name, args, shape, expected):
    with pytest.raises(InputError, match=expected) as caught:
        build(name, args, input_shape=shape, outputs=3)
    assert "\n" not in str(caught.value)
