"""Whether it pays to compile a model: by a rule that costs nothing, then by a short timed probe.

Compiling is expected to save a quarter of the time of what is recorded already, which was not measured:
no GPU was at hand. It is not even tried unless a quarter of the time of the planned iterations is more
than it is expected to take: a trial of two minutes does not wait for a minute.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from hptune.results.records import Trial
from hptune.task import Task
from hptune.training.device import Device
from hptune.training.execution_mode import EQUAL, ROUNDED, differs, take_steps

SAVES = 0.25  # of the time: what compiling is expected to save
# Seconds that compiling is expected to take: the compiler's own start, and each part of the model.
START, PART = 10.0, 0.25
CLEARLY = 0.9  # of the time as it is: what a compiled iteration must not exceed

Measured = dict[str, Any]
"""Seconds of an iteration "as_it_is" and "compiled", None where it cannot be, and of "compiling"; "why"."""


def may_repay(model: nn.Module, planned: int, seconds: float) -> bool:
    """Say whether compiling could save more time than it takes.

    Args:
        model: What would be compiled.
        planned: Iterations that would be.
        seconds: Of one as it is.
    """
    parts = sum(next(module.children(), None) is None for module in model.modules())
    return SAVES * planned * seconds > START + PART * parts


def measure_compiled(task: Task, trial: Trial, device: Device) -> Measured:
    """Time a few iterations as they are and compiled, in the device's mode, if both train the same."""
    measured: Measured = {"as_it_is": None, "compiled": None, "compiling": None, "why": ""}
    likeness = ROUNDED if device.dtype is torch.bfloat16 else EQUAL
    try:
        usual = take_steps(task, trial, replace(device, compile_from_iteration=None))
    except Exception:  # told when the trials run
        return measured
    measured["as_it_is"] = usual.seconds
    try:
        found = take_steps(task, trial, replace(device, compile_from_iteration=0))
    except Exception as error:
        return measured | {"why": type(error).__name__}
    kind = device.torch_device.type
    if why := found.not_compiled or differs(usual, found, kind, likeness):
        return measured | {"why": why}
    compiling = max(found.first - usual.first, 0.0)
    return measured | {"compiled": found.seconds, "compiling": compiling}


def choose_compiled(
    device: Device, measured: Measured, batch_size: int, planned: int, *, forced: bool = False
) -> Device:
    """Return the device with what is compiled on it, by a measurement at a batch size.

    Trials of that size are, if that pays in all of the planned iterations; others where it pays in
    a trial alone, as each size is compiled anew.
    """
    usual, compiled = measured["as_it_is"], measured["compiled"]
    if usual is None or compiled is None:
        return device
    if forced:
        return replace(device, compile_from_iteration=0)
    if compiled > CLEARLY * usual or planned * (usual - compiled) < measured["compiling"]:
        return device
    alone = math.ceil(measured["compiling"] / (usual - compiled))
    return replace(device, compile_from_iteration=alone, compiled_batch=batch_size)
