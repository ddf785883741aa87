"""What TAB completes, by click's protocol for three shells and in a real bash."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from hptune.cli import run


def completed(shell: str, line: str, monkeypatch, capsys) -> list[str]:
    """Return what a shell is told to offer at the end of a line, with its type."""
    words = line.split(" ")
    typed = words if shell == "fish" else line.split()
    monkeypatch.setenv("_HPTUNE_COMPLETE", f"{shell}_complete")
    monkeypatch.setenv("COMP_WORDS", " ".join(typed))
    monkeypatch.setenv("COMP_CWORD", words[-1] if shell == "fish" else str(len(words) - 1))
    with pytest.raises(SystemExit):
        run([])
    told = capsys.readouterr().out.splitlines()
    if shell == "zsh":  # type, value and help have a line each
        return [",".join(told[k : k + 2]) for k in range(0, len(told), 3)]
    return [item.split("\t")[0] for item in told]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("hptune re", ["plain,report"]),
        (
            "hptune sweep ",
            [f"plain,{k}" for k in ["momentum", "wd", "batch-size", "lr", "dropout", "balance"]],
        ),
        ("hptune sweep optimizer.na", ["plain,optimizer.name"]),
        ("hptune run --dry", ["plain,--dry-run"]),
        ("hptune run --set training.ep", ["plain,training.epochs="]),
        ("hptune run --set sear", ["plain,search."]),
        ("hptune train --policy 1cycle-c", ["plain,1cycle-cosine"]),
        ("hptune policies cosine-", ["plain,cosine-restarts"]),
        ("hptune run --stages momentum,we", ["plain,momentum,weight-decay"]),
        ("hptune run --jobs 2 --executor pro", ["plain,processes"]),
        ("hptune train --out ru", ["file,ru"]),
        ("hptune check my", ["file,my"]),
    ],
)
def test_every_shell_is_offered(shell, line, offered, monkeypatch, capsys):
    assert completed(shell, line, monkeypatch, capsys) == offered


BASH = """
PATH={bin}:$PATH
eval "$(_HPTUNE_COMPLETE=bash_source hptune)"
complete -p hptune
compopt() {{ options+=("$2"); }}
try() {{
    COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMPREPLY=() options=()
    _hptune_completion hptune
    echo "${{COMPREPLY[*]}}|${{options[*]}}"
}}
try hptune sweep w
try hptune run --set training.ep
"""


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash")
def test_in_a_real_bash(tmp_path: Path):
    programs = tmp_path / "bin"
    programs.mkdir()
    program = programs / "hptune"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m hptune "$@"\n')
    program.chmod(0o755)
    done = subprocess.run(
        ["bash", "--norc", "-c", BASH.format(bin=programs)], capture_output=True, text=True
    )
    assert done.stderr == ""
    assert done.stdout.splitlines()[1:] == ["wd|", "training.epochs=|"]


def test_nothing_heavy_is_imported():
    code = """
import os, sys
from hptune.cli import run
for line in ("hptune ", "hptune run --set tr", "hptune train --policy ", "hptune sweep "):
    os.environ |= {"_HPTUNE_COMPLETE": "zsh_complete", "COMP_WORDS": line}
    os.environ["COMP_CWORD"] = str(len(line.split(" ")) - 1)
    try:
        run([])
    except SystemExit:
        pass
heavy = ["torch", "pandas", "sklearn", "torchvision", "matplotlib", "rich"]
sys.exit(str([name for name in heavy if name in sys.modules]))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "training." in done.stdout and done.stderr.strip() == "[]"
