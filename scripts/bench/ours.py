"""hptune's side of a comparison: trials through a runner into a run directory, as a stage runs them."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Self

from hptune.results.records import Status, Trial
from hptune.results.run_dir import RunDir
from hptune.training.device import resolve_device
from hptune.training.execution_mode import choose_mode, measure_modes
from hptune.trials.executors.execution import Execution
from hptune.trials.progress import Silent
from hptune.trials.run import Runner
from scripts.bench.cases import CASES, task_of, trial_of


class Ours:
    """Runs trials of a case in a fresh run directory.

    Args:
        case: Name.
        device: As for `--device`.
        executor: As for `--executor`.
        precision: As for `training.precision`.
    """

    def __init__(
        self, case: str, device: str, *, executor: str = "auto", precision: str = "fp32"
    ) -> None:
        self._open = ExitStack()
        folder = self._open.enter_context(tempfile.TemporaryDirectory())
        run_dir = self._open.enter_context(RunDir.open(Path(folder)))
        place, task = resolve_device(device, precision), task_of(case)
        if place.needs_probe:
            place = choose_mode(place, measure_modes(task, trial_of(CASES[case], 100, 0), place)[0])
        self.precision = place.precision
        self._execution = Execution(place, run_dir, executor=executor)
        self._open.callback(self._execution.close)
        self._runner = Runner(task, run_dir, place, Silent(), execution=self._execution)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def probe(self, trials: Sequence[Trial]) -> tuple[float, str]:
        """Let the executor be chosen, which starts its workers.

        Returns:
            The seconds it takes, and the choice in words.
        """
        began = time.perf_counter()
        executor = self._execution.choose(self._runner.task, trials)
        took = time.perf_counter() - began
        return took, executor.in_words

    def seconds(self, trials: Sequence[Trial]) -> float:
        """Return what running the trials and recording them takes.

        Raises:
            RuntimeError: A trial did not run to its end, so its time says nothing.
        """
        began = time.perf_counter()
        results = self._runner.run(trials)
        took = time.perf_counter() - began
        for result in results:
            if result.status is not Status.COMPLETE:
                raise RuntimeError(f"{result.trial.id}: {result.status}: {result.message}")
        return took
