"""`hptune run`."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from hptune.cli.completion import stages
from hptune.cli.options import (
    Common,
    baseline_option,
    common_options,
    execution_options,
    print_outcome,
    restart_option,
    with_baseline,
)


@click.command("run")
@common_options
@execution_options
@click.option(
    "--stages", metavar="A,B", shell_complete=stages, help="Stages to run [those of the config]."
)
@click.option("--dry-run", is_flag=True, help="Show what would run, and how long it would take.")
@baseline_option
@restart_option
def command(
    common: Common, stages: str | None, dry_run: bool, baseline: str | None, restart: bool
) -> None:
    """Run the procedure stage by stage; started again, it goes on where it was."""
    wanted = None if stages is None else [name.strip() for name in stages.split(",")]
    common = with_baseline(common, baseline)
    with common.session(restart=restart, dry=dry_run) as session:
        if dry_run:
            from hptune.cli.plan import show_plan

            show_plan(session, wanted, as_json=common.json)
            return
        outcome = session.run(stages=wanted)
        print_outcome(common, session, outcome.decisions, outcome.results)
        if not common.json:
            from rich.console import Console

            from hptune.console.terminal import decisions_table

            # A file is not a terminal of 80 columns: its lines are as long as they are.
            Console(width=None if sys.stdout.isatty() else 160).print(
                decisions_table(outcome.decisions, outcome.evidence)
            )
        _write_report(session.run_dir.path, quiet=common.json or common.quiet)


def _write_report(run_dir: Path, *, quiet: bool) -> None:
    """Write the report; the run is done and stays so, whatever drawing it does."""
    try:
        from hptune.report.page import write_report

        page = write_report(run_dir).page
    except Exception as error:
        shown = " ".join(str(error).split())[:300] or type(error).__name__
        click.echo(
            f"report: not written ({shown}); `hptune report {run_dir}` tries again", err=True
        )
    else:
        if not quiet:
            click.echo(f"report: {page}", err=True)
