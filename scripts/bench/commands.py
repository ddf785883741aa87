"""Parts in which whole processes are measured: the run, start-up, memory."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from scripts.bench.cases import ROOT, Case
from scripts.bench.rounds import PLAIN, Contestant, Quartiles, Row, alternate, rows
from scripts.bench.training import Options

RUN_AIM = 15.0  # seconds
HELP_AIM, SHOW_AIM = 0.25, 1.0  # seconds
MEMORY_AIM = 1.1
MEMORY_ITERATIONS = 12


def whole_run(case: Case, options: Options) -> Iterator[Row]:
    """Time `hptune run` on the bundled digits from a cold start."""

    def run(seed: int) -> float:
        with tempfile.TemporaryDirectory() as folder:
            words = ["-m", "hptune", "run", "--quiet", "--out", folder, "--seed", str(seed)]
            return _timed([*words, "--device", options.device])

    taken = alternate({"hptune run": run}, options.repeats, warm_up=False)
    times = Quartiles.of(taken["hptune run"])
    yield Row("run", case.name, "hptune run", "less", options.repeats, times, aim=RUN_AIM)


def startup(case: Case, options: Options) -> Iterator[Row]:
    """Time the commands that train nothing, and the import of torch beside them."""
    with tempfile.TemporaryDirectory() as folder:
        _timed(
            ["-m", "hptune", "train", "--quiet", "--epochs", "2", "--lr", "0.05", "--out", folder]
        )
        words = {
            "hptune --help": ["-m", "hptune", "--help"],
            "hptune show": ["-m", "hptune", "show", folder],
            "import torch": ["-c", "import torch"],
            "python": ["-c", ""],
        }
        contestants: dict[str, Contestant] = {
            name: (lambda _, arguments=arguments: _timed(arguments))
            for name, arguments in words.items()
        }
        taken = alternate(contestants, options.repeats)
    aims = {"hptune --help": HELP_AIM, "hptune show": SHOW_AIM}
    for name, times in taken.items():
        measured = Quartiles.of(times)
        yield Row("startup", "", name, "less", len(times), measured, aim=aims.get(name))


def memory(case: Case, options: Options) -> Iterator[Row]:
    """Hold the peak memory of a training run against the plain loop's, each in a fresh process."""
    contestants: dict[str, Contestant] = {}
    for kind in (PLAIN, "hptune"):
        words = ["-m", "scripts.bench.memory", kind, case.name, str(MEMORY_ITERATIONS)]
        contestants[kind] = lambda _, words=words: float(_output([*words, options.device]))
    taken = alternate(contestants, options.repeats, warm_up=False)
    yield from rows("memory", case.name, taken, "less", {"hptune": MEMORY_AIM})


def _timed(arguments: Sequence[str]) -> float:
    began = time.perf_counter()
    _output(arguments)
    return time.perf_counter() - began


def _output(arguments: Sequence[str]) -> str:
    """Run Python in the root and return what it prints.

    Raises:
        RuntimeError: It failed; the message has the end of what it said.
    """
    done = subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(arguments)}: {done.stderr.strip()[-500:]}")
    return done.stdout


def peak_memory() -> float:
    """Return this process's peak resident memory, MiB.

    Not getrusage's: that begins with the memory of the process which started this one.
    """
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("/proc/self/status has no VmHWM")
