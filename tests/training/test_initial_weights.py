"""Initial weights by a rule: their statistics by fan, what each kind of layer gets, what stays."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from hptune.errors import InputError
from hptune.training.initial_weights import RULES, initialize

FANS = {  # a layer, the inputs that one of its units sums over, and the units that one input reaches
    "linear": (nn.Linear(300, 200), 300, 200),
    "conv": (nn.Conv2d(30, 60, 3), 270, 540),
    "groups": (nn.Conv2d(64, 128, 3, groups=4), 144, 288),
    "depthwise": (nn.Conv1d(400, 400, 9, groups=400), 9, 9),
    "transposed": (nn.ConvTranspose2d(60, 30, 3), 540, 270),
    "transposed groups": (nn.ConvTranspose1d(64, 128, 5, groups=2), 160, 320),
    "recurrent": (nn.LSTM(100, 100), 100, 100),
    "attention": (nn.MultiheadAttention(120, 4), 120, 120),
}


@pytest.mark.parametrize("kind", FANS)
def test_xavier_and_he_have_the_deviation_of_their_papers(kind: str):
    layer, inputs, outputs = FANS[kind]
    for rule, variance in (("xavier", 2 / (inputs + outputs)), ("he", 2 / inputs)):
        torch.manual_seed(0)
        assert initialize(layer, rule, gain=1.5) == ""
        for weight in (p for p in layer.parameters() if p.ndim > 1):
            assert weight.std().item() == pytest.approx(1.5 * math.sqrt(variance), rel=0.06)
            assert abs(weight.mean().item()) < 0.1 * weight.std().item()
        assert all((p == 0).all() for name, p in layer.named_parameters() if "bias" in name)


def test_xavier_is_uniform_and_he_normal():
    layer = nn.Linear(500, 500)
    initialize(layer, "xavier")
    assert layer.weight.abs().max().item() == pytest.approx(math.sqrt(6 / 1000), rel=1e-3)
    initialize(layer, "he")
    beyond = (layer.weight.abs() > 2 * math.sqrt(2 / 500)).float().mean().item()
    assert beyond == pytest.approx(0.0455, rel=0.1)


@pytest.mark.parametrize("gain", [1.0, 2.0])
def test_orthogonal_has_orthonormal_rows_or_columns_times_its_gain(gain: float):
    layers = [nn.Linear(30, 20), nn.Conv2d(4, 8, 3), nn.Conv2d(8, 8, 3, groups=8)]
    initialize(nn.Sequential(*layers), "orthogonal", gain)
    for rows in (layer.weight.detach().flatten(1) for layer in layers[:2]):
        torch.testing.assert_close(rows @ rows.T, gain**2 * torch.eye(len(rows)), atol=1e-5, rtol=0)
    alone = layers[2].weight.detach().flatten(1).norm(dim=1)  # each channel by itself
    torch.testing.assert_close(alone, torch.full((8,), gain))
    gates = nn.LSTMCell(12, 12)
    initialize(gates, "orthogonal")
    for gate in gates.weight_hh.detach().split(12):
        torch.testing.assert_close(gate @ gate.T, torch.eye(12), atol=1e-5, rtol=0)


def test_zero_constant_and_normal():
    layer = nn.Linear(300, 300)
    initialize(layer, "zero")
    assert not layer.weight.any()
    initialize(layer, "constant", 0.25)
    assert (layer.weight == 0.25).all() and not layer.bias.any()
    initialize(layer, "normal")
    assert layer.weight.std().item() == pytest.approx(0.01, rel=0.02)


class Parts(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(50, 8, padding_idx=0)
        self.places = nn.Parameter(torch.randn(1, 5, 8))
        self.norm, self.last = nn.LayerNorm(8), nn.BatchNorm1d(8)
        self.body, self.head = nn.Linear(8, 8), nn.Linear(8, 50)
        self.head.weight = self.words.weight
        nn.init.zeros_(self.last.weight)


def test_norms_embeddings_and_own_parameters_stay_and_are_told():
    net = Parts()
    before = {name: p.detach().clone() for name, p in net.named_parameters()}
    told = initialize(net, "he")
    assert told == (
        "model.init he: 2 of 3 weight matrices stay as the model makes them: places, words.weight"
    )
    changed = {name for name, p in net.named_parameters() if not torch.equal(p, before[name])}
    assert changed == {"body.weight", "body.bias"}
    assert initialize(net, "constant", 0.5).endswith(
        "1 of 3 weight matrices stay as the model makes them: places"
    )
    assert (net.words.weight[1:] == 0.5).all() and not net.words.weight[0].any()
    assert not net.last.weight.any() and (net.norm.weight == 1).all()


def test_what_is_frozen_stays():
    net = nn.Sequential(nn.Linear(4, 4).requires_grad_(False), nn.Linear(4, 2))
    frozen = net[0].weight.clone()
    initialize(net, "he")
    assert torch.equal(net[0].weight, frozen) and not net[1].bias.any()


@pytest.mark.parametrize("rule", RULES)
def test_the_seed_decides_whatever_the_layout_in_memory(rule: str):
    first, second = nn.Conv2d(3, 4, 3), nn.Conv2d(3, 4, 3).to(memory_format=torch.channels_last)
    for layer in (first, second):
        torch.manual_seed(2)
        initialize(layer, rule)
    assert torch.equal(first.weight, second.weight)


def test_a_model_without_a_layer_that_has_a_rule_is_told():
    with pytest.raises(InputError, match=r"model.init: he; the model has no linear, conv"):
        initialize(nn.Sequential(nn.LayerNorm(3)), "he")
    with pytest.raises(InputError, match=r"model.init: he; weight has no shape before the first"):
        initialize(nn.LazyLinear(3), "he")


@pytest.mark.filterwarnings("ignore:.*weight_norm:FutureWarning")
@pytest.mark.parametrize("rule", ["xavier", "zero"])
def test_weight_norm_stays_as_it_was_made_and_is_told(rule: str):
    torch.manual_seed(0)
    net = nn.Sequential(nn.utils.weight_norm(nn.Linear(300, 200)), nn.Linear(200, 5))
    before = net[0].weight_g.clone(), net[0].weight_v.clone()
    assert "0.weight_v" in initialize(net, rule)
    assert torch.equal(net[0].weight_g, before[0]) and torch.equal(net[0].weight_v, before[1])
