"""`hptune lr-find`."""

from __future__ import annotations

import click

from hptune.cli.options import Common, seeds_option, training_options
from hptune.cli.own_loop import TakesCommand, first_options

EXAMPLES = """\b
Examples:
  hptune lr-find
  hptune lr-find flowers.yaml --seeds 3 --set procedure.lr_range.lr_high=1
"""


@click.command("lr-find", cls=TakesCommand, epilog=EXAMPLES)
@training_options
@first_options
@seeds_option
def command(common: Common, seeds: int | None) -> None:
    """Run the LR range test and confirm the maximum LR.

    The minimum LR is recorded too.
    """
    with common.session() as session:
        common.print_outcome(session, session.lr_find(seeds=seeds))
