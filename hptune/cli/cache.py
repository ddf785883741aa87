"""`hptune cache`."""

from __future__ import annotations

import time
from dataclasses import asdict

import click

from hptune.cli.options import output_options, print_json

EXAMPLES = """\b
Examples:
  hptune cache
  hptune cache --clear
"""


@click.command("cache", epilog=EXAMPLES)
@click.option("--clear", is_flag=True, help="Remove all that is kept.")
@output_options
def command(clear: bool, as_json: bool) -> None:
    """Show or clear the cache of decoded images.

    It is the folder HPTUNE_CACHE, else hptune in XDG_CACHE_HOME or ~/.cache. What was not used for
    longest goes first where it grows beyond HPTUNE_CACHE_GIB, 10 by default.
    """
    from hptune.data.readers import cache

    kept = cache.clear() if clear else cache.entries()
    size = sum(entry.size for entry in kept)
    if as_json:
        rows = [asdict(entry) | {"path": str(entry.path)} for entry in kept]
        facts = {"folder": str(cache.folder()), "bytes": size, "limit_bytes": cache.limit()}
        print_json(facts | {"removed" if clear else "entries": rows})
        return
    total = f"{len(kept)} entries, {cache.size_text(size)}"
    if clear:
        click.echo(f"{cache.folder()}: removed {total}")
        return
    click.echo(f"{cache.folder()}: {total} of at most {cache.size_text(cache.limit())}")
    for entry in kept:
        used = time.strftime("%Y-%m-%d %H:%M", time.localtime(entry.used))
        click.echo(f"{used}  {cache.size_text(entry.size):>9}  {entry.what}, {entry.source}")
