"""Numbers as people's logs have them: per cents, decimal commas, the printed form of a tensor."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hptune.analysis.smoothing import FloatArray

if TYPE_CHECKING:
    import pandas as pd

_NAN = ("nan", "-nan", "+nan")
_NULL = ("null", "none")  # a blank, or what a tool makes of a NaN
_BLANK = r"[-:?]*|n/?a|<na>"  # dashes and colons rule a table in Markdown
# tensor(0.12, device='cuda:0'), np.float32(0.12), <tf.Tensor: shape=(), dtype=float32, numpy=0.12>
_NUMBER = r"([-+]?(?:[\d.]+(?:e[-+]?\d+)?|nan|inf(?:inity)?))"
_WRAPPED = re.compile(
    r"\b(?:tensor|(?:Device)?Array|(?:np|numpy|jnp|torch)\.\w+|float\d+)"
    rf"\(\s*\[?\s*{_NUMBER}\s*\]?\s*(?:,(?:[^()\n]|\([^()\n]*\))*)?\)"
    rf"|<tf\.[^\n]*?numpy={_NUMBER}>",
    re.IGNORECASE,
)
_THOUSANDS = r"[-+]?[1-9]\d{0,2}(?:,\d{3})+"
_WITH_MORE = re.compile(
    r"([-+]?[\d.,]+(?:e[-+]?\d+)?)\s*(?:±|\+/-|\+-|\()"
)  # 0.51 ± 0.02, 0.51 (0.6)
_COUNT = re.compile(r"[a-z_\s\-:=\[(#]*(\d+)(?:\s*/\s*\d+)?[\])]?")  # 3/30, Epoch 3, step-3


def unwrap(text: str) -> str:
    """Return a log's text with the number alone where a tensor or an array of one was printed."""
    if "(" not in text and "<tf." not in text:  # a long log takes seconds
        return text
    return _WRAPPED.sub(lambda match: match[1] or match[2], text)


def numbers_of(
    cells: pd.Series[str], *, counts: bool = False
) -> tuple[FloatArray, NDArray[np.bool_], NDArray[np.bool_]]:
    """Return a column's numbers, where it says that a number is none, and where it cannot be read.

    Args:
        cells: (N,), text; blank where nothing was read.
        counts: Of steps: a comma parts thousands, where it can, and a word may stand before.
    """
    import pandas as pd

    values = pd.to_numeric(cells, errors="coerce").to_numpy(dtype=np.float64, copy=True)
    said, bad = np.zeros(len(values), dtype=bool), np.zeros(len(values), dtype=bool)
    rest = np.flatnonzero(np.isnan(values) & (cells != "").to_numpy())
    text = cells.iloc[rest].str.strip().str.lower()
    null = text.isin(_NULL).to_numpy()
    said[rest] = text.isin(_NAN).to_numpy() | (null & np.isfinite(values).any())
    other = ~said[rest] & ~null & ~text.str.fullmatch(_BLANK).to_numpy(dtype=bool)
    rest, text = rest[other], text[other]
    if counts:
        if text.str.fullmatch(_THOUSANDS).all():
            text = text.str.replace(",", "")
        text = text.str.replace(_COUNT, r"\1", regex=True)
    values[rest] = [_number(cell) for cell in text]
    bad[rest] = np.isnan(values[rest])
    return values, said, bad


def has_numbers(cells: pd.Series[str]) -> bool:
    """Say whether a column has a number, or a "nan" in the place of one."""
    values, said, _ = numbers_of(cells)
    return bool((~np.isnan(values) | said).any())


def _number(text: str) -> float:
    """Return the number that a cell holds in an unusual form; NaN where it holds none."""
    if more := _WITH_MORE.match(text):
        text = more[1]
    scale = 0.01 if text.endswith("%") else 1.0
    text = text.strip("[](){}'\"% ")
    comma, point = text.rfind(","), text.rfind(".")
    if comma > point:  # 1.234,5
        text = text.replace(".", "").replace(",", ".")
    elif comma >= 0:  # 1,234.5
        text = text.replace(",", "")
    try:
        return float(text) * scale
    except ValueError:
        return np.nan
