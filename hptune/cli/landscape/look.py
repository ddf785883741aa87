"""What all looks at the landscape share: their options, and how they are answered."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sized
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hptune.cli.options import debug_option, json_option, print_json

if TYPE_CHECKING:
    from hptune.console.meter import Meter
    from hptune.console.terminal import Console
    from hptune.procedure.session.trained import TrainedRun

Function = Callable[..., Any]
COUNT = click.IntRange(min=1)
BATCHES = "batches"


@dataclass(frozen=True, kw_only=True)
class Look:
    """The options that all looks share, as given."""

    run: Path | None
    examples: int
    budget: int | None
    device: str
    seed: int
    json: bool
    quiet: bool

    def console(self) -> Console:
        """Return where progress is told."""
        from hptune.console.terminal import Console

        return Console(silent=self.json or self.quiet)

    def open(self, console: Console) -> TrainedRun:
        """Find the run directory and build its task."""
        from hptune.cli.show import find_run_dir
        from hptune.procedure.session.trained import TrainedRun
        from hptune.user_code import also_look_in

        if self.run is not None and self.run.is_file():
            also_look_in(self.run.resolve().parent)
        return TrainedRun(find_run_dir(self.run), self.device, console.message)

    def meter(self, console: Console, about: int, what: str = BATCHES) -> Meter:
        """Return what tells of the cost; a budget of batches is the most that they come to."""
        from hptune.console.meter import Meter

        if self.budget is not None and what == BATCHES:
            about = min(about, self.budget)
        return Meter(console, what, about)

    def batches(self, size: int, *splits: Sized) -> int:
        """Return how many batches of a size are looked at of some splits."""
        return sum(-(-min(self.examples, len(split)) // size) for split in splits)

    def write(
        self, trained: TrainedRun, tables: dict[str, str], answer: list[str], document: Any
    ) -> None:
        """Keep the tables of a look, and print its answer."""
        from hptune.results.atomic import write_atomic

        paths = [trained.run_dir.look(name) for name in tables]
        for path, text in zip(paths, tables.values(), strict=True):
            write_atomic(path, text)
        if self.json:
            files = [str(path) for path in paths]
            print_json({"run_dir": str(trained.run_dir.path), "files": files, **document})
        else:
            click.echo("\n".join([*answer, *(f"  {path}" for path in paths)]))


def look_options(function: Function) -> Function:
    """Add RUN and the options of every look; it receives them as `look`."""

    @click.argument(
        "run", required=False, metavar="[RUN_DIR|CONFIG]", type=click.Path(path_type=Path)
    )
    @click.option(
        "--examples",
        type=COUNT,
        default=1000,
        help="Of each split to look at; more than there are takes all [1000].",
    )
    @click.option("--budget", type=COUNT, help="Batches to go through at most.")
    @click.option(
        "--device",
        default="auto",
        envvar="HPTUNE_DEVICE",
        help="auto, cpu, cuda, cuda:N or mps [auto].",
    )
    @click.option("--seed", type=click.IntRange(min=0), default=0, help="Of what is random [0].")
    @json_option
    @click.option("--quiet/--no-quiet", envvar="HPTUNE_QUIET", help="No progress on stderr.")
    @debug_option
    @functools.wraps(function)
    def wrapped(
        run: Path | None,
        examples: int,
        budget: int | None,
        device: str,
        seed: int,
        as_json: bool,
        quiet: bool,
        **given: Any,
    ) -> Any:
        look = Look(
            run=run,
            examples=examples,
            budget=budget,
            device=device,
            seed=seed,
            json=as_json,
            quiet=quiet,
        )
        return function(look, **given)

    return wrapped
