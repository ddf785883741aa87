"""Learning rate: an LR range test, read and then confirmed by short runs at the candidate and beside it.

Source: Smith 2018, sections 4.1 and 5 ("try more than one maximum"); Smith 2017 for the test itself.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

from numpy.lib.stride_tricks import sliding_window_view

from hptune.analysis.criterion import LOSS, Criterion
from hptune.analysis.lr_range import LrRangeReading, read_lr_range
from hptune.analysis.ranking import rank, rank_survivors
from hptune.procedure import defaults
from hptune.procedure.compare import PairedRuns, chosen_among, concluded, decide
from hptune.procedure.defaults import lr_min
from hptune.procedure.outcome import Outcome
from hptune.procedure.session.context import Context
from hptune.results import evidence
from hptune.results.records import Decision, Trial, TrialResult
from hptune.results.settings import PolicySpec, TrainingSettings
from hptune.stages import LR_RANGE
from hptune.trials.paired import Candidates
from hptune.trials.run import Runner

READINGS = 50  # of the validation loss along the test
READ_EXAMPLES = (256, 1024)  # of the validation set a reading, at least and at most
READ_SHARE = 2.0  # examples read over examples trained: a step costs as much as reading three
ATTEMPTS = 4
LONGER = 2  # times
HELD = 5  # readings in a row of a loss that a test reached
FACTOR = 2.0  # between neighbouring candidates
CLOSEST = 1.5  # from the candidate to its neighbour above; a nearer one tells nothing
FARTHEST = 3.0  # from the candidate to a neighbour
CONFIRMATIONS = 5  # candidates at most
RULE = "largest usable LR of the range test, confirmed by short runs: {}; within the noise the test's own"


def stage(context: Context, values: Sequence[float] | None, seeds: int) -> Outcome:
    """Test for the LR and confirm it."""
    options, size = context.options(LR_RANGE), context.batch_size()
    low, high = defaults.lr_range(context.optimizer)
    base = context.base(LR_RANGE, context.plan(size).range_test, batch_size=size, lr=1.0)
    runs = PairedRuns(context.runner, seeds, context.criterion)
    test = run_lr_range(
        runs.runner,
        base,
        low=options.lr_low or low,
        high=options.lr_high or high,
        mode="exponential" if options.mode == "auto" else options.mode,
        seeds=max(options.seeds, seeds),
        examples=len(context.task.validation),
    )
    lr = test.reading.lr_max
    candidates = run_confirmation(runs, context.shortened(base), lr, test=test)
    decisions = decide_lr(test, candidates, lr, by=runs.by)
    outcome = concluded(
        candidates, decisions, runs.by, columns=("lr",), interval=test.reading.interval
    )
    return Outcome(results=test.results, evidence=[test.record()]) + outcome


def concluded_with_lr(
    runs: PairedRuns,
    base: Trial,
    candidates: Candidates,
    decisions: Sequence[Decision],
    *,
    columns: Sequence[str],
) -> Outcome:
    """Return the outcome of a stage; where its value is new, with the LR confirmed beside it.

    Momentum, weight decay and batch size are coupled with the LR.

    Args:
        base: The trial with the values before.
        candidates: What the stage compared.
        decisions: What it decided, first on what was compared.
        columns: The columns of results.csv that the candidates set, the stage's own first.
    """
    outcome = concluded(candidates, decisions, runs.by, columns=columns)
    if decisions[0].value == getattr(base, columns[0]):
        return outcome
    chosen = chosen_among(candidates, decisions, columns)
    trial = candidates[chosen][0].trial.change(stage=base.stage, snapshot=None)
    confirmed = run_confirmation(runs, trial, trial.lr, least=1)
    if len(confirmed) == 1:
        return outcome
    again = decide_lr(None, confirmed, trial.lr, stage=base.stage, by=runs.by)
    return outcome + concluded(confirmed, again, runs.by, columns=("lr",))


@dataclass(frozen=True)
class RangeTest:
    """The last range test that was run, all its trials, and how it reads."""

    results: list[TrialResult]
    reading: LrRangeReading
    seeds: int = 1

    def record(self) -> evidence.RangeTest:
        """Return the last test and its reading as they are kept."""
        ids = [result.trial.id for result in self.results]
        return evidence.RangeTest(
            stage=self.results[0].trial.stage,
            trials=tuple(ids[-self.seeds :]),
            earlier=tuple(ids[: -self.seeds]),
            reading=asdict(self.reading),
        )

    def reached(self, by: Criterion = LOSS) -> float:
        """Return the lowest cost that a test held for some readings, without any LR decay.

        Infinite where the validation set was too small to be read along the test.
        """
        if self.reading.by != "validation":
            return math.inf
        courses = [by.known_evaluations(result.curve) for result in self.results]
        held = [sliding_window_view(c, HELD).max(axis=1) for c in courses if len(c) >= HELD]
        return min((float(costs.min()) for costs in held), default=math.inf)


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


def run_confirmation(
    runs: PairedRuns, base: Trial, lr: float, *, test: RangeTest | None = None, least: int = 3
) -> Candidates:
    """Run short runs at an LR and beside it, and on beyond the one at an edge that wins.

    Beside it are the ends of what the range test found plausible, else half and twice the LR.
    Below them too where all do worse than the range test did in passing: none of them is usable.
    Above them in smaller steps and only where the highest wins clearly: short runs favour an LR
    at which a long run of another seed breaks.

    Args:
        base: A short run under the policy that will be used.
        lr: The candidate for the maximum.
        test: The range test that the LR was read from.
        least: Candidates to run whatever they cost.
    """
    by = runs.by

    def run(wanted: Sequence[float], least: int = 0) -> Candidates:
        # To two significant figures, so that a table can be read and a trial found again.
        lrs = [float(f"{lr:.2g}") for lr in wanted]
        return runs.run(base, {_label(lr): lrs_of(base, lr) for lr in lrs}, least=least)

    low, high = test.reading.interval if test else (lr / FACTOR, lr * FACTOR)
    below = min(max(low, lr / FARTHEST), lr / FACTOR)
    above = max(min(high, lr * FARTHEST), lr * CLOSEST)
    candidates = run([lr, below, above], least)
    while 1 < len(candidates) < CONFIRMATIONS:
        lrs = sorted(float(label) for label in candidates)
        ranking = rank(candidates, by)
        end = min(by.at_end(result) for result in candidates[ranking.best])
        if ranking.failed or (test and end > test.reached(by) + ranking.noise):
            beyond = lrs[0] / FARTHEST
        elif ranking.ties == (_label(lrs[0]),):
            beyond = lrs[0] / FACTOR
        elif ranking.not_clearly_beaten == (_label(lrs[-1]),):
            beyond = lrs[-1] * CLOSEST
        else:
            break
        further = run([beyond])
        if not further:
            break
        candidates |= further
    return runs.repeat(candidates)


def decide_lr(
    test: RangeTest | None,
    candidates: Candidates,
    candidate: float,
    *,
    stage: str = LR_RANGE,
    by: Criterion = LOSS,
) -> list[Decision]:
    """Choose the maximum and minimum LR from a range test and its confirmation.

    Args:
        test: None where the LR is confirmed anew because another value moved.
        candidate: The LR that was to be confirmed.
    """
    ranking = rank_survivors(candidates, by)
    # Two readings that agree are worth more than either.
    value = min(map(float, ranking.ties), key=lambda lr: abs(math.log(lr / candidate)))
    beside = ""
    if test:
        low, high = test.reading.interval
        beside = (
            f"; the range test before: {test.reading.reason}, plausible {low:.2g} to {high:.2g}"
        )
    maximum = decide(
        candidates,
        ranking,
        _label(value),
        stage=stage,
        parameter="lr",
        value=value,
        rule=RULE.format(by),
        tied=f"{value:g}, the nearest to the candidate, is taken",
        beside=beside,
    )
    values = sorted(map(float, candidates))
    at_edge = len(values) > 1 and (value == values[0] or candidate < value == values[-1])
    edge = (f"{value:g} is at the edge of what was confirmed",) if at_edge else ()
    tests = test.results if test else []
    maximum = replace(
        maximum,
        trials=tuple(result.trial.id for result in tests) + maximum.trials,
        warnings=(test.reading.warnings if test else ()) + maximum.warnings + edge,
        seconds=maximum.seconds + sum(result.seconds for result in tests),
    )
    if candidates[_label(value)][0].trial.lr_min is None:
        return [maximum]
    minimum = replace(
        maximum,
        parameter="lr_min",
        value=lr_min(value),
        rule="a tenth of the maximum",
        reason="the report's rule; a third or a quarter also work",
        seconds=0.0,
    )
    return [maximum, minimum]


def reading_settings(base: Trial, iterations: int) -> TrainingSettings:
    """Return the settings of a range test, whose readings must not cost more than its training."""
    evaluations = min(READINGS, iterations)
    low, high = READ_EXAMPLES
    affordable = int(READ_SHARE * iterations * base.batch_size / evaluations)
    return base.settings.change(
        evaluations=evaluations,
        evaluate_limit=min(max(affordable, low), high),
        early_stopping=None,
    )


def lrs_of(base: Trial, lr: float) -> dict[str, float | None]:
    """Return what another maximum LR changes of a trial; a policy may have its own minimum."""
    return {"lr": lr, "lr_min": None if base.lr_min is None else lr_min(lr)}


def _label(lr: float) -> str:
    return f"{lr:g}"
