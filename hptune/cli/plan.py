"""The plan of a run as a table."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from hptune.cli.options import Common

if TYPE_CHECKING:
    from hptune.procedure.plan import PlannedStage


def print_plan(common: Common, stages: Sequence[PlannedStage]) -> None:
    """Print stages, trials, epochs and seconds, with their sums."""
    if common.json:
        click.echo(json.dumps({"plan": [asdict(stage) for stage in stages]}, indent=2))
        return
    click.echo(f"{'stage':<14}{'trials':>8}{'epochs':>10}{'seconds':>10}")
    for stage in stages:
        seconds = "-" if stage.seconds is None else f"{stage.seconds:.1f}"
        click.echo(f"{stage.stage:<14}{stage.trials:>8}{stage.epochs:>10.1f}{seconds:>10}")
    total = sum(stage.seconds or 0.0 for stage in stages)
    click.echo(
        f"{'total':<14}{sum(s.trials for s in stages):>8}"
        f"{sum(s.epochs for s in stages):>10.1f}{total:>10.1f}"
    )
