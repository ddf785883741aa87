"""`hptune lr-find`."""

from __future__ import annotations

import click

from hptune.cli.options import (
    Common,
    common_options,
    execution_options,
    print_outcome,
    restart_option,
    seeds_option,
)


@click.command("lr-find")
@common_options
@execution_options
@seeds_option
@restart_option
def command(common: Common, seeds: int | None, restart: bool) -> None:
    """Run the LR range test, confirm its candidate, and record the maximum and minimum LR."""
    with common.session(restart=restart) as session:
        outcome = session.lr_find(seeds=seeds)
        print_outcome(common, session, outcome.decisions, outcome.results)
