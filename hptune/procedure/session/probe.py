"""Run as a module, in a fresh process: prints the bytes that a few steps at a batch size take.

Fails where the memory does not suffice. See `hptune.procedure.session.fit`.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from hptune.config.load import load_experiment
from hptune.procedure.session.context import Context
from hptune.procedure.session.problem import Problem
from hptune.results.run_dir import RunDir
from hptune.stages import BATCH_SIZE
from hptune.training.device import GRAPH_OF_STEPS, NO_GRAPH, resolve_device
from hptune.training.memory import peak_of_steps
from hptune.trials.progress import Silent


def main() -> None:
    """Run the steps and print their peak."""
    path, device_name, precision, graph, size, allowed = sys.argv[1:]
    experiment = load_experiment(Path(path))
    # As the trials will run: what is recorded keeps its memory.
    device = replace(
        resolve_device(device_name, precision, devices=experiment.training.devices_per_trial),
        graph_from_iteration=None if graph == NO_GRAPH else 0,
        graph_steps=graph == GRAPH_OF_STEPS,
        needs_probe=False,
    )
    if device.torch_device.type == "cpu":
        _limit_memory(int(allowed))
    flags = {"batch_size": int(size), "lr": 1e-6}
    # The experiment lies in a folder of its own: the run directory is another process's to write.
    problem = Problem(experiment, RunDir(Path(path).parent, None), device)
    context = Context(problem, Silent(), flags)
    trial = context.base(BATCH_SIZE, 10, batch_size=int(size), quiet=True)
    before = (
        0 if device.torch_device.type == "cuda" else round((device.peak_memory_mb() or 0) * 2**20)
    )
    print(peak_of_steps(context.task, trial, device) - before)


def _limit_memory(allowed: int) -> None:
    """Let this process fail, rather than the machine, where it takes more than is there."""
    with suppress(ImportError, OSError, ValueError):  # not every system has such limits
        import resource

        used = int(Path("/proc/self/statm").read_text().split()[5]) * os.sysconf("SC_PAGE_SIZE")
        resource.setrlimit(resource.RLIMIT_DATA, (used + allowed, resource.RLIM_INFINITY))


if __name__ == "__main__":
    main()
