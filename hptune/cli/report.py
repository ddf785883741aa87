"""`hptune report`."""

from __future__ import annotations

from pathlib import Path

import click

from hptune.cli.options import output_options, print_json, style_option

EXAMPLES = """\b
Examples:
  hptune report                      # of the latest run
  hptune report runs/digits --out paper --figures pdf --style paper
"""


@click.command("report", epilog=EXAMPLES)
@click.argument("run", required=False, metavar="[RUN_DIR|CONFIG]", type=click.Path(path_type=Path))
@click.option(
    "--out",
    "folder",  # not `out`, which takes the default of where runs go
    type=click.Path(path_type=Path),
    help="Where report.html and plots/ go [the run directory].",
)
@click.option(
    "--figures",
    type=click.Choice(["png", "svg", "pdf"]),
    default="png",
    help="What the files in plots/ are; the page has its own [png].",
)
@style_option
@output_options
def command(run: Path | None, folder: Path | None, figures: str, style: str, as_json: bool) -> None:
    """Write a page and plots of a run directory.

    By default of the latest in runs/.
    """
    from hptune.cli.show import find_run_dir
    from hptune.report.page import write_report

    run_dir = find_run_dir(run)
    written = write_report(run_dir, folder, figures=figures, style=style)
    if as_json:
        plots = [str(path) for path in written.plots]
        print_json({"run_dir": str(run_dir), "report": str(written.page), "plots": plots})
    else:
        click.echo(written.page)
