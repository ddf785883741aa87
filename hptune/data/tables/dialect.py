"""How a table is written down: its encoding, separator, decimal sign and header."""

from __future__ import annotations

import bz2
import csv
import gzip
import lzma
import re
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path

from hptune.data.tables.numerals import decimal_sign
from hptune.errors import InputError, one_line

_SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars", " ": "spaces"}
_MARKS = {  # the longer ones first: UTF-32 begins as UTF-16 does
    b"\xff\xfe\x00\x00": "utf-32", b"\x00\x00\xfe\xff": "utf-32", b"\xef\xbb\xbf": "utf-8-sig",
    b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16",
}  # fmt: skip
_PACKED = {b"\x1f\x8b": gzip.decompress, b"BZh": bz2.decompress, b"\xfd7zXZ": lzma.decompress}
_NO_TEXT = {
    b"PK": "a zip or a spreadsheet",
    b"PAR1": "a parquet file",
    b"\xd0\xcf": "a spreadsheet",
}
_LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n|$)")
_SAMPLE_ROWS, _SAMPLE_CHARACTERS, _SAMPLE_CELLS = 1000, 1 << 22, 20_000
_LEADING_ZERO = re.compile(r"0\d+")

Row = tuple[list[str], int]  # its cells, and where in the text the next one begins


@dataclass(frozen=True, kw_only=True)
class Dialect:
    """A table's text and how to read it.

    Attributes:
        text: All of it.
        start: Where the rows begin, behind the header.
        names: Of the columns, each different.
        separator: Between cells.
        decimal: "." or ",".
        unlike: Columns that are to be read as text first: of digits with leading zeros, such as
            postcodes, or with another decimal sign.
        notes: What was recognised, where it is not the usual.
    """

    text: str
    start: int
    names: list[str]
    separator: str
    decimal: str
    unlike: list[str]
    notes: list[str]


def recognise(path: Path) -> Dialect:
    """Read a file's text and find out how its table is written.

    Raises:
        InputError: It is no text, is empty, or its first line holds values in the place of names.
    """
    try:
        text, encoding = _decode(path.read_bytes(), path)
        sample, separator, first = _separated(text)
    except (OSError, EOFError, ValueError, lzma.LZMAError, zlib.error) as error:
        raise InputError(
            f"data.path: {path} is not a csv with a header ({one_line(error, 80)}); check the file"
        ) from None
    if not sample:
        raise InputError(
            f"data.path: {path} is not a csv with a header (it is empty); check the file"
        )
    header, start = sample[first]
    cells = [row for row, _ in sample[first + 1 :] if row != header]
    names, notes = _names(header, cells)
    _check_names(header, cells, path)
    few = list(islice(chain.from_iterable(cells), _SAMPLE_CELLS))
    ambiguous = separator == ";" and any("," in cell for cell in few)
    decimal = decimal_sign(few, "," if ambiguous else ".")
    columns = list(zip(names, _columns(cells, len(names)), strict=True))
    unlike = [name for name, values in columns if _unlike(values, decimal)]
    found = []
    if encoding not in ("utf-8", "utf-8-sig"):
        found.append(f"as {encoding}")
    if separator != ",":
        found.append(f"with {_SEPARATORS[separator]} between the columns")
    if decimal == ",":
        found.append("with decimal commas")
    if found:
        doubt = "; save it as UTF-8 if letters come out wrong" if encoding == "cp1252" else ""
        notes.insert(0, f"{path.name} is read {' and '.join(found)}{doubt}")
    if first:
        notes.append(f"lines before the table in {path.name} are left out: {first}")
    return Dialect(
        text=text, start=start, names=names, separator=separator, decimal=decimal, unlike=unlike,
        notes=notes,
    )  # fmt: skip


def _decode(raw: bytes, path: Path) -> tuple[str, str]:
    """Return the text of a file and its encoding."""
    unpack = next((unpack for mark, unpack in _PACKED.items() if raw.startswith(mark)), None)
    raw = raw if unpack is None else unpack(raw)
    what = next((what for mark, what in _NO_TEXT.items() if raw.startswith(mark)), None)
    encoding = next((name for mark, name in _MARKS.items() if raw.startswith(mark)), None)
    head = raw[:2000]
    if encoding is None and b"\x00" in head:  # UTF-16 without a mark: every other byte is 0
        even, odd = (head[k::2].count(0) for k in (0, 1))
        fewer, more = sorted((even, odd))
        if more > max(len(head) / 8, 9 * fewer):
            encoding = "utf-16-le" if odd == more else "utf-16-be"
        what = what or ("no text" if encoding is None else None)
    if what is not None:
        raise InputError(
            f"data.path: {path} is {what}; must be a csv with a header; save the table as csv"
        )
    # The encodings of Windows and of old files in western Europe; the last takes any byte.
    for name in [encoding] if encoding else ["utf-8", "cp1252"]:
        try:
            return raw.decode(name), name
        except UnicodeDecodeError:
            continue
    if encoding:
        raise InputError(
            f"data.path: {path} begins as {encoding} and is none; must be text; save it as UTF-8"
        )
    return raw.decode("latin-1"), "latin-1"


def _rows(text: str, start: int, separator: str) -> Iterator[Row]:
    """Yield the rows that are not blank."""
    at = start

    def lines() -> Iterator[str]:
        nonlocal at
        for line in _LINE.finditer(text, start):
            at = line.end()
            yield line[0]

    reader = csv.reader(lines(), delimiter=separator, skipinitialspace=True)
    for row in reader:
        if any(row):
            yield [cell.strip() for cell in row], at


def _separated(text: str) -> tuple[list[Row], str, int]:
    """Return the first rows, the separator, and which of the rows is the header.

    The separator is the one by which the rows have one number of cells, and the header too.
    """
    told = re.match(r"sep=(.)\r?\n", text)  # how a spreadsheet says it
    start = told.end() if told else 0
    part = text[: start + _SAMPLE_CHARACTERS]
    best: tuple[tuple[bool, float, int], list[Row], str, int] | None = None
    for separator in [told[1]] if told else _SEPARATORS:
        try:
            rows = list(islice(_rows(part, start, separator), _SAMPLE_ROWS))
        except csv.Error:  # a quote that by this separator has no end
            continue
        if len(part) < len(text) and len(rows) > 1 and rows[-1][1] >= len(part):
            rows.pop()  # it is cut off
        if not rows:
            break
        widths = [len(row) for row, _ in rows]
        width, often = Counter(widths).most_common(1)[0]
        allowed = {width, width + 1, width - 1 if width > 2 else width}
        first = next((k for k, found in enumerate(widths) if found in allowed), 0)
        score = (width > 1 and first == 0, round(often / len(rows), 1) * (width > 1), width)
        if best is None or score > best[0]:
            best = score, rows, separator, first
    return best[1:] if best else ([], ",", 0)


def _unlike(values: Sequence[str], decimal: str) -> bool:
    """Say whether pandas would misread cells as numbers of the usual form."""
    return decimal_sign(values[:200], decimal) != decimal or any(
        map(_LEADING_ZERO.fullmatch, values)
    )


def _columns(cells: Sequence[Sequence[str]], width: int) -> Iterator[list[str]]:
    """Yield the cells of each column."""
    for k in range(width):
        yield [row[k] for row in cells if k < len(row)]


def _names(header: list[str], cells: list[list[str]]) -> tuple[list[str], list[str]]:
    """Return a different name for each column, and what to say of them."""
    names, notes = [" ".join(name.split()) for name in header], []
    width = Counter(map(len, cells)).most_common(1)[0][0] if cells else len(names)
    if width == len(names) + 1:
        if any(
            row[-1] for row in cells if len(row) == width
        ):  # the names of rows, as R writes them
            names.insert(0, "")
        else:
            names.append("")
    names = [name or f"Unnamed: {k}" for k, name in enumerate(names)]
    different: dict[str, str] = {}  # what a name becomes, and the name
    for name in names:
        numbered = (f"{name}.{k}" for k in range(1, 2 * len(names)))
        free = (new for new in numbered if new not in different and new not in names)
        different[next(free) if name in different else name] = name
    again = [f"{name} to {new}" for new, name in different.items() if new != name]
    if again:
        notes.append(f"columns of one name get a number: {', '.join(again)}")
    return list(different), notes


def _check_names(header: list[str], cells: list[list[str]], path: Path) -> None:
    """Refuse a first line that holds values as the lines below do."""
    import pandas as pd

    numbers = pd.to_numeric(pd.Series(header, dtype=object), errors="coerce")
    known = numbers.dropna()
    steps = set(known.diff().dropna())  # 0, 1, 2, ... or years: the names are numbers
    running = len(steps) == 1 and min(steps) > 0 and (len(known) > 2 or known.iloc[0] == 0)
    like = 0
    for name, number, values in zip(header, numbers, _columns(cells, len(header)), strict=True):
        if pd.notna(number) and not running:
            like += _numeric(values)
        elif pd.isna(number) and name:
            like += name in values
    if len(header) > 1 and cells and like > len(header) / 2:
        shown = ", ".join(header[:4])
        raise InputError(
            f"data.path: {path} begins with values ({one_line(shown, 80)}); its first line must "
            "name the columns; add such a line"
        )


def _numeric(values: Sequence[str]) -> bool:
    """Say whether most of some cells begin as numbers do."""
    return 2 * sum(value[:1] in "+-.0123456789" for value in values if value) > len(values)
