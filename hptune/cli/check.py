"""`hptune check`."""

from __future__ import annotations

import click

from hptune.cli.options import Common, common_options


@click.command("check")
@common_options
def command(common: Common) -> None:
    """Validate the config, run one batch, and show shapes, parameters, memory and the plan."""
    from hptune.cli.plan import show_plan

    with common.session(dry=True) as session:
        show_plan(session, as_json=common.json, facts=True)
