"""A trained model at work: weights, what it takes and gives, and new data."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from hptune.data.sources.memory import TensorSource
from hptune.errors import InputError, one_line
from hptune.prediction.examples import UNKNOWN, Examples
from hptune.prediction.export import export
from hptune.prediction.outputs import Ensemble, averaged, probabilities
from hptune.prediction.predictions import Predictions
from hptune.prediction.readers.given import examples_of
from hptune.prediction.readers.images import told
from hptune.prediction.weights import Weights
from hptune.results.signature import Signature
from hptune.step import LossOf, PassesOver, call, outputs_in, target_of
from hptune.task import Source, Task
from hptune.training.device import resolve_device
from hptune.training.evaluation import Evaluation, evaluate
from hptune.training.model import make_model

_CPU = torch.device("cpu")


class Predictor:
    """A trained model, or several as an ensemble.

    Args:
        task: Makes the model, and measures where there are targets.
        weights: Of each member.
        device: On which to predict: "auto", "cpu", "cuda", "cuda:N" or "mps".
        test: Returns the run's own test split, None where it has none.
        measures: Whether the task's loss is known.
        notes: What is to be said with every prediction.

    Attributes:
        signature: What the model takes and gives.
    """

    def __init__(
        self,
        task: Task,
        weights: Sequence[Weights],
        *,
        device: str = "auto",
        test: Callable[[], Source | None] = lambda: None,
        measures: bool = True,
        notes: tuple[str, ...] = (),
    ) -> None:
        self._task, self._weights, self._test, self._measures = task, weights, test, measures
        self._notes = notes
        self.signature: Signature = weights[0].signature
        first, place = weights[0], resolve_device(device, "fp32")
        if place.torch_device.type == first.device and first.precision != "fp32":
            place = resolve_device(device, first.precision)
        self.device = place

    @property
    def trials(self) -> tuple[str, ...]:
        """Ids of the trials whose weights predict."""
        return tuple(weights.trial for weights in self._weights)

    def model(self) -> nn.Module:
        """Return the model on the CPU, in evaluation mode: one, or an ensemble that averages several."""
        members = [self._filled(self._task.make_model().cpu(), w) for w in self._weights]
        return (members[0] if len(members) == 1 else Ensemble(members, self.signature)).eval()

    def predict(self, data: Any = None, *, id_column: str | None = None) -> Predictions:
        """Predict new data; where they have targets, also say how well.

        Args:
            data: A path to a csv, an npz or a folder of images, or a list of image files; a
                DataFrame; arrays or tensors, alone or with targets; for a Python task whatever
                that takes. None reads the run's own test split.
            id_column: Of a table, the column that names the rows; None takes the one that the
                training data left out as an id.

        Raises:
            InputError: The data are not what the model takes; the line says what to change.
        """
        examples = (
            self._own_test() if data is None else examples_of(data, self.signature, id_column)
        )
        outputs, targets, plain = self._read(examples)
        known = _known(targets)
        if known is None:  # the run's own data have what its step needs
            known = np.full(len(outputs), data is None)
        counted = int(known.sum())
        notes = [*self._notes, *examples.notes, *told(examples.left_out)]
        found: Evaluation | None = None
        if counted:
            found = self._measured(examples, outputs, targets, known, plain)
        if counted and found is None:
            why = "are of a function that no other process can find"
            if self._measures:
                why = "are of one model's own step, not of the outputs of several"
            notes.append(f"no loss and no metrics: they {why}")
        if self.signature.guessed:
            notes.append(
                f"outputs are taken for those of {self.signature.outputs} classes, as the targets "
                "were whole numbers; .outputs has them as they are"
            )
        shares = probabilities(outputs, self.signature)
        return Predictions(
            kind=self.signature.kind,
            values=self._values(outputs, shares),
            outputs=outputs.float().numpy(),
            probabilities=None if shares is None else shares.numpy(),
            classes=self.signature.classes,
            ids=examples.names(len(outputs)),
            id_name=examples.id_name,
            target=self.signature.target,
            loss=None if found is None else found.loss,
            metrics={} if found is None else dict(found.metrics),
            with_targets=counted,
            trials=self.trials,
            notes=tuple(notes),
        )

    def export(self, path: str | Path, format: str | None = None) -> Path:
        """Write the model in a form that runs elsewhere; see `hptune.prediction.export`."""
        return export(self.model(), self._weights, Path(path), format)

    @cached_property
    def _models(self) -> list[nn.Module]:
        """The members on the device, in evaluation mode."""
        return [self._filled(make_model(self._task, self.device), w).eval() for w in self._weights]

    def _filled(self, model: nn.Module, weights: Weights) -> nn.Module:
        try:
            model.load_state_dict(weights.state)
        except (KeyError, RuntimeError, TypeError, AttributeError) as error:
            raise InputError(
                f"{weights.trial}: its weights do not fit {type(model).__name__} ({one_line(error, 160)}); "
                "must be of the model that was trained; restore its code, or give that model"
            ) from None
        return model

    def _own_test(self) -> Examples:
        test = self._test()
        if test is None:
            raise InputError("DATA: none given, and the run has no test split; give DATA")
        return Examples(source=test)

    def _read(self, examples: Examples) -> tuple[Tensor, Tensor | None, bool]:
        """Return outputs and targets of all examples, and whether a model returns outputs alone."""
        outputs, targets, plain = list[Tensor](), list[Any](), True
        place = self.device.torch_device
        with torch.no_grad(), self.device.autocast():
            for batch in examples.source.to(place).batches(self._weights[0].batch_size):
                inputs, wanted = examples.divided(batch)
                members = []
                for model in self._models:
                    found, alone = self._forward(model, inputs, batch)
                    plain &= alone
                    members.append(found)
                one = members[0] if len(members) == 1 else averaged(members, self.signature)
                outputs.append(one.cpu())
                targets.append(wanted.cpu() if isinstance(wanted, Tensor) else None)
        if not outputs:
            why = "; ".join(told(examples.left_out)) or "there are none"
            raise InputError(
                f"DATA: no example can be read; must hold some: {why}; correct the path"
            )
        whole = all(isinstance(each, Tensor) for each in targets)
        return torch.cat(outputs), torch.cat(targets) if whole else None, plain

    def _forward(self, model: nn.Module, inputs: Any, batch: Any) -> tuple[Tensor, bool]:
        try:
            returned = call(model, inputs)
        except Exception as error:
            if target_of(batch) is None:
                raise self._refusal(error) from error
            try:  # a model with its own loss may not do without targets
                returned = call(model, batch)
            except Exception:
                raise self._refusal(error) from error
        outputs = outputs_in(returned)
        if outputs is None or outputs.ndim == 0:
            raise InputError(
                f"the model returns a {type(returned).__name__} without outputs; must return a tensor, or "
                "logits by this name, when it gets inputs alone"
            )
        return outputs, isinstance(returned, Tensor)

    def _refusal(self, error: Exception) -> InputError:
        wanted = ", ".join(
            f"{each.name or 'inputs'} {each.shape}" for each in self.signature.inputs
        )
        return InputError(
            f"the model cannot read these data ({type(error).__name__}: {one_line(error, 160)}); must be "
            f"as trained on, each example {wanted}, and forward must do without targets; correct either"
        )

    def _measured(
        self, examples: Examples, outputs: Tensor, targets: Any, known: NDArray[Any], plain: bool
    ) -> Evaluation | None:
        """Return loss and metrics, by the outputs where the loss is of these, else by another pass."""
        size, step = self._weights[0].batch_size, self._task.step
        inner = step.step if isinstance(step, PassesOver) else step
        if not self._measures:
            return None
        if isinstance(inner, LossOf) and plain and targets is not None:
            chosen = torch.from_numpy(np.flatnonzero(known))
            source: Source = TensorSource(outputs[chosen], targets[chosen])
            source = source.to(self.device.torch_device)
            return evaluate(self._task, nn.Identity(), source, self.device, batch_size=size)
        if len(self._models) > 1 or not known.all():
            return None
        source = examples.source.to(self.device.torch_device)
        found = evaluate(self._task, self._models[0], source, self.device, batch_size=size)
        self._models[0].eval()
        return found

    def _values(self, outputs: Tensor, shares: Tensor | None) -> NDArray[Any]:
        if self.signature.kind == "multilabel" and shares is not None:
            return (shares > 0.5).long().numpy()
        if shares is not None:
            return shares.argmax(-1).numpy()
        values = outputs.float().numpy()
        if scale := self.signature.target_scale:
            scaled = values * np.asarray(scale["std"]) + np.asarray(scale["mean"])
            values = scaled.astype(np.float32)  # no more digits than the model computes with
        one = self.signature.kind == "regression" and values.ndim == 2 and values.shape[1] == 1
        return values[:, 0] if one else values


def _known(targets: Tensor | None) -> NDArray[np.bool_] | None:
    """Return which examples have a target."""
    if targets is None:
        return None
    there = ~torch.isnan(targets) if targets.is_floating_point() else targets != UNKNOWN
    found: NDArray[np.bool_] = there.reshape(len(targets), -1).all(1).numpy()
    return found
