"""`hptune check`."""

from __future__ import annotations

import json
from dataclasses import asdict

import click

from hptune.cli.options import Common, common_options, finite


@click.command("check")
@common_options
def command(common: Common) -> None:
    """Validate the config, run one batch, and show shapes, parameters, memory and the plan."""
    from hptune.cli.plan import print_plan

    with common.session() as session:
        facts = session.check()
        stages = session.plan()
    if common.json:
        facts["plan"] = [asdict(stage) for stage in stages]
        click.echo(json.dumps(finite(facts), indent=2))
        return
    for name, value in facts.items():
        shown = f"{value:.4g}" if isinstance(value, float) else value
        click.echo(f"{name.replace('_', ' '):<16}{shown}")
    click.echo()
    print_plan(common, stages)
