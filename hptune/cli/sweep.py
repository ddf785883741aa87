"""`hptune sweep`."""

from __future__ import annotations

import click

from hptune.cli.completion import sweep_keys
from hptune.cli.options import (
    Common,
    common_options,
    execution_options,
    print_outcome,
    restart_option,
    seeds_option,
)


@click.command("sweep")
@click.argument(
    "key", metavar="momentum|wd|batch-size|lr|dropout|KEY.PATH", shell_complete=sweep_keys
)
@common_options
@execution_options
@click.option("--values", metavar="A,B,C", help="Candidates; a KEY.PATH needs them.")
@seeds_option
@click.option(
    "--from-snapshot", is_flag=True, help="wd: branch the candidates from one run's plateau."
)
@restart_option
def command(
    common: Common,
    key: str,
    values: str | None,
    seeds: int | None,
    from_snapshot: bool,
    restart: bool,
) -> None:
    """Compare paired short runs and decide: a stage of the procedure, or any key of the config."""
    from hptune.config.load import parse_value
    from hptune.errors import InputError

    given = None
    if values is not None:
        given = parse_value(f"[{values}]", "--values")
        if not given or any(isinstance(v, dict) or v is None for v in given):
            raise InputError(f"--values: {values!r}; must be values with commas; write A,B,C")
    if from_snapshot:
        if key not in ("wd", "weight-decay", "weight_decay"):
            raise InputError(
                f"--from-snapshot: with {key}; only weight decays are compared from a snapshot; "
                "leave it out"
            )
        if seeds is not None and seeds > 1:
            raise InputError(
                f"--seeds: {seeds} with --from-snapshot; branches of one snapshot share its seed; "
                "leave out one of the two"
            )
        common = common.with_setting("procedure.weight_decay.from_snapshot=true")
    with common.session(restart=restart) as session:
        outcome = session.sweep(key, values=given, seeds=seeds)
        print_outcome(common, session, outcome.decisions, outcome.results)
