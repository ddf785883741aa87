"""One image: opened, looked at, and made an array in the way that its whole set is."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from hptune.errors import InputError, one_line
from hptune.section import Section

BACKGROUNDS = (255, 0, 128, 64, 192)  # grey levels that transparent images are laid on, white first
_GREY = ("1", "L", "LA", "La", "I", "F")
_BLANK = 32  # levels of 255 that an image spans at least to show anything
_COARSE = 128  # pixels a side, enough to see whether an image shows anything
_ORIENTATION = 0x0112  # the EXIF tag
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class UnreadableImageError(InputError):
    """A file is no image that can be read; the message is the reason alone."""


class Decoding(Section):
    """How the images of a set become arrays: one rule for all, kept in the splits' record.

    Attributes:
        channels: 1 for grey, 3 for colour.
        resize: Side in pixels of the square that images are scaled to, None for their own size.
        deep: Whether the arrays are floats from 0 to 1, since 8 bits do not hold the images.
        whole: Values of images with 16 or 32 bits of whole numbers that become 0 and 1.
        real: Likewise for images of floats.
        background: Grey level of 255 that transparent images are laid on.
    """

    channels: int = 3
    resize: int | None = None
    deep: bool = False
    whole: tuple[float, float] = (0.0, 65535.0)
    real: tuple[float, float] = (0.0, 1.0)
    background: int = BACKGROUNDS[0]


@dataclass(frozen=True, slots=True)
class Look:
    """What an image is, as it was found.

    Attributes:
        size: (width, height), upright.
        mode: Pillow's.
        grey: Whether it can have no colours.
        depth: "8 bits", or "whole" or "real" for more.
        span: Smallest and largest value of an image with more than 8 bits.
        blank_on: Of an image with transparent parts, the backgrounds that it does not show on.
        turned: Whether its EXIF orientation was not upright.
        frames: Whether it holds more than one image, of which the first is read.
        cut: Whether it has more than 8 bits a colour channel, of which Pillow reads 8.
    """

    size: tuple[int, int]
    mode: str
    grey: bool
    depth: str = "8 bits"
    span: tuple[float, float] = (0.0, 255.0)
    blank_on: tuple[int, ...] | None = None
    turned: bool = False
    frames: bool = False
    cut: bool = False


def decode(path: Path, how: Decoding) -> NDArray[np.uint8 | np.float32]:
    """Return the image in a file as (C, H, W): uint8, or float32 from 0 to 1 where `how.deep`.

    Raises:
        InputError: It is no image that can be read.
    """
    try:
        with quiet():
            return pixels(look_at(path)[0], how)
    except UnreadableImageError as error:
        raise InputError(
            f"{path}: cannot be read ({error}); must be an image; remove or replace it"
        ) from None


@contextmanager
def quiet() -> Iterator[None]:
    """Keep Pillow's warnings of odd metadata, which is not read, and of large images to itself."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def look_at(path: Path) -> tuple[Image.Image, Look]:
    """Return the image in a file, upright, and what it is.

    Raises:
        UnreadableImageError: It is none.
    """
    try:
        with Image.open(path) as image:
            return examine(image)
    except Exception as error:  # Pillow's plug-ins raise anything
        raise UnreadableImageError(_reason(path, error)) from None


def _reason(path: Path, error: Exception) -> str:
    if isinstance(error, Image.DecompressionBombError):
        most = 2 * (Image.MAX_IMAGE_PIXELS or 0) / 1e6
        return f"more than the {most:.0f} megapixels that are read, scale it down"
    if path.is_symlink() and not path.exists():
        return "a link that leads nowhere"
    if isinstance(error, UnidentifiedImageError):
        return "no image that Pillow reads" if path.stat().st_size else "empty"
    return one_line(getattr(error, "strerror", None) or error, 80) or type(error).__name__


def examine(image: Image.Image) -> tuple[Image.Image, Look]:
    """Return an image, upright, and what it is."""
    stored = str([tile[3] for tile in getattr(image, "tile", ())])
    cut = ";16" in stored and _depth(image.mode) == "8 bits"
    frames = bool(getattr(image, "is_animated", False)) and image.format != "MPO"
    image.load()
    mode, upright = image.mode, image
    turn = None
    with suppress(Exception):  # metadata that cannot be read say nothing
        turn = _TURNS.get(image.getexif().get(_ORIENTATION, 1))
    if turn is not None:
        upright = image.transpose(turn)
    depth = _depth(mode)
    span = (0.0, 255.0)
    if depth != "8 bits":
        values = np.asarray(image)
        span = float(values.min()), float(values.max())
        if not np.isfinite(span).all():
            raise ValueError("holds values that are not finite")
    return upright, Look(
        size=upright.size,
        mode=mode,
        grey=mode in _GREY or depth != "8 bits" or _has_grey_palette(image),
        depth=depth,
        span=span,
        blank_on=_blank_on(image) if _may_be_transparent(image) else None,
        turned=turn is not None,
        frames=frames,
        cut=cut,
    )


def pixels(image: Image.Image, how: Decoding) -> NDArray[np.uint8 | np.float32]:
    """Return an upright image as (C, H, W): uint8, or float32 from 0 to 1 where `how.deep`."""
    depth = _depth(image.mode)
    if depth != "8 bits":
        low, high = how.whole if depth == "whole" else how.real
        values = (np.asarray(image, dtype=np.float32) - np.float32(low)) / np.float32(high - low)
        image = Image.fromarray(values)
    else:
        if _may_be_transparent(image):
            canvas = Image.new("RGBA", image.size, (*[how.background] * 3, 255))
            canvas.alpha_composite(image.convert("RGBA"))
            image = canvas
        if how.channels == 3 or image.mode == "LAB":  # which Pillow makes no grey of
            image = image.convert("RGB")
        if how.channels == 1:
            image = image.convert("L")
    if how.resize is not None and image.size != (how.resize, how.resize):
        image = image.resize((how.resize, how.resize), Image.Resampling.BILINEAR)
    array = np.asarray(image)
    if depth != "8 bits" and not how.deep:
        array = np.round(np.clip(array, 0, 1) * 255).astype(np.uint8)
    elif how.deep:
        array = np.asarray(array if depth != "8 bits" else array / np.float32(255), np.float32)
    array = array[None] if array.ndim == 2 else array.transpose(2, 0, 1)
    return np.broadcast_to(array, (how.channels, *array.shape[1:]))


def _depth(mode: str) -> str:
    """Return what the values of one of Pillow's modes are: "8 bits", "whole" numbers or "real" ones."""
    if mode == "F":
        return "real"
    return "whole" if mode.startswith("I") else "8 bits"


def _has_grey_palette(image: Image.Image) -> bool:
    if image.mode not in ("P", "PA"):
        return False
    colours = np.array(image.getpalette("RGB"), dtype=np.int16).reshape(-1, 3)
    return not np.ptp(colours, axis=1).any()


def _may_be_transparent(image: Image.Image) -> bool:
    return image.has_transparency_data and _depth(image.mode) == "8 bits"


def _blank_on(image: Image.Image) -> tuple[int, ...] | None:
    """Return the backgrounds that an image does not show on, None where nothing is transparent."""
    small = image.convert("RGBA")
    if small.getchannel("A").getextrema()[0] == 255:
        return None
    small.thumbnail((_COARSE, _COARSE), Image.Resampling.NEAREST)
    rgba = np.asarray(small, dtype=np.float32)
    colours, alpha = rgba[..., :3], rgba[..., 3:] / 255
    shown = (colours * alpha + level * (1 - alpha) for level in BACKGROUNDS)
    spans = [float(np.ptp(each, axis=(0, 1)).max()) for each in shown]
    return tuple(b for b, span in zip(BACKGROUNDS, spans, strict=True) if span < _BLANK)
