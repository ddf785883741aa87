"""What a script that hptune does not reach into has left: the values in its output, or in a file."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

from hptune.analysis.logs.names import read_name
from hptune.errors import InputError, TrialError, one_line

Values = dict[str, float]
_REMEDY = "print a last line of JSON, {\"val_loss\": 0.5}, or give --metric 'val_loss=REGEX'"


def expected(takes: Collection[str], metrics: Mapping[str, str]) -> dict[str, Any]:
    """Return what a rehearsal would show of a command with placeholders, as far as it is known."""
    names = [name[4:] for name in metrics if name.startswith("val_") and name != "val_loss"]
    return {
        "metrics": names,
        "reads": sorted(takes),
        "placeholders": sorted(takes),
        "saves": False,
        "optimizer": None,
        "has_momentum": "momentum" in takes,
        "has_betas": False,
        "parameters": 0,
        "weight_layers": 0,
        "loss": None,
        "iteration_seconds": None,
        "evaluation_seconds": 0.0,
    }


def check(metrics: Mapping[str, str]) -> None:
    """Refuse patterns that cannot be searched for.

    Raises:
        InputError: A name or a pattern.
    """
    for name, pattern in metrics.items():
        if not name.startswith(("val_", "test_")) and name != "train_loss":
            raise InputError(
                f"metric: {name!r}; must be val_loss, val_NAME, test_NAME or train_loss; write val_{name}"
            )
        try:
            groups = re.compile(pattern).groups
        except re.error as error:
            raise InputError(
                f"metric {name}: {pattern!r}; must be a regular expression ({error}); correct it"
            ) from None
        if groups != 1:
            raise InputError(
                f"metric {name}: {pattern!r}; must have one group, around the number; write "
                r"'val loss: ([\d.]+)', say"
            )


def stamp(path: Path | None) -> tuple[int, int] | None:
    """Return what changes of a file when it is written; None where it is not there."""
    if path is None or not path.exists():
        return None
    return path.stat().st_mtime_ns, path.stat().st_size


def readings(
    log: Path,
    results: Path | None,
    metrics: Mapping[str, str],
    *,
    before: tuple[int, int] | None = None,
) -> list[Values]:
    """Return the values that a script has left, a reading of the validation set each, in their order.

    Args:
        log: Its output.
        results: A file of JSON lines, one JSON document or a csv; None where the output has them.
        metrics: Patterns, whose matches come before JSON.
        before: Of the results, before the script ran.

    Raises:
        TrialError: There are none.
    """
    text = log.read_text(encoding="utf-8", errors="replace")
    if metrics:
        found = _matches(text, metrics)
        where = "the output matches " + ", ".join(f"{n}={p}" for n, p in metrics.items())
    elif results is not None:
        if (now := stamp(results)) is None or now == before:
            raise TrialError(f"{results}: not written by the script; must hold its values")
        found, where = _of_file(results), f"{results} has"
    else:
        found, where = [_named(row) for row in _json_rows(text)], "the output has"
    found = [values for values in found if values]
    if not any(name.startswith("val_") for values in found for name in values):
        other = sorted({name for values in found for name in values})
        told = f"{where} {', '.join(other)}" if other else f"nothing in what {where}"
        raise TrialError(f"no value of the validation set ({one_line(told)}); {_REMEDY}")
    return found


def _matches(text: str, metrics: Mapping[str, str]) -> list[Values]:
    """Return the numbers that patterns find; the last match of each is of the last reading."""
    columns = {name: re.findall(pattern, text, re.MULTILINE) for name, pattern in metrics.items()}
    longest = max(map(len, columns.values()))
    rows: list[Values] = [{} for _ in range(longest)]
    for name, found in columns.items():
        for row, number in zip(rows[longest - len(found) :], found, strict=True):
            try:
                row[name] = float(number)
            except ValueError:
                raise TrialError(
                    f"metric {name}: its pattern finds {number!r}; must be a number; correct the group"
                ) from None
    return rows


def _of_file(path: Path) -> list[Values]:
    text = path.read_text(encoding="utf-8-sig", errors="replace")  # as spreadsheets write it, too
    if path.suffix.lower() in (".csv", ".tsv"):
        separator = "\t" if path.suffix.lower() == ".tsv" else ","
        table = csv.DictReader(text.splitlines(), delimiter=separator)
        return [_named({name: _cell(cell) for name, cell in row.items()}) for row in table]
    try:
        whole = json.loads(text)
    except ValueError:
        return [_named(row) for row in _json_rows(text)]
    rows = whole if isinstance(whole, list) else [whole]
    return [_named(row) for row in rows if isinstance(row, dict)]


def _cell(text: Any) -> float | None:
    """Return the number in a cell; None where it is blank, or text."""
    try:
        return float(text)
    except (TypeError, ValueError):
        return None


def _json_rows(text: str) -> Iterable[dict[str, Any]]:
    """Yield the JSON objects among the lines of a text."""
    for line in text.splitlines():
        if (line := line.strip()).startswith("{") and line.endswith("}"):
            try:
                row = json.loads(line)
            except ValueError:
                continue
            if isinstance(row, dict):
                yield row


def _named(row: Mapping[Any, Any], before: str = "") -> Values:
    """Return the numbers of a row by the names that hptune has for them; others are left out."""
    values: Values = {}
    for key, value in row.items():
        name = f"{before}{key}"
        if isinstance(value, Mapping):
            values |= _named(value, f"{name}_")
        elif isinstance(value, int | float) and not isinstance(value, bool) and (own := _own(name)):
            values.setdefault(own, float(value))
    return values


def _own(name: str) -> str | None:
    if name == "train_loss" or re.fullmatch(r"(val|test)_\w+", name):
        return name
    read = read_name(name)
    if read is None or read.measure not in ("loss", "accuracy", "error") or not read.part:
        return None
    return "_".join([read.part, *read.extra, read.measure])
