"""`hptune diagnose`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from hptune.cli.options import output_options, print_json

EXAMPLES = """\b
Examples:
  hptune diagnose runs/digits/curves/lr-range-1a2b3c4d.csv
  hptune diagnose mlruns --json       # every run that MLflow has logged there
"""


@click.command("diagnose", epilog=EXAMPLES)
@click.argument("curve", type=click.Path(path_type=Path))
@output_options
def command(curve: Path, as_json: bool) -> None:
    """Read any training curve or LR range test.

    CURVE is a log of hptune or of another tool: a CSV, JSON, what a program printed, TensorBoard's
    event files, MLflow's metrics, or a folder of these. With several runs in it, each gets an answer,
    and --json prints a list.
    """
    from hptune.analysis.diagnose import diagnose

    found = diagnose(curve)
    if as_json:
        print_json(found)
        return
    for document in found if isinstance(found, list) else [found]:
        _show(document)


def _show(document: dict[str, Any]) -> None:
    if "run" in document:
        click.echo(f"run {document['run']}")
    click.echo(f"{document['kind']}: {document['verdict']}")
    if document["lr_max"] is not None:
        click.echo(f"usable LR: {document['lr_min']:.3g} to {document['lr_max']:.3g}")
    if document["diverged_at_iteration"] is not None:
        click.echo(f"diverged at iteration {document['diverged_at_iteration']}")
    for title in ("reasons", "advice"):
        for line in document[title]:
            click.echo(f"{title.removesuffix('s')}: {line}")
