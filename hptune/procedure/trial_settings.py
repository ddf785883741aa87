"""The trials of one problem as settings of the model of all trials, and back."""

from __future__ import annotations

import math
from collections.abc import Sequence

from hptune.analysis.criterion import Criterion
from hptune.analysis.response_surface import FEWEST, ResponseSurface, Setting
from hptune.procedure.defaults import MOMENTUM_MIN, lr_min
from hptune.results.records import Status, Trial, TrialResult
from hptune.stages import REFINE
from hptune.training.lengths import iterations_per_epoch

COLUMNS = ("lr", "momentum", "weight_decay", "batch_size")


class Trials:
    """Trials of one problem as settings of the model, and back.

    Args:
        base: A run of full length with what was decided.
        examples: Training examples.
        lr_grows_with_momentum: As of `ResponseSurface`.

    Attributes:
        epochs: Of a run of full length.
    """

    def __init__(self, base: Trial, examples: int, *, lr_grows_with_momentum: bool = True) -> None:
        self.base, self._examples = base, examples
        self._effective = lr_grows_with_momentum
        self.epochs = self._epochs_of(base)

    def setting(self, trial: Trial) -> Setting:
        """Return a trial's setting; its length counts in epochs."""
        return Setting(
            lr=trial.lr,
            momentum=trial.momentum,
            weight_decay=trial.weight_decay,
            batch_size=trial.batch_size,
            length=self._epochs_of(trial) / self.epochs,
        )

    def trial(self, setting: Setting, length: float = 1.0) -> Trial:
        """Return a trial of a setting; values to two significant figures, minima by the usual rules.

        Args:
            setting: Its hyper-parameters.
            length: Over that of the final run.
        """
        size, lr = round(setting.batch_size), _rounded(setting.lr)
        momentum = round(1 - _rounded(1 - setting.momentum), 4)
        per_epoch = iterations_per_epoch(self._examples, size)
        cycles = self.base.momentum_min is not None or self.base.momentum <= MOMENTUM_MIN
        return self.base.change(
            stage=REFINE,
            batch_size=size,
            iterations=max(1, round(length * self.epochs * per_epoch)),
            lr=lr,
            lr_min=None if self.base.lr_min is None else lr_min(lr),
            momentum=momentum,
            momentum_min=MOMENTUM_MIN if cycles and momentum > MOMENTUM_MIN else None,
            weight_decay=_rounded(setting.weight_decay),
        )

    def usable(self, results: Sequence[TrialResult]) -> list[TrialResult]:
        """Return the results of this problem that came to their end or diverged, each once."""
        found = {r.trial.digest: r for r in results if self._is_like(r)}
        return list(found.values())

    def modelled(self, results: Sequence[TrialResult], by: Criterion) -> bool:
        """Say whether usable results are enough for a model."""
        ended = any(math.isfinite(by.at_end(result)) for result in results)
        return len(results) >= FEWEST and ended

    def surface(self, results: Sequence[TrialResult], by: Criterion) -> ResponseSurface:
        """Return the model of usable results."""
        return ResponseSurface(
            [self.setting(r.trial) for r in results],
            [by.at_end(r) for r in results],
            lr_grows_with_momentum=self._effective,
            seed=self.base.seed,
        )

    def whole(self, trial: Trial) -> bool:
        """Say whether a trial is as long as the final run, to a hundredth."""
        return self.setting(trial).length > 0.99

    def ran_whole(self, trial: Trial, results: Sequence[TrialResult]) -> bool:
        """Say whether a trial's setting is among results of full length."""
        own = self.setting(trial)
        return any(self.whole(r.trial) and self.setting(r.trial) == own for r in results)

    def _epochs_of(self, trial: Trial) -> float:
        return trial.iterations / iterations_per_epoch(self._examples, trial.batch_size)

    def _is_like(self, result: TrialResult) -> bool:
        trial, base = result.trial, self.base
        ended = result.status in (Status.COMPLETE, Status.DIVERGED)
        cyclical = (trial.momentum_min is None) == (base.momentum_min is None)
        same = (trial.task, trial.policy, trial.optimizer, dict(trial.extra), trial.snapshot) == (
            base.task, base.policy, base.optimizer, dict(base.extra), None,
        )  # fmt: skip
        return ended and same and (cyclical or min(trial.momentum, base.momentum) <= MOMENTUM_MIN)


def _rounded(value: float) -> float:
    return float(f"{value:.2g}")
