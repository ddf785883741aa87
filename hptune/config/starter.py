"""A first config for a data set: settings that fit what was found, each with its reason."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hptune.config.yaml_text import write_line
from hptune.data.inspect import Arrays, Found, Images, Table, size_text

LARGEST_SIDE = 96  # pixels; larger images are scaled down, so that a first run takes minutes
_SCALED_SIDE = 64
_SMALLEST_FOR_LENET = 13  # pixels a side
_SIDES = re.compile(r"(^|[^a-z])(left|right)([^a-z]|$)")
_COLUMN = 30  # where comments begin


@dataclass(frozen=True)
class Setting:
    """A key of the config, its value and why it has it; a hint is written as a comment."""

    key: str
    value: Any
    why: str = ""
    hint: bool = False


Sections = dict[str, list[Setting]]


def choose(found: Found | None, path: str = "") -> Sections:
    """Choose settings for a data set.

    Args:
        found: What was found in it, None for the bundled digits.
        path: Of the data, as the config says it.
    """
    if found is None:
        return {
            "data": [Setting("name", "digits", "1,797 images of 8x8 that come with scikit-learn")],
            "model": _mlp([256, 256]),
            "training": _training(1300, images=True),
        }
    sections: Sections = {"data": [Setting("name", found.reader), Setting("path", path)]}
    data = sections["data"]
    if isinstance(found, Images):
        data += _images(found)
    elif isinstance(found, Table):
        data += _table(found)
    data += _split(found)
    train = round(found.parts["train"] * (1 - found.validation) * (1 - found.test))
    sections["model"] = _model(found, train)
    if found.imbalance is not None:
        sections["metrics"] = [Setting("", ["accuracy", "f1_score"], _f1_reason(found))]
    shape = _shape(found)
    sections["training"] = _training(train, images=len(shape) == 3)
    return sections


def write_starter(name: str, sections: Sections, summary: Sequence[str], file: str) -> str:
    """Return the text of a commented config.

    Args:
        name: Of the experiment.
        sections: From `choose`.
        summary: What was found, in lines.
        file: What the config will be called, for the commands in its head.
    """
    given = "" if file == "hptune.yaml" else f" {file}"
    lines = [f"# {_plain(line)}" for line in summary]
    lines += [
        "#",
        f"# hptune check{given}    one batch, the plan and its time",
        f"# hptune run{given}      the whole procedure",
        "",
        f"name: {write_line(name)}",
    ]
    for section, settings in sections.items():
        if section == "metrics":
            lines.append(_line("metrics", settings[0].value, settings[0].why))
            continue
        lines.append(f"{section}:")
        lines += ["  " + ("# " * s.hint) + _line(s.key, s.value, s.why) for s in settings]
    lines += _hints()
    return "\n".join(lines) + "\n"


def _images(found: Images) -> list[Setting]:
    side, why = _side(found)
    settings = [] if side is None else [Setting("resize", side, why)]
    shortest = side or min(found.smallest)
    no_flip = _keeps_sides(found)
    if no_flip is None:
        settings.append(Setting("flip", True, "mirrors half of the training images"))
    else:
        settings.append(Setting("flip", False, no_flip))
    crop = shortest // (8 if found.coloured else 16)
    if crop:
        settings.append(Setting("crop", crop, "random crops, after padding with so many pixels"))
    if found.coloured and shortest >= 32:
        settings.append(
            Setting(
                "cutout", shortest // 4, "blanks a square; try it if the net overfits", hint=True
            )
        )
    return settings


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


def _keeps_sides(found: Images) -> str | None:
    """Return why a mirrored image would not be one of its class, None where it would."""
    names = [name.lower() for name in found.classes]
    if not found.coloured:
        return "grey images are often drawings or characters; true for photos"
    if all(len(name) == 1 or name.isdigit() for name in names):
        return "the classes seem to be characters, which a mirror changes"
    if any(_SIDES.search(name) for name in names):
        return "the classes tell left from right"
    return None


def _table(found: Table) -> list[Setting]:
    settings = [Setting("target", found.target, found.why)]
    if found.own_kind:
        settings.append(Setting("kind", found.kind, found.why_kind))
    if found.dropped:
        settings.append(Setting("drop", list(found.dropped), "of no use as inputs"))
    return settings


def _split(found: Found) -> list[Setting]:
    settings = []
    for part, fraction in (("validation", found.validation), ("test", found.test)):
        if part not in found.parts:
            stratified = ", each class in proportion" if found.classes else ""
            why = f"split off at random{stratified}" if fraction else "too few examples for one"
            settings.append(Setting(part, fraction, why))
    return settings


def _shape(found: Found) -> tuple[int, ...]:
    """Return the shape of an example as the model sees it."""
    if isinstance(found, Arrays):
        return found.shape
    if isinstance(found, Images):
        width, height = found.smallest
        side, _ = _side(found)
        return (found.channels, side or height, side or width)
    return (0,)


def _model(found: Found, train: int) -> list[Setting]:
    """Choose a model by the size of an example and how many there are to train on."""
    shape = _shape(found)
    small = [64, 64] if train < 1000 else [256, 256]
    if len(shape) != 3 or min(shape[1:]) < _SMALLEST_FOR_LENET:
        return _mlp(small)
    largest = max(shape[1:])
    if shape[0] == 1 and largest <= 32:
        return [Setting("name", "lenet", "small grey images; resnet-20 is better and slower")]
    if largest <= LARGEST_SIDE:
        why = "resnet-56 is better and three times as slow; or torchvision:resnet18"
        return [Setting("name", "resnet-20", why)]
    return [Setting("name", "torchvision:resnet18", "or timm:NAME, or your own module:callable")]


def _mlp(hidden: list[int]) -> list[Setting]:
    return [
        Setting("name", "mlp", "or your own, package.module:callable"),
        Setting("args", {"hidden": hidden}, "widths of the hidden layers"),
    ]


def _training(train: int, *, images: bool) -> list[Setting]:
    epochs = 30 if train < 5_000 else 20 if train < 30_000 else 10
    if not images and train < 5_000:
        epochs = 50
    return [Setting("epochs", epochs, "of the final run; the search takes about three times that")]


def _f1_reason(found: Found) -> str:
    imbalance = found.imbalance
    assert imbalance is not None
    return f"classes differ {imbalance.ratio:.3g}-fold; f1_score weighs each class the same"


def _hints() -> list[str]:
    return [
        "",
        "# LR, momentum, weight decay and batch size are decided by hptune. To start from your own:",
        "# hyper_parameters:",
        "#   lr: 0.1",
        "#   batch_size: 64",
        "# procedure:",
        "#   final: {seeds: 4} # repeats of the final run, for mean and standard deviation",
    ]


def _line(key: str, value: Any, why: str) -> str:
    text = f"{key}: {write_line(value)}"
    return f"{text:<{_COLUMN}} # {_plain(why)}" if why else text


def _plain(text: str) -> str:
    """Return text that stands in a comment, whatever a class or a file is called."""
    return "".join(c if c.isprintable() else "?" for c in text)
