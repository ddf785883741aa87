"""The result as a table and as JSON."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from scripts.bench.cases import CIFAR10
from scripts.bench.rounds import Row

_NAMED = (
    *("hptune", "torch", "fastai", "lightning", "skorch", "pytorch-ignite"),
    *("torch-lr-finder", "optuna"),
)


def show(rows: Sequence[Row]) -> None:
    """Print the rows."""
    table = Table(
        title="medians (quartiles); a ratio is to the same round's plain loop, or first size"
    )
    for name in ("part", "case", "contestant", "n", "s or MiB", "ratio", "aim", "", "note"):
        table.add_column(name, justify="right" if name in ("n", "aim") else "left")
    before = ("", "")
    for row in rows:
        here = (row.part, row.case)
        if here != before:
            table.add_section()
        bound = "" if row.aim is None else f"{'≥' if row.kind == 'faster' else '≤'} {row.aim:g}"
        ratio = row.ratio
        table.add_row(
            *(here if here != before else ("", "")),
            row.contestant,
            str(row.n),
            f"{row.measured.median:.3g} ({row.measured.low:.3g}-{row.measured.high:.3g})",
            f"{ratio.median:.2f} ({ratio.low:.2f}-{ratio.high:.2f})" if ratio else "",
            bound,
            {True: "met", False: "MISSED", None: ""}[row.met],
            row.note,
        )
        before = here
    Console(width=None if os.isatty(1) else 160).print(table)


def document(rows: Sequence[Row], skipped: Sequence[str], device: str) -> dict[str, Any]:
    """Return the rows with the machine that they were measured on."""
    return {
        "machine": {
            "cpu": _cpu(),
            "cores": os.cpu_count(),
            "threads": torch.get_num_threads(),
            "device": device,
            "gpu": torch.cuda.get_device_name(device) if device.startswith("cuda") else None,
            "cifar10": "images" if CIFAR10.is_dir() else "random",
        },
        "versions": {name: found for name in _NAMED if (found := _version(name))},
        "skipped": list(skipped),
        "rows": [row.document() for row in rows],
    }


def write(path: Path, content: dict[str, Any]) -> None:
    """Write JSON with numbers of six digits."""
    text = json.dumps(
        json.loads(json.dumps(content), parse_float=lambda n: float(f"{float(n):.6g}"))
    )
    path.write_text(text.replace('{"part"', '\n{"part"') + "\n")


def _cpu() -> str:
    for line in (
        Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else ()
    ):
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
