"""The values a stage starts from where neither flag, decision nor experiment gives one."""

from __future__ import annotations

MOMENTUM = 0.95
MOMENTUM_MIN = 0.85
LR_MIN_FRACTION = 0.1  # of the maximum; the report: a tenth, a third or a quarter
CYCLES = frozenset({"1cycle", "clr"})  # policies that go up from a minimum as the report's does
# From AlgoPerf's fixed point a bracket finds better LRs than from the reading of a range test, and
# with them NAdamW ends no worse than SGD on most problems (scripts/quality/results/optimizers.csv).
NADAMW_LR = 1.75e-3
OPTIMIZERS = ("nadamw", "sgd")  # that are compared; the first where they cannot be told apart
ADAPTIVE = frozenset({"adagrad", "adadelta", "rmsprop"})  # beside all that have betas
# With 16 examples a batch in the place of 64, nine trainings of 30 to 261 updates end lower, by 0.3 to 15 %
# of the fall, and eight of 300 to 600 between 1.3 % lower and 2.4 % higher; with 8 nets with batch norms lose
# again (scripts/quality/batch_sizes.py).
UPDATES, SMALL_BATCH = 300, 16
OWN = "own"  # an optimizer, or a policy, that only a loop of the user's own knows
DEEP = 10  # layers with weights; from here on the report's weight decays for deep nets apply
# Decoupled decay is multiplied by LR alone, L2 also passes through the gradient: the
# useful magnitudes lie about two decades apart.
DECOUPLED, DECOUPLED_NAME = 100.0, "adamw"  # in the name of the class


def batch_size(examples: int, epochs: float, parts: int = 1) -> int:
    """Return a batch size to start from: a power of two, with 8 iterations an epoch at least.

    A smaller one where the final run would make less than 300 updates, down to 16 in each of the `parts`
    that a batch is cut into.
    """
    size = 128 if examples >= 10_000 else 64
    while size > 4 and examples // size < 8:
        size //= 2
    while size >= 2 * SMALL_BATCH * parts and epochs * (examples // size) < UPDATES:
        size //= 2
    return min(size, examples)


def batch_sizes(present: int, examples: int) -> list[int]:
    """Return half, once, twice and four times the batch size, as far as the data allow."""
    values = [present // 2, present, present * 2, present * 4]
    return [value for value in values if 1 <= value <= examples // 4 or value == present]


def lr_range(*, adaptive: bool) -> tuple[float, float]:
    """Return the ends of the first LR range test: wide, since a test can say where to look closer."""
    return (1e-6, 1.0) if adaptive else (1e-5, 10.0)


def has_usual_lr(optimizer: str) -> bool:
    """Return whether an optimizer's LR is looked for around a usual one; else a range test has to say."""
    return optimizer == "nadamw"


def usual_lr(iterations: int) -> float:
    """Return the LR from which NAdamW's own is looked for in final runs so long.

    A step moves each weight by about the LR, so that a short run comes no farther than it takes steps:
    there the best LR is about 1 / iterations (scripts/quality/results/optimizers.csv: median 1.1, from 0.5
    to 2.2 in half of 51 runs of 115 to 880 iterations).
    """
    return max(NADAMW_LR, float(f"{1 / iterations:.2g}"))


def first_lr(*, adaptive: bool) -> float:
    """Return the LR from which a bracket begins where neither a range test nor a habit can say."""
    return 1e-3 if adaptive else 0.03


def search_lr(*, adaptive: bool) -> tuple[float, float]:
    """Return the ends of a joint search over LR: what a user would write without a range test."""
    return (1e-5, 1e-1) if adaptive else (1e-3, 1.0)


def lr_min(lr: float) -> float:
    """Return the usual minimum for a maximum, to four significant figures."""
    return float(f"{lr * LR_MIN_FRACTION:.4g}")


def weight_decay(weight_layers: int, optimizer: str = "sgd") -> float:
    """Return the middle of the report's grid for a net: 1e-3 for a shallow one, 1e-4 for a deep one."""
    return (1e-4 if weight_layers >= DEEP else 1e-3) * decay_scale(optimizer)


def decay_scale(optimizer: str) -> float:
    """Return how many times as large the useful weight decays of an optimizer are as those of SGD."""
    return DECOUPLED if DECOUPLED_NAME in optimizer.lower() else 1.0
