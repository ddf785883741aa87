"""Defaults from files and the environment, in Click's order of precedence."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hptune.cli import run

TRAIN = ["train", "--lr", "0.1", "--set", "training.epochs=1"]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("OUT", "DEVICE", "TRACK", "QUIET"):
        monkeypatch.delenv(f"HPTUNE_{name}", raising=False)
    return tmp_path


def project(text: str) -> None:
    Path("pyproject.toml").write_text(text)


def test_command_line_before_environment_before_file_before_default(here: Path, monkeypatch):
    def lands_in(*words: str) -> str:
        assert run([*TRAIN, *words, "--quiet", "--device", "cpu"]) == 0
        (made,) = {p.parent.name for p in here.glob("*/results.csv")} or {"runs"}
        assert (here / made).is_dir()
        import shutil

        shutil.rmtree(here / made)
        return made

    assert lands_in() == "runs"
    project('[tool.hptune]\nout = "from-file"\n')
    assert lands_in() == "from-file"
    monkeypatch.setenv("HPTUNE_OUT", "from-environment")
    assert lands_in() == "from-environment"
    assert lands_in("--out", "from-flag") == "from-flag"


def test_quiet_from_a_file_can_be_taken_back(capsys, monkeypatch):
    project("[tool.hptune]\nquiet = true\n")
    words = [*TRAIN, "--device", "cpu"]
    assert run(words) == 0
    assert capsys.readouterr().err == ""
    assert run([*words, "--no-quiet"]) == 0
    assert "digits" in capsys.readouterr().err
    monkeypatch.setenv("HPTUNE_QUIET", "0")
    assert run(words) == 0
    assert "digits" in capsys.readouterr().err


def test_the_device_from_file_and_environment(monkeypatch, capsys):
    project('[tool.hptune]\ndevice = "tpu"\n')
    assert run(TRAIN) == 2
    assert "tpu" in capsys.readouterr().err
    monkeypatch.setenv("HPTUNE_DEVICE", "cpu")
    assert run(TRAIN) == 0


def test_trackers_from_a_file(here: Path):
    pytest.importorskip("tensorboard", reason='needs pip install "hptune[tensorboard]"')
    project('[tool.hptune]\ndevice = "cpu"\ntrack = ["tensorboard"]\n')
    assert run(TRAIN) == 0
    assert list(here.glob("runs/digits/tensorboard/train-*"))
    assert run(["check"]) == 0


def test_trackers_from_the_environment(here: Path, monkeypatch, capsys):
    pytest.importorskip("tensorboard", reason='needs pip install "hptune[tensorboard]"')
    monkeypatch.setenv("HPTUNE_TRACK", "tensorboard")
    assert run([*TRAIN, "--device", "cpu"]) == 0
    assert list(here.glob("runs/digits/tensorboard/train-*"))
    monkeypatch.setenv("HPTUNE_TRACK", "tensorbord")
    assert run(TRAIN) == 2
    assert "tensorbord" in capsys.readouterr().err


def test_show_finds_the_run_directory_where_the_default_puts_it(here: Path, capsys):
    project(f'[tool.hptune]\ndevice = "cpu"\nout = "{here}/results/{{name}}"\n')
    assert run([*TRAIN, "--quiet"]) == 0
    capsys.readouterr()
    assert run(["show", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["run_dir"] == str(here / "results" / "digits")
    assert run(["report"]) == 0
    assert capsys.readouterr().out.strip() == str(here / "results" / "digits" / "report.html")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[tool.hptune]\ndevcie = "cpu"\n', "tool.hptune.devcie: there is no such key; did you"),
        ("[tool.hptune]\nseed = 1\n", "the keys are out, device, track, quiet"),
        ("[tool.hptune]\nout = 3\n", "tool.hptune.out: 3; must be text"),
        (
            '[tool.hptune]\ndevice = ""\n',
            "tool.hptune.device: ''; must not be empty",
        ),
        ('[tool.hptune]\ntrack = "mlflow"\n', "tool.hptune.track: 'mlflow'; must be a list"),
        ("[tool.hptune]\ntrack = [1]\n", "tool.hptune.track.0: 1; must be text"),
        ('[tool.hptune]\ntrack = ["wandb"]\n', "'wandb' is not one of 'tensorboard', 'mlflow'"),
        ('[tool.hptune]\nquiet = "yes"\n', "tool.hptune.quiet: 'yes'; must be true or false"),
        ("[tool]\nhptune = 3\n", "tool.hptune: 3; must be a section"),
        ("[tool.hptune\n", "must be TOML"),
    ],
)
def test_a_wrong_table_is_one_line(text: str, message: str, capsys):
    project(text)
    assert run(["train"]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


def test_a_project_without_our_table_changes_nothing():
    project('[project]\nname = "x"\n[tool.ruff]\nline-length = 90\n')
    assert run([*TRAIN, "--device", "cpu", "--quiet"]) == 0
