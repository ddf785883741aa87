"""`hptune search`."""

from __future__ import annotations

import click

from hptune.cli.options import (
    Common,
    common_options,
    execution_options,
    print_outcome,
    restart_option,
)


@click.command("search")
@common_options
@execution_options
@click.option(
    "--sampler", type=click.Choice(["random", "tpe", "grid"]), help="How points are chosen [tpe]."
)
@click.option(
    "--budget",
    type=click.FloatRange(min=0, min_open=True),
    help="Epochs of the search over those of the final run [3].",
)
@restart_option
def command(common: Common, sampler: str | None, budget: float | None, restart: bool) -> None:
    """Search LR, momentum, weight decay and batch size jointly, with whole runs, through Optuna."""
    if sampler is not None:
        common = common.with_setting(f"search.sampler={sampler}")
    if budget is not None:
        common = common.with_setting(f"search.budget={budget}")
    with common.session(restart=restart) as session:
        outcome = session.search()
        print_outcome(common, session, outcome.decisions, outcome.results)
