"""A plain paired sweep over any key: the values side by side, the best by validation loss."""

from __future__ import annotations

from collections.abc import Sequence

from hptune.analysis.criterion import LOSS, Criterion
from hptune.analysis.ranking import rank_survivors
from hptune.procedure import defaults
from hptune.procedure.compare import concluded
from hptune.procedure.context import Context, Outcome
from hptune.results.records import Decision, Trial, Value
from hptune.stages import SWEEP
from hptune.trials.paired import Candidates, run_paired, total_seconds, trial_ids

RULE = "{}; within the noise the first in the order given"
DROPOUT_RATES = (0.0, 0.1, 0.2, 0.3, 0.5)
LR_FACTORS = (0.25, 0.5, 1, 2, 4)
PATHS = {"dropout": "model.dropout", "lr": "hyper_parameters.lr"}  # of the keys with a short name


def stage(context: Context, key: str, values: Sequence[Value] | None, seeds: int) -> Outcome:
    """Compare the values of any key of the experiment, of dropout or LR by these names.

    Args:
        context: The problem.
        key: "lr", "dropout", or a key path of the experiment.
        values: Candidates; LR and dropout have their own.
        seeds: Repeats of each.
    """
    base, by = context.short(SWEEP), context.criterion
    if key == "lr":
        candidates = _learning_rates(context, base, values, seeds)
        decision = decide_key("lr", [float(label) for label in candidates], candidates, by)
        return concluded(candidates, [decision], by, columns=("lr",), chosen=str(decision.value))[0]
    path, wanted = PATHS.get(key, key), list(values or DROPOUT_RATES)
    candidates = {}
    for value in wanted:
        other = context.variant(path, value)
        trial = other.base(SWEEP, base.iterations, batch_size=base.batch_size, quiet=True)
        trial = trial.change(extra={key: value})
        trials = [trial.change(seed=trial.seed + k) for k in range(seeds)]
        candidates[str(value)] = other.runner.run(trials)
    decision = decide_key(path, wanted, candidates, by)
    return concluded(candidates, [decision], by, columns=(key,), chosen=str(decision.value))[0]


def _learning_rates(
    context: Context, base: Trial, values: Sequence[Value] | None, seeds: int
) -> Candidates:
    """Run LRs on one task, so that they can run together."""
    wanted = [float(f"{base.lr * factor:.2g}") for factor in LR_FACTORS]
    if values is not None:
        wanted = [float(value) for value in values if isinstance(value, int | float)]
    changes = {
        str(lr): {"lr": lr, "lr_min": None if base.lr_min is None else defaults.lr_min(lr)}
        for lr in wanted
    }
    return run_paired(context.runner, base, changes, seeds=seeds)


def decide_key(
    key: str, values: Sequence[Value], candidates: Candidates, by: Criterion = LOSS
) -> Decision:
    """Choose a value of a swept key.

    Args:
        key: The key as the user names it.
        values: In the order given; `candidates` has them as its labels, `str(value)`.
        candidates: Paired results.
        by: What is better.
    """
    ranking = rank_survivors(candidates, by)
    chosen = next(value for value in values if str(value) in ranking.ties)
    reason = ranking.reason
    if str(chosen) != ranking.best:
        reason += f"; tied, so {chosen}, the first in the order given, is taken"
    return Decision(
        stage=SWEEP,
        parameter=key,
        value=chosen,
        rule=RULE.format(by),
        reason=reason,
        trials=trial_ids(candidates),
        warnings=tuple(ranking.warnings),
        seconds=total_seconds(candidates, SWEEP),
    )
