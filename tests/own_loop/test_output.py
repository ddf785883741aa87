"""What is read of a training script's results file."""

from __future__ import annotations

from pathlib import Path

import pytest

from hptune.own_loop.output import _of_file


@pytest.mark.parametrize(
    ("name", "text"),
    [("a.csv", "val_dice,epoch\n0.5,1\n"), ("a.json", '{"val_dice": 0.5, "epoch": 1}')],
)
def test_a_byte_order_mark_costs_no_column(name: str, text: str, tmp_path: Path):
    (tmp_path / name).write_text("\ufeff" + text, encoding="utf-8")
    (tmp_path / f"plain-{name}").write_text(text, encoding="utf-8")
    assert _of_file(tmp_path / name) == _of_file(tmp_path / f"plain-{name}") != [{}]
