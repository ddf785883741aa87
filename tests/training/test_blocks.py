"""How nets are numbered by blocks, and LRs that decay by them: against groups made by hand."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from hptune.models import build
from hptune.results.settings import OptimizerSpec, ParameterRule
from hptune.training.blocks import Blocks
from hptune.training.optimizer import ScheduledOptimizer


def names(model: nn.Module) -> list[str]:
    return Blocks(model).names


RESNET = [f"layer{stage}.{block}" for stage in range(1, 5) for block in range(2)]
ENCODER = [f"encoder.layers.encoder_layer_{n}" for n in range(12)]


@pytest.mark.parametrize(
    ("net", "expected"),
    [
        ("resnet18", ["conv1", *RESNET, "fc"]),
        ("vit_b_16", ["conv_proj", *ENCODER, "heads.head"]),
        ("alexnet", [f"features.{n}" for n in (0, 3, 6, 8, 10)] + [f"classifier.{n}" for n in (1, 4, 6)]),
        ("squeezenet1_0", [f"features.{n}" for n in (0, 3, 4, 5, 7, 8, 9, 10, 12)] + ["classifier.1"]),
    ],
)  # fmt: skip
def test_the_blocks_of_a_net_of_torchvision(net: str, expected: list[str]):
    from torchvision import models

    with torch.device("meta"):
        assert names(models.get_model(net)) == expected


def test_the_blocks_of_bundled_nets():
    shape = {"input_shape": (3, 32, 32), "outputs": 4}
    assert names(build("mlp", {"hidden": [5, 6]}, **shape)) == ["1", "4", "7"]
    assert names(build("resnet-8", {}, **shape)) == [
        "stem",
        "blocks.0",
        "blocks.1",
        "blocks.2",
        "head",
    ]
    assert names(nn.Linear(3, 2)) == [""]


def test_a_norm_belongs_to_the_block_before_and_lone_parameters_to_the_first():
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.position = nn.Parameter(torch.zeros(2, 3))
            self.norm_in = nn.BatchNorm1d(3, affine=False)
            self.first, self.norm = nn.Linear(3, 3), nn.LayerNorm(3)
            self.head = nn.Linear(3, 2)

    blocks = Blocks(Net())
    assert blocks.names == ["norm_in", "head"] and len(blocks) == 2
    assert (
        blocks.index("position") == blocks.index("first.bias") == blocks.index("norm.weight") == 0
    )
    assert blocks.index("head.bias") == 1


@pytest.mark.parametrize("name", ["sgd", "adamw"])
def test_layer_decay_trains_as_groups_of_torch_made_by_hand(name: str):
    """Also with a rule beside it, whose multiplier is times the decay."""

    def net() -> nn.Sequential:
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(4, 5), nn.LayerNorm(5), nn.Linear(5, 5), nn.Linear(5, 2))

    ours, theirs = net(), net()
    rules = (ParameterRule(match="2.bias", lr=2.0, weight_decay=0.0),)
    spec = OptimizerSpec(name=name, layer_decay=0.5, rules=rules)
    optimizer = ScheduledOptimizer(ours, spec, lr=0.1, momentum=0.9, weight_decay=0.01)
    groups = [
        {"params": [*theirs[0].parameters(), *theirs[1].parameters()], "lr": 0.025},
        {"params": [theirs[2].weight], "lr": 0.05},
        {"params": [theirs[2].bias], "lr": 0.1, "weight_decay": 0.0},
        {"params": [*theirs[3].parameters()], "lr": 0.1},
    ]
    made = {
        "sgd": lambda: torch.optim.SGD(groups, 0.1, momentum=0.9, weight_decay=0.01, nesterov=True),
        "adamw": lambda: torch.optim.AdamW(groups, 0.1, betas=(0.9, 0.999), weight_decay=0.01),
    }
    reference = made[name]()
    usual = [group["lr"] for group in reference.param_groups]
    draw = torch.Generator().manual_seed(1)
    for factor in (1.0, 1.5, 0.5):  # as a policy has it
        x, y = torch.randn(8, 4, generator=draw), torch.randint(2, (8,), generator=draw)
        optimizer.set(0.1 * factor, 0.9)
        for group, lr in zip(reference.param_groups, usual, strict=True):
            group["lr"] = lr * factor
        for model in (ours, theirs):
            F.cross_entropy(model(x), y).backward()
        optimizer.step()
        reference.step()
        reference.zero_grad()
    for own, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(own, other)
