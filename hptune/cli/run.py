"""`hptune run`."""

from __future__ import annotations

import click

from hptune import cli
from hptune.cli.check import REPORT_SECONDS, show_plan
from hptune.cli.completion import stages
from hptune.cli.options import Common, baseline_option, training_options
from hptune.cli.own_loop import TakesCommand, first_options
from hptune.errors import one_line

EXAMPLES = """\b
Examples:
  hptune run flowers.yaml
  hptune run --time 30m               # plans all of it to end in half an hour
  hptune run --dry-run --set training.epochs=60
"""


@click.command("run", cls=TakesCommand, epilog=EXAMPLES)
@training_options
@first_options
@click.option(
    "--stages", metavar="A,B", shell_complete=stages, help="Stages to run [those of the config]."
)
@click.option("--dry-run", is_flag=True, help="Show what would run, and how long it would take.")
@click.option(
    "--budget",
    "procedure_budget",
    metavar="B",
    type=click.FloatRange(min=0, min_open=True),
    help="Epochs of the search over those of the final run [procedure.budget].",
)
@click.option(
    "--time",
    "within",
    metavar="30m",
    help="End in this time: 90s, 30m, 2h. Chooses final length, search and seeds by measured speed.",
)
@baseline_option
def command(common: Common, stages: str | None, dry_run: bool, within: str | None) -> None:
    """Run the whole procedure, resumable.

    Started again, it goes on where it was.
    """
    from hptune.procedure.session.duration import seconds_of

    wanted = None if stages is None else [name.strip() for name in stages.split(",")]
    seconds = None if within is None else seconds_of(within)
    with common.session(dry=dry_run) as session:
        if seconds is not None:
            session.hold_to(seconds, stages=wanted, started=cli.STARTED, after=REPORT_SECONDS)
        if dry_run:
            show_plan(session, wanted, as_json=common.json)
            return
        outcome = session.run(stages=wanted)
        common.print_outcome(session, outcome)
        run_dir = session.run_dir.path
        try:
            from hptune.report.page import write_report

            page = write_report(run_dir).page
        except Exception as error:  # the run is done and stays so, whatever drawing it does
            shown = one_line(error, 300) or type(error).__name__
            again = f"`hptune report {run_dir}` tries again"
            click.echo(f"report: not written ({shown}); {again}", err=True)
        else:
            if not common.json and not common.quiet:
                click.echo(f"report: {page}", err=True)
