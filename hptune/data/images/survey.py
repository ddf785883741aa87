"""What the images of a set are, and the one way to decode all of them that follows."""

from __future__ import annotations

import math
import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from PIL import Image

from hptune.data.images.decode import (
    BACKGROUNDS,
    Decoding,
    Look,
    UnreadableImageError,
    look_at,
    quiet,
)
from hptune.data.images.listing import Listing
from hptune.data.images.names import listed
from hptune.errors import InputError

_SHADES = {255: "white", 0: "black"}
_TOGETHER = 64  # images that a thread takes at a time
_CONVERTED = ("CMYK", "YCbCr", "LAB", "HSV")


def look_at_images(
    listing: Listing,
    chosen: Sequence[int],
    *,
    use: Callable[[int, Image.Image], None] | None = None,
    seconds: float = float("inf"),
) -> tuple[dict[int, Look], dict[int, str]]:
    """Open images of a set.

    Args:
        listing: All images of the set.
        chosen: Those to open, by their places.
        use: Called with the place and the image, in any of several threads.
        seconds: After which no more are opened.

    Returns:
        What each is, and why it cannot be read of those that cannot, by their places.
    """
    looks: dict[int, Look] = {}
    bad: dict[int, str] = {}
    until = time.monotonic() + seconds

    def open_some(places: Sequence[int]) -> None:
        for k in places:
            if time.monotonic() > until:
                return
            try:
                image, looks[k] = look_at(listing.root / listing.names[k])
            except UnreadableImageError as error:
                bad[k] = str(error)
                continue
            if use is not None:
                use(k, image)

    together = [chosen[i : i + _TOGETHER] for i in range(0, len(chosen), _TOGETHER)]
    # Pillow decodes without the interpreter's lock.
    with quiet(), ThreadPoolExecutor(os.cpu_count()) as pool:
        for _ in pool.map(open_some, together):
            pass
    return {k: looks[k] for k in sorted(looks)}, bad


def spread(listing: Listing, count: int) -> list[int]:
    """Return places of a sample: the first image of each class, then some from all over, shuffled."""
    everything = len(listing.names)
    some = np.linspace(0, everything - 1, min(count, everything)).astype(int)
    return list(
        dict.fromkeys([*listing.firsts(), *np.random.default_rng(0).permutation(some).tolist()])
    )


def decide(looks: Iterable[Look], resize: int | None) -> Decoding:
    """Return how all images of a set are decoded, by those that were looked at.

    In colour where one may have colours; in floats where one has more than 8 bits, by one scale
    for all of a kind; on the lightest background on which all transparent ones can be seen.
    """
    grey, spans = True, dict[str, tuple[float, float]]()
    blank: Counter[int] = Counter()
    for look in looks:
        grey = grey and look.grey
        if look.depth != "8 bits":
            low, high = spans.get(look.depth, look.span)
            spans[look.depth] = min(low, look.span[0]), max(high, look.span[1])
        if look.blank_on is not None and len(look.blank_on) < len(BACKGROUNDS):
            blank.update(look.blank_on)
    how = Decoding(
        channels=1 if grey else 3,
        resize=resize,
        deep=bool(spans),
        background=min(BACKGROUNDS, key=lambda level: blank[level]),
    )
    if (whole := spans.get("whole")) is not None:
        how = how.change(whole=_range(whole, 2.0 ** max(8, int(whole[1]).bit_length()) - 1))
    if (real := spans.get("real")) is not None:
        top = next((top for top in (1.0, 255.0) if real[1] <= top), real[1])
        how = how.change(real=_range(real, top))
    return how


def _range(span: tuple[float, float], top: float) -> tuple[float, float]:
    """Return the values that become 0 and 1: 0 and a full scale, or all that there are."""
    low, high = span
    if low >= 0:
        return 0.0, top
    return low, max(high, low + 1.0)


def image_notes(looks: Sequence[Look], how: Decoding) -> Iterator[str]:
    """Yield what is converted, scaled or left out of the images, with how many there are of each."""
    total = f"of {len(looks):,} opened"
    grey = sum(look.grey for look in looks)
    if how.channels == 3 and grey:
        yield f"grey images, read in colour as the others are: {grey:,} {total}"
    modes = Counter(look.mode for look in looks)
    if converted := {mode: modes[mode] for mode in _CONVERTED if modes[mode]}:
        listing = ", ".join(f"{mode} {count:,}" for mode, count in converted.items())
        yield f"images converted to RGB: {sum(converted.values()):,} {total} ({listing})"
    for depth, what, span in (
        ("whole", "whole numbers of more than 8 bits", how.whole),
        ("real", "floats", how.real),
    ):
        if count := sum(look.depth == depth for look in looks):
            yield (
                f"images of {what}: {count:,} {total}; {span[0]:g} to {span[1]:g} become 0 to 1 in all "
                "of them" + (", as 0 to 255 in those of 8 bits" if count < len(looks) else "")
            )
    if cut := sum(look.cut for look in looks):
        yield f"images of 16 bits a colour channel, of which the upper 8 are read: {cut:,} {total}"
    clear = [look for look in looks if look.blank_on is not None]
    if clear:
        shade = _SHADES.get(how.background, f"grey ({how.background} of 255)")
        blank = sum(how.background in (look.blank_on or ()) for look in clear)
        yield f"images with transparent parts, laid on {shade}: {len(clear):,} {total}" + (
            f"; {blank:,} of them show nothing there" if blank else ""
        )
    if turned := sum(look.turned for look in looks):
        yield f"images turned upright, as their EXIF orientation says: {turned:,} {total}"
    if frames := sum(look.frames for look in looks):
        yield f"images of several frames or pages, of which the first is read: {frames:,} {total}"


def unreadable_note(listing: Listing, bad: Mapping[int, str], most: float) -> str | None:
    """Return what to say of the images that cannot be read, None where none was found.

    Args:
        listing: All images of the set.
        bad: Why an image cannot be read, by its place in the listing.
        most: Part of the images that may be left out.

    Raises:
        InputError: They are more.
    """
    if not bad:
        return None
    total = len(listing.names)
    shown = listed([f"{listing.names[k]}: {why}" for k, why in sorted(bad.items())])
    count = f"{len(bad):,} of {total:,} ({shown})"
    if len(bad) <= most * total:
        return f"images that cannot be read, left out: {count}; replace them, or remove them"
    enough = math.ceil(100 * len(bad) / total) / 100
    remedy = f"set data.unreadable to {enough} to leave them out"
    if enough == 1:
        remedy = "read them with a function of your own (data.name: package.module:function)"
    raise InputError(
        f"data.path: {str(listing.root)!r}; images that cannot be read: {count}; must be at most "
        f"{most:g} of all; replace or remove the files, or {remedy}"
    )
