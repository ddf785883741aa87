"""What an experiment measured, a CSV each: a cell that is there is not run again."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from time import process_time

from scripts.neighbours.experiment import Cell, Experiment, Place, Row, Value
from scripts.quality import store

RESULTS = Path(__file__).parent / "results"
LONG = "-long"  # of the name of a GPU's results


def rows_of(experiment: Experiment, *, long: bool = False) -> list[Row]:
    """Return the rows of all cells that the experiment has now; others are passed over."""
    stored = _read(experiment, long)
    cells = [_as_read(cell) for cell in experiment.cells(long)]
    return [row for row in stored if any(cell.items() <= row.items() for cell in cells)]


def run(experiment: Experiment, runs: Path, *, device: str = "cpu", long: bool = False) -> None:
    """Run what is missing of an experiment, and store it cell by cell.

    Args:
        experiment: What to run.
        runs: Folder of run directories, of which one that was cut short is gone on with.
        device: As `--device`.
        long: Whether the form for a GPU is run.
    """
    stored = _read(experiment, long)
    for cell in experiment.cells(long):
        if any(_as_read(cell).items() <= row.items() for row in stored):
            continue
        told = ", ".join(f"{key} {value}" for key, value in cell.items())
        print(f"{experiment.name}: {told}", flush=True)
        before = process_time()
        folder = runs / (experiment.name + LONG * long) / told.replace(", ", "-").replace(" ", "")
        measured = experiment.run(cell, Place(folder, device))
        row = {**cell, **measured, "cpu_seconds": round(process_time() - before, 1)}
        if stored and list(row) != list(stored[0]):
            raise SystemExit(
                f"{experiment.name}: its results have the columns {', '.join(stored[0])}; must be "
                f"{', '.join(row)}; remove the file, which is of another experiment"
            )
        texts = {key: _as_text(value) for key, value in row.items()}
        store.add(experiment.name + LONG * long, texts, RESULTS)


def _read(experiment: Experiment, long: bool) -> Sequence[Row]:
    rows = store.read(experiment.name + LONG * long, RESULTS)
    return [{key: _as_value(text) for key, text in row.items()} for row in rows]


def _as_read(cell: Cell) -> Row:
    return {key: _as_value(_as_text(value)) for key, value in cell.items()}


def _as_text(value: Value) -> str:
    if isinstance(value, list):
        return " ".join(map(_as_text, value))
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _as_value(text: str) -> Value:
    """Return a number, a list where there are several, or the text itself."""
    try:
        numbers = [float(part) for part in text.split(" ")]
    except ValueError:
        return text
    return numbers if len(numbers) > 1 else numbers[0]
