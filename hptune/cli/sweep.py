"""`hptune sweep`."""

from __future__ import annotations

from dataclasses import replace

import click

from hptune.cli.completion import sweep_keys
from hptune.cli.options import Common, seeds_option, training_options
from hptune.cli.own_loop import TakesCommand, first_options
from hptune.errors import InputError
from hptune.stages import STAGES, WEIGHT_DECAY

EXAMPLES = """\b
Examples:
  hptune sweep wd
  hptune sweep dropout --values 0,0.2,0.4 --seeds 3
  hptune sweep optimizer.name --values sgd,adamw,nadamw
  hptune sweep balance --seeds 3
"""


@click.command("sweep", cls=TakesCommand, epilog=EXAMPLES)
@click.argument(
    "key", metavar="momentum|wd|batch-size|lr|dropout|balance|KEY.PATH", shell_complete=sweep_keys
)
@training_options
@first_options
@click.option("--values", metavar="A,B,C", help="Candidates; a KEY.PATH needs them.")
@seeds_option
@click.option(
    "--from-snapshot", is_flag=True, help="wd: branch the candidates from one run's plateau."
)
def command(
    common: Common, key: str, values: str | None, seeds: int | None, from_snapshot: bool
) -> None:
    """Sweep momentum, wd, batch-size, lr, dropout, balance or any key.

    Paired short runs are compared, and the value is decided. Values that move the LR, such as
    those of optimizer.name or model.args.KEY, are compared each at an LR of its own.

    balance shows what to lower when the LR goes up: weight decay, dropout, augmentation, a
    larger batch or a longer run, each by as much as the LR adds. --values names the
    raised LR [twice the present one].
    """
    from hptune.config.load import parse_value

    given = None
    if values is not None:
        given = parse_value(f"[{values}]", "--values", words=True)
        if not given or any(isinstance(v, dict) for v in given):
            raise InputError(f"--values: {values!r}; must be values with commas; write A,B,C")
    if from_snapshot:
        if key not in STAGES[WEIGHT_DECAY].aliases:
            raise InputError(
                f"--from-snapshot: with {key}; only weight decays are compared from a snapshot; "
                "leave it out"
            )
        if seeds is not None and seeds > 1:
            raise InputError(
                f"--seeds: {seeds} with --from-snapshot; branches of one snapshot share its seed; "
                "leave out one of the two"
            )
        branched = "procedure.weight_decay.from_snapshot=true"
        common = replace(common, overrides=(*common.overrides, branched))
    with common.session() as session:
        common.print_outcome(session, session.sweep(key, values=given, seeds=seeds))
