"""The duel: at full length, the decided LR against a lower one, before seeds are spent on it.

Short runs favour what learns fast: an LR that a whole run does not bear, or with which it overfits.

Source: Smith 2018, section 5: what short runs suggest is tried at the length of the final run.
"""

from __future__ import annotations

from collections.abc import Sequence

from hptune.analysis.criterion import LOSS, Criterion
from hptune.analysis.ranking import rank, rank_survivors
from hptune.procedure.compare import PairedRuns, decide
from hptune.procedure.lr_range import lr_decisions, lrs_of
from hptune.results.records import Decision, Trial
from hptune.trials.paired import Candidates

FACTOR = 2.0  # between the decided LR and its rival
RULE = "better of whole runs of one seed: {}"


def run_duel(runs: PairedRuns, base: Trial, beside: Sequence[Trial] = ()) -> Candidates:
    """Run the decided LR and half of it at full length, and lower ones as long as the lowest wins.

    The run that wins is the first of the final runs, so only its rivals cost anything.

    Args:
        base: The first of the final runs.
        beside: Trials that are run at the same time as far as there is room: nothing is decided by
            them, and they are there when they are wanted.

    Returns:
        No candidates where the budget has no room for a rival, or a loop of the user's own sets its LR.
    """
    if "lr" in base.fixed:
        return {}
    budget, cost = runs.runner.budget, runs.runner.epochs(base)
    left = (budget.allowed - budget.spent) * (1 + 1e-9)
    candidates: Candidates = {}
    wanted = [base.lr, base.lr / FACTOR]
    while left >= cost and budget.in_time(cost):
        trials = [base.change(**lrs_of(base, lr)) for lr in wanted]
        room = max(runs.runner.side_by_side - len(trials), 0)
        results = runs.runner.run([*trials, *beside[:room]])[: len(trials)]
        beside = ()
        candidates |= {f"{r.trial.lr:g}": [r] for r in results}
        left -= cost
        lowest = min(candidates, key=float)
        if rank(candidates, runs.by).best != lowest:
            break
        wanted = [float(lowest) / FACTOR]
    return candidates


def decide_duel(candidates: Candidates, by: Criterion = LOSS) -> list[Decision]:
    """Choose the LR that ended best at full length."""
    ranking = rank_survivors(candidates, by)
    trial = candidates[ranking.best][0].trial
    maximum = decide(
        candidates,
        ranking,
        ranking.best,
        stage=trial.stage,
        parameter="lr",
        value=trial.lr,
        rule=RULE.format(by),
        tied="",
    )
    return lr_decisions(maximum, trial)
