"""Looks at a folder of images: counts all names, opens a sample."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
from PIL import Image

from hptune.data.images.listing import Listing, scan
from hptune.data.images.survey import look_at_images, spread, unreadable_note
from hptune.data.inspect.found import Images, noted, split_facts
from hptune.data.readers.image_folder import all_notes, survey_of
from hptune.data.spec import DataSpec

SAMPLE = 600  # images that are opened, besides the first of each class
SECONDS = 3.0  # after which no more are
_COLOUR = 4.0  # mean difference between channels, of 255, above which an image has colours


def inspect_data(folder: Path, target: str | None = None) -> Images:
    """Look at class folders, or at training, validation and test folders of them.

    Raises:
        InputError: There are no class folders with images, or none of those opened can be read.
    """
    spec = DataSpec(name="image-folder", path=str(folder))
    listing = scan(spec)
    coloured: dict[int, bool] = {}

    def see(k: int, image: Image.Image) -> None:
        small = np.asarray(image.convert("RGB").resize((32, 32)), dtype=np.float32)
        coloured[k] = float(np.ptp(small, axis=2).mean()) > _COLOUR

    looks, bad = look_at_images(listing, _sample(listing), use=see, seconds=SECONDS)
    problems, left_out = list[str](), None
    with noted(problems):
        left_out = unreadable_note(listing, bad, spec.unreadable)
        listing = listing.without(set(bad))
    if not looks:
        unreadable_note(listing, bad, 0.0)
    survey = survey_of(listing, looks, bad, None)
    sizes = sorted({look.size for look in looks.values()}, key=lambda wh: (wh[0] * wh[1], wh))
    facts = split_facts(listing.parts, listing.labels, listing.classes, problems)
    return Images(
        reader="image-folder",
        path=folder,
        **facts,
        warnings=tuple(all_notes(listing, survey, left_out)),
        problems=tuple(problems),
        looked_into=len(looks) + len(bad) * bool(problems),
        smallest=sizes[0],
        largest=sizes[-1],
        same_size=len(sizes) < 2,
        modes=dict(Counter(look.mode for look in looks.values()).most_common()),
        coloured=sum(coloured.values()) > 0.1 * len(looks),
        channels=survey.how.channels,
    )


def _sample(listing: Listing) -> list[int]:
    """Return which images to open: empty files, the first of each class, and some from all over."""
    empty = [k for k, (size, _) in enumerate(listing.stamps) if not size]
    return list(dict.fromkeys([*empty, *spread(listing, SAMPLE)]))
