"""Images in a folder a class."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from functools import partial
from typing import IO, Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch.utils.data import Dataset

from hptune.data.assemble import Content, splits_of
from hptune.data.images.decode import Decoding, Look, decode, examine, pixels
from hptune.data.images.listing import Listing, scan
from hptune.data.images.names import shown
from hptune.data.images.survey import (
    decide,
    image_notes,
    look_at_images,
    spread,
    unreadable_note,
)
from hptune.data.readers import cache
from hptune.data.spec import DataSpec, Splits
from hptune.errors import InputError
from hptune.section import Section

Pixels = NDArray[np.uint8 | np.float32]
# Of decoded pixels; beyond this a set is streamed. A fraction of a small machine's memory.
MEMORY_BYTES = 4 * 2**30
_FIRST = 50  # images, beside the first of each class, from which the decoding is guessed
_FORMAT = 2  # of what is cached


class Survey(Section):
    """What opening all images of a set showed.

    Attributes:
        how: They are decoded.
        first: Name, width and height of the first image that can be read.
        other: Likewise of one that differs in size; None where all have one size.
        bad: Why an image cannot be read, by its place in the listing.
        notes: On what is converted.
    """

    how: Decoding
    first: tuple[str, int, int]
    other: tuple[str, int, int] | None
    bad: dict[int, str]
    notes: tuple[str, ...]

    def shape(self) -> tuple[int, int, int]:
        """Return the shape of one decoded image, (C, H, W).

        Raises:
            InputError: They differ in size and are not scaled.
        """
        side = self.how.resize
        if side is not None:
            return self.how.channels, side, side
        name, width, height = self.first
        if self.other is not None:
            other, wide, high = self.other
            raise InputError(
                f"data.resize: not set; the images differ in size ({name} is {width}x{height}, "
                f"{other} {wide}x{high}); set data.resize to a side in pixels"
            )
        return self.how.channels, height, width


def load(spec: DataSpec) -> Splits:
    """Load class folders, from `path` or from its training, validation and test folders.

    Raises:
        InputError: No images, a single class, too many that cannot be read, or mixed sizes.
    """
    listing = scan(spec)
    survey, images, kept, why_not = _read(spec, listing)
    left_out = unreadable_note(listing, survey.bad, spec.unreadable)
    listing = listing.without(set(survey.bad))
    content = Content(
        inputs=_Files(listing, survey.how) if images is None else images,
        targets=listing.labels,
        classes=listing.classes,
        parts=listing.parts,
        record={
            "cache": kept,
            "images": survey.how.model_dump(mode="json"),
            "classes": list(listing.classes),
        },
        notes=all_notes(listing, survey, left_out, why_not),
    )
    return splits_of(spec, content)


def all_notes(listing: Listing, survey: Survey, *more: str | None) -> list[str]:
    """Return what is told of a set, whoever asks."""
    found = [*listing.notes, *listing.class_notes(), *survey.notes]
    return found + [note for note in more if note]


def load_files(
    pairs: Sequence[tuple[Any, int]], spec: DataSpec
) -> tuple[Pixels, NDArray[np.int64]]:
    """Return images and labels from pairs of a PIL image and its class."""
    opened = [examine(image) for image, _ in pairs]
    how = decide((look for _, look in opened), spec.resize)
    images = [pixels(image, how) for image, _ in opened]
    if len({image.shape for image in images}) > 1:
        raise InputError(
            "data.resize: not set; the images differ in size; set data.resize to a side in pixels"
        )
    return np.stack(images), np.array([label for _, label in pairs], dtype=np.int64)


def survey_of(
    listing: Listing, looks: Mapping[int, Look], bad: Mapping[int, str], resize: int | None
) -> Survey:
    """Return what was found by looking at images, of which one at least can be read."""
    how = decide(looks.values(), resize)
    named = [(k, look.size) for k, look in looks.items()]
    first = named[0]
    other = next((each for each in named if each[1] != first[1]), None)

    def told(found: tuple[int, tuple[int, int]]) -> tuple[str, int, int]:
        return shown(listing.names[found[0]]), *found[1]

    return Survey(
        how=how,
        first=told(first),
        other=None if other is None else told(other),
        bad=dict(bad),
        notes=tuple(image_notes(list(looks.values()), how)),
    )


def _read(spec: DataSpec, listing: Listing) -> tuple[Survey, Pixels | None, str, str]:
    """Return what the images are, all that can be read, whence they are, and why they are not kept.

    There are no images where they are to be streamed.
    """
    use_cache = spec.cache and cache.limit() > 0
    key = listing.key(_FORMAT, str(listing.root.resolve()))
    survey = cache.read(key, _load_survey) if use_cache else None
    if survey is not None:
        survey = survey.change(how=survey.how.change(resize=spec.resize))
        if not _is_held(spec, survey, listing):
            return survey, None, "streamed", ""
        images = cache.read(_pixels_key(key, survey), _load_pixels)
        if images is not None and len(images) == len(listing.names) - len(survey.bad):
            return survey, images, "read", ""
    survey, images = _decoded(spec, listing, survey)
    kept = "streamed" if images is None else "off"
    if not use_cache:
        return survey, images, kept, ""
    write = partial(cache.write, source=listing.root.resolve())
    text = survey.model_dump_json().encode()
    what = f"facts on {len(listing.names):,} images"
    failed = write(key, lambda file: file.write(text), what=what, size=len(text))
    if images is not None and not failed:
        shape = "x".join(map(str, images.shape[1:]))
        failed = write(
            _pixels_key(key, survey),
            partial(_save_pixels, images),
            what=f"{len(images):,} images of {shape}",
            size=images.nbytes,
        )
        kept = "written"
    if failed:
        kept = "not writable"
        failed = (
            f"the decoded images are not kept, and are decoded again at each start: {failed}; set "
            "HPTUNE_CACHE to a folder that takes them, or data.cache to false"
        )
    return survey, images, kept, failed


def _decoded(
    spec: DataSpec, listing: Listing, survey: Survey | None
) -> tuple[Survey, Pixels | None]:
    """Open all images and return what they are, and the decoded ones unless they are streamed.

    They are decoded by what a few are, and again if all of them turn out to be something else.
    """
    if survey is None:
        looks, bad = look_at_images(listing, spread(listing, _FIRST))
        if not looks:
            unreadable_note(listing, bad, 0.0)
        survey = survey_of(listing, looks, bad, spec.resize)
    while True:
        images = None
        if _is_held(spec, survey, listing):
            dtype = np.float32 if survey.how.deep else np.uint8
            images = np.empty((len(listing.names), *survey.shape()), dtype=dtype)
        use = None if images is None else partial(_put, images, survey.how)
        looks, bad = look_at_images(listing, range(len(listing.names)), use=use)
        found = survey_of(listing, looks, bad, spec.resize)
        found.shape()  # refuses mixed sizes
        if images is None or found.how == survey.how:
            break
        survey = found
    if bad and images is not None:
        images = np.delete(images, list(bad), axis=0)
    return found, images


def _put(images: Pixels, how: Decoding, k: int, image: Image.Image) -> None:
    decoded = pixels(image, how)
    if decoded.shape == images.shape[1:]:  # if not, the sizes are refused when all are known
        images[k] = decoded


def _is_held(spec: DataSpec, survey: Survey, listing: Listing) -> bool:
    """Say whether the decoded images are held in memory."""
    size = len(listing.names) * int(np.prod(survey.shape())) * (4 if survey.how.deep else 1)
    return spec.storage == "memory" or (spec.storage == "auto" and size <= MEMORY_BYTES)


def _pixels_key(key: str, survey: Survey) -> str:
    how = survey.how.model_dump_json()
    return f"{key}-{hashlib.blake2b(how.encode(), digest_size=6).hexdigest()}"


def _load_survey(file: IO[bytes]) -> Survey:
    return Survey.model_validate_json(file.read())


def _load_pixels(file: IO[bytes]) -> Pixels:
    images: Pixels = np.lib.format.read_array(file, allow_pickle=False)
    return images


def _save_pixels(images: Pixels, file: IO[bytes]) -> None:
    np.lib.format.write_array(file, images, allow_pickle=False)


class _Files(Dataset[tuple[torch.Tensor, int]]):
    """Images decoded when they are asked for."""

    def __init__(self, listing: Listing, how: Decoding) -> None:
        self.key = listing.key(how)
        self._listing, self._how = listing, how

    def __getitem__(self, k: int) -> tuple[torch.Tensor, int]:
        decoded = decode(self._listing.root / self._listing.names[k], self._how)
        return torch.from_numpy(decoded.copy()), int(self._listing.labels[k])
