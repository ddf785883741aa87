"""`hptune show`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from hptune.cli.completion import words
from hptune.stages import STAGES


@click.command("show")
@click.argument("run_dir", required=False, type=click.Path(path_type=Path))
@click.option(
    "--out",
    "named",  # not `out`, which takes the default of where runs go
    type=click.Path(path_type=Path),
    help="The run directory, as for the commands that write it.",
)
@click.option("--stage", shell_complete=words(*STAGES), help="Trials of one stage only.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
@click.option("--quiet", is_flag=True, help="Accepted as everywhere; there is no progress here.")
@click.option("--debug", is_flag=True, help="Show tracebacks.")
def command(
    run_dir: Path | None,
    named: Path | None,
    stage: str | None,
    as_json: bool,
    quiet: bool,
    debug: bool,
) -> None:
    """Show the decisions and the trials of a run directory [the latest under runs/]."""
    from hptune.errors import InputError
    from hptune.results.cells import finite
    from hptune.results.run_dir import RunDir
    from hptune.results.tables import decision_row

    if stage is not None and stage not in STAGES:
        raise InputError(f"--stage: {stage!r}; must be one of {', '.join(STAGES)}; choose one")
    directory = RunDir.open(
        find_run_dir(named or run_dir),
        write=False,
        tell=lambda text: click.echo(f"note: {text}", err=True),
    )
    decisions, rows = directory.decisions(), directory.rows(stage)
    if as_json:
        document = {
            "run_dir": str(directory.path),
            "decisions": [decision_row(d) for d in decisions],
            "trials": rows,
        }
        click.echo(json.dumps(finite(document), indent=2))
        return
    from rich import box
    from rich.console import Console
    from rich.table import Table

    from hptune.console.terminal import decisions_table

    console = Console(width=None if sys.stdout.isatty() else 160)
    console.print(decisions_table(decisions, directory.evidence()))
    table = Table(box=box.SIMPLE_HEAD, title=f"Trials in {directory.path}", title_justify="left")
    columns = ["trial", "status", "batch_size", "lr", "momentum", "weight_decay", "epochs"]
    columns += [c for c in (rows[0] if rows else {}) if c.startswith(("val_", "test_"))]
    for column in columns:
        table.add_column(column, justify="left" if column in ("trial", "status") else "right")
    for row in rows:
        table.add_row(*(_shown(row.get(column)) for column in columns))
    console.print(table)


def find_run_dir(given: Path | None) -> Path:
    """Return the run directory that is meant: one given, a config's, or the latest under runs/."""
    from hptune.cli.defaults import default_run_dir
    from hptune.errors import InputError

    out = default_run_dir()
    if given is not None and given.is_file():
        from hptune.config.load import load_experiment

        path = Path(out.replace("{name}", load_experiment(given).name))
        if not path.is_dir():
            raise InputError(
                f"{given}: its run directory {path} is not there; must have been run; run "
                f"`hptune run {given}`, or name a run directory"
            )
        return path
    if given is not None:
        return given
    folder = out.replace("{name}", "*")
    pattern = Path(folder) / "experiment.yaml"
    root = Path(pattern.anchor)
    found = [path.parent for path in root.glob(str(pattern.relative_to(root)))]
    if not found:
        raise InputError(
            f"RUN_DIR: none given and none under {folder.removesuffix('*')}; name one or run `hptune run`"
        )
    return max(found, key=lambda path: path.stat().st_mtime)


def _shown(value: object) -> str:
    if value is None:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)
