"""An iteration in each mode of a device: launched, replayed, with its step recorded, compiled."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace

import torch

from hptune.training.device import Device, resolve_device
from hptune.training.loop import Lanes
from hptune.training.trial_run import Job, TrialRun
from scripts.bench.cases import Case, task_of, trial_of
from scripts.bench.rounds import Contestant, Row, alternate, rows
from scripts.bench.training import Options

LAUNCHED = "launched"
UNTIMED = 5  # iterations: of the first ones, some record and one compiles
LEFT = 10**5  # iterations of a trial that is not trained to its end


def modes(case: Case, options: Options) -> Iterator[Row]:
    """Time iterations in each mode of the device beside launched ones; compiled ones on a GPU alone."""
    count = options.iterations(case, "modes")
    usual = replace(resolve_device(options.device), needs_probe=False)
    places = {LAUNCHED: usual}
    if usual.torch_device.type == "cuda":
        recorded = replace(usual, graph_from_iteration=0)
        stepped = replace(recorded, graph_steps=True)
        places |= {
            "replayed": recorded,
            "replayed with its step": stepped,
            "compiled": replace(usual, compile_from_iteration=0),
            "compiled and replayed": replace(recorded, compile_from_iteration=0),
            "compiled and replayed with its step": replace(stepped, compile_from_iteration=0),
        }
    taken = alternate(
        {name: _iterations(case, place, count) for name, place in places.items()}, options.repeats
    )
    yield from rows("modes", case.name, taken, "less", against=LAUNCHED)


def _iterations(case: Case, place: Device, count: int) -> Contestant:
    run = TrialRun(task_of(case.name), Job(trial_of(case, LEFT, 0)), place)
    lanes, rates = Lanes([run]), iter(run.rates)

    def steps(number: int) -> torch.Tensor:
        for _ in range(number):
            run.optimizer.set(*next(rates))
            loss = lanes.step()
        return loss

    def timed(_: int) -> float:
        steps(UNTIMED).item()
        began = time.perf_counter()
        steps(count).item()  # waits for the device
        return (time.perf_counter() - began) / count

    return timed
