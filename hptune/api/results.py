"""What the functions return: decisions with their reasons, curves, and the trained weights."""

from __future__ import annotations

import shutil
import statistics
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import torch
from torch import Tensor, nn

from hptune.api.options import Place
from hptune.api.task import Task
from hptune.errors import HptuneError
from hptune.procedure.outcome import Outcome
from hptune.results.evidence import Comparison, Evidence
from hptune.results.records import Curve, Decision, Status, Trial, TrialResult, Value
from hptune.results.tables import result_row
from hptune.training.device import seeded

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

_NO_RECORD = (
    "{out} has no record of what was compared; must be written by this version of hptune; "
    "run it again with restart=True"
)


@dataclass(frozen=True, repr=False)
class Result:
    """What a function found.

    Attributes:
        task: What it was asked of.
        out: The run directory; a temporary one is removed with this object.
        decisions: In the order in which they were made, each with its rule, reason and trials.
        results: The trials, in the order in which they were looked at.
        evidence: What the decisions rest on: comparisons, range tests, final runs.
        trial: A final run with the values that hold now.
    """

    task: Task
    out: Path
    decisions: list[Decision]
    results: list[TrialResult]
    evidence: list[Evidence]
    trial: Trial

    @classmethod
    def of(cls, task: Task, place: Place, outcome: Outcome, now: Trial, **more: Any) -> Self:
        """Return what an outcome in a run directory amounts to."""
        found = (outcome.decisions, outcome.results, outcome.evidence)
        result = cls(task, place.path, *found, now, **more)
        if place.temporary:
            weakref.finalize(result, shutil.rmtree, place.path, ignore_errors=True)
        return result

    @property
    def decision(self) -> Decision:
        """The decision that was asked for."""
        return self.decisions[0]

    @property
    def comparisons(self) -> list[Comparison]:
        """What was compared for the decisions, in the order in which it was decided."""
        return [one for one in self.evidence if isinstance(one, Comparison)]

    @property
    def lr(self) -> float:
        """Maximum LR that holds now."""
        return self.trial.lr

    @property
    def lr_min(self) -> float | None:
        """Minimum LR that holds now, None where it is the policy's own."""
        return self.trial.lr_min

    @property
    def momentum(self) -> float:
        """Maximum of momentum that holds now."""
        return self.trial.momentum

    @property
    def momentum_min(self) -> float | None:
        """Minimum of momentum that holds now, None where it is constant."""
        return self.trial.momentum_min

    @property
    def weight_decay(self) -> float:
        """Weight decay that holds now."""
        return self.trial.weight_decay

    @property
    def batch_size(self) -> int:
        """Batch size that holds now."""
        return self.trial.batch_size

    @property
    def epochs(self) -> float:
        """Length of a final run that holds now."""
        return self.trial.iterations / (len(self.task.train) // self.trial.batch_size)

    @property
    def curve(self) -> pd.DataFrame:
        """The history of the trial that counts: a row an iteration, NaN where not read."""
        return frame(self._main.curve)

    @property
    def curves(self) -> pd.DataFrame:
        """The histories of all trials under each other, with the trial's id and stage."""
        import pandas as pd

        frames = []
        for result in self.results:
            one = frame(result.curve)
            one.insert(0, "trial", result.trial.id)
            one.insert(1, "stage", str(result.trial.stage))
            frames.append(one)
        return pd.concat(frames, ignore_index=True)

    @property
    def trials(self) -> pd.DataFrame:
        """The trials, a row each, with the columns of results.csv."""
        import pandas as pd

        return pd.DataFrame([result_row(result) for result in self.results])

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw what was found as the report does, into axes of yours or new ones.

        Raises:
            HptuneError: The run has no record of what was found.
        """
        from hptune.report.plots.style import house_style

        with house_style():
            if ax is None:
                import matplotlib.pyplot as plt

                ax = plt.subplots(layout="constrained")[1]  # makes room for the legend
            self._draw(ax)
        return ax

    def _draw(self, ax: Axes) -> None:
        """Draw what was found."""
        raise NotImplementedError

    @property
    def _by_trial(self) -> dict[str, Curve]:
        return {result.trial.id: result.curve for result in self.results}

    @property
    def _main(self) -> TrialResult:
        raise NotImplementedError

    def __repr__(self) -> str:
        lines = [type(self).__name__]
        width = max((len(d.parameter) for d in self.decisions), default=0)
        for d in self.decisions:
            value = f"{d.value:.4g}" if isinstance(d.value, float) else str(d.value)
            lines.append(f"  {d.parameter:<{width}}  {value:<8}  {d.rule}: {d.reason}")
            lines += [f"{'':{width + 14}}warning: {warning}" for warning in d.warnings]
        return "\n".join(lines)


class LrFind(Result):
    """What an LR range test found."""

    def _draw(self, ax: Axes) -> None:
        """Draw the losses of the last range test against LR, with the LR that was decided."""
        from hptune.report.plots import plot_range_test
        from hptune.report.views import range_test, select

        found = range_test(self.evidence)
        if found is None:
            raise HptuneError(_NO_RECORD.format(out=self.out))
        test, reading = found
        plot_range_test(select(test.trials, self._by_trial), reading, self.lr, ax)

    @property
    def _main(self) -> TrialResult:
        return [r for r in self.results if r.trial.policy.name == "lr-range"][-1]


@dataclass(frozen=True, repr=False)
class Sweep(Result):
    """What a paired sweep found.

    Attributes:
        parameter: What was swept.
    """

    parameter: str = ""

    @property
    def decision(self) -> Decision:
        """The decision on the swept parameter."""
        return [d for d in self.decisions if d.parameter == self.parameter][-1]

    @property
    def value(self) -> Value:
        """What was decided for the swept parameter."""
        return self.decision.value

    @property
    def comparison(self) -> Comparison:
        """The candidates side by side, as the decision compared them.

        Raises:
            HptuneError: The run directory has no record of it.
        """
        from hptune.report.trust import comparison_of

        comparison = comparison_of(self.decision, self.evidence)
        if comparison is None:
            raise HptuneError(_NO_RECORD.format(out=self.out))
        return comparison

    def _draw(self, ax: Axes) -> None:
        """Draw what the candidates were judged by, the one that was chosen in colour."""
        from hptune.report.plots import plot_candidates

        plot_candidates(self.comparison, self._by_trial, ax)

    @property
    def _main(self) -> TrialResult:
        """The first seed of the candidate that was decided for."""
        comparison = self.comparison
        label = comparison.chosen or comparison.best
        trials = next(c.trials for c in comparison.candidates if c.label == label)
        return next(result for result in self.results if result.trial.id in trials)


class Trained(Result):
    """A trained model, once a seed, and what it reached."""

    @property
    def decision(self) -> Decision:
        """What the trained model reached: mean over the seeds, and whether it over- or underfits."""
        reached = ("test_", "val_")  # a baseline's is another's
        return [d for d in self.decisions if d.parameter.startswith(reached)][-1]

    @property
    def metrics(self) -> dict[str, float]:
        """Losses and metrics at the end, on validation and test data: the mean over the seeds."""
        rows = [result_row(result) for result in self._completed]
        names = [n for n in rows[0] if n.startswith(("val_", "test_"))]
        found: dict[str, float] = {}
        for name in ["train_loss", *names]:
            values = [value for row in rows if isinstance(value := row[name], float)]
            if len(values) == len(rows):
                found[name] = statistics.mean(values)
        return found

    def state_dict(self) -> dict[str, Tensor]:
        """Return the trained weights, on the CPU, of the seed with the lowest validation loss."""
        path = self.out / "checkpoints" / f"{self._main.trial.id}.pt"
        try:
            state = torch.load(path, map_location="cpu", weights_only=True)
        except FileNotFoundError:
            raise HptuneError(
                f"{path}: no weights there; the run directory was changed; train again with restart=True"
            ) from None
        weights: dict[str, Tensor] = state["model"]
        return weights

    def load(self, model: nn.Module) -> nn.Module:
        """Load the trained weights into a model of yours, and return it."""
        model.load_state_dict(self.state_dict())
        return model

    def model(self) -> nn.Module:
        """Return a fresh model with the trained weights, on the CPU, in evaluation mode."""
        with seeded(self.trial.seed, torch.device("cpu")):
            model = self.task.make_model()
        return self.load(model).cpu().eval()

    def _draw(self, ax: Axes) -> None:
        """Draw training and validation loss, mean and spread over the seeds."""
        from hptune.report.plots import plot_losses

        plot_losses([result.curve for result in self._completed], ax)

    @property
    def _completed(self) -> Sequence[TrialResult]:
        ids = self.decision.trials
        return [r for r in self.results if r.trial.id in ids and r.status is Status.COMPLETE]

    @property
    def _main(self) -> TrialResult:
        def loss(result: TrialResult) -> float:
            return float("inf") if result.val_loss is None else result.val_loss

        return min(self._completed, key=loss)


class Tuned(Trained):
    """The outcome of the whole procedure."""


def frame(curve: Curve) -> pd.DataFrame:
    """Return a curve with the columns of its CSV."""
    import pandas as pd

    return pd.DataFrame(
        {
            "iteration": curve.iteration,
            "epoch": curve.epoch,
            "lr": curve.lr,
            "momentum": curve.momentum,
            "weight_decay": curve.weight_decay,
            "train_loss": curve.train_loss,
            "val_loss": curve.val_loss,
            **{f"val_{name}": values for name, values in curve.metrics.items()},
            "seconds": curve.seconds,
        }
    )
