"""The 1,797 hand-written digits of 8x8 pixels that come with scikit-learn."""

from __future__ import annotations

import numpy as np

from hptune.data.assemble import Content, splits_of
from hptune.data.spec import DataSpec, Splits


def load(spec: DataSpec) -> Splits:
    """Load the digits as images of one channel; pixels run from 0 to 16."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = (digits.images[:, None] / 16).astype(np.float32)
    content = Content(
        inputs=images,
        targets=digits.target.astype(np.int64),
        classes=[str(k) for k in range(10)],
        parts={"train": np.arange(len(images))},
    )
    return splits_of(spec, content)
