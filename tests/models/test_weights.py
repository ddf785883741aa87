"""Pretrained weights by file and by name: what is taken, what starts afresh, what is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from hptune.errors import InputError
from hptune.models import build

RGB = (3, 32, 32)


def built(name: str, weights: Any, outputs: int = 3, **kwargs: Any) -> tuple[nn.Module, list[str]]:
    told: list[str] = []
    args = {"weights": str(weights)}
    return build(name, args, input_shape=RGB, outputs=outputs, tell=told.append, **kwargs), told


def test_a_new_head_is_told_with_counts_and_nothing_where_all_fits(tmp_path: Path):
    first = build("resnet-8", {}, input_shape=RGB, outputs=5)
    torch.save(first.state_dict(), tmp_path / "w.pt")
    model, told = built("resnet-8", tmp_path / "w.pt")
    assert torch.equal(model.blocks[1].conv1.weight, first.blocks[1].conv1.weight)
    count = len(first.state_dict())
    assert len(told) == 1 and f"{count - 2} of the model's {count} tensors" in told[0]
    assert "head.weight, head.bias start afresh" in told[0]
    assert built("resnet-8", tmp_path / "w.pt", outputs=5)[1] == []


@pytest.mark.parametrize("prefix", ["module.", "model."])
def test_names_of_a_wrapped_model(tmp_path: Path, prefix: str):
    first = build("resnet-8", {}, input_shape=RGB, outputs=3)
    named = {f"{prefix}{name}": value for name, value in first.state_dict().items()}
    torch.save({"state_dict": named, "epoch": 3}, tmp_path / "w.ckpt")
    model, told = built("resnet-8", tmp_path / "w.ckpt")
    assert torch.equal(model.stem.weight, first.stem.weight) and not told


def test_a_safetensors_file(tmp_path: Path):
    save = pytest.importorskip("safetensors.torch").save_file
    first = build("mlp", {}, input_shape=RGB, outputs=3)
    save(first.state_dict(), tmp_path / "w.safetensors")
    model, _ = built("mlp", tmp_path / "w.safetensors")
    assert torch.equal(model[-1].weight, first[-1].weight)


@pytest.mark.parametrize("named", ["DEFAULT", "imagenet1k_v1", "ResNet18_Weights.IMAGENET1K_V1"])
def test_a_name_of_torchvision_from_torchs_cache(
    named: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    first = build("torchvision:resnet18", {}, input_shape=RGB, outputs=1000)
    (tmp_path / "checkpoints").mkdir()
    file = tmp_path / "checkpoints" / "resnet18-f37072fd.pth"
    torch.save(first.state_dict(), file)
    for weights in (named, file):
        model, told = built("torchvision:resnet18", weights)
        assert torch.equal(model.layer4[1].conv2.weight, first.layer4[1].conv2.weight)
        assert "120 of the model's 122 tensors" in told[0] and "fc.weight" in told[0]
        assert "224x224 pixels, normalized by mean (0.485, 0.456, 0.406)" in told[1]
        assert "these are 32x32" in told[1]


def test_weights_that_cannot_be_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def offline(*args: object, **kwargs: object) -> None:
        raise OSError("no\nnetwork")

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", offline)
    for weights, expected in (
        ("DEFAULT", "resnet18-f37072fd.pth cannot be fetched"),
        ("DEFALT", "did you mean 'DEFAULT'"),
    ):
        with pytest.raises(InputError, match=expected) as caught:
            built("torchvision:resnet18", weights)
        assert "\n" not in str(caught.value)


def test_weights_of_timm_by_name(monkeypatch: pytest.MonkeyPatch):
    timm = pytest.importorskip("timm", reason="the extra timm is not installed")
    asked: list[tuple[str, bool]] = []
    make = timm.create_model

    def create_model(name: str, pretrained: bool, **kwargs: Any) -> Any:
        asked.append((name, pretrained))
        return make(name, pretrained=False, **kwargs)

    monkeypatch.setattr(timm, "create_model", create_model)
    _, told = built("timm:resnet18", "a1_in1k")
    built("timm:resnet18.a2_in1k", "DEFAULT")
    build("timm:resnet18", {"pretrained": True}, input_shape=RGB, outputs=2)
    build("timm:resnet18.a1_in1k", {}, input_shape=RGB, outputs=2)
    assert asked == [
        ("resnet18.a1_in1k", True),
        ("resnet18.a2_in1k", True),
        ("resnet18", True),
        ("resnet18.a1_in1k", False),
    ]
    assert "trained on images of" in told[0]
    with pytest.raises(InputError, match="did you mean"):
        built("timm:resnet18", "a1_in1")
