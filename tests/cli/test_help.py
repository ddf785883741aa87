"""The help: commands in the order of use, and examples that are commands."""

from __future__ import annotations

import shlex
import subprocess
import sys

import click
import pytest

from hptune.cli import COMMANDS, group, run
from hptune.config.load import load_experiment
from hptune.errors import did_you_mean


def examples(name: str) -> list[list[str]]:
    """The commands in a command's help, as words."""
    command = group.get_command(click.Context(group), name)
    assert command is not None
    lines = (command.epilog or "").splitlines()
    return [
        shlex.split(line.split(" # ")[0].split(" > ")[0])
        for line in lines
        if line.strip().startswith("hptune ")
    ]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_two_examples_that_it_takes(name: str):
    found = examples(name)
    assert len(found) >= 2
    command = group.get_command(click.Context(group), name)
    assert command is not None
    for _, called, *words in found:
        assert called == name
        with command.make_context(name, list(words)) as context:
            settings = context.params.get("overrides", ())
            sweep = context.params.get("key")
        load_experiment(None, settings)  # the keys are there
        assert sweep is None or did_you_mean(sweep, ["wd", "dropout", "balance", "optimizer.name"])


@pytest.mark.parametrize("name", COMMANDS)
def test_help_fits_eighty_columns(name: str, capsys):
    assert run([name, "--help"]) == 0
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 80


@pytest.mark.parametrize("args", [[], ["--help"]])
def test_bare_hptune_shows_the_commands_in_the_order_of_use(args: list[str], capsys):
    assert run(args) == 0
    out = capsys.readouterr().out
    places = [out.index(f"\n  {name} ") for name in COMMANDS]
    assert places == sorted(places) and max(map(len, out.splitlines())) <= 80


def test_help_waits_for_no_library():
    code = (
        "import sys; from hptune.cli import run; "
        "[run([name, '--help']) for name in {names!r}]; "
        "heavy = ('torch', 'numpy', 'pandas', 'scipy', 'matplotlib', 'pydantic', 'rich', 'yaml'); "
        "print([name for name in heavy if name in sys.modules], file=sys.stderr)"
    ).format(names=[*COMMANDS, ""][:-1])
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"


def test_what_only_this_command_has_stands_first(capsys):
    assert run(["run", "--help"]) == 0
    out = capsys.readouterr().out
    sections = ["Options:", "--time ", "In common:", "--set ", "With -- COMMAND:", "--metric "]
    places = [out.index(f"\n{'  ' * (name[0] == '-')}{name}") for name in sections]
    assert places == sorted(places) and "COMMAND: " not in out
