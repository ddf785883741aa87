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
    r"(?:tensor|Parameter containing:\s*tensor|\w*[Aa]rray|(?:np|numpy|jnp|torch)\.\w+|float\d+)"
    rf"\(\s*\[?\s*{_NUMBER}\s*\]?\s*(?:,(?:[^()\n]|\([^()\n]*\))*)?\)"
    rf"|<tf\.[^\n]*?numpy={_NUMBER}>",
    re.IGNORECASE,
)
_THOUSANDS = r"[-+]?[1-9]\d{0,2}(?:,\d{3})+"


def unwrap(text: str) -> str:
    """Return a log's text with the number alone where a tensor or an array of one was printed."""
    return _WRAPPED.sub(lambda match: match[1] or match[2], text)


def numbers_of(
    cells: pd.Series[str], *, whole: bool = False
) -> tuple[FloatArray, NDArray[np.bool_], int]:
    """Return a column's numbers, where it says that a number is none, and how many cells cannot be read.

    Args:
        cells: (N,), text; blank where nothing was read.
        whole: Numbers are counts: a comma parts thousands, where it can.
    """
    import pandas as pd

    text = cells.str.strip().str.lower()
    values = pd.to_numeric(text, errors="coerce").to_numpy(dtype=np.float64, copy=True)
    null = text.isin(_NULL).to_numpy()
    said = text.isin(_NAN).to_numpy() | (null & np.isfinite(values).any())
    rest = np.flatnonzero(np.isnan(values) & ~said & ~null & ~text.str.fullmatch(_BLANK).to_numpy())
    if not len(rest):
        return values, said, 0
    odd = text.iloc[rest]
    if whole and odd.str.fullmatch(_THOUSANDS).all():
        odd = odd.str.replace(",", "")
    values[rest] = [_number(cell) for cell in odd]
    return values, said, int(np.isnan(values[rest]).sum())


def _number(text: str) -> float:
    """Return the number that a cell holds in an unusual form; NaN where it holds none."""
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
