"""What `hptune check` finds: data, model and first batch, or a training loop of the user's own."""

from __future__ import annotations

from typing import Any

import torch

from hptune.procedure.session.context import Context
from hptune.task import Task
from hptune.training.blocks import Blocks
from hptune.training.device import seeded
from hptune.training.freezing import parts

SHOWN_BLOCKS = 6  # of a net's blocks at most


def found_in(context: Context) -> dict[str, Any]:
    """Return what the first batch shows, or what a rehearsal of a loop has, by its name for people."""
    if context.task.loop is not None:
        return _of_loop(context)
    task, shown, device = context.task, context.check(), context.runner.device
    return {
        "data": task.data,
        "train": len(task.train),
        "validation": len(task.validation),
        "test": None if task.test is None else len(task.test),
        "classes": task.classes,
        "model": task.model,
        "parameters": shown.parameters,
        **_blocks(task),
        "weight_layers": shown.weight_layers,
        "batch_size": context.batch_size(quiet=True),
        "input_shape": list(shown.input_shape),
        "output_shape": list(shown.output_shape),
        "initial_loss": shown.loss,
        "memory_mb": device.peak_memory_mb(),
        "device": device.name,
        "devices_per_trial": device.ranks.size,
        "precision": device.precision,
        "notes": [*task.notes, *shown.notes],
    }


def _blocks(task: Task) -> dict[str, str]:
    """Return the model's blocks, as they are numbered, and what is frozen of them."""
    with seeded(0, torch.device("cpu")):
        model = task.make_model()
    blocks = Blocks(model)
    names = blocks.names
    if len(names) > SHOWN_BLOCKS:
        names = [*names[: SHOWN_BLOCKS - 1], "...", names[-1]]
    found = {"blocks": f"{len(blocks)}: {', '.join(names)}"}
    if task.freeze is not None and (held := parts(model, task.freeze)):
        count = sum(parameter.numel() for part in held for parameter in part.parameters)
        until = ", ".join(f"{at:g}" for at in task.freeze.release)
        found["frozen"] = (
            f"{count} parameters, in {len(held)} of {len(blocks)} blocks"
            + f", until {until} of the run" * bool(until)
        )
    return found


def _of_loop(context: Context) -> dict[str, Any]:
    """Return what is known; of a command with placeholders that is little before it has run."""
    task, seen, fixed = context.task, context.task.seen, context.check().fixed
    found = {
        "training_loop": task.model,
        "takes": ", ".join(seen["reads"]),
        "sets_itself": ", ".join(fixed),
        "metrics": ", ".join(("loss", *task.metrics)),
        "optimizer": seen["optimizer"],
        "parameters": seen["parameters"],
        "batch_size": None if "batch_size" in fixed else context.batch_size(quiet=True),
        "initial_loss": seen["loss"],
        "iteration_s": seen["iteration_seconds"],
        "reading_s": seen["evaluation_seconds"],
        "device": context.problem.device.name,
        "notes": list(task.notes),
    }
    return {name: value for name, value in found.items() if value or name == "notes"}
