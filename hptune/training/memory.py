"""Memory: what there is, what a step is estimated to take, and what real steps took."""

from __future__ import annotations

import math
from pathlib import Path

import torch
from torch import Tensor

from hptune.results.records import Trial
from hptune.task import Task
from hptune.training.device import Device, seeded
from hptune.training.evaluation import PER_TRAINING_BATCH, evaluate
from hptune.training.loop import Lanes
from hptune.training.model import make_model
from hptune.training.trial_run import Job, TrialRun

STEPS = 3  # the optimizer's buffers come with the first step, the allocator's peak after it
COPIES = 4  # of the parameters: weights, gradients, and at most two moments
BUCKETS = 1  # more, of the gradients, where devices exchange them
_CGROUP = "/sys/fs/cgroup/memory."


def available_memory(device: Device) -> int | None:
    """Return the bytes that a process could still take on a device; None where it cannot be told."""
    if device.torch_device.type == "cuda":
        return int(torch.cuda.mem_get_info(device.torch_device)[0])
    if device.torch_device.type != "cpu":
        return None
    lines = _read("/proc/meminfo").splitlines()
    found = [int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")]
    limit, use = (_read(_CGROUP + name).strip() for name in ("max", "current"))
    if limit.isdigit() and use.isdigit():
        found.append(int(limit) - int(use))
    return max(min(found), 0) if found else None


def estimated_memory(task: Task, device: Device, *, batch_size: int, at: int, seed: int) -> int:
    """Estimate the bytes that training takes at `batch_size`, from what a batch of size `at` saves.

    Both are of one device.
    """
    storages: dict[int, int] = {}

    def count(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        storages[storage.data_ptr()] = storage.nbytes()
        return tensor

    with seeded(seed, device.torch_device):
        model = make_model(task, device)
        batch = next(iter(task.train.to(device.torch_device).batches(at, seed=seed)))
        with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
            with device.autocast():
                loss = task.step(model, batch)[0]
            loss.backward()  # type: ignore[no-untyped-call]
        parameters = sum(p.numel() * p.element_size() for p in model.parameters())
    # Gradients of the activations come beside what is saved of them.
    copies = COPIES + (BUCKETS if device.ranks.size > 1 else 0)
    return copies * parameters + round(2 * sum(storages.values()) * batch_size / at)


def peak_of_steps(task: Task, trial: Trial, device: Device) -> int:
    """Run a few steps and a reading of the validation set; return the bytes at their peak.

    Of the whole process on a CPU, so it is to be called in a fresh one.

    Raises:
        RuntimeError: The memory did not suffice.
    """
    with seeded(trial.seed, device.torch_device):
        run = TrialRun(task, Job(trial), device)
        lanes = Lanes([run])
        for _ in range(STEPS):
            lanes.step()
        most = math.ceil(PER_TRAINING_BATCH * trial.batch_size / device.ranks.size)
        evaluate(task, run.model, run.validation_data, device, limit=most, batch_size=most)
        if device.torch_device.type == "cuda":
            return torch.cuda.max_memory_reserved(device.torch_device)
    return round((device.peak_memory_mb() or 0.0) * 2**20)


def _read(path: str) -> str:
    try:
        return Path(path).read_text()
    except OSError:
        return ""
