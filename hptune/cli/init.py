"""`hptune init`."""

from __future__ import annotations

import os
import sys
from dataclasses import asdict
from pathlib import Path

import click

from hptune.cli.options import LOCAL_CONFIG, debug_option, json_option, print_json
from hptune.cli.wrapped import wrapped
from hptune.errors import HptuneError, InputError

EXAMPLES = """\b
Examples:
  hptune init data/flowers           # a folder of images, a folder a class
  hptune init train.csv --target price --output house.yaml
"""


@click.command("init", epilog=EXAMPLES)
@click.argument("path", required=False, type=click.Path(path_type=Path))
@click.option("--target", metavar="COLUMN", help="Column of a csv to predict [chosen].")
@click.option(
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    default=LOCAL_CONFIG,
    help=f"File to write [{LOCAL_CONFIG}].",
)
@click.option("--force", is_flag=True, help="Overwrite the file where it exists.")
@json_option
@click.option("--quiet", is_flag=True, help="Write the file and say nothing.")
@debug_option
def command(
    path: Path | None, target: str | None, output: Path, force: bool, as_json: bool, quiet: bool
) -> None:
    """Look at your data and write a config that runs.

    PATH is a folder of images, an npz, an npy with others beside it, or a csv. Without it, the
    config of the bundled digits is written.
    """
    from hptune.config.load import name_from, parse_value
    from hptune.config.starter import write_starter
    from hptune.data.inspect import inspect
    from hptune.results.atomic import write_atomic

    if output.exists() and not force:
        raise InputError(
            f"--output: {str(output)!r}; exists already; give --force to overwrite it, or another name"
        )
    if path is None and target is not None:
        raise InputError(f"--target: {target!r}; is for a csv; give its PATH too")
    found = None if path is None else inspect(path, target=target)
    problems = () if found is None else found.problems
    facts = None
    told, name, place = ["the bundled digits: no data are needed"], "digits", ""
    if found is not None:
        told = found.describe()
        name, place = name_from(found.path.resolve().stem), _as_written(found.path, output)
        imbalance = found.imbalance and asdict(found.imbalance)
        facts = asdict(found) | {"path": str(found.path), "imbalance": imbalance}
    text = write_starter(found, place, name=name, summary=told, file=output.name)
    if not problems:
        try:
            write_atomic(output, text)
        except HptuneError as error:
            raise InputError(f"--output: {error}; or give another --output") from None
    if as_json:
        config = None if problems else str(output)
        settings = {key: value for key, value in parse_value(text, "").items() if key != "name"}
        print_json({"config": config, "found": facts, "settings": settings})
    elif not quiet:
        warnings = () if found is None else found.warnings
        lines = "\n".join([*told, *(f"warning: {warning}" for warning in warnings)])
        click.echo(wrapped(lines, sys.stdout))
        if not problems:
            given = "" if output == LOCAL_CONFIG else f" {output}"
            click.echo(f"\nwrote {output}; next: hptune check{given}, then hptune run{given}")
    if problems:
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise InputError(f"{problems[0]}{more}; nothing was written")


def _as_written(path: Path, output: Path) -> str:
    """Return a path as it stands in a config: relative to the config where both lie together."""
    folder, data = output.expanduser().resolve().parent, path.resolve()
    if data.is_relative_to(folder) or not path.is_absolute():
        return os.path.relpath(data, folder)
    return str(data)
