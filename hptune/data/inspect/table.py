"""Looks at a csv file: its columns, which of them is the target, which are of no use."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hptune.data.assemble import splits_of
from hptune.data.inspect.found import Column, Table, noted, split_facts
from hptune.data.readers.table import content_of, examine
from hptune.data.sanity import looked_at
from hptune.data.spec import DataSpec
from hptune.data.tables.columns import form


def inspect_data(path: Path, target: str | None = None) -> Table:
    """Look at a table's columns.

    Args:
        path: A csv with a header.
        target: The column to predict; None chooses.

    Raises:
        InputError: It is no csv, or has no such column.
    """
    spec = DataSpec(name="csv", path=str(path), target=target)
    found = examine(spec, choose=True)
    table, notes, problems = found.table, tuple(found.notes), list[str]()
    facts: dict[str, Any] = {"kind": found.kind, "parts": {"train": len(table)}}
    with noted(problems):
        content = content_of(found, path)
        refused: list[str] = []
        facts = split_facts(content.parts, content.labels, content.classes, refused)
        problems += [f"{problem}, or name another column with --target" for problem in refused]
        if not problems:
            split = {part: facts[part] for part in ("validation", "test")}
            notes = looked_at(spec, splits_of(spec.change(**split), content)).notes
    return Table(
        reader="csv",
        path=path,
        **facts,
        warnings=notes,
        problems=tuple(problems),
        target=found.target,
        why=found.why,
        why_kind=found.why_kind,
        columns=tuple(
            Column(
                name=str(name),
                kind=form(table[name]),
                distinct=int(table[name].nunique()),
                missing=int(table[name].isna().sum()),
                dropped=found.dropped.get(str(name)),
            )
            for name in table
        ),
    )
