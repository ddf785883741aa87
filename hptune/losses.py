"""What is known of a loss: what it compares, in which shapes, and which targets it ignores."""

from __future__ import annotations

import inspect
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hptune.errors import InputError

IGNORED = -100  # of torch's losses of classes, where nothing else is said
_LABELS = (nn.BCELoss, nn.BCEWithLogitsLoss, nn.MultiLabelSoftMarginLoss)
_NUMBERS = (
    *_LABELS,
    nn.MSELoss,
    nn.L1Loss,
    nn.SmoothL1Loss,
    nn.HuberLoss,
    nn.KLDivLoss,
    nn.PoissonNLLLoss,
    nn.SoftMarginLoss,
    nn.HingeEmbeddingLoss,
)
_FUNCTIONS_OF_LABELS = (
    F.binary_cross_entropy,
    F.binary_cross_entropy_with_logits,
    F.multilabel_soft_margin_loss,
)
_FUNCTIONS_OF_NUMBERS = (
    *_FUNCTIONS_OF_LABELS,
    F.mse_loss,
    F.l1_loss,
    F.smooth_l1_loss,
    F.huber_loss,
    F.kl_div,
    F.poisson_nll_loss,
    F.soft_margin_loss,
    F.hinge_embedding_loss,
)


def bare(loss: Any) -> Any:
    """Return the function that a `functools.partial` calls, anything else as it is."""
    while isinstance(loss, partial):
        loss = loss.func
    return loss


def is_torchs(loss: Any) -> bool:
    """Say whether a loss is one of torch's, so that it is known which shapes it takes."""
    function = type(loss).forward if isinstance(loss, nn.Module) else bare(loss)
    return str(getattr(function, "__module__", "")).startswith("torch.")


def compares_numbers(loss: Any) -> bool:
    """Say whether a loss compares outputs and targets number by number, so that they have one shape."""
    return isinstance(loss, _NUMBERS) or bare(loss) in _FUNCTIONS_OF_NUMBERS


def compares_labels(loss: Any) -> bool:
    """Say whether a loss is of several classes at once, each 0 or 1."""
    return isinstance(loss, _LABELS) or bare(loss) in _FUNCTIONS_OF_LABELS


def ignored_target(loss: Any) -> int:
    """Return the target that a loss leaves out.

    An attribute `ignore_index` says it, of the loss or of a module in it; or an argument of this
    name, as `functools.partial` may have set it. Else it is torch's usual value.

    Args:
        loss: A function of (outputs, targets), a module, or a model with its own loss.
    """
    holders = list(loss.modules()) if isinstance(loss, nn.Module) else [loss]
    found = [getattr(holder, "ignore_index", None) for holder in holders]
    if not isinstance(loss, nn.Module):
        found.append(_default(loss, "ignore_index"))
    return next((index for index in found if isinstance(index, int)), IGNORED)


def ignored_in_words(count: int, total: int, ignored: int) -> str:
    """Say how many targets the loss ignores, and what follows from it."""
    return (
        f"{count} of {total} targets are {ignored}, which the loss ignores: metrics leave them out, "
        "too, and a training batch of nothing else changes nothing"
    )


def _default(function: Any, name: str) -> Any:
    try:
        parameters = inspect.signature(function).parameters
    except (TypeError, ValueError):  # of C
        return None
    return parameters[name].default if name in parameters else None


def fitted(outputs: Any, targets: Any, *, numbers: bool | None = None) -> tuple[Any, Any]:
    """Return outputs and targets in shapes that torch's losses take.

    Classes of many places, (N, ..., C) or (N, C, ...) against (N, ...), become rows, (rows, C)
    and (rows,); numbers (N, 1) against (N,) become (N,), which torch would broadcast to (N, N).

    Args:
        outputs: Of a model.
        targets: Of the same batch.
        numbers: Whether the targets are compared number by number; None goes by their type.

    Raises:
        InputError: Numbers in shapes that do not go together, or either of two dimensions may be
            the classes.
    """
    if not isinstance(outputs, Tensor) or not isinstance(targets, Tensor):
        return outputs, targets
    if targets.is_floating_point() if numbers is None else numbers:
        return _as_numbers(outputs, targets)
    return _as_classes(outputs, targets)


def fit_as_numbers(outputs: Tensor, targets: Tensor) -> bool:
    """Say whether two tensors are of one shape, but for dimensions of 1."""
    shapes = ([n for n in tensor.shape if n != 1] for tensor in (outputs, targets))
    return next(shapes) == next(shapes)


def _as_numbers(outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    whole = not (targets.is_floating_point() or targets.is_complex())
    if whole or (targets.dtype is torch.float64 and outputs.dtype is torch.float32):
        targets = targets.float()  # nothing else has a gradient for float32 outputs
    if outputs.shape == targets.shape:
        return outputs, targets
    if not fit_as_numbers(outputs, targets):
        raise InputError(
            f"loss: outputs of shape {tuple(outputs.shape)} and targets of {tuple(targets.shape)}; "
            "must be of one shape to be compared number by number; give the model as many outputs "
            "as there are targets"
        )
    return outputs.reshape(targets.shape), targets


def _as_classes(outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    shape, wanted = outputs.shape, targets.shape
    if len(shape) == 2 and wanted == (len(outputs), 1):
        return outputs, targets[:, 0]
    last, second = shape[:-1] == wanted, shape[:1] + shape[2:] == wanted
    if len(wanted) < 2 or not (last or second):
        return outputs, targets
    if last and second:
        raise InputError(
            f"loss: outputs of shape {tuple(shape)} and targets of {tuple(wanted)}; "
            "either dimension may be the classes; give a function of your own as loss="
        )
    places = outputs if last else outputs.movedim(1, -1)
    return places.reshape(-1, places.shape[-1]), targets.reshape(-1)
