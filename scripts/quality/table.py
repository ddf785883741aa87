"""One page from all that is stored: docs/judgement.md."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from hptune.procedure.compare import MOST_SEEDS
from scripts.quality import ablation, batch_sizes, store
from scripts.quality.identical import CHEAP, SHARES, rates
from scripts.quality.problems import PROBLEMS
from scripts.quality.rivals import RECIPES
from scripts.quality.score import (
    Score,
    grid,
    grid_rows,
    gridded,
    is_like_grid,
    lost_at_lr,
    search_cost,
    within,
)

PAGE = Path(__file__).resolve().parents[2] / "docs" / "judgement.md"
CLOSE = 0.05  # of the fall: an LR that ends within it is as good as the best
SAME = 0.01  # of the fall: what no grid of some seeds can tell from the best
CANDIDATES, REPEATS = (2, 3, 4, 5), (1, 2, 4, 7)
INTRODUCTION = """# How good are the decisions?

Written by `python -m scripts.quality table` from the rows in `scripts/quality/results/`; every
problem is in `scripts/quality/problems.py`. The **grid** of a problem are whole 1cycle runs at LRs a
factor of 1.5 apart around the best, with momentum 0.95 and hptune's first weight decay and batch
size, over several seeds (of split and training both). **Lost** is how much worse a final validation
loss is than that of the grid's best LR, in per cent of the fall from the untrained net (or from
guessing, where that is lower) to it; less than 0 is better than the grid. **Regret** is the test error
less that of the grid's best LR on the same split, in points. hptune's final runs and those of the
rivals are means over 3 seeds, 2 where a training takes long.
"""
LABEL, DEFAULT = "batch size by updates", "auto"  # the code and the optimizer that users have
THE_DEFAULT = """## The default

`optimizer: auto`, on problems of 72 to 5,000 iterations, against the grid of NAdamW, the lower one on
nearly all of them (below). *Within 5 %*: runs whose final loss is. *LR within 5 %*: runs whose LR is, by the
grid, whose runs keep no earlier weights. *In the interval*: how often the 90 % interval of the LR held the
grid's best one, the mean over all its splits, and one that loses 1 % of the fall, in runs that ended with
the grid's batch size and momentum, since another best LR goes with others.
"""
ABLATION = """## What each part buys

NAdamW without a part of the plan, at the same budget: what one part does not spend, those after it do.
`python -m scripts.quality.ablation`
"""
BATCH_SIZES = """## Smaller batches

What NAdamW's final loss gains with smaller batches and as many epochs, each at its best LR of some a
factor of 2 apart, in per cent of the fall with the largest (3 seeds, 2 where a training takes long): the
reason for the batch size that hptune begins with. `python -m scripts.quality.batch_sizes`
"""
GRIDS = ("sgd", "adamw", "nadamw")
OPTIMIZERS = """## Optimizers

hptune with another optimizer than a problem's own, or with one that is open: `auto`. *Range test*:
nadamw's LR bracketed from the reading of a range test in the place of AlgoPerf's fixed point.
*Brackets broken off*: `auto` compared at budget 4, with three short runs for the LR of each optimizer.
*Start by length*: NAdamW's LR looked for from 1 / iterations in runs of less than 570, as it is now; in
the rows before from 0.00175 always.
"""


def write_table() -> None:
    """Print the page and store it."""
    judged = _by(store.read("judge"), _judged)
    against = _by(store.read("rivals"), _rival)
    rows = store.read("optimizers")
    optimizers = _by(rows, _optimizer)
    default = [
        row
        for row in store.chosen(rows, label=LABEL, optimizer=DEFAULT)
        if row["problem"] in gridded(_decided_for(row))
    ]
    parts = [INTRODUCTION]
    if default:
        parts += [THE_DEFAULT, _by_budget(default), _by_problem(default)]
    if lines := ablation.table():
        parts += [ABLATION, _table(ablation.HEAD, lines)]
    if lines := batch_sizes.table():
        parts += [BATCH_SIZES, _table(batch_sizes.HEAD, lines)]
    parts += ["## Against the grid of each problem's own optimizer, and against rivals\n"]
    parts += [_methods(_by(default, _default) | judged | against)]
    if optimizers:
        parts += [OPTIMIZERS, _methods(optimizers)]
    parts += ["## The grids\n", _grids()]
    parts += [
        f"## Decided by {method}\n\n{_summary(rows)}\n\n{_decided(rows)}"
        for method, rows in judged.items()
        if float(rows[0]["budget"]) == 3
    ]
    if store.read("identical"):
        parts += ["## Equal candidates\n", _identical()]
    page = "\n".join(parts)
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(page)
    print(page)


def _default(row: Mapping[str, str]) -> str:
    return f"hptune, the default, budget {float(row['budget']):g}"


def _decided_for(row: Mapping[str, str]) -> str:
    return row["decided"] or "nadamw"


def _by_budget(default: Sequence[dict[str, str]]) -> str:
    """Return a row a budget: how the default stands against the aims."""
    lines = []
    for budget in sorted({row["budget"] for row in default}, key=float):
        rows = store.chosen(default, budget=budget)
        scores = [Score.of(row, _decided_for(row)) for row in rows]
        losts = [100 * score.lost for score in scores]
        regrets = [score.regret for score in scores if score.regret is not None]
        at_lr = [lost_at_lr(row, _decided_for(row)) for row in rows]
        told = [row for row in rows if row["lr_low"] and is_like_grid(row)]
        held, near = (
            _share([within(row, _decided_for(row), lost) for row in told]) for lost in (0, SAME)
        )
        error = statistics.stdev(losts) / math.sqrt(len(losts)) if len(losts) > 1 else math.nan
        lines.append([
            f"{float(budget):g}", str(len(rows)), str(len({row["problem"] for row in rows})),
            f"{statistics.mean(losts):.2f} ± {error:.2f}", f"{max(losts):.1f}",
            _share([value <= 100 * CLOSE for value in losts]), _share([v <= CLOSE for v in at_lr]),
            _both_of(regrets), f"{statistics.mean(map(search_cost, rows)):.2f}", held, near,
        ])  # fmt: skip
    head = ["budget", "runs", "problems", "lost %", "worst", "within 5 %", "LR within 5 %",
            "regret, mean (worst)", "search", "best LR in the interval", "one as good in it"]  # fmt: skip
    return _table(head, lines)


def _by_problem(default: Sequence[dict[str, str]]) -> str:
    """Return a row a problem: what was decided on each split at the default budget."""
    rows, lines = [row for row in default if float(row["budget"]) == 3], []
    for name in PROBLEMS:
        own = store.chosen(rows, problem=name)
        if not own:
            continue
        scores = [Score.of(row, _decided_for(row)) for row in own]
        regrets = [f"{s.regret:+.1f}" for s in scores if s.regret is not None]
        lines.append([
            name.removesuffix(f"-{PROBLEMS[name].optimizer}"), str(PROBLEMS[name].iterations),
            f"{grid(name, _decided_for(own[0])).best_lr:.2g}",
            ", ".join(f"{float(row['lr']):.2g}" for row in own),
            ", ".join(f"{100 * score.lost:.1f}" for score in scores), ", ".join(regrets) or "-",
        ])  # fmt: skip
    head = ["problem", "iterations", "grid's best LR", "decided", "lost %", "regret"]
    return _table(head, lines)


def _share(values: Sequence[bool]) -> str:
    return f"{sum(values)} of {len(values)}" if values else "-"


def _both_of(regrets: Sequence[float]) -> str:
    return f"{statistics.mean(regrets):+.2f} ({max(regrets):+.1f})" if regrets else "-"


def _judged(row: Mapping[str, str]) -> str:
    stages = "" if row["stages"] == "all" else f", {row['stages'].replace(',', ' + ')}"
    return f"hptune {row['label']}, budget {float(row['budget']):g}{stages}"


def _optimizer(row: Mapping[str, str]) -> str:
    """Name a run by its optimizer, and the one that was decided for where it was open."""
    return f"{row['optimizer']}, {_judged(row).removeprefix('hptune ')}"


def _rival(row: Mapping[str, str]) -> str:
    budget = float(row["budget"])
    if row["rival"] in RECIPES:
        return row["rival"] + (f", {1 + budget:g} times as long" if budget else "")
    return f"{row['rival']}, budget {budget:g}"


def _by(
    rows: Iterable[dict[str, str]], key: Callable[[Mapping[str, str]], str]
) -> dict[str, list[dict[str, str]]]:
    groups: dict[str, list[dict[str, str]]] = {}
    for row in rows:
        if row["problem"] in gridded():
            groups.setdefault(key(row), []).append(row)
    return groups


def _methods(methods: Mapping[str, Sequence[dict[str, str]]]) -> str:
    """Return a row a method: what it lost (and its regret) on each problem, and over all."""
    names = list(dict.fromkeys(row["problem"] for rows in methods.values() for row in rows))
    lines = []
    for method, rows in methods.items():
        cells, losts, regrets = [], [], []
        for name in names:
            scores = [Score.of(row) for row in rows if row["problem"] == name]
            if not scores:
                cells.append("-")
                continue
            lost = statistics.mean(score.lost for score in scores)
            known = [score.regret for score in scores if score.regret is not None]
            losts.append(lost)
            regrets += [statistics.mean(known)] if known else []
            cells.append(_both(lost, known))
        worst = _both(max(losts), regrets and [max(regrets)])
        lines.append(
            [method, str(len(losts)), _both(statistics.mean(losts), regrets), worst, *cells]
        )
    return _table(["lost % (regret, points)", "problems", "mean", "worst", *names], lines)


def _both(lost: float, regrets: Sequence[float]) -> str:
    """Return a loss in per cent, and the mean of regrets where there are any."""
    regret = f" ({statistics.mean(regrets):+.2f})" if regrets else ""
    return f"{100 * lost:.1f}{regret}"


def _grids() -> str:
    lines = []
    for name in PROBLEMS:
        for optimizer in GRIDS:
            if name not in gridded(optimizer):
                continue
            curve = grid(name, optimizer)
            pairs = list(zip(curve.lr, curve.loss, strict=True))
            good = [lr for lr, loss in pairs if curve.lost(loss) <= CLOSE]
            rows = store.chosen(grid_rows(name, optimizer), lr=curve.best_lr)
            errors = [100 * (1 - float(r["test_accuracy"])) for r in rows if r["test_accuracy"]]
            error = f"{statistics.mean(errors):.2f}" if errors else "-"
            loss = f"{curve.start:.3g} to {min(curve.loss):.3g}"
            ends = f"{min(good):.2g} to {max(good):.2g}"
            lines.append(
                [name, optimizer, str(len(rows)), f"{curve.best_lr:.2g}", ends, loss, error]
            )
    head = ["problem", "optimizer", "seeds", "best LR", "within 5 % of the fall", "validation loss",
            "test error %"]  # fmt: skip
    return _table(head, lines)


def _summary(rows: Sequence[dict[str, str]]) -> str:
    """Return how the decided values stand against the aims, over all problems and seeds."""
    lost = [lost_at_lr(row) for row in rows]
    regrets = [score.regret for score in map(Score.of, rows) if score.regret is not None]
    cost = statistics.mean(search_cost(row) for row in rows if row["lr"])
    held = [within(row) for row in rows if row["lr_low"]]
    told = (
        f"{len(rows)} runs. The decided LR at full length is within 5 % of the fall in "
        f"{sum(value <= CLOSE for value in lost) / len(lost):.0%} of them, at worst "
        f"{100 * max(lost):.0f} % off; test regret {statistics.mean(regrets):+.2f} points, at worst "
        f"{max(regrets):+.1f}; a search cost {cost:.2f} final runs."
    )
    return told + (
        f" The grid's best LR lies in {statistics.mean(held):.0%} of the intervals." if held else ""
    )


def _decided(rows: Sequence[dict[str, str]]) -> str:
    head = ["problem", "seed", "LR", "grid's", "lost at the LR %", "momentum", "WD", "batch size",
            "epochs", "lost %", "regret", "search", "seconds"]  # fmt: skip
    lines = []
    for row in rows:
        score, best = Score.of(row), grid(row["problem"]).best_lr
        if not row["lr"]:
            lines.append([row["problem"], row["seed"], row["message"][:60]])
            continue
        lines.append([
            row["problem"], row["seed"], f"{float(row['lr']):.2g}", f"{best:.2g}",
            f"{100 * lost_at_lr(row):.1f}", f"{float(row['momentum']):g}",
            f"{float(row['weight_decay']):.1g}", row["batch_size"], f"{float(row['epochs']):.3g}",
            f"{100 * score.lost:.1f}", "-" if score.regret is None else f"{score.regret:+.1f}",
            f"{search_cost(row):.2f}", f"{float(row['seconds']):.0f}",
        ])  # fmt: skip
    return _table(head, [line + [""] * (len(head) - len(line)) for line in lines])


def _identical() -> str:
    """Return how often a winner is named, and found, by candidates and seeds, over the problems."""
    lines = []
    columns = [*((f"{n} seeds", n, False) for n in REPEATS), (f"up to {MOST_SEEDS}", 1, True)]
    for candidates in CANDIDATES:
        line = [str(candidates)]
        for _, seeds, repeated in columns:
            found = [
                rates(name, share, candidates=candidates, seeds=seeds, repeated=repeated)
                for name in CHEAP
                for share in SHARES
                if store.has("identical", problem=name, share=share)
            ]
            named, better = (
                statistics.mean(getattr(rate, what) for rate in found)
                for what in ("named", "found")
            )
            line.append(f"{named:.0%}, {better:.0%}")
        lines.append(line)
    told = (
        "Real trainings that differ in the seed alone: how often `rank` names a winner among equal\n"
        "candidates, and how often it finds one that is better by twice the standard deviation. With so\n"
        "many seeds each; and as a stage does it, which repeats what ties until one wins.\n\n"
    )
    return told + _table(["candidates", *(name for name, _, _ in columns)], lines)


def _table(head: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    rows = [head, ["---"] * len(head), *lines]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows) + "\n"
