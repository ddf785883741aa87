"""Learning how weights evolve from histories whose course is known."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from hptune.errors import InputError
from hptune.landscape.evolution import learn_evolution

TAU = 6.0  # states


def history(seed: int, states: int = 25) -> list[dict[str, Tensor]]:
    """Weights that go from where they begin to where they end as 1 - exp(-t / tau)."""
    generator = torch.Generator().manual_seed(seed)
    start, way = 0.3 * torch.randn(2, 900, generator=generator)
    return [
        {"w": start + way * (1 - torch.exp(torch.tensor(-t / TAU))), "count": torch.tensor(t)}
        for t in range(states)
    ]


def test_a_course_is_learned_and_holds_for_another_run(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("hptune.landscape.evolution.STEPS", 200)
    learned = learn_evolution([history(0)])
    assert learned.error < 0.5 * learned.stays and learned.error < 0.5 * learned.straight
    other = history(1)
    seen = torch.stack([other[t]["w"] for t in (0, 4, 7, 10)], 1)
    told = learned.evolution(seen).detach()
    off = (told - other[20]["w"]).abs().mean()
    assert off < 0.5 * (seen[:, -1] - other[20]["w"]).abs().mean()
    again = learn_evolution([history(0)]).evolution(seen)
    assert (again == told).all()


def test_histories_that_say_nothing_are_one_line():
    with pytest.raises(InputError, match="histories: 6 states; must be more than 8 each"):
        learn_evolution([history(0, 6)])
    with pytest.raises(InputError, match="no weight moved"):
        learn_evolution([history(0)[:1] * 20])
