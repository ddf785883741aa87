"""`hptune init`."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hptune.cli.options import LOCAL_CONFIG

if TYPE_CHECKING:
    from hptune.config.starter import Sections
    from hptune.data.inspect import Found


@click.command("init")
@click.argument("path", required=False, type=click.Path(path_type=Path))
@click.option("--target", metavar="COLUMN", help="Column of a csv to predict [chosen].")
@click.option(
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    default=LOCAL_CONFIG,
    help=f"File to write [{LOCAL_CONFIG}].",
)
@click.option("--force", is_flag=True, help="Overwrite the file where it exists.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
@click.option("--quiet", is_flag=True, help="Write the file and say nothing.")
@click.option("--debug", is_flag=True, help="Show tracebacks.")
def command(
    path: Path | None,
    target: str | None,
    output: Path,
    force: bool,
    as_json: bool,
    quiet: bool,
    debug: bool,
) -> None:
    """Look at PATH, a folder of images, an npz or a csv, and write a config that runs.

    Without PATH, the config of the bundled digits is written.
    """
    from hptune.config.starter import choose, write_starter
    from hptune.data.inspect import inspect
    from hptune.errors import InputError

    if output.exists() and not force:
        raise InputError(
            f"--output: {str(output)!r}; exists already; give --force to overwrite it, or another name"
        )
    if path is None and target is not None:
        raise InputError(f"--target: {target!r}; is for a csv; give its PATH too")
    found = None if path is None else inspect(path, target=target)
    summary = ["the bundled digits: no data are needed"] if found is None else found.describe()
    written = None
    if found is None:
        sections, name = choose(None), "digits"
    else:
        sections, name = choose(found, _as_written(found.path, output)), _name_of(found.path)
    if found is None or not found.problems:
        written = output
        _write(output, write_starter(name, sections, summary, output.name))
    if as_json:
        click.echo(json.dumps(_document(found, sections, written), indent=2))
    elif not quiet:
        _tell(summary, found, sections, written)
    if found is not None and found.problems:
        more = f" (and {len(found.problems) - 1} more)" if len(found.problems) > 1 else ""
        raise InputError(f"{found.problems[0]}{more}; nothing was written")


def _as_written(path: Path, output: Path) -> str:
    """Return a path as it stands in a config: relative to the config where both lie together."""
    folder, data = output.expanduser().resolve().parent, path.resolve()
    if data.is_relative_to(folder) or not path.is_absolute():
        return os.path.relpath(data, folder)
    return str(data)


def _name_of(path: Path) -> str:
    """Return a name for the experiment; it is also that of the run directory."""
    name = "".join(c if c.isalnum() or c in "-_." else "-" for c in path.resolve().stem)
    return name.strip("-.") or "experiment"


def _write(output: Path, text: str) -> None:
    from hptune.errors import HptuneError, InputError
    from hptune.results.atomic import write_atomic

    try:
        write_atomic(output, text)
    except HptuneError as error:
        raise InputError(f"--output: {error}; or give another --output") from None


def _tell(
    summary: list[str], found: Found | None, sections: Sections, written: Path | None
) -> None:
    for line in summary:
        click.echo(line)
    for warning in () if found is None else found.warnings:
        click.echo(f"warning: {warning}")
    if written is None:
        return
    click.echo()
    for section, settings in sections.items():
        for s in settings:
            if not s.hint and s.key not in ("path", "args"):
                key = f"{section}.{s.key}" if s.key else section
                value = json.dumps(s.value) if not isinstance(s.value, str) else s.value
                click.echo(f"{key:<18}{value}" + (f"  ({s.why})" if s.why else ""))
    config = "" if written == LOCAL_CONFIG else f" {written}"
    click.echo(f"\nwrote {written}; next: hptune check{config}, then hptune run{config}")


def _document(found: Found | None, sections: Sections, written: Path | None) -> dict[str, Any]:
    settings = {
        section: values[0].value
        if section == "metrics"
        else {s.key: s.value for s in values if not s.hint}
        for section, values in sections.items()
    }
    document: dict[str, Any] = {
        "config": None if written is None else str(written),
        "found": None,
        "settings": settings,
    }
    if found is not None:
        facts = asdict(found) | {"path": str(found.path)}
        facts["imbalance"] = None if found.imbalance is None else asdict(found.imbalance)
        document["found"] = facts
    return document
