"""What these tests assert is told by the reader of folders; their images are too alike for training."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True, scope="module")
def not_looked_at():
    """Leave out what is told of all data alike; tests/data/sanity has tests of it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("hptune.data.sanity.looked_at", lambda spec, splits: splits)
        yield
