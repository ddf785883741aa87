"""`hptune show`."""

from __future__ import annotations

import os
from pathlib import Path

import click

from hptune.cli.completion import stages
from hptune.cli.options import RUN_DIR, output_options, print_run, run_dir_of
from hptune.errors import InputError
from hptune.stages import STAGES


@click.command("show")
@click.argument(
    "run_dir", required=False, metavar="[RUN_DIR|CONFIG]", type=click.Path(path_type=Path)
)
@click.option(
    "--out",
    "named",  # not `out`, which takes the default of where runs go
    type=click.Path(path_type=Path),
    help="The run directory, as for the commands that write it.",
)
@click.option("--stage", shell_complete=stages, help="Trials of one stage only.")
@output_options
def command(run_dir: Path | None, named: Path | None, stage: str | None, as_json: bool) -> None:
    """Show a run directory's decisions and trials.

    By default those of the latest under runs/.
    """
    from hptune.results.run_dir import RunDir

    if stage is not None and stage not in STAGES:
        raise InputError(f"--stage: {stage!r}; must be one of {', '.join(STAGES)}; choose one")
    directory = RunDir.open(
        find_run_dir(named or run_dir),
        write=False,
        tell=lambda text: click.echo(f"note: {text}", err=True),
    )
    decisions, rows = directory.decisions(), directory.rows(stage)
    if as_json:
        print_run(directory.path, decisions, rows)
        return
    from hptune.console.terminal import decisions_table, print_tables, trials_table

    print_tables(
        decisions_table(decisions, directory.evidence()),
        trials_table(rows, f"Trials in {directory.path}"),
    )


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
