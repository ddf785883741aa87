"""Where a trial runs, and in which precision.

"fp32" means float32 weights, gradients and sums everywhere. On CUDA the products within
convolutions and matrix multiplications are TF32, with 10 bits of mantissa and sums in float32.
"""

from __future__ import annotations

import platform
import random
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from hptune.errors import InputError
from hptune.training.allocator import keep_freed_memory
from hptune.training.ranks import ALONE, Ranks

_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
NO_GRAPH, GRAPH_OF_STEPS = "none", "steps"
ALL_CARDS = "cuda:all"
_NO_BF16 = ("DEFAULT", "NO AVX", "AVX2")


@dataclass(frozen=True)
class Device:
    """A device with the precision that training uses on it.

    Attributes:
        torch_device: The device as torch names it.
        dtype: float32, or the type that autocast computes in.
        graph_from_iteration: How long a trial is at least whose passes are recorded as a CUDA graph and
            replayed, iterations; None never records.
        graph_steps: Whether the optimizer's step is part of the graph too.
        compile_from_iteration: How long a trial is at least whose model is compiled; None for none.
        compiled_batch: The batch size at which trials of any length are, where some are.
        needs_probe: Whether a probe may still change these; see `hptune.training.execution_mode`.
        ranks: Of the devices that train a trial together, which one this is.
    """

    torch_device: torch.device
    dtype: torch.dtype = torch.float32
    graph_from_iteration: int | None = None
    graph_steps: bool = False
    compile_from_iteration: int | None = None
    compiled_batch: int | None = None
    needs_probe: bool = False
    ranks: Ranks = ALONE

    @property
    def precision(self) -> str:
        """The precision as the config names it: "fp32", "bf16" or "fp16"."""
        return next(name for name, dtype in _DTYPES.items() if dtype is self.dtype)

    @property
    def graph(self) -> str:
        """What is recorded of a trial that is long enough: nothing, its passes, or its steps too."""
        if self.graph_from_iteration is None:
            return NO_GRAPH
        return GRAPH_OF_STEPS if self.graph_steps else "passes"

    def uses_graph(self, iterations: int) -> bool:
        """Say whether the passes of so many iterations are recorded and replayed."""
        return self.graph_from_iteration is not None and iterations >= self.graph_from_iteration

    def compiles(self, batch_size: int, iterations: int) -> bool:
        """Say whether the model of a trial is compiled; it is not where several devices share one."""
        if self.compile_from_iteration is None or self.ranks.size > 1:
            return False
        return batch_size == self.compiled_batch or iterations >= self.compile_from_iteration

    @property
    def key(self) -> str:
        """The device and its precision, under which what was measured on it is kept."""
        precision = "" if self.dtype is torch.float32 else f"/{self.precision}"
        return f"{self.place}{precision}"

    @property
    def place(self) -> str:
        """The device as torch names it, with the number of those that train together."""
        several = f"*{self.ranks.size}" if self.ranks.size > 1 else ""
        return f"{self.torch_device}{several}"

    @property
    def name(self) -> str:
        """The device for the tables: "cpu", or the card's name; "2 x cpu" for two that train together."""
        if self.ranks.size > 1:
            kind = self.torch_device.type
            card = f" ({torch.cuda.get_device_name(self.torch_device)})" if kind == "cuda" else ""
            return f"{self.ranks.size} x {kind}{card}"
        if self.torch_device.type == "cuda":
            return f"{self.torch_device} ({torch.cuda.get_device_name(self.torch_device)})"
        return str(self.torch_device)

    def autocast(self) -> AbstractContextManager[None]:
        """Return the context in which forward passes run."""
        if self.dtype is torch.float32:
            return nullcontext()
        return torch.autocast(self.torch_device.type, dtype=self.dtype)

    def peak_memory_mb(self) -> float | None:
        """Return the peak memory since `reset_peak_memory`, MiB; of the whole process on a CPU."""
        if self.torch_device.type == "cuda":
            return torch.cuda.max_memory_allocated(self.torch_device) / 2**20
        try:
            import resource
        except ImportError:  # Windows has no resource module
            return None
        # Linux counts in KiB, macOS in bytes.
        unit = 2**20 if platform.system() == "Darwin" else 2**10
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit

    def reset_peak_memory(self) -> None:
        """Start counting peak memory anew where the device can."""
        if self.torch_device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.torch_device)


def resolve_device(
    name: str, precision: str = "auto", *, devices: int = 1, sync_batch_norm: bool = False
) -> Device:
    """Find a device by name and choose its precision.

    Args:
        name: "auto" (CUDA, then MPS, then CPU), "cpu", "cuda", "cuda:N", "mps", or "cuda:all", whose
            cards are all used where there are several trials to run.
        precision: "auto" takes bf16 on a CUDA device that computes in it, else fp32, which a
            probe may change on a CPU that may be faster in bf16. On CUDA it chooses the graph.
        devices: On which each trial is trained: of this kind, or processes on the CPU.
        sync_batch_norm: As of `Ranks`.

    Raises:
        InputError: The device is unknown or absent, or lacks the precision.
    """
    if name == "auto":
        found = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
        name = next((kind for kind, there in found.items() if there), "cpu")
    try:
        device = torch.device("cuda" if name == ALL_CARDS else name)
    except RuntimeError:
        device = torch.device("meta")
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if device.type not in ("cpu", "cuda", "mps"):
        rule = "must be auto, cpu, cuda, cuda:N, cuda:all or mps; choose one of these"
    elif device.type == "cuda" and (device.index or 0) >= count:
        rule = f"this machine has {count} usable CUDA devices; use --device cpu"
        rule += f" or cuda:0 to cuda:{count - 1}" if count else ""
    elif device.type == "mps" and not torch.backends.mps.is_available():
        rule = "this machine has no MPS device; use --device cpu"
    else:
        rule = ""
    if rule:
        raise InputError(f"--device: {name!r}; {rule}")
    ranks = Ranks(devices, sync_batch_norm=sync_batch_norm)
    if devices > 1:
        _check_several(device, ranks, count)
    prepare(device)
    # Without AVX-512 or the like bf16 is emulated, and slow.
    capable = device.type == "cpu" and torch.backends.cpu.get_cpu_capability() not in _NO_BF16
    needs_probe = device.type == "cuda" or (capable and precision == "auto")
    if device.type == "cuda" and devices > 1:  # what they exchange is not recorded
        needs_probe = False
    return Device(device, _dtype(device, precision), needs_probe=needs_probe, ranks=ranks)


def pinned(device: torch.device) -> torch.device:
    """Return a GPU by its number where it is the current one, which another process would not know."""
    if str(device) == "cuda":
        return torch.device("cuda", torch.cuda.current_device())
    return device


def every_card(name: str) -> int | None:
    """Return how many GPUs a device's name asks for, where it asks for all of them."""
    return torch.cuda.device_count() if name == ALL_CARDS else None


def _check_several(device: torch.device, ranks: Ranks, cards: int) -> None:
    """Refuse to train a trial on more devices than there are."""
    if device.type == "mps" or ":" in str(device):
        rule = f"{device} is one device; leave it out, or choose --device cuda or cpu"
    elif device.type == "cuda" and ranks.size > cards:
        rule = f"this machine has {cards} usable CUDA devices; choose no more"
    else:
        rule = ""
    if rule:
        raise InputError(f"--devices-per-trial: {ranks.size}; {rule}")
    if ranks.sync_batch_norm and device.type != "cuda":
        raise InputError(
            f"training.batch_norm: sync on {device}; torch's SyncBatchNorm needs CUDA devices; choose "
            "device"
        )


def prepare(device: torch.device) -> None:
    """Set what every process sets that trains on a device."""
    if device.type == "cuda":
        if ":" in str(device):
            # What torch does on the current device would open a context on the first one, too.
            torch.cuda.set_device(device)
        # TF32 costs convolutions and products nothing that training notices.
        torch.set_float32_matmul_precision("high")
        torch.backends.cudnn.allow_tf32 = True
    elif device.type == "cpu":
        keep_freed_memory()


def _dtype(device: torch.device, precision: str) -> torch.dtype:
    if precision == "auto":
        has_bf16 = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
        return torch.bfloat16 if has_bf16 else torch.float32
    if precision == "fp16" and device.type != "cuda":
        raise InputError(
            f"training.precision: 'fp16' on {device}; fp16 needs a CUDA device; use fp32 or auto"
        )
    return _DTYPES[precision]


@contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[Callable[[], AbstractContextManager[None]]]:
    """Seed every random generator for the block, and give the caller's states back after it.

    Yields:
        A context for what is told on the way: in it the caller's states hold, so that whoever
        listens moves its own generators and not the trial's.
    """
    # Seeding torch seeds every CUDA device that is in use, whichever one trains.
    in_use = torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
    devices = [torch.device("cuda", n) for n in range(torch.cuda.device_count() if in_use else 0)]
    if device.type == "cuda" and not devices:
        devices = [device]
    callers = random_state(*devices)

    @contextmanager
    def outside() -> Iterator[None]:
        nonlocal callers
        own = random_state(*devices)
        restore_random_state(callers, *devices)
        try:
            yield
        finally:
            callers = random_state(*devices)
            restore_random_state(own, *devices)

    reseed(seed)
    try:
        yield outside
    finally:
        restore_random_state(callers, *devices)


def random_state(*devices: torch.device) -> dict[str, Any]:
    """Return the state of every random generator, the devices' own too, as tensors and plain values."""
    _, key, *rest = np.random.get_state()
    return {
        "torch": torch.get_rng_state(),
        "cuda": [torch.cuda.get_rng_state(device) for device in devices if device.type == "cuda"],
        "python": random.getstate(),
        "numpy": (torch.from_numpy(np.asarray(key, dtype=np.int64)), *rest),
    }


def restore_random_state(state: dict[str, Any], *devices: torch.device) -> None:
    """Set every random generator to a state from `random_state`, called for the same devices."""
    torch.set_rng_state(state["torch"])
    on_cuda = [device for device in devices if device.type == "cuda"]
    for device, own in zip(on_cuda, state["cuda"], strict=False):
        torch.cuda.set_rng_state(own, device)
    random.setstate(state["python"])
    key, *rest = state["numpy"]
    np.random.set_state(("MT19937", key.numpy().astype(np.uint32), *rest))


def reseed(seed: int) -> None:
    """Seed torch, Python and NumPy."""
    if torch.cuda.is_initialized() or torch.backends.mps.is_available():  # type: ignore[no-untyped-call]
        torch.manual_seed(seed)
    else:
        # The whole of it keeps a call, with its stack, for a CUDA that may come: a millisecond.
        torch.default_generator.manual_seed(seed)
    random.seed(seed)
    np.random.seed(seed % 2**32)


@contextmanager
def cpu_threads(count: int | None) -> Iterator[None]:
    """Compute with so many CPU threads in the block; None leaves them as they are."""
    before = torch.get_num_threads()
    if count is not None and count != before:
        torch.set_num_threads(count)
    try:
        yield
    finally:
        if torch.get_num_threads() != before:
            torch.set_num_threads(before)
