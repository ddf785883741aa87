"""`hptune check`, and the plan that it shows: stages, and how long they take."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from hptune import cli
from hptune.cli.options import Common, common_options, print_json
from hptune.cli.own_loop import TakesCommand, first_options

if TYPE_CHECKING:
    from hptune.procedure.session.session import Session

REPORT_SECONDS = 3.0  # to draw and write the report; hardly depends on the run

EXAMPLES = """\b
Examples:
  hptune check                       # ./hptune.yaml, else the bundled digits
  hptune check flowers.yaml --set data.resize=64
"""


@click.command("check", cls=TakesCommand, epilog=EXAMPLES)
@common_options
@first_options
def command(common: Common) -> None:
    """Validate the config, run one batch, show the plan.

    What is shown: shapes, parameters, memory, and the trials with the time they take.
    """
    with common.session(dry=True) as session:
        show_plan(session, as_json=common.json, facts=True)


def show_plan(
    session: Session, stages: Sequence[str] | None = None, *, as_json: bool, facts: bool = False
) -> None:
    """Print stages, trials, epochs and an estimate of the time, with their sums.

    Args:
        session: The experiment at work.
        stages: Those that would run; by default those of the config.
        as_json: Whether to print one JSON document.
        facts: Whether to print beside it what was found in data and model.
    """
    found = session.check()
    # What was imported and loaded up to here, a run imports and loads again.
    start = time.monotonic() - cli.STARTED
    session.progress.message("timing a few iterations, alone and several trials at once ...")
    planned = session.plan(stages)
    total = start + sum(stage.seconds or 0.0 for stage in planned) + REPORT_SECONDS
    if as_json:
        document: dict[str, Any] = dict(found) if facts else {}
        document["plan"] = [asdict(stage) for stage in planned]
        times = {"start_seconds": start, "report_seconds": REPORT_SECONDS, "seconds": total}
        print_json(document | times)
        return
    if facts:
        del found["notes"]  # told already
        width = max(map(len, found)) + 2
        for name, value in found.items():
            shown = f"{value:.4g}" if isinstance(value, float) else value
            click.echo(f"{name.replace('_', ' '):<{width}}{shown}")
        click.echo()
    trials, epochs = sum(s.trials for s in planned), sum(s.epochs for s in planned)
    for row in (
        ("stage", "trials", "epochs", "time"),
        ("start", "", "", rough(start)),
        *((s.stage, s.trials, f"{s.epochs:.1f}", rough(s.seconds)) for s in planned),
        ("report", "", "", rough(REPORT_SECONDS)),
        ("total", trials, f"{epochs:.1f}", rough(total)),
    ):
        click.echo("{:<14}{:>8}{:>10}{:>10}".format(*row))


def rough(seconds: float | None) -> str:
    """Return a time as nobody knows it better: 0.4 s, 12 s, 5 min, 3.1 h; "" where none is known."""
    if seconds is None:
        return ""
    if seconds < 100:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
