"""The LR range test: one run in which the LR rises, until it can be read.

Source: Smith 2017; Smith 2018, section 4.1.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

from numpy.lib.stride_tricks import sliding_window_view

from hptune.analysis.criterion import Criterion
from hptune.analysis.lr_range import LrRangeReading, read_lr_range
from hptune.results import evidence
from hptune.results.records import Trial, TrialResult
from hptune.results.settings import PolicySpec, TrainingSettings
from hptune.stages import LR_RANGE
from hptune.trials.run import Runner

READINGS = (24, 50)  # of the validation loss along the test, at least and at most
READ_EXAMPLES = (256, 1024)  # of the validation set a reading, at least and at most
READ_SHARE = 2.0  # examples read over examples trained: a step costs as much as reading three
ATTEMPTS = 4
LONGER = 2  # times
HELD = 3  # readings in a row of a loss that a test reached


@dataclass(frozen=True)
class RangeTest:
    """The last range test that was run, all its trials, and how it reads."""

    results: list[TrialResult]
    reading: LrRangeReading
    seeds: int = 1

    def reached(self, by: Criterion) -> float:
        """Return the lowest cost that a test held for some readings, without any LR decay.

        Infinite where the validation set was too small to be read along the test.
        """
        if self.reading.by != "validation":
            return math.inf
        courses = [by.known_evaluations(result.curve) for result in self.results]
        held = [sliding_window_view(c, HELD).max(axis=1) for c in courses if len(c) >= HELD]
        return min((float(costs.min()) for costs in held), default=math.inf)

    def record(self) -> evidence.RangeTest:
        """Return the last test and its reading as they are kept."""
        ids = [result.trial.id for result in self.results]
        return evidence.RangeTest(
            stage=self.results[0].trial.stage,
            trials=tuple(ids[-self.seeds :]),
            earlier=tuple(ids[: -self.seeds]),
            reading=asdict(self.reading),
        )


def run_lr_range(
    runner: Runner,
    base: Trial,
    *,
    low: float,
    high: float,
    mode: str = "exponential",
    seeds: int = 1,
    examples: int | None = None,
) -> RangeTest:
    """Run range tests until one can be read.

    Goes higher while the loss still improves at the end, lower when it diverges at once,
    and lengthens a test that is too ragged to read. LR rises from `low` to `high` as `mode` says,
    "exponential" or "linear"; `examples` are in the validation set.
    """
    tests: list[TrialResult] = []
    iterations = base.iterations
    for attempt in range(ATTEMPTS):
        trial = base.change(
            stage=LR_RANGE,
            iterations=iterations,
            lr=high,
            lr_min=low,
            policy=PolicySpec(name="lr-range", momentum=base.policy.momentum, args={"mode": mode}),
            settings=reading_settings(base, iterations),
        )
        last = runner.run([trial.change(seed=base.seed + k) for k in range(seeds)])
        tests += last
        reading = read_lr_range([result.curve for result in last], examples)
        if reading.verdict == "still-improving":
            low, high = low * 10, high * 10
        elif reading.verdict == "diverges-at-once":
            low, high = low / 100, high / 100
        elif attempt == 0 and reading.verdict in ("cannot-say", "never-learns"):
            iterations *= LONGER
        else:
            break
        if attempt < ATTEMPTS - 1:
            runner.progress.message(
                f"LR range test: {reading.verdict}; testing again, LR {low:.3g} to {high:.3g} "
                f"in {iterations} iterations"
            )
    return RangeTest(tests, reading, seeds)


def reading_settings(base: Trial, iterations: int) -> TrainingSettings:
    """Return the settings of a range test, whose readings must not cost more than its training.

    Nothing is averaged: while the LR rises, an average stands for the LRs before.
    """
    fewest, most = READINGS
    low, high = READ_EXAMPLES
    affordable = int(READ_SHARE * iterations * base.batch_size)
    evaluations = min(max(affordable // low, fewest), most, iterations)
    return base.settings.change(
        evaluations=evaluations,
        evaluate_limit=min(max(affordable // evaluations, low), high),
        early_stopping=None,
        fresh_statistics=True,
        average=None,
        introspection=None,
    )
