"""What a program printed: lines with names and numbers, as "epoch 3 loss 0.51 val_loss 0.62"."""

from __future__ import annotations

import re
from collections import Counter

from hptune.analysis.logs.names import COUNTED, MEASURES, Name, is_measured, part_of, read_name
from hptune.analysis.logs.table import Table, table_of_rows

_LEAST_LINES = 3  # with a loss: fewer are a sentence about a run, or a program
_LONGEST = 4  # words of a name
_ITEM = re.compile(
    r"(?P<number>(?<![\w.])[-+]?(?:(?:\d+(?:[.,]\d+)?\.?|\.\d+)(?:e[-+]?\d+)?|(?:nan|inf)\b))"
    r"(?P<of>/\d+(?![\d.]))?(?P<percent>\s?%)?"
    r"|(?P<word>[a-z](?:[\w@/.]|-(?=[a-z]))*)",
    re.IGNORECASE,
)
_COLOURS = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


def read_text(text: str) -> Table | None:
    """Return the measures of a text, a row a line; None where hardly any line has one."""
    rows: list[dict[str, str]] = []
    step: dict[str, str] = {}
    for line in _COLOURS.sub("", text).splitlines():
        row = _row(line)
        # What stands in a line of its own holds for those below.
        step |= {name: cell for name, cell in row.items() if _said(name).measure in COUNTED}
        if any(_said(name).measure in (*MEASURES, "lr") for name in row):
            rows.append(step | row)
    often = Counter(name for row in rows for name in filter(is_measured, row)).most_common(1)
    return table_of_rows(rows) if often and often[0][1] >= _LEAST_LINES else None


def _said(name: str) -> Name:
    return read_name(name) or Name("")


def _row(line: str) -> dict[str, str]:
    """Return the numbers of a line by the names before them."""
    row: dict[str, str] = {}
    words: list[str] = []
    part = ""
    for item in _ITEM.finditer(line):
        if word := item["word"]:
            words.append(word)
            part = part_of(word.rstrip("_0123456789")) or part  # "valid_1's logloss"
            continue
        name, words = _name(words), []
        measure = _said(name).measure
        if not measure or name in row:
            continue
        if measure in MEASURES and part and not _said(name).part:
            name = f"{part} {name}"
        cell = item["number"]
        if item["of"] and measure == "accuracy":
            cell = str(float(cell) / max(1, int(item["of"][1:])))
        row.setdefault(name, cell + (item["percent"] or "").strip())
    return row


def _name(words: list[str]) -> str:
    """Return the most of the last words that name a measure and nothing else, else the last word."""
    for first in range(-_LONGEST, 0):
        name = " ".join(words[first:])
        read = read_name(name)
        if read and not read.extra:
            return name
    return words[-1] if words else ""
