"""`hptune diagnose`."""

from __future__ import annotations

import json
from pathlib import Path

import click


@click.command("diagnose")
@click.argument("curve", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
@click.option("--quiet", is_flag=True, help="Accepted as everywhere; there is no progress here.")
@click.option("--debug", is_flag=True, help="Show tracebacks.")
def command(curve: Path, as_json: bool, quiet: bool, debug: bool) -> None:
    """Read a training curve or an LR range test from a CSV, hptune's or another tool's."""
    from hptune.analysis.diagnose import diagnose
    from hptune.results.cells import finite

    document = diagnose(curve)
    if as_json:
        click.echo(json.dumps(finite(document), indent=2))
        return
    click.echo(f"{document['kind']}: {document['verdict']}")
    if document["lr_max"] is not None:
        click.echo(f"usable LR: {document['lr_min']:.3g} to {document['lr_max']:.3g}")
    if document["diverged_at_iteration"] is not None:
        click.echo(f"diverged at iteration {document['diverged_at_iteration']}")
    for title in ("reasons", "advice"):
        for line in document[title]:
            click.echo(f"{title.removesuffix('s')}: {line}")
