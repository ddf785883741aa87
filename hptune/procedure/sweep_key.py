"""A plain paired sweep over any key: the values side by side, the best by validation loss."""

from __future__ import annotations

from collections.abc import Sequence

from hptune.analysis.criterion import LOSS, Criterion
from hptune.analysis.ranking import rank_survivors
from hptune.results.records import Decision, Scalar
from hptune.stages import SWEEP
from hptune.trials.paired import Candidates, total_seconds, trial_ids

RULE = "{}; within the noise the first in the order given"


def decide_key(
    key: str, values: Sequence[Scalar], candidates: Candidates, by: Criterion = LOSS
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
