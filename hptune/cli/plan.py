"""The plan of a run: its stages, and how long it takes from the first import to the report."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from hptune import cli
from hptune.results.cells import finite

if TYPE_CHECKING:
    from hptune.procedure.session.session import Session

REPORT_SECONDS = 3.0  # to draw and write the report; hardly depends on the run


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
        document |= {"start_seconds": start, "report_seconds": REPORT_SECONDS, "seconds": total}
        click.echo(json.dumps(finite(document), indent=2))
        return
    if facts:
        _print_facts(found)
    click.echo(f"{'stage':<14}{'trials':>8}{'epochs':>10}{'time':>10}")
    _print_row("start", None, None, start)
    for stage in planned:
        _print_row(str(stage.stage), stage.trials, stage.epochs, stage.seconds)
    _print_row("report", None, None, REPORT_SECONDS)
    _print_row("total", sum(s.trials for s in planned), sum(s.epochs for s in planned), total)


def rough(seconds: float) -> str:
    """Return a time as nobody knows it better: 0.4 s, 12 s, 5 min, 3.1 h."""
    if seconds < 100:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def _print_row(name: str, trials: int | None, epochs: float | None, seconds: float | None) -> None:
    shown = "" if trials is None else str(trials)
    length = "" if epochs is None else f"{epochs:.1f}"
    click.echo(f"{name:<14}{shown:>8}{length:>10}{'' if seconds is None else rough(seconds):>10}")


def _print_facts(facts: dict[str, Any]) -> None:
    for name, value in facts.items():
        shown = f"{value:.4g}" if isinstance(value, float) else value
        click.echo(f"{name.replace('_', ' '):<16}{shown}")
    click.echo()
