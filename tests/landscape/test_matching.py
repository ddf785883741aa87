"""Weight matching: the permuted net computes the same, and a permuted copy is found again."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hptune import models
from hptune.errors import InputError
from hptune.landscape import line, match
from hptune.models.densenet import DenseLayer

LOSS = nn.CrossEntropyLoss()
IMAGES = torch.randn(8, 3, 16, 16, generator=torch.Generator().manual_seed(0))
CLASSES = torch.arange(8) % 3


class Gates(nn.Module):
    """A recurrent layer: four gates of the same units in one weight."""

    def __init__(self) -> None:
        super().__init__()
        self.cell, self.head = nn.LSTM(4, 6, batch_first=True), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.cell(x)[0][:, -1])


class Written(nn.Module):
    """Functions of torch in the place of layers, a tied weight, and writing in place."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.each = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3, groups=8)
        self.first, self.second = nn.Linear(8 * 12 * 12, 10), nn.Linear(10, 10)
        self.again, self.third, self.head = (
            self.second,
            nn.Linear(10, 10),
            nn.Linear(10, 3, bias=False),
        )
        self.third.weight = self.second.weight

    def forward(self, x: Tensor) -> Tensor:
        x = F.gelu(self.each(self.conv(x)))
        x = self.first(x.reshape(len(x), -1)).relu_()
        x += self.third(self.again(self.second(x))) * torch.sigmoid(x)
        return self.head(x / x.square().mean(-1, keepdim=True).add(1).sqrt())


def attention() -> nn.Module:
    layer = nn.TransformerEncoderLayer(16, 2, 24, batch_first=True)
    return nn.Sequential(nn.Linear(4, 16), layer, nn.Flatten(), nn.Linear(80, 3))


def dense() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 4, 3), DenseLayer(4, 5, 0.0), DenseLayer(9, 5, 0.0), nn.AdaptiveAvgPool2d(2),
        nn.Flatten(), nn.Linear(56, 3),
    )  # fmt: skip


def bundled(name: str, **args: object) -> nn.Module:
    return models.build(name, args, input_shape=(3, 16, 16), outputs=3)


NETS = {
    "mlp": lambda: bundled("mlp", hidden=[20, 12]),
    "three-layer": lambda: bundled("three-layer"),
    "resnet-8": lambda: bundled("resnet-8"),
    "dense": dense,
    "lstm": Gates,
    "attention": attention,
    "written": Written,
}
# Parameters that stay as they are: of the outputs, and of attention, whose heads have no rule.
HELD = {
    "mlp": {"7.bias"}, "three-layer": {"linear.bias"},
    "resnet-8": {"head.bias"}, "dense": {"5.bias"}, "lstm": {"head.bias"},
    "attention": {"1.self_attn.in_proj_bias", "3.bias"}, "written": set(),
}  # fmt: skip


def inputs(name: str) -> Tensor:
    return torch.randn(8, 5, 4) if name in ("lstm", "attention") else IMAGES


@pytest.mark.parametrize("name", NETS)
def test_a_matched_net_computes_the_same_and_is_nearer(name: str):
    torch.manual_seed(1)
    model, other, x = NETS[name](), NETS[name](), inputs(name)
    with torch.no_grad():  # averages and norms that tell units apart
        for net in (model, other):
            for tensor in (*net.parameters(), *net.buffers()):
                if tensor.ndim == 1:
                    tensor.copy_(torch.rand_like(tensor) + 0.5)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    found = match(model, model.state_dict(), other.state_dict(), LOSS, (x, CLASSES))
    assert found.units > 0 and found.distance <= found.before
    assert name == "lstm" or found.moved > found.units / 2
    assert set(found.held) == HELD[name]
    assert all((before[name] == value).all() for name, value in model.state_dict().items())
    assert model.training
    outputs = other.eval()(x)
    other.load_state_dict(found.weights)
    torch.testing.assert_close(other.eval()(x), outputs, rtol=1e-4, atol=1e-5)
    # The same net in another order is found again, to the last bit, and its line is flat.
    back = match(model, before, _shuffled(model, before, found.weights, x), LOSS, (x, CLASSES))
    assert back.distance == 0


def _shuffled(
    model: nn.Module, own: dict[str, Tensor], towards: dict[str, Tensor], x: Tensor
) -> dict[str, Tensor]:
    """Return a net with its units in an order that another net's are nearest to."""
    torch.manual_seed(5)
    anything = {
        name: torch.randn_like(value) if value.is_floating_point() and "var" not in name else value
        for name, value in towards.items()
    }
    found = match(model, anything, own, LOSS, (x, CLASSES))
    return found.weights


def test_the_line_between_a_net_and_itself_in_another_order_is_flat():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 20), nn.Tanh(), nn.Linear(20, 3))
    x = torch.randn(64, 6)
    y = x[:, :3].argmax(1)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.05)
    for _ in range(60):
        optimizer.zero_grad()
        LOSS(model(x), y).backward()
        optimizer.step()
    own, order = model.state_dict(), torch.randperm(20)
    other = {
        "0.weight": own["0.weight"][order], "0.bias": own["0.bias"][order],
        "2.weight": own["2.weight"][:, order], "2.bias": own["2.bias"],
    }  # fmt: skip
    data = {"train": (x, y)}
    assert line(model, own, other, LOSS, data).barrier() > 0.05
    matched = match(model, own, other, LOSS, data["train"]).weights
    assert line(model, own, matched, LOSS, data).barrier() == pytest.approx(0, abs=1e-6)


class Sorted(nn.Module):
    """A net whose units are told apart by their places."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(6, 8), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.second(torch.cumsum(self.first(x), 1))


class Branches(Sorted):
    """A net that goes by the values of its inputs."""

    def forward(self, x: Tensor) -> Tensor:
        return self.second(self.first(x)) if x.sum() > 0 else self.second(-self.first(x))


def test_what_cannot_be_matched_is_one_line():
    data = (torch.randn(8, 6), CLASSES)
    with pytest.raises(InputError, match="no units of this net can be permuted past cumsum"):
        match(Sorted(), Sorted().state_dict(), Sorted().state_dict(), LOSS, data)
    with pytest.raises(InputError, match="cannot be traced"):
        match(Branches(), Branches().state_dict(), Branches().state_dict(), LOSS, data)
    other, own = nn.Linear(6, 8).state_dict(), Sorted().state_dict()
    for start, end in ((other, own), (own, other)):
        with pytest.raises(InputError, match="one architecture"):
            match(Sorted(), start, end, LOSS, data)


class Scaled(nn.Sequential):
    """A perceptron with a constant that is in no state dict."""

    def __init__(self) -> None:
        super().__init__(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))
        self.register_buffer("scale", torch.rand(6) + 0.5, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = super().forward(x * self.scale)
        return logits


class Held(nn.Sequential):
    """A perceptron that holds a weight in a list, too, and computes with that."""

    def __init__(self) -> None:
        super().__init__(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))
        self.held = [self[0].weight]

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self[2](torch.relu(x @ self.held[0].T + self[0].bias))
        return logits


def test_a_constant_that_is_not_saved_holds_nothing_up():
    torch.manual_seed(0)
    one, other = Scaled(), Scaled()
    other.scale.copy_(one.scale)
    data, expected = (torch.randn(8, 6), CLASSES), other(torch.ones(2, 6))
    found = match(one, one.state_dict(), other.state_dict(), LOSS, data)
    one.load_state_dict(found.weights)
    assert torch.allclose(one(torch.ones(2, 6)), expected, atol=1e-5)


def test_a_net_that_holds_a_weight_elsewhere_is_not_matched_wrongly():
    torch.manual_seed(0)
    one, other = Held(), Held()
    with pytest.raises(InputError, match="computes something else"):
        match(one, one.state_dict(), other.state_dict(), LOSS, (torch.randn(8, 6), CLASSES))
