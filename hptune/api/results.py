"""What the functions return: decisions with their reasons, curves, and the trained weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from hptune.analysis.criterion import LOSS
from hptune.api import way_back
from hptune.api.frames import frame, rows_of
from hptune.api.loop import LoopTask
from hptune.api.predicts import Predicts
from hptune.api.shown import as_html, as_text
from hptune.api.task import Task
from hptune.errors import InputError, one_line
from hptune.explain import short
from hptune.own_loop.schedule import Optimizer, Schedule
from hptune.prediction.predictor import Predictor
from hptune.prediction.weights import weights_of
from hptune.report.plots.candidates import plot_candidates
from hptune.report.plots.final import plot_losses
from hptune.report.plots.range_test import plot_range_test
from hptune.report.plots.style import house_style
from hptune.report.trust import comparison_of
from hptune.report.views import comparisons, models, range_test, select
from hptune.results.evidence import Comparison, Evidence
from hptune.results.paths import RunPaths
from hptune.results.records import (
    Curve,
    Decision,
    Status,
    Trial,
    TrialResult,
    Value,
    what_was_reached,
)
from hptune.stages import OPTIMIZER
from hptune.training.device import seeded

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes


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

    task: Task | LoopTask
    out: Path
    decisions: list[Decision]
    results: list[TrialResult]
    evidence: list[Evidence]
    trial: Trial

    @property
    def decision(self) -> Decision:
        """The decision that was asked for: the first but for an optimizer's, that comes before."""
        return next(d for d in self.decisions if d.stage != OPTIMIZER)

    @property
    def comparisons(self) -> list[Comparison]:
        """What was compared for the decisions, in the order in which it was decided."""
        return comparisons(self.evidence)

    @property
    def optimizer(self) -> str:
        """Name of the optimizer that holds now."""
        return self.trial.optimizer.name

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

    def configure(self, optimizer: Optimizer) -> None:
        """Set LR, momentum and weight decay in an optimizer of yours; its groups keep their ratios."""
        way_back.configure(self.trial, optimizer)

    def schedule(self, optimizer: Optimizer, iterations: int) -> Schedule:
        """Return a scheduler that drives an optimizer of yours through a run of so many iterations.

        LR and momentum follow the policy, by `step()` after each step of the optimizer.

        Raises:
            InputError: The training loop is your own, and sets its LR itself.
        """
        return way_back.schedule(self.trial, optimizer, iterations, epochs=self.epochs)

    def training_arguments(self) -> dict[str, Any]:
        """Return keywords of `transformers.TrainingArguments` that come near to what was decided.

        LR rises and falls linearly from and to 0, and beta1 is constant; for the very policy give
        Trainer `optimizers=(optimizer, tuned.schedule(optimizer, max_steps))`.

        Raises:
            InputError: The optimizer or the policy is none that TrainingArguments knows by a name.
        """
        own_loop = self.task.loop is not None
        return way_back.training_arguments(self.trial, self.epochs, own_loop=own_loop)

    @property
    def curve(self) -> pd.DataFrame:
        """The history of the trial that counts: a row an iteration, NaN where not read."""
        return frame(self._main.curve)

    @property
    def curves(self) -> pd.DataFrame:
        """The histories of all trials under each other, with the trial's id and stage."""
        import pandas as pd

        frames = [frame(r.curve, trial=r.trial.id, stage=r.trial.stage) for r in self.results]
        return pd.concat(frames, ignore_index=True)

    @property
    def trials(self) -> pd.DataFrame:
        """The trials, a row each, with the columns of results.csv."""
        return rows_of(self.results)

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw what was found as the report does, into axes of yours or new ones."""
        if ax is not None and not hasattr(ax, "plot"):
            raise InputError(
                f"ax: {short(ax)}; must be axes of matplotlib, or None; give plt.gca()"
            )
        with house_style():
            if ax is None:
                import matplotlib.pyplot as plt

                ax = plt.subplots(layout="constrained")[1]  # makes room for the legend
            self.draw(ax)
        return ax

    def draw(self, ax: Axes) -> None:
        """Draw what was found into axes, in the style that holds."""
        raise NotImplementedError

    @property
    def _by_trial(self) -> dict[str, Curve]:
        return {result.trial.id: result.curve for result in self.results}

    @property
    def _main(self) -> TrialResult:
        raise NotImplementedError

    def __repr__(self) -> str:
        return as_text(self)

    def _repr_html_(self) -> str:
        return as_html(self)


class LrFind(Result):
    """What an LR range test found."""

    def draw(self, ax: Axes) -> None:
        found = range_test(self.evidence)
        assert found is not None  # the stage has just recorded it
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
        """The candidates side by side, as the decision compared them."""
        comparison = comparison_of(self.decision, self.evidence)
        assert comparison is not None  # the stage has just recorded it
        return comparison

    def draw(self, ax: Axes) -> None:
        plot_candidates(self.comparison, self._by_trial, ax)

    @property
    def _main(self) -> TrialResult:
        """The first seed of the candidate that was decided for."""
        comparison = self.comparison
        trials = next(c.trials for c in comparison.candidates if c.label == comparison.chosen)
        return next(result for result in self.results if result.trial.id in trials)


class Trained(Result, Predicts):
    """A trained model, once a seed, and what it reached."""

    @property
    def decision(self) -> Decision:
        """What the trained model reached: mean over the seeds, and whether it over- or underfits."""
        reached = what_was_reached(self.decisions)
        assert reached is not None  # the stage has just decided it
        return reached

    @property
    def metrics(self) -> dict[str, float]:
        """Losses and metrics at the end, on validation and test data: the mean over the seeds."""
        rows = rows_of(self._completed).filter(regex="^(train_loss$|val_|test_)")
        means = rows.dropna(axis="columns").mean()
        return {str(name): float(mean) for name, mean in means.items()}

    def state_dict(self) -> dict[str, Tensor]:
        """Return the trained weights, on the CPU, of the seed with the lowest validation loss."""
        state = self._checkpoint()
        if "model" not in state:
            raise InputError(
                "state_dict: the training loop is your own; its weights are what it gave to "
                "trial.save; use saved()"
            )
        weights: dict[str, Tensor] = state["model"]
        return weights

    def saved(self) -> dict[str, Any]:
        """Return what a training loop of your own gave to `trial.save` last, by name.

        States, tensors or plain values, of the seed with the lowest validation loss; empty where it saves
        nothing.
        """
        parts = self._checkpoint().get("parts", {})
        return {name: next(iter(part.values())) for name, part in parts.items()}

    def _checkpoint(self) -> dict[str, Any]:
        path = RunPaths(self.out).checkpoint(self._main.trial.id)
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        return state

    def load(self, model: nn.Module) -> nn.Module:
        """Load the trained weights into a model of yours, and return it."""
        if not isinstance(model, nn.Module):
            raise InputError(
                f"model: {short(model)}; must be a torch.nn.Module to load into; make one"
            )
        try:
            model.load_state_dict(self.state_dict())
        except RuntimeError as error:
            raise InputError(
                f"model: a {type(model).__name__}; must have the parameters of what was trained "
                f"({one_line(error)}); make the same model"
            ) from None
        return model

    def model(self) -> nn.Module:
        """Return a fresh model with the trained weights, on the CPU, in evaluation mode."""
        with seeded(self.trial.seed, torch.device("cpu")):
            model = self.task.make_model()
        return self.load(model).cpu().eval()

    def _predictor(self, ensemble: bool, device: str) -> Predictor:
        trials = [r.trial.id for r in self._lowest_first[: None if ensemble else 1]]
        weights = weights_of(self.out, trials, signature=self.task.signature)
        return Predictor(self.task, weights, device=device, test=lambda: self.task.test)

    def draw(self, ax: Axes) -> None:
        plot_losses([result.curve for result in self._completed], ax)

    @property
    def _completed(self) -> Sequence[TrialResult]:
        # A trial that was compared with others before it was tested is there twice.
        known = {result.trial.id: result for result in self.results}
        named = [known[name] for name in self.decision.trials]
        return [result for result in named if result.status is Status.COMPLETE]

    @property
    def _main(self) -> TrialResult:
        return self._lowest_first[0]

    @property
    def _lowest_first(self) -> list[TrialResult]:
        return sorted(self._completed, key=LOSS.at_end)


class Tuned(Trained):
    """The outcome of the whole procedure."""

    @property
    def interval(self) -> dict[str, tuple[float, float]]:
        """Where the best lr, momentum, weight_decay and batch_size lie with 90 % probability.

        By a model of all trials; empty where there were too few.
        """
        return {
            name: (low, high)
            for model in models(self.evidence)
            for name, (low, high) in model.intervals.items()
        }
