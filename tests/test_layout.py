"""A folder listing that a newcomer finds their way in: short files, names that say something."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1] / "hptune"
FILES = sorted(ROOT.rglob("*.py"))
LONGEST = 350  # lines
SAY_NOTHING = {"utils.py", "util.py", "helpers.py", "common.py", "misc.py"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_is_short_enough_to_be_read_whole(path: Path):
    assert len(path.read_text().splitlines()) <= LONGEST


def test_half_of_the_files_are_a_page_or_two():
    lengths = sorted(len(path.read_text().splitlines()) for path in FILES)
    assert lengths[len(lengths) // 2] < 120


def test_every_name_says_something():
    assert not [path for path in FILES if path.name in SAY_NOTHING]
