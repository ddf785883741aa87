"""Which batch sizes fit into the memory: real steps in a fresh process, with a margin."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence

from hptune.procedure.session.setup import Setup
from hptune.training.memory import available_memory, estimated_memory

MARGIN = 0.85  # of the memory that is there; the rest is for what else runs, and fragments
SURE = 0.25  # an estimate below this share of it needs no proof
PROBE_SECONDS = 600


def sizes_that_fit(setup: Setup, sizes: Sequence[int]) -> list[int]:
    """Return the batch sizes whose steps fit into the memory, the present one always.

    A size far below the limit by estimate is not tried. The others are, in a fresh process: what
    memory is left there does not depend on what this one has done before.

    Args:
        setup: With the batch size that is in use.
        sizes: To choose from.
    """
    present = setup.batch_size(quiet=True)
    available = available_memory(setup.device)
    larger = sorted(size for size in sizes if size > present)
    if available is None or not larger:
        return list(sizes)
    largest = larger[-1]
    needed = estimated_memory(
        setup.task, setup.device, batch_size=largest, at=present, seed=setup.experiment.seed
    )
    if needed < SURE * available:
        return list(sizes)
    if setup.is_given:  # no other process could build it, so the estimate has to do
        sure = SURE * available * largest / needed
        return [size for size in sizes if size <= max(present, sure)]
    fitting = present
    for size in larger:
        if not _fits(setup, size, available):
            setup.progress.message(
                f"  batch sizes from {size} on: left out, their steps do not fit into "
                f"{MARGIN:.0%} of the {available / 2**30:.3g} GiB that are there"
            )
            break
        fitting = size
    return [size for size in sizes if size <= fitting]


def _fits(setup: Setup, size: int, available: int) -> bool:
    """Say whether a batch size fits; asked once a run directory."""
    key = f"fits/{setup.task.fingerprint}/{setup.device.torch_device}/{size}"
    known = setup.run_dir.timing(key)
    if isinstance(known, bool):
        return known
    command = [
        *(sys.executable, "-m", "hptune.procedure.session.probe", str(setup.run_dir.experiment)),
        *(str(setup.device.torch_device), str(size), str(round(MARGIN * available))),
    ]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=PROBE_SECONDS, check=False
        )
        fits = done.returncode == 0 and int(done.stdout.split()[-1]) <= MARGIN * available
    except (subprocess.TimeoutExpired, ValueError, IndexError):
        fits = False
    setup.run_dir.set_timing(key, fits)
    return fits
