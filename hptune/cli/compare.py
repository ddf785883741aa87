"""`hptune compare`."""

from __future__ import annotations

from pathlib import Path

import click

from hptune.cli.options import output_options, print_json, style_option
from hptune.errors import InputError

EXAMPLES = """\b
Examples:
  hptune compare runs/digits runs/auto
  hptune compare runs/* --latex > table.tex
  hptune compare runs/sgd runs/adamw --plot curves.pdf --style paper
"""


@click.command("compare", epilog=EXAMPLES)
@click.argument("runs", nargs=-1, metavar="RUN RUN ...", type=click.Path(path_type=Path))
@click.option("--csv", "form", flag_value="csv", help="A row a run, all numbers in full.")
@click.option("--markdown", "form", flag_value="markdown", help="The tables in Markdown.")
@click.option("--latex", "form", flag_value="latex", help="The tables in LaTeX (booktabs).")
@click.option(
    "--plot",
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Draw the curves over one another into a .png, .svg or .pdf.",
)
@click.option(
    "--by",
    type=click.Choice(["epoch", "iteration", "seconds"]),
    default="epoch",
    help="Axis of the plot [epoch].",
)
@style_option
@output_options
def command(
    runs: tuple[Path, ...],
    form: str | None,
    plot: Path | None,
    by: str,
    style: str,
    as_json: bool,
) -> None:
    """Put runs side by side: values, scores, differences, cost.

    RUN is a run directory, or a config whose run is meant. The others are compared with the first,
    by the first metric that all have: seed by seed where they ran the same seeds, else by Welch's
    test. A difference is told as clear where its interval leaves out 0. Runs on other data, or with
    other metrics, are shown and not compared.
    """
    from hptune.cli.show import find_run_dir
    from hptune.report import compare_text
    from hptune.report.compare import compare_runs
    from hptune.results.atomic import write_atomic

    if as_json and form is not None:
        raise InputError(f"--json: given with --{form}; one document is printed; leave one out")
    if plot is not None:
        from hptune.report.plots.runs import draw_runs, form_of

        form_of(plot)  # a wrong name is told before anything is read
    paths = [find_run_dir(run) for run in runs]
    compared = compare_runs(paths, with_curves=plot is not None)
    if plot is not None:
        write_atomic(plot, draw_runs(compared, form_of(plot), by=by, style=style))
        click.echo(f"plot: {plot}", err=True)
    if as_json:
        print_json(compare_text.as_document(compared))
    elif form is not None:
        click.echo(getattr(compare_text, f"as_{form}")(compared).rstrip("\n"))
    else:
        from hptune.console.compared import print_compared

        print_compared(compared)
