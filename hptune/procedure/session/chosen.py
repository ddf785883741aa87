"""Which stages a run of the procedure has: those that the user names, and first what they need."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence

from hptune.errors import InputError
from hptune.results.records import Decision
from hptune.results.settings import AUTO
from hptune.stages import OPTIMIZER, STAGES, Stage, choose

KEY = STAGES[OPTIMIZER].parameter


def chosen_stages(
    listed: Sequence[str],
    decisions: Iterable[Decision],
    *,
    named: bool,
    optimizer: str | None,
) -> list[str]:
    """Return the stages to run in the procedure's order; the optimizer's where that is open alone.

    Args:
        listed: Names of stages, or aliases.
        decisions: Made before; they hold for the stages that are left out.
        named: Whether the command lists them; else the experiment does.
        optimizer: None where it is to be decided on.

    Raises:
        InputError: A name is none of a stage, or there is nothing for it to decide.
    """
    names = [stage.name for stage in choose(list(listed), "--stages")]
    others = [name for name in names if name != OPTIMIZER]
    if optimizer is not None:
        if named and names != others:
            raise InputError(
                f"--stages: {OPTIMIZER}; is for optimizer.name {AUTO} alone, and it is {optimizer}; "
                "leave it out"
            )
        return others
    known = named and names == others and any(d.parameter == KEY for d in decisions)
    return others if known else [OPTIMIZER, *others]


def without_fixed(
    names: Sequence[str], fixed: Collection[str], tell: Callable[[str], None]
) -> list[str]:
    """Return the stages but for those on values that a training loop of the user's own sets itself.

    Args:
        names: Of stages.
        fixed: What the loop sets.
        tell: Is told in a line of those that are left out.
    """
    left = [name for name in names if STAGES[name].parameter in fixed]
    if left:
        tell(f"  left out, for the training loop does not take their values: {', '.join(left)}")
    return [name for name in names if name not in left]


def refuse_fixed(stage: Stage | None, fixed: Collection[str]) -> None:
    """Refuse to sweep what a training loop of the user's own sets itself.

    Raises:
        InputError: It does.
    """
    name = "" if stage is None else stage.parameter
    if name in fixed:
        raise InputError(
            f"{name}: the training loop does not take it; must, for its values to be compared; use "
            f"trial.{name} in it, or {{{name}}} in the command"
        )
