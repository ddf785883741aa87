"""Every Python block of the README runs, one after the other, in an empty folder."""

from __future__ import annotations

import re
import warnings
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import matplotlib
import pytest
import torch

README = (Path(__file__).parents[1] / "README.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
SECTION = README[README.index("## Python") :]
FIRST = re.findall(r"```python\n(.*?)```", SECTION, re.DOTALL)[0]


@pytest.fixture(scope="module")
def names() -> dict[str, Any]:
    """What the blocks before have defined."""
    return {"__name__": "readme"}


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.strip().splitlines()[-1][:40])
def test_a_python_block_of_the_readme(
    block: str, names: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    matplotlib.use("Agg")
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    if "import lightning" in block:
        if find_spec("lightning") is None:
            pytest.skip('needs lightning: pip install "hptune[lightning]"')
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import lightning  # noqa: F401
    exec(compile(block, "README.md", "exec", dont_inherit=True), names)


def test_a_tuned_run_takes_less_than_15_lines():
    assert len([line for line in FIRST.splitlines() if line.strip()]) < 15
