"""Which order of trainings loses least: hptune's stages and its refinement against TPE and random search.

Usage: python -m scripts.quality.order [--budgets 26 52 100] [--orders NAME ...] [--every 1] [--noise 0]

Every order trains on the 34 tables of the LCBench surrogate and spends as many full trainings of 52
epochs as the budget says. Regret: the error at the values decided, above the best of 20,000 settings
drawn at random, in points; mean and worst over the tables.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence

import numpy as np

from hptune.analysis.proposals import Region, propose
from hptune.procedure.compare import PairedRuns, concluded
from hptune.procedure.lr_range import decide_lr, run_bracket
from hptune.procedure.plan import SHORT
from hptune.procedure.refine import decide_refine, region_around, run_refine
from hptune.procedure.trial_settings import Trials
from hptune.results.records import Trial
from hptune.stages import LR_RANGE, REFINE
from hptune.training.lengths import iterations_per_epoch
from scripts.quality.lcbench import (
    EPOCHS,
    ERROR,
    EXAMPLES,
    SurrogateSession,
    best_known,
    error,
    sample,
    tables,
)

Order = Callable[[str, float, float], float]
SIZES = (16, 32, 64, 128, 256, 512)
REGION = Region(lr=(1e-4, 1e-1), momentum=(0.1, 0.99), weight_decay=(1e-5, 1e-1), batch_sizes=SIZES)


def main() -> None:
    """Print a row for each order and budget."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--budgets", type=float, nargs="+", default=[26, 52, 100])
    parser.add_argument("--orders", nargs="+", choices=list(ORDERS), default=list(ORDERS))
    parser.add_argument("--every", type=int, default=1, help="takes every so many tables")
    parser.add_argument("--noise", type=float, default=0.0, help="between seeds, points")
    args = parser.parse_args()
    for name in args.orders:
        for budget in args.budgets:
            began = time.perf_counter()
            own = list(tables())[:: args.every]
            regrets = [ORDERS[name](table, budget, args.noise) for table in own]
            took = time.perf_counter() - began
            print(
                f"{name:20s} {budget:5g} trainings: regret {np.mean(regrets):.2f} "
                f"({np.max(regrets):.2f}); {len(own)} tables, {took:.0f} s",
                flush=True,
            )


def refined(table: str, trainings: float, noise: float) -> float:
    """Return the regret of refinement alone, from the middle of the LR's range."""
    return _refined(SurrogateSession(table, trainings, noise), trainings)


def bracketed(table: str, trainings: float, noise: float) -> float:
    """Return the regret of the plan of `hptune run`: an LR bracket, and refinement with what is left."""
    session = SurrogateSession(table, trainings, noise)
    session.runner.budget.allowed = trainings * EPOCHS
    runs = PairedRuns(session.runner, by=ERROR)
    found = run_bracket(runs, session.run(LR_RANGE, SHORT), session.values["lr"])
    outcome = concluded(found, decide_lr(None, found, by=ERROR), ERROR, columns=("lr",))
    session.take_in(outcome.decisions, outcome.results)
    return _refined(session, trainings)


def _refined(session: SurrogateSession, trainings: float) -> float:
    session.runner.budget.allowed = trainings * EPOCHS
    trials = Trials(session.run(REFINE), EXAMPLES)
    known = session.searched
    region = region_around(trials.base, SIZES)
    results = run_refine(session.runner, trials, region, known=known, by=ERROR)
    outcome = decide_refine(trials, region, [*known, *results], ERROR)
    session.take_in(outcome.decisions, outcome.results)
    return session.regret()


def by_model(table: str, trainings: float, noise: float) -> float:
    """Return the regret of the model alone with full trainings, from four random settings."""
    session = SurrogateSession(table, trainings, noise)
    trials = Trials(session.run(REFINE), EXAMPLES)
    trained = session.runner.run([_trial(row) for row in sample(4, seed=0)])
    while len(trained) < trainings:
        surface = trials.surface(trials.usable(trained), ERROR)
        found = propose(surface, REGION, near=surface.best(), seed=len(trained))
        trained += session.runner.run([trials.trial(found)])
    best = trials.surface(trials.usable(trained), ERROR).best()
    return _regret(session, (best.lr, best.momentum, best.weight_decay, best.batch_size))


def at_random(table: str, trainings: float, noise: float) -> float:
    """Return the regret of the best of random settings."""
    session = SurrogateSession(table, trainings, noise)
    rows = sample(round(trainings), seed=0)
    errors = [r.val_loss for r in session.runner.run([_trial(row) for row in rows])]
    return _regret(session, rows[int(np.argmin(errors))].tolist())


def by_tpe(table: str, trainings: float, noise: float) -> float:
    """Return the regret of Optuna's TPE, momentum by 1 - momentum's logarithm."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    session = SurrogateSession(table, trainings, noise)
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=0))

    def objective(asked: optuna.Trial) -> float:
        row = (
            asked.suggest_float("lr", *REGION.lr, log=True),
            1 - asked.suggest_float("damping", 0.01, 0.9, log=True),
            asked.suggest_float("weight_decay", *REGION.weight_decay, log=True),
            asked.suggest_categorical("batch_size", SIZES),
        )
        (result,) = session.runner.run([_trial(row)])
        asked.set_user_attr("row", row)
        return float(result.val_loss or 0.0)

    study.optimize(objective, n_trials=round(trainings))
    return _regret(session, study.best_trial.user_attrs["row"])


def _trial(row: Sequence[float]) -> Trial:
    lr, momentum, decay, size = map(float, row)
    return Trial(
        stage=REFINE,
        task="",
        seed=0,
        iterations=EPOCHS * iterations_per_epoch(EXAMPLES, round(size)),
        batch_size=round(size),
        lr=lr,
        momentum=momentum,
        weight_decay=decay,
    )


def _regret(session: SurrogateSession, row: Sequence[float]) -> float:
    table = session.runner.table
    return float(error(table, np.array([row], dtype=float))[0]) - best_known(table)


ORDERS: dict[str, Order] = {
    "random": at_random,
    "tpe": by_tpe,
    "refine": refined,
    "bracket, then refine": bracketed,
    "model": by_model,
}

if __name__ == "__main__":
    main()
