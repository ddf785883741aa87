"""`hptune show`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hptune.cli.completion import stages
from hptune.cli.options import RUN_DIR, output_options, print_run, run_dir_of
from hptune.errors import InputError, did_you_mean
from hptune.stages import STAGES

if TYPE_CHECKING:
    from hptune.results.tables import Row


ALL = 10_000  # characters: more than all columns take

EXAMPLES = """\b
Examples:
  hptune show                        # the latest run
  hptune show runs/digits --why
  hptune show --stage final --sort val_loss --top 5
"""


@click.command("show", epilog=EXAMPLES)
@click.argument(
    "run_dir", required=False, metavar="[RUN_DIR|CONFIG]", type=click.Path(path_type=Path)
)
@click.option(
    "--out",
    "named",  # not `out`, which takes the default of where runs go
    type=click.Path(path_type=Path),
    help="The run directory, as for the commands that write it.",
)
@click.option("--why", is_flag=True, help="Every decision with its reason, not the trials.")
@click.option("--stage", shell_complete=stages, help="Trials of one stage only.")
@click.option("--sort", metavar="COLUMN", help="Trials by a column, the smallest first.")
@click.option("--top", type=click.IntRange(min=1), metavar="N", help="The first N trials only.")
@click.option("--all-columns", is_flag=True, help="All columns, however wide that is.")
@output_options
def command(
    run_dir: Path | None,
    named: Path | None,
    why: bool,
    stage: str | None,
    sort: str | None,
    top: int | None,
    all_columns: bool,
    as_json: bool,
) -> None:
    """Show a run directory's answer and trials.

    By default those of the latest under runs/.
    """
    from hptune.report.read import read_run

    if stage is not None and stage not in STAGES:
        raise InputError(f"--stage: {stage!r}; must be one of {', '.join(STAGES)}; choose one")
    record = read_run(find_run_dir(named or run_dir), with_curves=False)
    for problem in record.problems:
        click.echo(f"note: {problem}", err=True)
    rows = _chosen([r for r in record.trials if stage in (None, r["stage"])], sort, top)
    if as_json:
        print_run(record.path, record.decisions, rows)
        return
    from hptune.console.terminal import decisions_table, stdout_console
    from hptune.console.trials_table import trials_table
    from hptune.report.answer import answer, told_warnings

    click.echo("\n".join(answer(record)))
    console = stdout_console(ALL if all_columns else None)
    if why:
        for warning in told_warnings(record):
            console.print(f"warning: {warning}")
        console.print(decisions_table(record.decisions, record.evidence))
        return
    common, table = trials_table(rows, None if all_columns else console.width)
    click.echo(f"\n{common}" if common else "")
    console.print(table)


def _chosen(rows: list[Row], sort: str | None, top: int | None) -> list[Row]:
    """Return the rows that are asked for, in the order that is asked for."""
    if sort is not None:
        columns = dict.fromkeys(column for row in rows for column in row)
        if sort not in columns:
            hint = did_you_mean(sort, columns, "see results.csv")
            raise InputError(f"--sort: {sort!r}; must be a column of results.csv; {hint}")
        # Text after numbers, nothing last.
        rows = sorted(rows, key=lambda row: _rank(row.get(sort)))
    return rows[:top]


def _rank(value: object) -> tuple[int, float, str]:
    if isinstance(value, int | float) and value == value:
        return 0, float(value), ""
    return (1, 0.0, str(value)) if value not in (None, "") else (2, 0.0, "")


def find_run_dir(given: Path | None) -> Path:
    """Return the run directory that is meant: one given, a config's, or the latest under runs/."""
    # That of the commands that write it: of the environment, of a file, or hptune's own.
    out = os.environ.get("HPTUNE_OUT") or click.get_current_context().lookup_default("out")
    out = str(out or RUN_DIR)
    if given is not None and given.is_file():
        from hptune.config.load import load_experiment

        path = run_dir_of(load_experiment(given).name, out)
        if not path.is_dir():
            raise InputError(
                f"{given}: its run directory {path} is not there; must have been run; run "
                f"`hptune run {given}`, or name a run directory"
            )
        return path
    if given is not None:
        return given
    pattern = run_dir_of("*", out) / "experiment.yaml"
    root = Path(pattern.anchor)
    found = [path.parent for path in root.glob(str(pattern.relative_to(root)))]
    if not found:
        raise InputError(
            f"RUN_DIR: none given and none under {out.removesuffix('{name}')}; name one or run `hptune run`"
        )
    return max(found, key=lambda path: path.stat().st_mtime)
