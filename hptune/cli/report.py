"""`hptune report`."""

from __future__ import annotations

from pathlib import Path

import click

from hptune.cli.options import output_options, print_json


@click.command("report")
@click.argument("run", required=False, metavar="[RUN_DIR|CONFIG]", type=click.Path(path_type=Path))
@click.option(
    "--out",
    "folder",  # not `out`, which takes the default of where runs go
    type=click.Path(path_type=Path),
    help="Where report.html and plots/ go [the run directory].",
)
@output_options
def command(run: Path | None, folder: Path | None, as_json: bool) -> None:
    """Write a page and plots of a run directory.

    By default of the latest in runs/.
    """
    from hptune.cli.show import find_run_dir
    from hptune.report.page import write_report

    run_dir = find_run_dir(run)
    written = write_report(run_dir, folder)
    if as_json:
        plots = [str(path) for path in written.plots]
        print_json({"run_dir": str(run_dir), "report": str(written.page), "plots": plots})
    else:
        click.echo(written.page)
