"""`hptune diagnose`."""

from __future__ import annotations

from pathlib import Path

import click

from hptune.cli.options import output_options, print_json


@click.command("diagnose")
@click.argument("curve", type=click.Path(path_type=Path))
@output_options
def command(curve: Path, as_json: bool) -> None:
    """Read any training curve or LR range test.

    CURVE is a CSV, hptune's or another tool's.
    """
    from hptune.analysis.diagnose import diagnose

    document = diagnose(curve)
    if as_json:
        print_json(document)
        return
    click.echo(f"{document['kind']}: {document['verdict']}")
    if document["lr_max"] is not None:
        click.echo(f"usable LR: {document['lr_min']:.3g} to {document['lr_max']:.3g}")
    if document["diverged_at_iteration"] is not None:
        click.echo(f"diverged at iteration {document['diverged_at_iteration']}")
    for title in ("reasons", "advice"):
        for line in document[title]:
            click.echo(f"{title.removesuffix('s')}: {line}")
