"""A task from what a user has at hand: a model factory, data in any usual form, a loss."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Annotated, Any

import torch
from pydantic import SkipValidation, StrictStr
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.parameter import is_lazy

from hptune.api.metrics import KINDS, Metrics, metrics_for
from hptune.api.probe import Probe, probe
from hptune.api.signed import class_names, signature_of
from hptune.api.start import CopyOf
from hptune.api.words import public
from hptune.checked import SeedNumber
from hptune.data.given import GivenSplit, divide_given, given_split
from hptune.data.sanity import look
from hptune.data.spec import DataSpec
from hptune.errors import InputError
from hptune.fingerprint import fingerprint
from hptune.losses import (
    bare,
    compares_labels,
    compares_numbers,
    ignored_in_words,
    ignored_target,
)
from hptune.step import (
    LossFunction,
    LossOf,
    LossOfModel,
    OwnStep,
    PassesOver,
    takes_targets,
    target_of,
)
from hptune.task import Task as Record
from hptune.training.check_batch import check_labels, first_batch, read_batch
from hptune.training.device import seeded
from hptune.training.model import (
    fresh_models,
    initialize_lazy,
    supports_channels_last,
)

VALIDATION = 0.15  # of the training data, where no validation data are given
_CPU = torch.device("cpu")


class Task(Record):
    """All that training needs to know of the user's problem, checked on one small batch.

    Everything else in hptune takes this object by its fields; see `hptune.task.Task`. Model, data
    and random states of the caller stay as they are.

    Args:
        make_model: Returns a fresh model; called under a seed, so that paired trials start equal.
            With `model.args` in `settings`, or in a sweep, it is called with them.
        train: Tensors or arrays in tuples and dicts, such as (inputs, targets) or
            {"input_ids": ..., "labels": ...}; a list of examples; a Dataset; or a DataLoader, of
            which data set, collation, workers and batch size are taken. Targets are the last of
            a tuple, or what is called labels, label, targets, target or y in a dict. Everything
            before them goes to the model: several inputs as several arguments, a dict by name.
        validation: Likewise; a fraction or None splits it off the training data, by class where
            the targets are plain classes.
        test: Likewise; None reads no test set.
        loss: A function of (outputs, targets) that returns the mean over the batch;
            "cross-entropy", "mse", "bce" (with logits, for several classes at once); or "model",
            whose forward then gets the whole batch and returns the loss, as a number or as
            `.loss`. None takes the model's own where its forward has an argument for the
            targets, else the usual one of the kind. Of torch's own losses, dimensions of 1 are
            fitted and shapes that only broadcast are refused. What a loss ignores, by an
            attribute or an argument `ignore_index`, metrics and checks leave out, too.
        metrics: "accuracy" and names of torchmetrics; None takes the usual one.
        step: Own computation of the loss, step(model, batch), for whatever the rest does not
            cover; it may return (loss, outputs, targets), the latter two for the metrics.
        kind: "classification", "regression" or "multilabel". None goes by the loss, else by the
            targets: whole numbers are classes, others a regression.
        split_seed: Of the split, independent of the run's seed.
        data: Its name, for the tables.
        model: Its name, likewise.
        notes: What whoever trains it should know; told as warnings before the first trial.

    Attributes:
        batch_size: Of the DataLoader that was given, None where there was none.
        optimizer: Section to use where a call names no optimizer, None for hptune's default.
        maker: "package.module:function" that made it, where it was given to be tuned by that.
        splits: How many examples each split has, and how they were split.
        content: Digests of the splits.
        identity: What tells this task from others.

    Raises:
        InputError: Model, data and loss do not fit each other; the line says what to change.
    """

    @public
    def __init__(
        self,
        make_model: Annotated[Callable[..., nn.Module], SkipValidation],
        *,
        train: Any,
        validation: Any = None,
        test: Any = None,
        loss: Annotated[LossFunction | str | None, SkipValidation] = None,
        metrics: Annotated[Metrics, SkipValidation] = None,
        step: Callable[[Any, Any], Any] | None = None,
        kind: Annotated[str | None, SkipValidation] = None,
        split_seed: SeedNumber = 0,
        data: StrictStr | None = None,
        model: StrictStr | None = None,
        notes: Sequence[StrictStr] = (),
    ) -> None:
        if kind not in (None, *KINDS):
            raise InputError(f"kind: {kind!r}; must be {', '.join(KINDS)} or None; choose one")
        if step is not None and loss is not None:
            raise InputError("loss: given with step; step computes the loss; leave one of them out")
        original = make_model
        with seeded(0, _CPU):
            parts, how = _parts(train, validation, test, split_seed)
            net, spare = fresh_models(make_model)
            given = parts["train"]
            batch = first_batch(given.source().to(_CPU), min(2, len(given)))
            computed = OwnStep(step) if step is not None else _loss_step(loss, kind, net, batch)
            # In evaluation mode: normalisation layers may refuse so small a batch.
            _, outputs, targets = read_batch(type(net).__name__, spare.eval(), computed, batch)
            used = computed.loss if isinstance(computed, LossOf) else None
            found = probe(outputs, targets, numbers=compares_numbers(used))
            if any(is_lazy(parameter) for parameter in net.parameters()):
                make_model = partial(initialize_lazy, make_model, computed, batch)
                net, _ = fresh_models(make_model)
            read_as = _kind(kind, used, found)
            ignored, found_notes = None, list[str]()
            if read_as == "classification":
                ignored, found_notes = _ignored(ignored_target(used or net), parts)
            classes = _classes(read_as, found, parts, ignored, targets)
            digests = []
            for name, part in parts.items():
                parts[name], digest = part.read()
                digests.append(digest)
            # Of a module given as an object, the weights are no part of what its code is.
            factory = None if isinstance(make_model, CopyOf) else make_model
            readers = [part.code() for part in parts.values()]
            code = [factory, computed, metrics, kind, readers]
            self.identity = fingerprint(net, code, digests)
            channels_last = supports_channels_last(spare, computed, batch)
            # Probabilities need no sigmoid.
            logits = not (bare(used) is F.binary_cross_entropy or isinstance(used, nn.BCELoss))
            specs = metrics_for(metrics, read_as, found.outputs, logits=logits, ignored=ignored)
            signature = signature_of(
                original,
                spare,
                batch,
                computed,
                kind=read_as,
                outputs=found.outputs,
                classes=class_names(given, classes),
                logits=logits,
                ignored=ignored,
                channels_last=channels_last,
                code=self.identity.code,
                metrics=() if isinstance(metrics, Mapping) else tuple(specs),
            )
            sources = {name: part.source() for name, part in parts.items()}
            found_notes += look(
                sources,
                classes=None if classes is None else (),
                ignored=ignored,
                guessed=read_as == "regression" and kind is None and loss is None,
                own_step=isinstance(computed, OwnStep),
            )
        self.batch_size = parts["train"].batch_size
        self.content = " ".join(digests)
        self.optimizer: Mapping[str, Any] | None = None
        self.maker: str | None = None
        self.splits: Mapping[str, int | str | None] = {
            "train": len(parts["train"]),
            "validation": len(parts["validation"]),
            "test": len(parts["test"]) if "test" in parts else None,
            "split": how,
            "split_seed": split_seed,
        }
        super().__init__(
            make_model=make_model,
            train=sources["train"],
            validation=sources["validation"],
            test=sources.get("test"),
            step=computed if ignored is None else PassesOver(computed, ignored),
            metrics=specs,
            classes=classes,
            ignored=ignored,
            channels_last=channels_last,
            data=data or parts["train"].name,
            model=model or type(net).__name__,
            fingerprint=str(self.identity),
            code=self.identity.code,
            notes=(*notes, *found_notes),
            signature=signature.model_dump(),
        )

    def __repr__(self) -> str:
        about = f"model={self.model}, data={self.data}, splits={dict(self.splits)}"
        return f"Task({about}, metrics={list(self.metrics)})"


def _parts(train: Any, validation: Any, test: Any, seed: int) -> tuple[dict[str, GivenSplit], str]:
    """Return the splits as they are given or divided, and how."""
    parts, how = {"train": given_split(train, "train")}, "given"
    if validation is None or isinstance(validation, float):
        fraction = VALIDATION if validation is None else validation
        # Not checked as a key of an experiment: a wrong fraction is told by the split itself.
        spec = DataSpec.model_construct(validation=fraction, test=0.0, split_seed=seed)
        labels = parts["train"].labels()
        parts["train"] = replace(parts["train"], known=labels)
        parts, how = divide_given(spec, parts, labels)
    else:
        parts["validation"] = given_split(validation, "validation")
    if test is not None:
        parts["test"] = given_split(test, "test")
    return parts, how


def _loss_step(
    loss: LossFunction | str | None, kind: str | None, net: nn.Module, batch: Any
) -> Any:
    """Choose how the loss of a batch is computed."""
    targets = target_of(batch)
    if loss == "model" or (loss is None and takes_targets(net)):
        return LossOfModel()
    if targets is None:
        raise InputError(
            "train: the examples have no targets; must be (inputs, targets), or a dict with labels, "
            "targets or y; give them, or loss='model' or step="
        )
    if loss is None and kind is not None:
        loss = _USUAL_LOSS[kind]
    if loss is None:
        if not isinstance(targets, Tensor):
            raise InputError(
                f"loss: none given, and the targets are a {type(targets).__name__}; must be a tensor "
                "to choose by; give loss= or step="
            )
        loss = "mse" if targets.is_floating_point() else "cross-entropy"
    if isinstance(loss, str):
        if loss not in LOSSES:
            raise InputError(
                f"loss: {loss!r}; must be {', '.join(LOSSES)}, model, or a function of (outputs, "
                "targets); choose one"
            )
        return LossOf(LOSSES[loss])
    if isinstance(loss, type) or not callable(loss):
        what = (
            f"the class {loss.__name__}" if isinstance(loss, type) else f"a {type(loss).__name__}"
        )
        raise InputError(
            f"loss: {what}; must be a function of (outputs, targets) or a name; "
            + (f"make one: {loss.__name__}()" if isinstance(loss, type) else "correct it")
        )
    return LossOf(loss)


def _kind(given: str | None, loss: LossFunction | None, found: Probe) -> str | None:
    """Say what the outputs mean, None where there is nothing to compute a metric from."""
    if found.kind is None or given is not None:
        return given if found.kind else None
    if compares_labels(loss):
        return "multilabel"
    soft = bare(loss) is F.cross_entropy or isinstance(loss, nn.CrossEntropyLoss)
    if soft and found.kind == "regression":  # the targets are shares of classes
        return None
    return found.kind


def _ignored(index: int, parts: Mapping[str, GivenSplit]) -> tuple[int | None, list[str]]:
    """Return the target that the loss ignores, None where no split has one, and what to tell of it."""
    if not all(part.in_memory for part in parts.values()):
        return index, []  # they would all have to be read
    targets = [target_of(part.data) for part in parts.values()]
    count = sum(int((own == index).sum()) for own in targets)
    if not count:
        return None, []
    return index, [ignored_in_words(count, sum(own.numel() for own in targets), index)]


def _classes(
    kind: str | None,
    found: Probe,
    parts: Mapping[str, GivenSplit],
    ignored: int | None,
    first: Tensor,
) -> int | None:
    """Return the number of classes; refuse targets that the model has no output for.

    Of examples that are read one by one, the first targets have to do.
    """
    if kind != "classification":
        return None
    for name, part in parts.items():
        if part.in_memory:
            check_labels(name, target_of(part.data), found.outputs, ignored)
    if len(counting := first[first != ignored]):
        check_labels("train", counting, found.outputs)
    return found.outputs


LOSSES: Mapping[str, LossFunction] = {
    "cross-entropy": F.cross_entropy,
    "mse": F.mse_loss,
    "bce": F.binary_cross_entropy_with_logits,
}
_USUAL_LOSS = {"classification": "cross-entropy", "regression": "mse", "multilabel": "bce"}
