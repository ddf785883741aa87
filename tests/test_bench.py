"""The benchmark script: a tiny case through its command line."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "scripts" / "bench.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


def test_a_part_is_measured_beside_the_plain_loop(tmp_path: Path):
    found = tmp_path / "bench.json"
    done = bench(
        *("--parts", "training", "--cases", "digits/mlp", "--repeats", "2"),
        *("--scale", "0.05", "--device", "cpu", "--no-peers", "--json", str(found)),
    )
    assert done.returncode == 0, done.stderr
    assert "digits/mlp" in done.stdout
    document = json.loads(found.read_text())
    assert document["machine"]["device"] == "cpu"
    assert document["versions"]["torch"]
    rows = {(row["part"], row["contestant"]): row for row in document["rows"]}
    assert rows["training", "plain"]["ratio"] == {"low": 1, "median": 1, "high": 1}
    row = rows["training", "hptune"]
    assert row["n"] == 2
    assert 0 < row["measured"]["low"] <= row["measured"]["median"] <= row["measured"]["high"]
    assert row["ratio"]["median"] > 0
    assert row["met"] == (row["ratio"]["median"] >= row["aim"])


def test_a_name_that_is_not_known_is_told():
    done = bench("--parts", "training,sorting")
    assert done.returncode == 2
    assert "'sorting'; must be of training, lr-range, own-loop, sweep" in done.stderr
