"""Parameter counts against the papers, shapes, and errors."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from hptune.errors import InputError
from hptune.models import NAMES, build
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
    out = LocalResponseNorm(3, 0.5)(x)
    window = x[0, 1, 1:4, 2:5]
    expected = x[0, 1, 2, 3] / (1 + 0.5 / 9 * window.square().sum()) ** 0.75
    torch.testing.assert_close(out[0, 1, 2, 3], expected)
    corner = x[0, 1, :2, :2]  # Caffe divides by the whole window there, too
    expected = x[0, 1, 0, 0] / (1 + 0.5 / 9 * corner.square().sum()) ** 0.75
    torch.testing.assert_close(out[0, 1, 0, 0], expected)


def test_lrns_gradient_is_that_of_its_formula():
    norm = LocalResponseNorm(3, 0.5)
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(2, 2, 4, 4, generator=draw, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(norm, x)
    assert torch.autograd.gradgradcheck(norm, x)
    together = torch.func.vmap(norm)(torch.stack([x, 2 * x]))
    torch.testing.assert_close(together, torch.stack([norm(x), norm(2 * x)]))


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("mlp", (7,)),
        ("mlp", (1, 8, 8)),
        ("three-layer", (1, 28, 28)),
        ("three-layer", (3, 40, 24)),
        ("three-layer", (1, 8, 8)),
        ("lenet", (3, 32, 32)),
        ("lenet", (1, 13, 13)),
        ("resnet-20", (1, 28, 28)),
        ("resnet-20", (1, 1, 1)),
        ("densenet-13-4", (1, 4, 4)),
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


def test_mlps_initial_weights_are_hes():
    torch.manual_seed(0)
    model = build("mlp", {"hidden": [600]}, input_shape=(4, 10, 10), outputs=2)
    assert isinstance(model[2], nn.ReLU)
    assert model[1].weight.var().item() == pytest.approx(2 / 400, rel=0.02)
    assert not model[1].bias.any()


def test_lenets_initial_weights_are_caffes_xavier():
    torch.manual_seed(0)
    model = build("lenet", {}, input_shape=(1, 28, 28), outputs=10)
    bound = (3 / 800) ** 0.5
    assert model.hidden.weight.abs().max().item() == pytest.approx(bound, rel=1e-3)
    assert model.hidden.weight.var().item() == pytest.approx(1 / 800, rel=0.02)


def test_caffe_pools_in_ceil_mode():
    # 32 -> 16 -> 8 -> 4 with windows of 3; floor mode would end at 3.
    assert build("three-layer", {}, input_shape=RGB, outputs=10).linear.in_features == 64 * 4 * 4


def test_the_shortcut_of_a_residual_net_has_no_parameters():
    model = build("resnet-20", {}, input_shape=RGB, outputs=10)
    block = model.blocks[3]  # the first of 32 channels
    with torch.no_grad():
        block.norm2.weight.zero_()  # what is left is the shortcut
        x = torch.rand(2, 16, 8, 8)
        out = block.eval()(x)
    torch.testing.assert_close(out[:, :16], x[:, :, ::2, ::2])
    assert not out[:, 16:].any()


@pytest.mark.parametrize("name", [n for n in NAMES if "NAME" not in n and "." not in n])
def test_the_same_seed_gives_the_same_weights(name: str):
    weights = []
    for _ in range(2):
        torch.manual_seed(3)
        model = build(name, {}, input_shape=RGB, outputs=10)
        weights.append(nn.utils.parameters_to_vector(model.parameters()))
    assert torch.equal(*weights)


def test_a_torchvision_model_with_weights_from_a_file(tmp_path: Path):
    args = {"name": "torchvision:resnet18", "input_shape": (3, 64, 64)}
    first = build(args["name"], {}, input_shape=args["input_shape"], outputs=5)
    for number, saved in enumerate((first.state_dict(), {"model": first.state_dict()})):
        torch.save(saved, tmp_path / f"{number}.pt")
        weights = {"weights": str(tmp_path / f"{number}.pt")}
        second = build(args["name"], weights, input_shape=args["input_shape"], outputs=3)
        assert torch.equal(second.conv1.weight, first.conv1.weight)
        assert second.fc.out_features == 3


@pytest.mark.parametrize("saved", [torch.zeros(3), {"other": torch.zeros(3)}, [1, 2]])
def test_weights_of_something_else(tmp_path: Path, saved: object):
    torch.save(saved, tmp_path / "w.pt")
    with pytest.raises(InputError, match="fits 0 of the model's"):
        build(
            "torchvision:resnet18", {"weights": str(tmp_path / "w.pt")}, input_shape=RGB, outputs=3
        )


def test_a_file_that_would_execute_code_is_not_loaded(tmp_path: Path):
    torch.save(nn.Linear(1, 1), tmp_path / "w.pt")  # a pickled module
    with pytest.raises(InputError, match="must be a file with a state_dict"):
        build(
            "torchvision:resnet18", {"weights": str(tmp_path / "w.pt")}, input_shape=RGB, outputs=3
        )


def test_timm_that_is_not_installed(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(InputError, match=r"pip install \"hptune\[timm\]\""):
        build("timm:resnet18", {}, input_shape=RGB, outputs=3)


def test_a_timm_model_takes_the_datas_channels_and_classes():
    pytest.importorskip("timm", reason="the extra timm is not installed")
    model = build("timm:resnet18", {}, input_shape=(1, 32, 32), outputs=7)
    assert model(torch.zeros(2, 1, 32, 32)).shape == (2, 7)
    for name, args, shape, expected in (
        ("timm:resnet19", {}, RGB, "did you mean 'timm:resnet18'"),
        ("timm:resnet18", {"in_chans": 3}, RGB, "leave in_chans out"),
        ("timm:resnet18", {"foo": 1}, RGB, "correct model.args"),
        ("timm:resnet18", {}, (12,), "needs images"),
    ):
        with pytest.raises(InputError, match=expected):
            build(name, args, input_shape=shape, outputs=7)


def test_the_users_own_callable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "own_model.py").write_text(
        "from torch import nn\n"
        "def net(outputs, width=4):\n"
        "    return nn.Sequential(nn.Flatten(), nn.LazyLinear(width), nn.Linear(width, outputs))\n"
        "def nothing():\n    return 3\n"
        "def fails(outputs):\n    raise ValueError('two\\nlines')\n"
        "number = 3\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))  # the current folder is put on it
    model = build("own_model:net", {"width": 6}, input_shape=(2, 3), outputs=4)
    assert model(torch.zeros(1, 2, 3)).shape == (1, 4)
    with pytest.raises(InputError, match=r"must return a torch\.nn\.Module"):
        build("own_model:nothing", {}, input_shape=(3,), outputs=2)
    for name, args, expected in (
        ("own_model:net", {"widht": 6}, "own_model:net takes width "),
        ("own_model:nothing", {"width": 6}, "takes no arguments"),
        ("own_model:fails", {}, "ValueError: two lines"),
        ("own_model:number", {}, "it is of type int"),
        ("own_model:nett", {}, "has no 'nett'"),
    ):
        with pytest.raises(InputError, match=expected) as caught:
            build(name, args, input_shape=(3,), outputs=2)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "args", "shape", "expected"),
    [
        ("reznet-20", {}, RGB, "did you mean 'resnet-20'"),
        ("resnet-21", {}, RGB, r"depth must be 6n \+ 2; 20 is the nearest"),
        ("mlp", {"hiden": [3]}, RGB, "takes dropout, hidden "),
        ("mlp", {"hidden": [0]}, RGB, "positive whole numbers"),
        ("mlp", {"hidden": 256}, RGB, "positive whole numbers"),
        ("mlp", {"hidden": [True]}, RGB, "positive whole numbers"),
        ("mlp", {"hidden": None}, RGB, "positive whole numbers"),
        ("mlp", {"dropout": 1}, RGB, "at least 0 and below 1"),
        ("mlp", {"dropout": "high"}, RGB, "at least 0 and below 1"),
        ("ResNet-20", {}, RGB, "did you mean 'resnet-20'"),
        ("wide-resnet-32-0", {}, RGB, "did you mean 'wide-resnet-32-4'"),
        ("densenet-40-0", {}, RGB, "did you mean 'densenet-40-12'"),
        ("densenet-41-12", {}, RGB, r"depth must be 3n \+ 4; 40 is the nearest"),
        ("densenet-13-4", {"dropout": 2}, RGB, "at least 0 and below 1"),
        ("densenet-13-4", {}, (3, 3, 32), "needs 4x4 at least"),
        ("three-layer", {}, (3, 7, 7), "needs 8x8 at least"),
        ("lenet", {}, (1, 28, 12), "are 12x28; it needs 13x13 at least"),
        ("lenet", {"dropout": 0.5}, RGB, "takes no arguments"),
        ("torchvision:resnet18", {"num_classes": 3}, RGB, "leave num_classes out"),
        ("torchvision:resnet18", {"foo": 3}, RGB, "unexpected keyword argument 'foo'"),
        ("torchvision:vgg11", {"dropout": "x"}, RGB, "torchvision:vgg11 refuses"),
        ("resnet-20", {}, (12,), "needs images"),
        ("lenet", {}, (1, 8, 8), "needs 13x13 at least"),
        ("torchvision:resnet19", {}, RGB, "did you mean 'torchvision:resnet18'"),
        ("torchvision:resnet18", {}, (1, 28, 28), "needs colour images"),
        ("nowhere:net", {}, RGB, "cannot be imported"),
    ],
)
def test_wrong_models_are_told_in_one_line(name, args, shape, expected):
    with pytest.raises(InputError, match=expected) as caught:
        build(name, args, input_shape=shape, outputs=3)
    assert "\n" not in str(caught.value)
