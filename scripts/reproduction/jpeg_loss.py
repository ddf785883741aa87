"""Estimates how much of the images their JPEG encoding has lost, beside what one more would lose.

Usage: .venv/bin/python -m scripts.reproduction.jpeg_loss [FOLDER, default data/cifar10/train]
       [--images 2000]

Prints the mean squared errors of the brightness, in squared grey levels: the estimated one of the
files, and those of the encodings of changes.py with the estimate that the same method would give
of them, which shows what it is worth. Where results.csv has the row that was run on these encodings
too, a straight line through its accuracies says what the first encoding has cost, and so does the
first step alone, which is less steep.

How: a file keeps each frequency of its blocks as a multiple of a known step. Frequencies of natural
images have a Laplacian distribution; its scale, fitted to the multiples by maximum likelihood, says
how far the images were from the multiples before (Lam & Goodman, IEEE Trans. Image Processing 9, 2000).
Of the encodings whose loss is known, with CIFAR-10 as it is here, it comes out 13 to 24 % too high.
"""

from __future__ import annotations

import argparse
import io
import math
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image
from scipy import fft, optimize

from scripts.reproduction.changes import OFF_THE_GRID, QUALITY, encode
from scripts.reproduction.cli import RESULTS

ROW = "3layer-clr-0.95"  # that was run with the changes
BLOCK = 8  # pixels of a block's side


def main() -> None:
    """Print the losses."""
    parser = argparse.ArgumentParser(
        prog="jpeg_loss", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", nargs="?", type=Path, default=Path("data/cifar10/train"))
    parser.add_argument("--images", type=int, default=2000)
    args = parser.parse_args()
    paths = sorted(args.folder.rglob("*.jpg"))
    files = [path.read_bytes() for path in paths[:: max(1, len(paths) // args.images)]]
    first = estimated_loss(files)
    print(f"{len(files)} images of {args.folder}: estimated {first:.1f}")
    accuracies = measured()
    points = [(0.0, accuracies.get(""))]
    for quality in (QUALITY, 50, 25):
        again = [
            encode(np.asarray(Image.open(io.BytesIO(file))), quality=quality) for file in files
        ]
        inner = slice(OFF_THE_GRID, -OFF_THE_GRID)
        lost = np.mean(
            [
                (brightness(new)[inner, inner] - brightness(old)) ** 2
                for new, old in zip(again, files, strict=True)
            ]
        )
        print(
            f"once more at quality {quality}, {OFF_THE_GRID} pixels off: {lost:.1f}, "
            f"estimated {estimated_loss(again):.1f}"
        )
        change = "jpeg-again" + (f"-{quality}" if quality != QUALITY else "")
        points.append((float(lost), accuracies.get(change)))
    known = [(x, y) for x, y in points if y is not None]
    if len(known) > 2:
        slope, _ = np.polyfit(*zip(*known, strict=True), 1)
        print(
            f"{ROW}: {', '.join(f'{y:.2f} %' for _, y in known)}; {-slope:.4f} points for each "
            f"squared grey level, so the first encoding has cost about {-slope * first:.1f}"
        )
        (x0, y0), (x1, y1), *_ = known
        print(f"by the first step alone {(y0 - y1) / (x1 - x0) * first:.1f}")


def measured() -> dict[str, float]:
    """Return what the row reached on two cores at full length, by change."""
    if not RESULTS.exists():
        return {}
    table = pd.read_csv(RESULTS, dtype={"tuned": str}, keep_default_na=False)
    plain = (table["row"] == ROW) & (table["tuned"] == "False") & (table["device"] == "cpu")
    whole = table[plain & (table["scale"] == 1)]
    return dict(zip(whole["change"], whole["test_accuracy"].astype(float), strict=True))


def brightness(file: bytes) -> np.ndarray:
    """Return a JPEG file's brightness as it was encoded, (H, W), 0 to 255."""
    image = Image.open(io.BytesIO(file))
    image.draft("YCbCr", image.size)  # before the colours are converted and rounded
    return np.asarray(image, dtype=float)[..., 0]


def estimated_loss(files: list[bytes]) -> float:
    """Estimate the mean squared error of files of one quality against what they were made of."""
    steps = np.reshape(Image.open(io.BytesIO(files[0])).quantization[0], (BLOCK, BLOCK))
    blocks = np.concatenate([in_blocks(brightness(file) - 128) for file in files])
    multiples = np.rint(fft.dctn(blocks, axes=(1, 2), norm="ortho") / steps)
    losses = [
        # The mean brightness of a block has no peak at zero: it is anywhere between multiples.
        steps[u, v] ** 2 / 12 if u == v == 0 else expected_loss(multiples[:, u, v], steps[u, v])
        for u in range(BLOCK)
        for v in range(BLOCK)
    ]
    return float(np.mean(losses))


def in_blocks(image_HW: np.ndarray) -> np.ndarray:
    """Return an image's blocks, (n, 8, 8)."""
    height, width = image_HW.shape
    rows = image_HW.reshape(height // BLOCK, BLOCK, width // BLOCK, BLOCK)
    return rows.transpose(0, 2, 1, 3).reshape(-1, BLOCK, BLOCK)


def expected_loss(multiples: np.ndarray, step: float) -> float:
    """Return the mean squared distance of Laplacian values from the multiples they were rounded to."""
    sizes = np.abs(multiples)
    others, total = np.count_nonzero(sizes), sizes.sum()
    zeros = sizes.size - others

    def surprise(rate: float) -> float:
        """Return -log likelihood, where the density is proportional to exp(-rate · |x| / step)."""
        at_zero = -math.expm1(-rate / 2)
        at_one = math.exp(rate / 2) * -math.expm1(-rate) / 2  # less a factor of exp(-rate) each
        return -zeros * math.log(at_zero) - others * math.log(at_one) + rate * total

    rate = optimize.minimize_scalar(surprise, bounds=(1e-3, 50), method="bounded").x
    x = np.linspace(0, 40 / rate, 100_001)  # in steps; what lies beyond is nothing
    density = np.exp(-rate * x)
    return step**2 * float(np.average((x - np.rint(x)) ** 2, weights=density))


if __name__ == "__main__":
    main()
