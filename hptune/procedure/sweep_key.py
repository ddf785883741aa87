"""A plain paired sweep over any key: the values side by side, the best by validation loss."""

from __future__ import annotations

from collections.abc import Sequence

from hptune.analysis.ranking import rank_survivors
from hptune.results.records import Decision, Scalar, Stage
from hptune.sweep.paired import Candidates, total_seconds, trial_ids

RULE = "lowest validation loss; within the noise the first in the order given"


def decide_key(key: str, values: Sequence[Scalar], candidates: Candidates) -> Decision:
    """Choose a value of a swept key.

    Args:
        key: The key as the user names it.
        values: In the order given; `candidates` has them as its labels, `str(value)`.
        candidates: Paired results.
    """
    ranking = rank_survivors(candidates)
    chosen = next(value for value in values if str(value) in ranking.ties)
    reason = ranking.reason
    if str(chosen) != ranking.best:
        reason += f"; tied, so {chosen}, the first in the order given, is taken"
    return Decision(
        stage=Stage.SWEEP,
        parameter=key,
        value=chosen,
        rule=RULE,
        reason=reason,
        trials=trial_ids(candidates),
        warnings=tuple(ranking.warnings),
        seconds=total_seconds(candidates),
    )
