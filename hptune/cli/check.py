"""`hptune check`."""

from __future__ import annotations

import click

from hptune.cli.options import Common, common_options


@click.command("check")
@common_options
def command(common: Common) -> None:
    """Validate the config, run one batch, show the plan.

    What is shown: shapes, parameters, memory, and the trials with the time they take.
    """
    from hptune.cli.plan import show_plan

    with common.session(dry=True) as session:
        show_plan(session, as_json=common.json, facts=True)
