"""Which reader a log is for, by what is in it."""

from __future__ import annotations

import re
from pathlib import Path

from hptune.analysis.logs import mlflow
from hptune.analysis.logs.delimited import read_delimited
from hptune.analysis.logs.json_log import read_json
from hptune.analysis.logs.names import is_measured, part_of, read_name
from hptune.analysis.logs.numbers import unwrap
from hptune.analysis.logs.runs import key_of
from hptune.analysis.logs.table import Table
from hptune.analysis.logs.tensorboard import EVENTS, read_events
from hptune.analysis.logs.text_log import read_text

RULE = (
    "must be a CSV with a header that names a loss or an accuracy, a log as JSON or text, or "
    "TensorBoard's or MLflow's files"
)
_CONTROL = re.compile(r"[\x00-\x07\x0e-\x1a]")  # no text has them


def tables_in(path: Path) -> list[Table]:
    """Return the tables that a file or a folder holds, none where it is no log.

    Raises:
        OSError: It is not there.
        ValueError: It is no text, or its rows do not fit its header.
        InputError: The package that reads it is not installed.
    """
    if path.is_dir():
        return mlflow.read_folder(path) or read_events(path)
    data = path.read_bytes()
    if EVENTS in path.name:
        return read_events(path)
    if data.startswith(mlflow.DATABASE):
        return mlflow.read_database(path)
    return _tables_of(_decoded(data), path)


def _tables_of(text: str, path: Path) -> list[Table]:
    text = unwrap(text)
    if mlflow.is_metric(text):
        return mlflow.read_metric(path)
    tables = read_json(text) if text.lstrip()[:1] in ("{", "[") else []
    table = None if tables else read_delimited(text) or read_text(text)
    return [_named(table, path) for table in (tables or ([table] if table else []))]


def _named(table: Table, path: Path) -> Table:
    """Return a table with the measure that its file's name tells: TensorBoard's export of a series.

    Such a file has a column "Value", or one for each part of the data and no word of the measure.
    """
    if any(map(is_measured, table.names)) or key_of(table.names):
        return table
    tag = path.stem.rpartition("tag-")[2]
    run = path.stem.removesuffix(tag).removeprefix("run-").removesuffix("-tag-")
    told = f"{part_of(run)} {tag}".strip()
    names, measure = {}, read_name(told)
    for column in table.names:
        if column.lower() == "value":
            names[column] = told if measure else f"{part_of(told)} loss".strip()
        elif part_of(column):
            names[column] = f"{column} {measure.measure if measure else 'loss'}"
    if names and not measure:
        columns = ", ".join(map(repr, names))
        table.notes.append(f"{columns} taken for a loss, as the file's name tells no measure")
    return Table(table.cells.rename(columns=names), table.run, table.notes)


def _decoded(data: bytes) -> str:
    """Return a file's text.

    Raises:
        ValueError: It is none.
    """
    utf16 = data.startswith((b"\xff\xfe", b"\xfe\xff"))
    for encoding in ("utf-16",) if utf16 else ("utf-8-sig", "cp1252", "latin-1"):
        try:
            text = data.decode(encoding)
        except UnicodeDecodeError:
            continue
        if _CONTROL.search(text):
            break
        return text
    raise ValueError("it is no text")
