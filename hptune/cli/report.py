"""`hptune report`."""

from __future__ import annotations

import json
from pathlib import Path

import click


@click.command("report")
@click.argument(
    "run",
    required=False,
    metavar="[RUN_DIR|CONFIG]",
    type=click.Path(path_type=Path),
)
@click.option(
    "--out",
    "folder",  # not `out`, which takes the default of where runs go
    type=click.Path(path_type=Path),
    help="Where report.html and plots/ go [the run directory].",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
@click.option("--quiet", is_flag=True, help="Accepted as everywhere; there is no progress here.")
@click.option("--debug", is_flag=True, help="Show tracebacks.")
def command(run: Path | None, folder: Path | None, as_json: bool, quiet: bool, debug: bool) -> None:
    """Write report.html and plots/*.png of a run directory, of CONFIG's, or of the latest in runs/."""
    from hptune.cli.show import find_run_dir
    from hptune.report.page import write_report

    run_dir = find_run_dir(run)
    written = write_report(run_dir, folder)
    if as_json:
        document = {
            "run_dir": str(run_dir),
            "report": str(written.page),
            "plots": [str(path) for path in written.plots],
        }
        click.echo(json.dumps(document, indent=2))
        return
    click.echo(written.page)
