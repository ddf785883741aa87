"""What to try after a run that over- or underfits: what no stage has compared yet, and what it costs.

Source: Smith 2018, Remarks 1 to 3: LR, weight decay, dropout and augmentation regularise alike, and
a run that still falls at its end is too short or too much regularised.
"""

from __future__ import annotations

from collections.abc import Container, Iterator

from hptune.procedure.plan import CLOSED, SWEEP, TELLING
from hptune.procedure.session.context import Context
from hptune.procedure.sweep_key import DROPOUT_RATES
from hptune.results.evidence import Comparison, FinalRun
from hptune.training.model import dropout_rate


def advise(context: Context, run: FinalRun) -> tuple[str, ...]:
    """Return what is left to try, each with its cost; what does not concern the fit stays as it is."""
    if run.verdict == "underfit":
        return tuple(_against_underfitting(context))
    if run.verdict == "overfit":
        return tuple(_against_overfitting(context))
    return run.advice


def _against_underfitting(context: Context) -> Iterator[str]:
    longer = 2 * context.epochs
    yield f"train longer: {longer:g} epochs cost {longer:g} a seed"
    done = _compared(context)
    if "lr" not in done:
        yield f"compare larger LRs: about {_cost(context, CLOSED)} epochs"
    if "weight_decay" not in done:
        yield f"compare smaller weight decays: about {_cost(context, SWEEP)} epochs"
    yield from _no_advice(done)


def _against_overfitting(context: Context) -> Iterator[str]:
    done = _compared(context)
    if "lr" not in done:
        yield f"compare larger LRs first: about {_cost(context, CLOSED)} epochs"
    if "weight_decay" not in done:
        yield f"compare larger weight decays: about {_cost(context, SWEEP)} epochs"
    if "dropout" not in done and _has_dropout(context):
        yield f"compare rates of dropout: about {_cost(context, len(DROPOUT_RATES))} epochs"
    images = len(context.check().input_shape) == 4
    more = "augment the images, or get more of them" if images else "get more training data"
    yield f"{more}: {context.epochs:g} epochs a seed with the values that are decided"
    yield from _no_advice(done)


def _compared(context: Context) -> set[str]:
    """Return the parameters of which this run has compared values that came to their end."""
    return {
        one.parameter.removeprefix("model.")
        for one in context.runner.run_dir.evidence()
        if isinstance(one, Comparison) and sum(c.score is not None for c in one.candidates) > 1
    }


def _cost(context: Context, candidates: int) -> str:
    """Return the epochs that a comparison of short runs takes."""
    plan = context.plan(context.batch_size(quiet=True))
    return f"{plan.short / plan.per_epoch * candidates * max(plan.search_seeds, TELLING):.3g}"


def _has_dropout(context: Context) -> bool:
    if context.task.loop is not None:  # whose model only the loop knows
        return False
    return dropout_rate(context.task) is not None


def _no_advice(done: Container[str]) -> Iterator[str]:
    names = {"lr": "another LR", "weight_decay": "another weight decay"}
    if tried := [words for name, words in names.items() if name in done]:
        yield f"not {' nor '.join(tried)}: that was chosen by comparison"
