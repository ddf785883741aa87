"""The time of the five largest eigenvalues of ResNet-20's Hessian on 1,000 images of CIFAR-10.

Usage: python scripts/measure_eigenvalues.py [differences|exact] [--threads 2]

The net is trained for three epochs before. The photos need `shared/data/unpack data`.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import hptune
from scripts.quality.problems import photos

EXAMPLES, TOP = 1000, 5


def main() -> None:
    """Train, and look."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "products", nargs="?", choices=["differences", "exact"], default="differences"
    )
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    task = photos(0, "resnet-20", 32, EXAMPLES, augment=False)
    how = {"lr": 0.1, "epochs": 3, "precision": "fp32", "progress": False, "optimizer": "sgd"}
    model = hptune.train(task, **how).model()
    wall, spent = time.perf_counter(), time.process_time()
    found = hptune.landscape.hessian(
        model, task.step, task.train, top=TOP, steps=0, products=args.products
    )
    print(
        f"top {TOP}: {', '.join(f'{value:.4g}' for value in found.top)}; {found.products} products, "
        f"{args.products}; {time.perf_counter() - wall:.1f} s, {time.process_time() - spent:.1f} s of "
        f"{args.threads} threads"
    )


if __name__ == "__main__":
    main()
