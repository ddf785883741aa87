"""At which part of its length a run ranks settings of Adam as the whole run does, on TaskSet's curves.

Usage: python -m scripts.quality.taskset

TaskSet holds real validation curves of 12 recurrent nets on text, each with 1,000 random settings of
Adam, 51 readings a curve. A short run is read here as the beginning of a long one.

Source: Metz et al. 2020 (TaskSet), in the selection of Kadra et al. 2023.
"""

from __future__ import annotations

import ast
import json
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr

FloatArray = NDArray[np.float64]

ARCHIVE = Path(os.environ.get("HPTUNE_SHARED_DATA", "../shared/data")) / "taskset.tar.xz"
FRACTIONS = (1 / 10, 1 / 5, 1 / 3, 1 / 2, 3 / 4)
CANDIDATES = (4, 16)  # that a choice is made among
DRAWS = 500
GOOD = 0.25  # of the settings: the rank among those that learn at all matters most


def main() -> None:
    """Print the table."""
    rows = [of_task(*task) for task in tasks()]
    head = ["spearman, all", "spearman, best quarter"]
    for count in CANDIDATES:
        head += [f"regret of best of {count}", f"LR of it / best LR, of {count}"]
    print(" | ".join(["fraction", *head]))
    for k, fraction in enumerate(FRACTIONS):
        values = np.mean([row[k] for row in rows], axis=0)
        worst = np.max([row[k] for row in rows], axis=0)
        cells = [f"{values[0]:.2f}", f"{values[1]:.2f}"]
        for n in range(len(CANDIDATES)):
            regret, ratio = values[2 + 2 * n], values[3 + 2 * n]
            cells += [f"{regret:.1%} ({worst[2 + 2 * n]:.1%})", f"{10**ratio:.2f}"]
        print(" | ".join([f"{fraction:.2f}", *cells]))


def tasks() -> Iterator[tuple[FloatArray, FloatArray]]:
    """Yield the learning rates, (N,), and the validation losses, (N, readings), of each task."""
    with tarfile.open(ARCHIVE) as archive:
        for member in archive:
            file = archive.extractfile(member) if member.name.endswith(".json") else None
            if file is None:
                continue
            entries = json.load(file)
            lrs = [_values(entry["hp"])["learning_rate"] for entry in entries]
            curves = [_values(entry["valid"])["loss"] for entry in entries]
            yield np.array(lrs), np.array(curves)


def _values(entry: str | dict[str, Any]) -> dict[str, Any]:
    """Return a dictionary that some of the files hold as the text of a Python literal."""
    if isinstance(entry, dict):
        return entry
    # Losses that are not finite are no literals.
    literal: dict[str, Any] = ast.literal_eval(entry.replace("nan", "1e30").replace("inf", "1e30"))
    return literal


def of_task(lrs: FloatArray, curves: FloatArray) -> FloatArray:
    """Return a row for each fraction: two rank correlations; regret and LR for each count of candidates.

    Regret is a share of the fall from the first reading to the best end of all settings; the LR is
    the logarithm of the chosen one over the best one's, to base 10.
    """
    rng = np.random.default_rng(0)
    curves = np.fmin(curves, 2 * np.nanmedian(curves[:, 0]))  # what diverged ranks last
    end, start = curves[:, -1], float(np.median(curves[:, 0]))
    good = end <= np.quantile(end, GOOD)
    draws = {k: rng.choice(len(end), (DRAWS, k)) for k in CANDIDATES}
    rows = []
    for fraction in FRACTIONS:
        early = curves[:, round(fraction * (curves.shape[1] - 1))]
        row = [spearmanr(early, end).statistic, spearmanr(early[good], end[good]).statistic]
        for drawn in draws.values():
            chosen = np.take_along_axis(drawn, early[drawn].argmin(axis=1)[:, None], 1)[:, 0]
            best = np.take_along_axis(drawn, end[drawn].argmin(axis=1)[:, None], 1)[:, 0]
            row.append(float(np.mean(end[chosen] - end[best]) / (start - end.min())))
            row.append(float(np.mean(np.log10(lrs[chosen] / lrs[best]))))
        rows.append(row)
    return np.array(rows)


if __name__ == "__main__":
    main()
