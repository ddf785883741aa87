"""Trains once in a fresh process and prints its peak memory, MiB.

Usage: python -m scripts.bench.memory plain|hptune CASE ITERATIONS DEVICE
"""

from __future__ import annotations

import sys

from scripts.bench.cases import CASES, trial_of
from scripts.bench.commands import peak_memory
from scripts.bench.rounds import PLAIN


def main() -> None:
    """Train and print."""
    kind, name, count, device = sys.argv[1:]
    case, iterations = CASES[name], int(count)
    if kind == PLAIN:
        import torch

        from scripts.bench.plain import problem_of, train

        torch.set_num_threads(case.threads or torch.get_num_threads())
        train(problem_of(name, device), iterations, case.batch_size, 0)
    else:
        from scripts.bench.ours import Ours

        with Ours(name, device) as ours:
            ours.seconds([trial_of(case, iterations, 0)])
    print(peak_memory())


if __name__ == "__main__":
    main()
