"""The table of stages: what config, plan, session, report, completion, live view and shell know of each.

A stage of the procedure is a row here, a module with its `run_`, its `decide_` and its
`stage(context)`, and, where it has options, a section of `procedure` in the config.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from hptune.errors import one_of

OPTIMIZER = "optimizer"
LR_RANGE = "lr-range"
MOMENTUM = "momentum"
WEIGHT_DECAY = "weight-decay"
BATCH_SIZE = "batch-size"
REFINE = "refine"
FINAL = "final"
TRAIN = "train"
SWEEP = "sweep"
SEARCH = "search"
BALANCE = "balance"  # what a sweep of it decides on, which is no single key


@dataclass(frozen=True, kw_only=True)
class Stage:
    """What a stage is."""

    name: str  # as in results.csv, decisions.csv and `--stages`
    title: str  # for people
    parameter: str = ""  # what it decides first; "" where that differs from run to run
    # Has `stage(context, values, seeds)`, and `check(context, values)` where the config's rules do
    # not say all of a listed value; "" where the stage is no part of the procedure.
    module: str = ""
    aliases: tuple[str, ...] = ()  # what `hptune sweep` calls it, the usual name first
    summary: str = ""  # what is compared, for the shell's completion
    searches: bool = True  # whether it looks for values, by trials whose weights nobody keeps


STAGES: dict[str, Stage] = {
    stage.name: stage
    for stage in (
        Stage(
            name=OPTIMIZER,
            title="Optimizer",
            parameter="optimizer.name",
            module="hptune.procedure.optimizer",
        ),
        Stage(
            name=LR_RANGE,
            title="LR range test",
            parameter="lr",
            module="hptune.procedure.lr_range",
        ),
        Stage(
            name=MOMENTUM,
            title="Momentum",
            parameter="momentum",
            module="hptune.procedure.momentum",
            aliases=("momentum",),
            summary="the maximum of cyclical momentum",
        ),
        Stage(
            name=WEIGHT_DECAY,
            title="Weight decay",
            parameter="weight_decay",
            module="hptune.procedure.weight_decay",
            aliases=("wd", "weight-decay", "weight_decay"),
            summary="weight decay",
        ),
        Stage(
            name=BATCH_SIZE,
            title="Batch size",
            parameter="batch_size",
            module="hptune.procedure.batch_size",
            aliases=("batch-size", "batch_size"),
            summary="total batch size",
        ),
        Stage(
            name=REFINE,
            title="Refinement",
            parameter="lr",
            module="hptune.procedure.refine",
        ),
        Stage(name=FINAL, title="Final run", module="hptune.procedure.final", searches=False),
        Stage(name=TRAIN, title="Training run", searches=False),
        Stage(name=SWEEP, title="Sweep"),
        Stage(name=SEARCH, title="Joint search", parameter="lr"),
    )
}
WHOLE_RUNS = tuple(stage.name for stage in STAGES.values() if not stage.searches)
"""The stages whose trials are of full length; their weights are kept, and only they read the test set."""


def procedure() -> Iterator[Stage]:
    """Yield the stages of `hptune run`, in their order."""
    return (stage for stage in STAGES.values() if stage.module)


def swept(key: str) -> Stage | None:
    """Return the stage that `hptune sweep KEY` runs; None where KEY has none of its own."""
    return next((stage for stage in procedure() if key in stage.aliases), None)


def choose(names: list[str] | tuple[str, ...], where: str) -> list[Stage]:
    """Return the procedure's stages of these names, in the procedure's order.

    Raises:
        InputError: A name is none of them.
    """
    known = {stage.name: stage for stage in procedure()}
    for name in names:
        one_of(known, name, where)
    return [stage for stage in known.values() if stage.name in names]
