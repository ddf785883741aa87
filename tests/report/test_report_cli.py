"""`hptune report`, `hptune show --plots`, and the report at the end of `hptune run`."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from report_runs import QUICK

from hptune.cli import run

REPORT = """
import sys
from hptune.cli import run
assert run(["report", {run_dir!r}, "--out", {out!r}]) == 0
assert "torch" not in sys.modules and "pandas" not in sys.modules
"""


def test_run_ends_with_a_report(command_run: Path):
    assert (command_run / "report.html").stat().st_size < 2_000_000
    assert (command_run / "plots" / "final-loss.png").exists()


def test_report_prints_the_path_of_the_page(lr_run: Path, capsys):
    assert run(["report", str(lr_run)]) == 0
    assert capsys.readouterr().out == f"{lr_run / 'report.html'}\n"


def test_report_into_another_folder_as_json(whole_run: Path, tmp_path: Path, capsys):
    assert run(["report", str(whole_run), "--out", str(tmp_path / "a" / "b"), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["run_dir"] == str(whole_run)
    assert document["report"] == str(tmp_path / "a" / "b" / "report.html")
    assert document["plots"] and all(Path(path).exists() for path in document["plots"])


def test_report_never_imports_torch(lr_run: Path, tmp_path: Path):
    code = REPORT.format(run_dir=str(lr_run), out=str(tmp_path))
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_a_config_stands_for_its_run_directory(
    lr_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
):
    monkeypatch.chdir(tmp_path)
    config = tmp_path / "mine.yaml"
    config.write_text("name: mine\n")
    assert run(["report", "mine.yaml"]) == 2
    assert "hptune run mine.yaml" in capsys.readouterr().err
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "mine").symlink_to(lr_run)
    for args in (["report", "mine.yaml"], ["report"]):
        assert run(args) == 0
        assert capsys.readouterr().out.strip() == str(Path("runs/mine/report.html"))


@pytest.mark.parametrize("name", ["nowhere", "empty"])
def test_no_run_directory_is_one_line(tmp_path: Path, capsys, name: str):
    (tmp_path / "empty").mkdir()
    assert run(["report", str(tmp_path / name)]) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.count("\n") == 1 and "run directory" in captured.err


def test_an_output_folder_that_is_a_file_is_one_line(lr_run: Path, tmp_path: Path, capsys):
    (tmp_path / "file").write_text("")
    assert run(["report", str(lr_run), "--out", str(tmp_path / "file")]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_a_failure_to_draw_does_not_fail_the_run(
    command_run: Path, monkeypatch: pytest.MonkeyPatch, capsys
):
    def fail(*args: object) -> None:
        raise RuntimeError("no\nfonts")

    monkeypatch.setattr("hptune.report.page.write_report", fail)
    assert run(["run", "--out", str(command_run), *QUICK, "--stages", "lr-range", "--json"]) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out)
    lines = [line for line in captured.err.splitlines() if "report" in line]
    assert lines == [f"report: not written (no fonts); `hptune report {command_run}` tries again"]


def test_plots_come_as_files_for_a_paper_too(lr_run: Path, tmp_path: Path):
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder in folders:
        words = ["report", str(lr_run), "--out", str(folder)]
        assert run([*words, "--figures", "svg", "--style", "paper"]) == 0
    drawn = sorted((folders[0] / "plots").iterdir())
    assert drawn and all(path.suffix == ".svg" for path in drawn)
    assert "plots/lr-range.svg" in (folders[0] / "report.html").read_text()
    for path in drawn:
        content = path.read_bytes()
        assert b'width="237.6pt"' in content  # 3.3 inches of 72 points
        assert (folders[1] / "plots" / path.name).read_bytes() == content
