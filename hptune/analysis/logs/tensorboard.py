"""TensorBoard's event files: a folder a run, or a folder for each part or series of one."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from hptune.analysis.logs.names import part_of
from hptune.analysis.logs.table import Table, table_of_series
from hptune.errors import InputError

EVENTS = "tfevents"  # in the name of each event file
_SESSION = "_hparams_/session_start_info"
_EVERYTHING = {"scalars": 0, "tensors": 0}  # no point is left out


def read_events(path: Path) -> list[Table]:
    """Return a table for each run in an event file or in a folder of them.

    Raises:
        InputError: The package tensorboard is not installed.
    """
    folders = [path]
    if path.is_dir():
        folders = sorted({file.parent for file in path.rglob(f"*{EVENTS}*")})
    if folders and find_spec("tensorboard") is None:
        raise InputError(
            f"{path}: TensorBoard's event files; need the package tensorboard, which is not "
            'installed; pip install "hptune[tensorboard]"'
        )
    runs: dict[Path, dict[str, Any]] = {}
    for folder in folders:
        # Keras writes a run's folders "train" and "validation", add_scalars "Loss_train".
        part = part_of(folder.name) if folder.is_dir() and folder != path else ""
        run = runs.setdefault(folder.parent if part else folder, {})
        run |= {f"{part}/{tag}" if part else tag: series for tag, series in _series(folder)}
    tables = []
    for folder, series in runs.items():
        if series:
            table = table_of_series(series)
            table.run = folder.relative_to(path).as_posix() if folder != path else path.name
            tables.append(table)
    return tables


def _series(folder: Path) -> Iterator[tuple[str, tuple[list[float], list[float]]]]:
    """Yield tag, steps and values of each series of numbers."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.util import tensor_util

    events = EventAccumulator(str(folder), size_guidance=_EVERYTHING, purge_orphaned_data=False)
    events.Reload()
    tags = events.Tags()
    if _SESSION in events.summary_metadata and all(
        len(events.Scalars(t)) < 2 for t in tags["scalars"]
    ):
        return  # hyper-parameters with the last value of each metric, not a run
    for tag in tags["scalars"]:
        points = events.Scalars(tag)
        yield tag, ([p.step for p in points], [p.value for p in points])
    for tag in tags["tensors"]:
        if events.SummaryMetadata(tag).plugin_data.plugin_name == "scalars":
            points = events.Tensors(tag)
            values = [float(tensor_util.make_ndarray(p.tensor_proto)) for p in points]
            yield tag, ([p.step for p in points], values)
