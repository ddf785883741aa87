"""Which stages a run of the procedure has: those that the user names, and first what they need."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from hptune.config.schema import Experiment
from hptune.errors import InputError
from hptune.results.records import Decision
from hptune.results.settings import AUTO
from hptune.stages import OPTIMIZER, STAGES, choose

KEY = STAGES[OPTIMIZER].parameter


def chosen_stages(
    experiment: Experiment, stages: Sequence[str] | None, decisions: Iterable[Decision]
) -> list[str]:
    """Return the stages to run in the procedure's order; the optimizer's where that is open alone.

    Args:
        experiment: Whose own stages run where none are named.
        stages: As the user names them.
        decisions: Made before; they hold for the stages that the user leaves out.

    Raises:
        InputError: A name is none of a stage, or there is nothing for it to decide.
    """
    optimizer, named = experiment.optimizer.name, stages is not None
    listed = experiment.procedure.stages if stages is None else stages
    names = [stage.name for stage in choose(list(listed), "--stages")]
    others = [name for name in names if name != OPTIMIZER]
    if optimizer != AUTO:
        if named and names != others:
            raise InputError(
                f"--stages: {OPTIMIZER}; is for optimizer.name {AUTO} alone, and it is {optimizer}; "
                "leave it out"
            )
        return others
    known = named and names == others and any(d.parameter == KEY for d in decisions)
    return others if known else [OPTIMIZER, *others]
