"""The day at a GPU, rehearsed on the CPU."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from scripts.gpu import day
from scripts.gpu.parts import PARTS, Part

ROOT = Path(__file__).parents[2]


@pytest.fixture
def quick_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts of no work: one that measures something, one that fails."""
    csv = "printf 'row,test_accuracy\\nx,92.0\\n' > {out}.csv"
    parts = (
        Part("a", "measures", ("sh", "-c", csv), 60),
        Part("b", "fails", ("sh", "-c", "echo why; exit 3"), 60),
    )
    monkeypatch.setattr(day, "PARTS", parts)
    monkeypatch.setattr(day, "lay_out_data", lambda: None)


def gpu_day(monkeypatch: pytest.MonkeyPatch, out: Path, *options: str) -> None:
    monkeypatch.setattr(sys, "argv", ["gpu_day", "--tiny", "--out", str(out), *options])
    day.main()


@pytest.mark.usefixtures("quick_parts")
def test_a_part_is_written_when_it_ends_and_only_what_failed_is_run_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    gpu_day(monkeypatch, tmp_path)
    kept = json.loads((tmp_path / "cpu-tiny.json").read_text())
    assert kept["a"]["measured"] == [{"row": "x", "test_accuracy": "92.0"}]
    assert kept["a"]["torch"] == torch.__version__ and kept["a"]["name"] == "cpu"
    assert kept["b"]["ended"] == "failed with exit code 3" and kept["b"]["last_lines"] == ["why"]
    assert (tmp_path / "cpu-tiny.txt").read_text() == "== a  measures\n\n== b  fails\nwhy\n\n"
    capsys.readouterr()
    gpu_day(monkeypatch, tmp_path)
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == "a  measures: done before"
    assert printed[1].startswith("b  fails: failed with exit code 3 after")


@pytest.mark.usefixtures("quick_parts")
def test_no_part_is_begun_without_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    gpu_day(monkeypatch, tmp_path, "--only", "a", "--minutes", "0.05")
    assert "no time left" in capsys.readouterr().out


def test_a_part_that_takes_too_long_is_broken_off_with_all_that_it_started():
    slow = Part("z", "sleeps", ("sh", "-c", "echo begun; sleep 60"), 60)
    result = day.run(slow, "cpu", 0.5, tiny=False)
    assert result["ended"] == "broken off" and result["seconds"] < 10
    assert result["last_lines"] == ["begun"] and result["measured"] is None


def test_a_day_without_a_card_is_one_line():
    if torch.cuda.is_available():
        pytest.skip("there is a card here")
    with pytest.raises(SystemExit, match="no CUDA device is here; rehearse with --tiny"):
        day.facts_of("cuda")


def test_every_part_has_a_rehearsal_and_its_limits_fit_a_stay():
    assert len({part.name for part in PARTS}) == len(PARTS)
    assert sum(part.seconds for part in PARTS[:4]) <= 9.6 * 60  # the first parts fit one stay
    for part in PARTS:
        assert part.tiny and part.cuts


@pytest.mark.slow
def test_the_whole_day_is_rehearsed(tmp_path: Path):
    if not (ROOT / "data" / "mnist").is_dir():
        pytest.skip("the images are not at data/mnist; unpack them there")
    command = [sys.executable, str(ROOT / "scripts" / "gpu_day"), "--tiny", "--out", str(tmp_path)]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert printed.count(": done after") == len(PARTS), printed
