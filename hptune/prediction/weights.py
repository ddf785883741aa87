"""Which weights of a run directory count, and what is kept with them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from torch import Tensor

from hptune.errors import InputError
from hptune.results.records import Status, what_was_reached
from hptune.results.run_dir import RunDir
from hptune.results.signature import Signature
from hptune.results.tables import Row
from hptune.training.snapshot import load_state


@dataclass(frozen=True)
class Weights:
    """The trained weights of one seed, and what is kept with them.

    Attributes:
        trial: Its id.
        state: Parameters and buffers.
        signature: What the model takes and gives.
        device: Type of the device that it was trained on.
        precision: In which it was evaluated there.
        batch_size: Of that.
    """

    trial: str
    state: Mapping[str, Tensor]
    signature: Signature
    device: str = "cpu"
    precision: str = "fp32"
    batch_size: int = 256


def weights_of(
    run: Path,
    trials: Sequence[str] = (),
    *,
    ensemble: bool = False,
    signature: Mapping[str, Any] | None = None,
) -> tuple[Weights, ...]:
    """Return the weights of a run directory's last final or training run.

    Args:
        run: The run directory, or a file that `hptune export --format torch` wrote.
        trials: Ids of which; none takes the seed with the lowest validation loss.
        ensemble: Whether to return those of all seeds, the one with the lowest first.
        signature: Of weights that are kept without one, where it is known.

    Raises:
        InputError: There are none, or they are kept without what prediction needs.
    """
    if ensemble and (trials or run.is_file()):
        raise InputError(
            "--ensemble: takes all seeds of a run directory; leave out --trial, or give the run directory"
        )
    if run.is_file():
        if trials:
            raise InputError(
                f"--trial: {trials[0]!r}; {run} holds one model's weights; leave it out"
            )
        return (load_weights(run),)
    run_dir = RunDir.open(run, write=False, tell=lambda _: None)
    if trials:
        return tuple(load_weights(run_dir.checkpoint(trial), signature) for trial in trials)
    reached = what_was_reached(run_dir.decisions())
    if reached is None:
        raise InputError(
            f"{run}: holds no trained model; must have ended a final run; run `hptune train` or "
            "`hptune run`"
        )
    done = [row for row in run_dir.rows() if row["trial"] in reached.trials]
    done = sorted((row for row in done if row["status"] == Status.COMPLETE), key=_val_loss)
    wanted = done if ensemble else done[:1]
    if not wanted:
        raise InputError(f"{run}: no run completed; must have ended one; run `hptune train`")
    return tuple(load_weights(run_dir.checkpoint(str(row["trial"]))) for row in wanted)


def load_weights(path: Path, signature: Mapping[str, Any] | None = None) -> Weights:
    """Read a checkpoint; one that is kept without a signature has the one given.

    Raises:
        InputError: It is none, or was written without what prediction needs.
    """
    if not path.exists():
        raise InputError(
            f"{path}: is not there; a command of your own keeps its weights itself; those of hptune come "
            "with `hptune train`"
        )
    state = load_state(path)
    if state is None or "trial" not in state:
        raise InputError(
            f"{path}: no weights that can be read; must be a checkpoint of hptune; run `hptune train`"
        )
    if "model" not in state:
        raise InputError(
            f"{path}: is of a training loop of your own, which alone knows its model; load what it gave "
            "to trial.save into that, torch.load(..., weights_only=True)['parts']"
        )
    kept = state.get("signature") or signature
    if not kept:
        raise InputError(
            f"{path}: does not say what the model takes and gives, as an earlier hptune wrote it; train "
            "again with --restart, or load its weights into your model"
        )
    try:
        known = Signature(**kept)
    except ValidationError:
        raise InputError(
            f"{path}: is of another version of hptune; must be of this one; train again with --restart"
        ) from None
    return Weights(str(state["trial"]), state["model"], known, **state.get("read", {}))


def _val_loss(row: Row) -> float:
    value = row.get("val_loss")
    return float(value) if isinstance(value, int | float) else math.inf
