"""How a device trains a model fastest, by a short timed probe: measured, never assumed.

CPUs with matrix units or dot products for bf16 train convolutions about twice as fast in it;
on others it is slower, and for small layers everywhere. A GPU waits for the host to launch its
kernels where they are short, and replays a CUDA graph without waiting. Where the optimizer can be
recorded, too, that is a third mode: one launch an iteration, of more but smaller operations.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import cycle, islice
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from hptune.results.records import Trial
from hptune.task import Task
from hptune.training.capture import WARM_UP
from hptune.training.compiled import CompiledLoss
from hptune.training.device import Device, seeded
from hptune.training.evaluation import evaluate
from hptune.training.freezing import train_mode
from hptune.training.loop import Lanes
from hptune.training.passes import can_be_recorded
from hptune.training.speed import timed
from hptune.training.trial_run import Job, TrialRun

WORTH = 0.005  # seconds: what an iteration takes at least for a CPU's precision to matter
CLEARLY = {"cpu": 0.8, "cuda": 0.95}  # of the time as it is: what another mode must not exceed
BATCH = 64  # examples in a batch of a CPU's probe at most; larger ones gain no less
STEPS = {"cpu": 5, "cuda": 20}  # timed, after some that are not
AGREE = {"cpu": 0.1, "cuda": 0.02}  # of the first loss: how far the losses of both may be apart
COMPARED = 3  # the pass whose gradients are compared: neither the recorded one nor the first replay


class Likeness(NamedTuple):
    """What makes the gradients of two modes the same to training.

    Attributes:
        cosine: Of a parameter's two gradients, at least.
        norm: Of one over the other, how far it may be from 1.
        rest: Of the norm of all gradients: what is smaller than this may differ by as much.
    """

    cosine: float
    norm: float
    rest: float


# In bf16 small gradients of early layers lose their direction: of ResNet-56's, up to 0.014 of all.
ROUNDED, EQUAL = Likeness(0.9, 0.2, 0.05), Likeness(0.99, 0.05, 0.01)
LIKE = {"cpu": ROUNDED, "cuda": EQUAL}

NAMES = {"cpu": ("fp32", "bf16"), "cuda": ("launched", "replayed")}  # the usual mode, another
STEPPED = "stepped"  # a GPU's third mode: the steps replayed, too
Seconds = dict[str, float | None]
"""Of an iteration, by mode, and of a first one that is recorded; None: not measured, or of no use."""


def measure_modes(task: Task, trial: Trial, device: Device) -> tuple[Seconds, str]:
    """Time a few iterations in each mode that the device has, which are those of `NAMES`.

    The second counts only where the model trains in it, each parameter's gradient has the direction
    and the norm that it has in the first, and the losses agree.
    Of the trial the optimizer is used, and the batch size, on a CPU up to a limit.

    Returns:
        The seconds, and why the second mode cannot be used, if it cannot.
    """
    kind = device.torch_device.type
    usually, otherwise = NAMES[kind]
    seconds: Seconds = {usually: None, otherwise: None}
    if on_cpu := kind == "cpu":
        other = replace(device, dtype=torch.bfloat16)
        parts = trial.settings.accumulate * device.ranks.size
        trial = trial.change(batch_size=min(trial.batch_size, max(BATCH // parts, 1) * parts))
    else:
        other = replace(device, graph_from_iteration=0)
    if not on_cpu and not can_be_recorded(trial, device):
        return seconds, "several passes a step, or scaled ones"
    try:
        usual = take_steps(task, trial, device, drops=not on_cpu)
    except Exception:  # told when the trials run
        return seconds, ""
    seconds[usually] = usual.seconds
    if on_cpu and usual.seconds < WORTH:
        return seconds, ""
    try:
        found = take_steps(task, trial, other, drops=not on_cpu)
    except Exception as error:  # an operation that knows no bf16
        return seconds, type(error).__name__
    if why := found.not_captured or differs(usual, found, kind, LIKE[kind]):
        return seconds, why
    seconds[otherwise] = found.seconds
    if not on_cpu:
        seconds["recording"] = found.first
        seconds[STEPPED] = _stepped(task, trial, replace(other, graph_steps=True), usual)
    return seconds, ""


def differs(usual: Steps, found: Steps, kind: str, likeness: Likeness) -> str:
    """Say in what another mode trains otherwise than the usual one; nothing where it does not."""
    tolerance = AGREE[kind] * abs(usual.losses[0])
    pairs = zip(usual.losses, found.losses, strict=True)
    if not alike(usual.gradients, found.gradients, likeness):
        return "the gradients are others"
    if not all(abs(a - b) <= tolerance for a, b in pairs) or not math.isfinite(found.read):
        return "the model trains otherwise"  # NaN is never within the tolerance
    return ""


def _stepped(task: Task, trial: Trial, device: Device, usual: Steps) -> float | None:
    """Return the seconds of an iteration whose step is recorded; None where it is not the usual step."""
    try:
        found = take_steps(task, trial, device)
    except Exception:
        return None
    kind = device.torch_device.type
    if found.not_captured or differs(usual, found, kind, LIKE[kind]):
        return None
    # Gradients say nothing of what a step makes of them.
    return found.seconds if alike(usual.changes, found.changes, LIKE[kind]) else None


def choose_mode(device: Device, seconds: Seconds) -> Device:
    """Return the device in the mode that the measurement speaks for."""
    kind = device.torch_device.type
    usual, other = (seconds.get(name) for name in NAMES[kind])
    replayed = [s for s in (other, seconds.get(STEPPED)) if s is not None]
    if usual is None or other is None or min(replayed) >= CLEARLY[kind] * usual:
        return replace(device, needs_probe=False)
    if kind == "cpu":
        return replace(device, dtype=torch.bfloat16, needs_probe=False)
    best = min(replayed)
    pays_from = math.ceil((seconds.get("recording") or 0.0) / (usual - best))
    return replace(
        device, graph_from_iteration=pays_from, graph_steps=best < other, needs_probe=False
    )


@dataclass(frozen=True)
class Steps:
    """What some passes of a trial gave, and the steps after them.

    Attributes:
        first: Seconds of the first pass.
        seconds: Of an iteration.
        losses: Of the steps.
        gradients: By parameter, of one of the passes.
        changes: By parameter, of all steps.
        read: Loss on some validation examples.
        not_captured, not_compiled: Why the passes were not recorded or compiled, if they were to be.
    """

    first: float
    seconds: float
    losses: list[float]
    gradients: list[Tensor]
    changes: list[Tensor]
    read: float
    not_captured: str | None
    not_compiled: str | None


def take_steps(task: Task, trial: Trial, device: Device, *, drops: bool = True) -> Steps:
    """Take some passes of a trial, and then some steps from its first batch on.

    Args:
        task, trial, device: What to train, and where.
        drops: Whether dropout drops anything.
    """
    kind = device.torch_device.type
    untimed = 1 if kind == "cpu" else WARM_UP
    with seeded(trial.seed, device.torch_device):
        # Where the steps are recorded, a pass that takes none shows the gradients.
        run = TrialRun(task, Job(trial), replace(device, graph_steps=False))
        lanes = Lanes([run])
        if not drops:
            _without_dropout(run.model)
        first, _ = timed(lanes.gradients)
        for _ in range(COMPARED - 1):
            run.optimizer.drop_gradients()
            lanes.gradients()
        trained = [p for p in run.model.parameters() if p.requires_grad]
        gradients, before = [_copied(p.grad, p) for p in trained], [_copied(p, p) for p in trained]
        run.optimizer.drop_gradients()
        if not drops:
            train_mode(run.model)
        run.device = device
        lanes = Lanes([run])
        times, losses = [], []
        for rates in islice(cycle(run.rates), untimed + STEPS[kind]):
            run.optimizer.set(*rates)
            took, loss = timed(lanes.step)
            times.append(took)
            losses.append(loss)
        # Metrics have to take what comes out, too. What it is, a batch norm has not settled yet.
        read = evaluate(task, run.model, run.validation_data, device, limit=BATCH).loss
    changes = [_copied(p, p) - old for p, old in zip(trained, before, strict=True)]
    return Steps(
        first,
        seconds=statistics.median(times[untimed:]),
        losses=torch.stack(losses).tolist(),
        gradients=gradients,
        changes=changes,
        read=read,
        not_captured=lanes.not_captured,
        not_compiled=run.loss.error if isinstance(run.loss, CompiledLoss) else None,
    )


def _without_dropout(model: nn.Module) -> None:
    """Let nothing be dropped: in another type the same seed may drop other activations."""
    for module in model.modules():
        if "Drop" in type(module).__name__:
            module.eval()


def _copied(tensor: Tensor | None, parameter: Tensor) -> Tensor:
    """Return a tensor as float32 on the CPU; 0 where there is none."""
    found = torch.zeros_like(parameter) if tensor is None else tensor
    return found.detach().float().cpu().clone()


def alike(usual: Sequence[Tensor], found: Sequence[Tensor], likeness: Likeness) -> bool:
    """Say whether the gradients of two modes train the same, parameter by parameter."""
    rest = likeness.rest * float(torch.stack([gradient.norm() for gradient in usual]).norm())

    def are(one: Tensor, other: Tensor) -> bool:
        if float((other - one).norm()) <= rest:
            return True
        norms = float(other.norm() / one.norm())
        cosine = float(functional.cosine_similarity(one.flatten(), other.flatten(), dim=0))
        return cosine >= likeness.cosine and abs(norms - 1) <= likeness.norm  # False of NaN

    return all(map(are, usual, found))
