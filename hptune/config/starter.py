"""A first config for a data set: settings that fit what was found, each with its reason."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from hptune.config.yaml_text import write_line
from hptune.data.inspect import Arrays, Found, Images, Table, size_text

LARGEST_SIDE = 96  # pixels; larger images are scaled down, so that a first run takes minutes
_SCALED_SIDE = 64
FEW_IMAGES = 2000  # to train on, below which they are few
_SMALLEST_FOR_LENET = 13  # pixels a side
_SIDES = re.compile(r"(^|[^a-z])(left|right)([^a-z]|$)")
_COLUMN = 30  # where comments begin
_HINTS = """
# LR, momentum, weight decay and batch size are decided by hptune. To start from your own:
# hyper_parameters:
#   lr: 0.1
#   batch_size: 64
# procedure:
#   final: {seeds: 4} # repeats of the final run, for mean and standard deviation
"""
_TRANSFER = """
# With so few images a pretrained net mostly does better than one that starts from nothing. Its weights
# (45 MB) are fetched once, or given as a file; its head trains first, then all, the first layers least.
# In the place of data.resize, model and optimizer above:
# data: {resize: 128, normalize: imagenet}
# model: {name: "torchvision:resnet18", args: {weights: DEFAULT}, freeze: -1, unfreeze: 0.3}
# optimizer: {name: auto, layer_decay: 0.8}
"""
Setting = tuple[str, Any, str]  # a key of the config, its value and why it has it


def write_starter(
    found: Found | None, path: str, *, name: str, summary: Sequence[str], file: str
) -> str:
    """Return the text of a commented config for a data set.

    Args:
        found: What was found in it, None for the bundled digits.
        path: Where the data are, as the config says it.
        name: The experiment's name.
        summary: What was found, in lines.
        file: What the config will be called, for the commands in its head.
    """
    given = "" if file == "hptune.yaml" else f" {file}"
    if found is None:
        train = 1300
        data: list[Setting] = [("name", "digits", "1,797 images that come with scikit-learn")]
    else:
        train = round(found.parts["train"] * (1 - found.validation) * (1 - found.test))
        data = [("name", found.reader, ""), ("path", path, ""), *_data(found), *_split(found)]
    shape = _shape(found)
    lines = [
        *(f"# {_plain(line)}" for line in summary),
        "#",
        f"# hptune check{given}    one batch, the plan and its time",
        f"# hptune run{given}      the whole procedure",
        "",
        _line("name", name),
        *_section("data", data),
        *_section("model", _model(shape, train)),
    ]
    if found is not None:  # the default, so that the choice is seen
        why = "NAdamW, or SGD where procedure.budget shows that it ends lower; or sgd, adamw, ..."
        lines += _section("optimizer", [("name", "auto", why)])
    if found is not None and found.imbalance is not None:
        ratio = f"{found.imbalance.ratio:.3g}"
        why = f"classes differ {ratio}-fold; f1_score weighs each class the same"
        lines.append(_line("metrics", ["accuracy", "f1_score"], why))
    epochs = 30 if train < 5_000 else 20 if train < 30_000 else 10
    if len(shape) != 3 and train < 5_000:
        epochs = 50
    why = "of the final run; the search takes about three times that"
    lines += _section("training", [("epochs", epochs, why)])
    few_photos = isinstance(found, Images) and found.coloured and train < FEW_IMAGES
    return "\n".join(lines) + "\n" + _HINTS + (_TRANSFER if few_photos else "")


def _data(found: Found) -> Iterator[Setting]:
    if isinstance(found, Images):
        side, why = _side(found)
        if side is not None:
            yield "resize", side, why
        turned = _why_no_flip(found)
        yield "flip", not turned, turned or "mirrors half of the training images"
        crop = (side or min(found.smallest)) // (8 if found.coloured else 16)
        if crop:
            yield "crop", crop, "random crops, after padding with so many pixels"
    elif isinstance(found, Table):
        yield "target", found.target, found.why
        if found.dropped:
            yield "drop", list(found.dropped), "of no use as inputs"


def _side(found: Images) -> tuple[int | None, str]:
    """Return the side that images are scaled to, None where they are taken as they are."""
    width, height = found.smallest
    size = size_text(found.smallest)
    if found.same_size and max(width, height) <= LARGEST_SIDE:
        if width == height:
            return width, "as they are; an odd one out is scaled"
        if found.looked_into == sum(found.parts.values()):
            return None, ""
        return min(width, height), f"those opened are all {size}; null keeps that, if all are"
    longest = min(found.largest)
    side = _SCALED_SIDE if longest >= _SCALED_SIDE else max(8, min(32, longest))
    sizes = size if found.same_size else f"{size} to {size_text(found.largest)}"
    return side, f"they are {sizes}; twice the side shows more and takes four times as long"


def _why_no_flip(found: Images) -> str:
    """Return why a mirrored image would not be one of its class, "" where it would."""
    names = [name.lower() for name in found.classes]
    if not found.coloured:
        return "grey images are often drawings or characters; true for photos"
    if all(len(name) == 1 or name.isdigit() for name in names):
        return "the classes seem to be characters, which a mirror changes"
    if any(_SIDES.search(name) for name in names):
        return "the classes tell left from right"
    return ""


def _split(found: Found) -> Iterator[Setting]:
    for part, fraction in (("validation", found.validation), ("test", found.test)):
        if part not in found.parts:
            stratified = ", each class in proportion" if found.classes else ""
            why = f"split off at random{stratified}" if fraction else "too few examples for one"
            yield part, fraction, why


def _shape(found: Found | None) -> tuple[int, ...]:
    """Return the shape of an example as the model sees it."""
    if found is None:
        return (1, 8, 8)
    if isinstance(found, Arrays):
        return found.shape
    if isinstance(found, Images):
        width, height = found.smallest
        side, _ = _side(found)
        return (found.channels, side or height, side or width)
    return (0,)


def _model(shape: tuple[int, ...], train: int) -> list[Setting]:
    """Choose a model by the size of an example and how many there are to train on."""
    if len(shape) != 3 or min(shape[1:]) < _SMALLEST_FOR_LENET:
        hidden = [64, 64] if train < 1000 else [256, 256]
        return [
            ("name", "mlp", "or your own, package.module:callable"),
            ("args", {"hidden": hidden}, "widths of the hidden layers"),
        ]
    largest = max(shape[1:])
    if shape[0] == 1 and largest <= 32:
        return [("name", "lenet", "small grey images; resnet-20 is better and slower")]
    if largest <= LARGEST_SIDE:
        why = "resnet-56 is better and three times as slow; or torchvision:resnet18"
        return [("name", "resnet-20", why)]
    return [("name", "torchvision:resnet18", "or timm:NAME, or your own module:callable")]


def _section(name: str, settings: Iterable[Setting]) -> list[str]:
    return [f"{name}:", *(f"  {_line(*setting)}" for setting in settings)]


def _line(key: str, value: Any, why: str = "") -> str:
    text = f"{key}: {write_line(value)}"
    return f"{text:<{_COLUMN}} # {_plain(why)}" if why else text


def _plain(text: str) -> str:
    """Return text that stands in a comment, whatever a class or a file is called."""
    return "".join(c if c.isprintable() else "?" for c in text)
