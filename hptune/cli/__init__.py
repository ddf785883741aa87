"""The command line: `hptune COMMAND`. A command's module is imported when it is called."""

from __future__ import annotations

import importlib
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import click

from hptune.cli.wrapped import wrapped
from hptune.errors import (
    EXIT_BAD_INPUT,
    EXIT_DONE,
    EXIT_FAILED,
    EXIT_INTERRUPTED,
    HptuneError,
    did_you_mean,
    one_line,
)
from hptune.training.interrupt import signals_handled

STARTED = time.monotonic()  # of this process, about

# In the order of use; each is a module of this package. What it does stands here too, as the first
# line of its help, so that the list of commands imports none of them.
COMMANDS = {
    "init": "Look at your data and write a config that runs.",
    "check": "Validate the config, run one batch, show the plan.",
    "lr-find": "Run the LR range test and confirm the maximum LR.",
    "sweep": "Sweep momentum, wd, batch-size, lr, dropout, balance or any key.",
    "train": "Train with the decided values.",
    "run": "Run the whole procedure, resumable.",
    "search": "Search jointly through Optuna, to compare or to refine.",
    "show": "Show a run directory's answer and trials.",
    "report": "Write a page and plots of a run directory.",
    "compare": "Put runs side by side: values, scores, differences, cost.",
    "landscape": "Look at the loss around, between and along trained weights.",
    "predict": "Predict new data with what was trained.",
    "export": "Write what was trained for torch, TorchScript or ONNX.",
    "diagnose": "Read any training curve or LR range test.",
    "policies": "List the learning-rate policies, or print one as CSV.",
    "cache": "Show or clear the cache of decoded images.",
}
# The headings of their list, each by the first command below it.
HEADINGS = {
    "init": "Begin",
    "lr-find": "Tune and train, one by one or all at once",
    "show": "Look at what came of it",
    "predict": "Use what was trained",
    "diagnose": "Beside",
}
PROJECT = Path("pyproject.toml")


class LazyGroup(click.Group):
    """A group whose commands are imported when they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the commands in the order of use."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command's module and return its command."""
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"hptune.cli.{cmd_name.replace('-', '_')}")
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands in the order of use, under headings."""
        parts: list[tuple[str, list[tuple[str, str]]]] = []
        for name, what in COMMANDS.items():
            if name in HEADINGS:
                parts.append((HEADINGS[name], []))
            parts[-1][1].append((f"{name:<10}", what))
        for heading, rows in parts:
            with formatter.section(heading):
                formatter.write_dl(rows)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find a command, and suggest the nearest where there is none."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            hint = did_you_mean(args[0], COMMANDS, f"choose of {', '.join(COMMANDS)}")
            raise click.UsageError(f"no command {args[0]!r}; {hint}") from error


EXAMPLES = """\b
Examples:
  hptune run                  # the whole procedure, on the bundled digits
  hptune init data.csv        # your own data: a config to look at, and then:
  hptune check
  hptune run --time 30m

`hptune COMMAND --help` has more of them.
"""


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"]},
    invoke_without_command=True,
    epilog=EXAMPLES,
)
@click.version_option(package_name="hptune")
@click.pass_context
def group(context: click.Context) -> None:
    """Find a model's hyper-parameters by Leslie Smith's disciplined procedure.

    With no CONFIG, ./hptune.yaml is used, else the bundled digits experiment. Defaults of --out,
    --device, --track and --quiet come from HPTUNE_OUT, ... or [tool.hptune] in ./pyproject.toml.
    """
    if context.invoked_subcommand is None:
        click.echo(context.get_help())
    elif PROJECT.is_file():
        from hptune.cli.defaults import file_defaults

        context.default_map = dict.fromkeys(COMMANDS, file_defaults(PROJECT))


def main(args: Sequence[str] | None = None) -> None:
    """Run a command and exit: 0 done, 2 wrong input, 1 failed, 130 interrupted."""
    sys.exit(run(sys.argv[1:] if args is None else args))


def run(args: Sequence[str]) -> int:
    """Run a command and return its exit code; errors are one line on stderr."""
    try:
        with signals_handled():
            group.main(args=list(args), prog_name="hptune", standalone_mode=False)
        return EXIT_DONE
    except click.exceptions.Exit as exit_:
        return exit_.exit_code
    except click.UsageError as error:
        told, code = error.format_message(), EXIT_BAD_INPUT
    except (KeyboardInterrupt, click.Abort):
        told = "interrupted; what was finished is saved: the same command goes on from there"
        code = EXIT_INTERRUPTED
    except BrokenPipeError:
        # The reader has gone, `hptune show | head` for one; nothing is left to be told.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_FAILED
    except Exception as error:
        if "--debug" in args:
            raise
        if isinstance(error, HptuneError):
            told, code = str(error), error.exit_code
        else:
            told = f"{type(error).__name__}: {one_line(error, 300)}; --debug shows the traceback"
            code = EXIT_FAILED
    click.echo(wrapped(f"error: {' '.join(told.split())}", sys.stderr), err=True)
    return code
