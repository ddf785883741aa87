"""`hptune sweep`."""

from __future__ import annotations

import click

from hptune.cli.options import Common, common_options, print_outcome, restart_option, seeds_option


@click.command("sweep")
@click.argument("key", metavar="momentum|wd|batch-size|lr|dropout|KEY.PATH")
@common_options
@click.option("--values", metavar="A,B,C", help="Candidates; a KEY.PATH needs them.")
@seeds_option
@restart_option
def command(common: Common, key: str, values: str | None, seeds: int | None, restart: bool) -> None:
    """Compare paired short runs and decide: a stage of the procedure, or any key of the config."""
    from hptune.config.load import parse_value
    from hptune.errors import InputError

    given = None
    if values is not None:
        given = parse_value(f"[{values}]", "--values")
        if not given or any(isinstance(v, dict | list) or v is None for v in given):
            raise InputError(f"--values: {values!r}; must be values with commas; write A,B,C")
    with common.session(restart=restart) as session:
        outcome = session.sweep(key, values=given, seeds=seeds)
        print_outcome(common, session, outcome.decisions, outcome.results)
