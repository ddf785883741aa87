"""Learning how weights evolve from histories of them: see `hptune.training.introspection`.

Source: Sinha et al. 2017, "Introspection: accelerating neural network training by learning weight
evolution", section 3.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from hptune.errors import InputError
from hptune.landscape.reader import Weights
from hptune.training.introspection import SCALE, SEEN, Evolution

FEWEST = 8  # states between the first and the last of a history
EARLIEST = 4  # states before a jump
SAMPLES = 200_000  # weights at a time of a history
STEPS, BATCH, LR = 2000, 2048, 3e-3
HELD_OUT = 0.1


@dataclass(frozen=True)
class Learned:
    """A net of weight evolution, and how well it tells what it was learned from.

    Attributes:
        evolution: The net.
        samples: Weights at a time of a history, all together.
        error: Mean absolute error at 2 t, of a tenth of what was drawn, which it was not trained with; the
            same weights are among the rest, at other times or once more. Another run tells more.
        stays: The same of weights that stay as they are at t.
        straight: The same of weights that go straight on as from 0.7 t to t.
    """

    evolution: Evolution
    samples: int
    error: float
    stays: float
    straight: float


def learn_evolution(histories: Sequence[Sequence[Weights]], *, seed: int = 0) -> Learned:
    """Return a net that tells weights at iteration 2 t from those up to t.

    Args:
        histories: State dicts of a run each, evenly spaced from its first iteration to its last.
        seed: Of the weights that are drawn, and of the net.

    Raises:
        InputError: A history is too short, or nothing moved.
    """
    generator = torch.Generator().manual_seed(seed)
    pairs = [(path, end) for path in histories for end in range(EARLIEST, (len(path) - 1) // 2 + 1)]
    if not histories or any(len(path) <= FEWEST for path in histories):
        raise InputError(
            f"histories: {', '.join(str(len(path)) for path in histories) or 'no'} states; must be more "
            f"than {FEWEST} each; walk a longer run, or a smaller net: a walk keeps 1 GiB at most"
        )
    drawn = [_drawn(path, end, SAMPLES // len(pairs), generator) for path, end in pairs]
    samples = torch.cat(drawn)[torch.randperm(sum(map(len, drawn)), generator=generator)]
    held = int(HELD_OUT * len(samples))
    if not held:
        raise InputError("histories: no weight moved; must be of a run that trains; walk another")
    evolution = _trained(samples[held:], generator)
    seen, ends = samples[:held, :-1], samples[:held, -1]
    slope = (seen[:, 3] - seen[:, 2]) / (SEEN[3] - SEEN[2])
    with torch.no_grad():
        guesses = evolution(seen), seen[:, 3], seen[:, 3] + slope
    error, stays, straight = (float((guess - ends).abs().mean()) for guess in guesses)
    return Learned(evolution, len(samples), error, stays, straight)


def _drawn(path: Sequence[Weights], end: int, count: int, generator: torch.Generator) -> Tensor:
    """Return some weights at the times that are seen and at twice the last, (W, 5).

    Half of them are of those that moved most, which the others would outnumber.
    """
    times = [*(part * end for part in SEEN), 2 * end]
    whole = torch.stack([_at(path, time) for time in times], 1)
    moved = (whole[:, 3] - whole[:, 0]).abs()
    whole = whole[moved > 0]
    order = moved[moved > 0].argsort(descending=True)
    most, half = order[: max(len(order) // 2, 1)], (count + 1) // 2
    places = [own[torch.randperm(len(own), generator=generator)[:half]] for own in (most, order)]
    return whole[torch.cat(places)]


def _at(path: Sequence[Weights], time: float) -> Tensor:
    """Return all weights at a time, in states: between two of them on the straight line."""
    before = min(int(time), len(path) - 2)
    one, other = (
        torch.cat([own.reshape(-1).float() for own in path[at].values() if own.is_floating_point()])
        for at in (before, before + 1)
    )
    return one + (time - before) * (other - one)


def _trained(samples: Tensor, generator: torch.Generator) -> Evolution:
    """Return the net, trained on (W, 5) by the mean absolute error.

    What it gets are the weights themselves, but it learns on their steps in units of their own size,
    without which four almost equal numbers tell it little; that is part of its first layer afterwards.
    """
    samples = samples * SCALE
    steps = torch.eye(len(SEEN)) - torch.diag(torch.ones(len(SEEN) - 1), -1)
    features = samples[:, :-1] @ steps.T
    sizes = features.square().mean(0).sqrt().clamp_min(1e-9)
    features, change = features / sizes, samples[:, -1] - samples[:, -2]
    size = change.square().mean().sqrt().clamp_min(1e-9)
    evolution = Evolution()
    with torch.no_grad():
        for own in evolution.parameters():
            own.copy_(torch.rand(own.shape, generator=generator) - 0.5)
        evolution.out.weight.zero_()
        evolution.out.bias.zero_()
    net = nn.Sequential(evolution.hidden, nn.ReLU(), evolution.out)
    optimizer = torch.optim.Adam(net.parameters(), lr=LR)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS)
    for _ in range(STEPS):
        batch = torch.randint(len(features), (BATCH,), generator=generator)
        optimizer.zero_grad()
        (net(features[batch])[:, 0] - change[batch] / size).abs().mean().backward()
        optimizer.step()
        schedule.step()
    with torch.no_grad():
        evolution.hidden.weight.copy_(evolution.hidden.weight @ (steps / sizes[:, None]))
        for own in evolution.out.parameters():
            own.mul_(size)
    return evolution
