"""Every Python block of a page runs, one after the other, in an empty folder."""

from __future__ import annotations

import re
import warnings
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import matplotlib
import pytest
import torch

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCKS = [
    (page.name, block)
    for page in PAGES
    for block in re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL)
]
FIRST = BLOCKS[0][1]
OPTIONAL = {"lightning": ("lightning",), "transformers": ("transformers", "accelerate")}


@pytest.fixture(scope="module")
def names() -> dict[str, dict[str, Any]]:
    """What the blocks before have defined, on each page."""
    return {page.name: {"__name__": "page"} for page in PAGES}


@pytest.mark.parametrize(("page", "block"), BLOCKS, ids=lambda it: it.strip().splitlines()[-1][:40])
def test_a_python_block_of_a_page(
    page: str,
    block: str,
    names: dict[str, dict[str, Any]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    matplotlib.use("Agg")
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    needed = [name for name in OPTIONAL if re.search(rf"^(import|from) {name}\b", block, re.M)]
    for package in (package for name in needed for package in OPTIONAL[name]):
        if find_spec(package) is None:
            pytest.skip(f"needs {package}")
    with warnings.catch_warnings():
        if needed:  # they warn of what a page does not show, such as workers
            warnings.simplefilter("ignore")
        exec(compile(block, page, "exec", dont_inherit=True), names[page])


def test_a_tuned_run_takes_less_than_15_lines():
    assert len([line for line in FIRST.splitlines() if line.strip()]) < 15
