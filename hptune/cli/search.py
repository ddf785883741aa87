"""`hptune search`."""

from __future__ import annotations

import click

from hptune.cli.options import Common, training_options
from hptune.cli.own_loop import TakesCommand, first_options

EXAMPLES = """\b
Examples:
  hptune search                      # TPE; needs pip install "hptune[search]"
  hptune search --sampler random --budget 5 --out runs/random
"""


@click.command("search", cls=TakesCommand, epilog=EXAMPLES)
@training_options
@first_options
@click.option(
    "--sampler", type=click.Choice(["random", "tpe", "grid"]), help="How points are chosen [tpe]."
)
@click.option(
    "--budget",
    type=click.FloatRange(min=0, min_open=True),
    help="Epochs of the search over those of the final run [3].",
)
def command(common: Common) -> None:
    """Search jointly through Optuna, to compare or to refine.

    LR, momentum, weight decay and batch size are searched with whole runs.
    """
    with common.session() as session:
        common.print_outcome(session, session.search())
