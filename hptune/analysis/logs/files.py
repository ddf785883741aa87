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
    if EVENTS in path.name:
        return read_events(path)
    data = path.read_bytes()
    if data.startswith(mlflow.DATABASE):
        return mlflow.read_database(path)
    return _tables_of(_decoded(data), path)


def _tables_of(text: str, path: Path) -> list[Table]:
    text = unwrap(text)
    if text.strip() and mlflow.is_metric(text):
        return mlflow.read_metric(path)
    tables = read_json(text) if text.lstrip()[:1] in ("{", "[") else []
    table = None if tables else read_delimited(text) or read_text(text)
    return [_named(table, path) for table in (tables or ([table] if table else []))]


def _named(table: Table, path: Path) -> Table:
    """Return TensorBoard's export of one series with the series' name, as its file's name tells it."""
    value = next((name for name in table.names if name.lower() == "value"), None)
    if value is None or any(map(is_measured, table.names)) or key_of(table.names):
        return table
    tag = path.stem.rpartition("tag-")[2]
    run = path.stem.removesuffix(tag)
    told = " ".join(filter(None, (part_of(run.removeprefix("run-").removesuffix("-tag-")), tag)))
    name = told
    if read_name(told) is None or not is_measured(told):
        name = f"{part_of(told)} loss".strip()
        table.notes.append(f"{value!r} taken for a {name}, as the file's name tells no measure")
    return Table(table.cells.rename(columns={value: name}), table.run, table.notes)


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
