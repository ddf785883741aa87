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
EXTRAS = {"lightning": "lightning", "huggingface": "transformers", "onnx": "onnxruntime"}
FIRST = BLOCKS[0][1]


@pytest.fixture(scope="module")
def names() -> dict[str, dict[str, Any]]:
    """What the blocks before have defined, on each page."""
    return {page.name: {"__name__": "page"} for page in PAGES}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A folder a page, which keeps what the blocks before have written."""
    return {page.name: tmp_path_factory.mktemp("user") for page in PAGES}


@pytest.mark.parametrize(("page", "block"), BLOCKS, ids=lambda it: it.strip().splitlines()[-1][:40])
def test_a_python_block_of_a_page(
    page: str,
    block: str,
    names: dict[str, dict[str, Any]],
    folders: dict[str, Path],
    monkeypatch: pytest.MonkeyPatch,
):
    matplotlib.use("Agg")
    monkeypatch.chdir(folders[page])
    torch.manual_seed(0)
    with warnings.catch_warnings():
        for extra, module in EXTRAS.items():
            if f"import {module}" in block or f"from {module}" in block:
                if find_spec(module) is None or (
                    extra == "huggingface" and find_spec("accelerate") is None
                ):
                    pytest.skip(f'needs {module}: pip install "hptune[{extra}]"')
                warnings.simplefilter("ignore")  # of what it does itself
        exec(compile(block, page, "exec", dont_inherit=True), names[page])


def test_a_tuned_run_takes_less_than_15_lines():
    assert len([line for line in FIRST.splitlines() if line.strip()]) < 15
