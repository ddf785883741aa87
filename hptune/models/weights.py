"""Pretrained weights: from a file, or by the names that torchvision has for them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from hptune.errors import InputError, did_you_mean, one_line

Tell = Callable[[str], None]
"""Hears what the user should know of a model, a sentence each."""


@dataclass(frozen=True)
class Inputs:
    """What images weights were trained on: height and width, and what normalised each channel."""

    size: tuple[int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __str__(self) -> str:
        mean, std = (", ".join(f"{x:.3g}" for x in xs) for xs in (self.mean, self.std))
        return f"{self.size[1]}x{self.size[0]} pixels, normalized by mean ({mean}) and std ({std})"


def load_file(model: nn.Module, path: str, tell: Tell, names: Mapping[str, Any]) -> None:
    """Load a state_dict from a file into a model.

    A checkpoint that has the state_dict under "model" (as hptune's own) or "state_dict" fits too.

    Args:
        model: Changed in place.
        path: Of the file, torch's or safetensors'.
        tell: Hears what is left out.
        names: Names that weights have, which the path may have been meant for.

    Raises:
        InputError: The file cannot be read, or has hardly anything for this model.
    """
    file = Path(path).expanduser()
    try:
        if file.suffix == ".safetensors":
            from safetensors.torch import load_file as load

            loaded: Any = load(file)
        else:
            loaded = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:
        named = f", or one of {', '.join(names)}" if names else ""
        rule = "save one with torch.save(model.state_dict(), ...)"
        raise InputError(
            f"model.args.weights: {path!r}; must be a file with a state_dict{named} "
            f"({type(error).__name__}); "
            + did_you_mean(path, names, did_you_mean(path.upper(), names, rule))
        ) from error
    loaded = loaded if isinstance(loaded, Mapping) else {}
    for key in ("model", "state_dict"):
        if isinstance(loaded.get(key), Mapping):
            loaded = loaded[key]
    take_in(model, loaded, path, tell)


def take_in(model: nn.Module, loaded: Mapping[str, Any], source: str, tell: Tell) -> None:
    """Put the tensors that fit into a model; the others of the model stay as they are.

    Where no name is the model's, each is taken without its first part, as a wrapper's ("module.").

    Raises:
        InputError: Hardly any fit.
    """
    own = model.state_dict()
    if not own.keys() & loaded.keys():
        loaded = {str(name).partition(".")[2]: value for name, value in loaded.items()}
    fitting = {
        name: value
        for name, value in loaded.items()
        if name in own and isinstance(value, Tensor) and value.shape == own[name].shape
    }
    if len(fitting) < len(own) / 2:
        raise InputError(
            f"model.args.weights: {source!r} fits {len(fitting)} of the model's {len(own)} tensors; "
            "must be weights of this architecture; choose another file"
        )
    model.load_state_dict(fitting, strict=False)
    afresh = [name for name in own if name not in fitting]
    if afresh:
        others = f" and {len(afresh) - 4} more" if len(afresh) > 4 else ""
        tell(
            f"weights {source}: {len(fitting)} of the model's {len(own)} tensors are taken; "
            f"{', '.join(afresh[:4])}{others} start afresh, for the file has none of their name and shape"
        )


def torchvision_weights(name: str) -> dict[str, Any]:
    """Return the weights that torchvision has for a model, by name, `DEFAULT` for the best."""
    from torchvision.models import get_model_weights

    return dict(get_model_weights(name).__members__)


def fetch(weights: Any, wanted: str) -> Mapping[str, Any]:
    """Return the state_dict of weights of torchvision, from torch's cache or the network.

    Raises:
        InputError: It is in neither.
    """
    try:
        found: Mapping[str, Any] = weights.get_state_dict(
            progress=False, check_hash=True, weights_only=True
        )
    except Exception as error:
        raise InputError(
            f"model.args.weights: {wanted!r}; {weights.url} cannot be fetched "
            f"({one_line(error, 80)}); put the file into {Path(torch.hub.get_dir()) / 'checkpoints'}, "
            "or give its path"
        ) from error
    return found


def inputs_of(weights: Any) -> Inputs | None:
    """Return what weights of torchvision were trained on; None where it does not say so."""
    shown = weights.transforms()
    try:
        side = shown.crop_size[0]
        return Inputs((side, side), tuple(shown.mean), tuple(shown.std))
    except (AttributeError, TypeError, IndexError):
        return None
