"""`hptune train`."""

from __future__ import annotations

import click

from hptune.cli.completion import policies
from hptune.cli.options import Common, baseline_option, training_options
from hptune.cli.own_loop import TakesCommand

_POSITIVE = click.FloatRange(min=0, min_open=True)
_MOMENTUM = click.FloatRange(min=0, max=1)

EXAMPLES = """\b
Examples:
  hptune train                       # with what the run directory has decided
  hptune train runs/digits/tuned.yaml --seeds 4 --out runs/again
  hptune train --policy 1cycle --lr 0.1 --epochs 60 --baseline step
"""


@click.command("train", cls=TakesCommand, epilog=EXAMPLES)
@training_options
@click.option(
    "--policy",
    shell_complete=policies,
    help="A learning-rate policy; `hptune policies` lists them [1cycle].",
)
@click.option("--lr", type=_POSITIVE, help="Maximum LR.")
@click.option("--lr-min", type=click.FloatRange(min=0), help="Minimum LR.")
@click.option("--momentum", type=_MOMENTUM, help="Maximum of momentum.")
@click.option("--momentum-min", type=_MOMENTUM, help="Minimum of momentum.")
@click.option("--wd", "weight_decay", type=click.FloatRange(min=0), help="Weight decay.")
@click.option("--batch-size", type=click.IntRange(min=1), help="Total batch size.")
@click.option("--epochs", type=_POSITIVE, help="Length of the run.")
@click.option("--seeds", type=click.IntRange(min=1), default=1, help="Repeats over seeds [1].")
@baseline_option
def command(common: Common, policy: str | None, seeds: int, **flags: float | None) -> None:
    """Train with the decided values.

    The test set is read once at the end.
    """
    with common.session(flags=dict(flags)) as session:
        common.print_outcome(session, session.train(policy=policy, seeds=seeds))
