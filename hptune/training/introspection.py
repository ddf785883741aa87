"""Learned weight evolution: a small net says where each weight goes, and training jumps there.

The net has one hidden layer of 40 ReLU. Of each weight by itself it gets the values at iterations 0,
0.4 t, 0.7 t and t, times 1000, and tells the value at 2 t. `hptune landscape introspection` learns it
from histories of weights, and `training.introspection` names its file.

After a jump training goes on as usual; what the optimizer has gathered, such as momentum, stays: it is
of the way that the weights go on.

Source: Sinha et al. 2017, "Introspection: accelerating neural network training by learning weight
evolution".
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from hptune.errors import InputError
from hptune.results.records import Trial
from hptune.training.snapshot import load_state, save_state

SEEN = (0.0, 0.4, 0.7, 1.0)  # of the iterations before a jump
HIDDEN = 40
SCALE = 1000.0
CHUNK = 2**18  # weights at once
_KIND = "weight evolution"


class Evolution(nn.Module):
    """Tells the weights at iteration 2 t from those up to t. Before it learns anything they stay at t."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden, self.out = nn.Linear(len(SEEN), HIDDEN), nn.Linear(HIDDEN, 1)

    def forward(self, seen_W4: Tensor) -> Tensor:
        """Return weights (W,) from their values at 0, 0.4 t, 0.7 t and t."""
        change: Tensor = self.out(torch.relu(self.hidden(seen_W4 * SCALE)))[:, 0]
        return seen_W4[:, -1] + change / SCALE


def save_evolution(path: Path, evolution: Evolution) -> None:
    """Write the net to its file."""
    save_state(path, {"kind": _KIND, "net": evolution.state_dict()})


def load_evolution(path: str) -> Evolution:
    """Read the net from its file. Executes nothing.

    Raises:
        InputError: There is none.
    """
    state = load_state(Path(path).expanduser())
    with torch.device("meta"):  # draws no random numbers, which are training's
        evolution = Evolution()
    try:
        if state is None or state["kind"] != _KIND:
            raise KeyError
        evolution.load_state_dict(state["net"], assign=True)
    except (KeyError, RuntimeError, TypeError, AttributeError):
        raise InputError(
            f"training.introspection: {path}; must be a file of `hptune landscape introspection`; "
            "make one from a run that was walked, or leave the key out"
        ) from None
    return evolution


class Jumps:
    """The jumps of a trial's weights.

    Takes three copies of the weights up to each jump.

    Args:
        parameters: That are trained.
        path: Of the file.
        at: Fractions of the run after which they jump.
        iterations: Of the run.

    Raises:
        InputError: There is no such file, or the run is too short for a jump.
    """

    def __init__(
        self, parameters: Sequence[Tensor], path: str, at: Sequence[float], iterations: int
    ) -> None:
        self._parameters = list(parameters)
        self._evolution = load_evolution(path).to(self._parameters[0].device)
        self._jumps = {round(share * iterations) for share in at}
        if min(self._jumps) < 1 / (SEEN[2] - SEEN[1]):
            raise InputError(
                f"training.introspection_at: {min(at):g} of {iterations} iterations; must be at least 4 "
                "iterations after the start; train longer, or jump later"
            )
        # Of each jump, the iterations after which weights are kept for it.
        self._due = {t: [round(part * t) for part in SEEN[:-1]] for t in self._jumps}
        self._kept: dict[int, list[Tensor]] = {}

    def after(self, done: int) -> None:
        """Hear that so many iterations are done, 0 at the start; jump if it is time."""
        self._keep(done)
        if done not in self._jumps:
            return
        seen = [self._kept[at] for at in self._due[done]]
        with torch.no_grad():
            for own, *before in zip(self._parameters, *seen, strict=True):
                values = torch.stack([t.reshape(-1).float() for t in (*before, own)], 1)
                jumped = torch.cat([self._evolution(part) for part in torch.split(values, CHUNK)])
                # What has not moved stays, such as a part that is frozen still.
                moved = (values[:, :-1] != values[:, -1:]).any(1)
                jumped = torch.where(moved, jumped, values[:, -1])
                own.copy_(jumped.view(own.shape))  # in the same memory
        later = {at for t, due in self._due.items() if t > done for at in due}
        self._kept = {at: kept for at, kept in self._kept.items() if at in later}

    def _keep(self, done: int) -> None:
        if any(done in due and done < t for t, due in self._due.items()):
            self._kept[done] = [own.detach().clone() for own in self._parameters]

    def state(self) -> dict[int, list[Tensor]]:
        """Return what `load` takes back."""
        return {at: [own.cpu() for own in kept] for at, kept in self._kept.items()}

    def load(self, state: dict[int, list[Tensor]]) -> None:
        """Continue from a state of this trial."""
        places = [own.device for own in self._parameters]
        self._kept = {
            at: [own.to(place) for own, place in zip(kept, places, strict=True)]
            for at, kept in state.items()
        }


def jumps_of(model: nn.Module, trial: Trial) -> Jumps | None:
    """Return the jumps that a trial's settings ask for."""
    path, at = trial.settings.introspection, trial.settings.introspection_at
    if path is None:
        return None
    parameters = [own for own in model.parameters() if own.requires_grad]
    return Jumps(parameters, path, at, trial.iterations)
