"""A trained model as a file that runs elsewhere: weights for torch, TorchScript, ONNX.

Each takes what `tuned.model()` takes and gives what it gives, for batches of any size; the file also
holds, as JSON, what the inputs are made of and what the outputs mean.
"""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from hptune.errors import InputError, did_you_mean, one_line
from hptune.prediction import FORMATS
from hptune.prediction.weights import Weights
from hptune.results.atomic import write_atomic
from hptune.results.signature import Signature
from hptune.step import outputs_in
from hptune.training.snapshot import save_state

EXTRA = "signature.json"  # in a TorchScript file; of an ONNX the key is "signature"
_LARGEST = 1.8e9  # bytes that one protobuf file holds
_TRIED = (2, 5)  # examples: traced with the first, compared with the second
_CLOSE = 1e-3


def export(
    model: nn.Module, weights: Sequence[Weights], path: Path, format: str | None = None
) -> Path:
    """Write a model on the CPU to a file.

    Args:
        model: In evaluation mode.
        weights: Of which it was made.
        path: The file.
        format: "torch" holds weights and signature, which `hptune predict` and `hptune.load_run` take
            and `torch.load(..., weights_only=True)` reads; "torchscript" runs in libtorch; "onnx"
            wherever ONNX runs. None goes by the file's ending: .pt, .ts, .onnx.

    Raises:
        InputError: No such format, or the model cannot be written in it.
    """
    by_ending = {ending: name for name, ending in FORMATS.items()}
    format = format or by_ending.get(path.suffix.lower(), path.suffix or "none")
    if format == "torch":
        _torch(weights, path)
        return path
    if format not in FORMATS:
        raise InputError(
            f"--format: {format!r}; must be {', '.join(FORMATS)}; "
            + did_you_mean(format, FORMATS, "choose one of these")
        )
    signature = weights[0].signature
    plain = _Plain(model, [each.name for each in signature.inputs]).eval()
    traced, compared = (_example(signature, size) for size in _TRIED)
    with torch.no_grad():
        expected = _run(plain, compared, signature)
        with _quiet():
            if format == "onnx":
                _onnx(plain, traced, signature, path)
            else:
                _torchscript(plain, traced, compared, expected, signature, path)
    return path


class _Plain(nn.Module):
    """A model that gets inputs one after the other, and returns its outputs alone.

    Args:
        model: May return other things beside its outputs.
        names: Of the inputs that it gets by name.
    """

    def __init__(self, model: nn.Module, names: Sequence[str | None]) -> None:
        super().__init__()
        self.model, self._names = model, [name for name in names if name is not None]

    def forward(self, *inputs: Any) -> Any:
        if self._names:
            return outputs_in(self.model(**dict(zip(self._names, inputs, strict=True))))
        return outputs_in(self.model(*inputs))


Example = tuple[Tensor, ...]


def _example(signature: Signature, size: int) -> Example:
    """Return inputs of the right shapes and types: zeros for whole numbers, which may be ids."""
    generator = torch.Generator().manual_seed(0)
    values = list[Tensor]()
    for each in signature.inputs:
        dtype = getattr(torch, each.dtype, None)
        if not isinstance(dtype, torch.dtype):
            raise InputError(
                f"export: the model gets a {each.dtype}; only tensors can be exported; use --format torch"
            )
        shape = (size, *each.shape)
        drawn = torch.randn(shape, generator=generator) if dtype.is_floating_point else None
        values.append(torch.zeros(shape, dtype=dtype) if drawn is None else drawn.to(dtype))
    return tuple(values)


def _run(model: Callable[..., Any], example: Example, signature: Signature) -> Tensor:
    try:
        found: Tensor = model(*example)
    except Exception as error:
        shown = ", ".join(str(each.shape) for each in signature.inputs)
        raise InputError(
            f"export: the model fails on examples of {shown} ({type(error).__name__}: "
            f"{one_line(error, 160)}); must take inputs alone; use --format torch"
        ) from error
    return found


def _torch(weights: Sequence[Weights], path: Path) -> None:
    if len(weights) > 1:
        raise InputError(
            "--ensemble: a torch file holds one model's weights; export each with --trial, or the ensemble "
            "as torchscript or onnx"
        )
    (one,) = weights
    read = {"device": one.device, "precision": one.precision, "batch_size": one.batch_size}
    signature = one.signature.model_dump()
    state = {"trial": one.trial, "model": dict(one.state), "signature": signature, "read": read}
    save_state(path, state)


def _torchscript(
    model: nn.Module,
    traced: Example,
    compared: Example,
    expected: Tensor,
    signature: Signature,
    path: Path,
) -> None:
    try:
        trace: Any = torch.jit.trace
        script = trace(model, traced, check_trace=False)
        found = script(*compared)
    except Exception as error:
        raise _refused("torchscript", error) from error
    if found.shape != expected.shape or not torch.allclose(found, expected, _CLOSE, _CLOSE):
        raise InputError(
            "export: TorchScript gives other outputs than the model for another batch size; what it does "
            "depends on its inputs; use --format onnx or torch"
        )
    extra = {EXTRA: signature.model_dump_json()}
    write_atomic(path, lambda file: torch.jit.save(script, file, _extra_files=extra))


def _onnx(model: nn.Module, traced: Example, signature: Signature, path: Path) -> None:
    try:
        import onnx  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise InputError(
            f'--format: onnx needs {error.name}, which is not installed; run pip install "hptune[onnx]"'
        ) from None
    batch = torch.export.Dim("batch")
    names = [each.name or "input" for each in signature.inputs]
    if len(names) > 1 and signature.inputs[0].name is None:
        names = [f"input_{k}" for k in range(len(names))]
    size = sum(value.nbytes for value in model.state_dict().values())
    try:
        program = torch.onnx.export(
            model,
            traced,
            input_names=names,
            output_names=["output"],
            dynamic_shapes={"inputs": ({0: batch},) * len(traced)},
            dynamo=True,
            verbose=False,
        )
        assert program is not None  # as it is without a file
        program.model.metadata_props["signature"] = json.dumps(signature.model_dump(mode="json"))
        path.parent.mkdir(parents=True, exist_ok=True)
        program.save(str(path), external_data=size > _LARGEST)
    except OSError as error:
        raise InputError(
            f"-o: {path}; cannot be written ({error.strerror}); give another"
        ) from None
    except Exception as error:
        raise _refused("onnx", error) from error


def _refused(format: str, error: Exception) -> InputError:
    return InputError(
        f"export: the model cannot be written as {format} ({type(error).__name__}: "
        f"{one_line(error, 240)}); use another --format, or torch"
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep to themselves the deprecation of TorchScript, and what exporters log on their way."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
