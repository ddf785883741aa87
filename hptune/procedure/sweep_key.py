"""A plain paired sweep over any key: the values side by side, the best by validation loss."""

from __future__ import annotations

from collections.abc import Sequence

from hptune.analysis.criterion import LOSS, Criterion
from hptune.analysis.ranking import rank_survivors
from hptune.procedure.compare import concluded, decide
from hptune.procedure.lr_range import lrs_of
from hptune.procedure.outcome import Outcome
from hptune.procedure.session.context import Context
from hptune.results.records import Decision, Value
from hptune.stages import SWEEP
from hptune.trials.paired import Candidates, run_paired

RULE = "{}; within the noise the first in the order given"
DROPOUT_RATES = (0.0, 0.1, 0.2, 0.3, 0.5)
LR_FACTORS = (0.25, 0.5, 1, 2, 4)
PATHS = {"dropout": "model.dropout", "lr": "hyper_parameters.lr"}  # of the keys with a short name


def label(value: Value) -> str:
    """Return what a value is called among the candidates, and in messages."""
    return "null" if value is None else str(value)


def stage(context: Context, key: str, values: Sequence[Value] | None, seeds: int) -> Outcome:
    """Compare the values of any key of the experiment, of dropout or LR by these names.

    Args:
        key: "lr", "dropout", or a key path of the experiment.
        values: Candidates; LR and dropout have their own.
    """
    base, by = context.short(SWEEP), context.criterion
    path, wanted = PATHS.get(key, key), list(values or DROPOUT_RATES)
    if key == "lr":  # on one task, so that all can run together
        around = [float(f"{base.lr * factor:.2g}") for factor in LR_FACTORS]
        lrs = [float(lr) for lr in values or around if isinstance(lr, int | float)]
        path, wanted = key, list(lrs)
        changes = {str(lr): lrs_of(base, lr) for lr in lrs}
        candidates = run_paired(context.runner, base, changes, seeds=seeds)
    else:
        candidates = {}
        for value in wanted:
            other = context.variant(path, value)
            trial = other.base(SWEEP, base.iterations, batch_size=base.batch_size, quiet=True)
            trial = trial.change(extra={key: value})
            trials = [trial.change(seed=trial.seed + k) for k in range(seeds)]
            candidates[label(value)] = other.runner.run(trials)
    decision = decide_key(path, wanted, candidates, by)
    return concluded(candidates, [decision], by, columns=(key,), chosen=label(decision.value))


def decide_key(
    key: str, values: Sequence[Value], candidates: Candidates, by: Criterion = LOSS
) -> Decision:
    """Choose a value of a swept key, by its label among the candidates."""
    ranking = rank_survivors(candidates, by)
    chosen = next(value for value in values if label(value) in ranking.near)
    return decide(
        candidates,
        ranking,
        label(chosen),
        stage=SWEEP,
        parameter=key,
        value=chosen,
        rule=RULE.format(by),
        tied=f"{label(chosen)}, the first in the order given, is taken",
    )
