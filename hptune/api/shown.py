"""What a result shows of itself: the answer in print, and its curve beside it in a notebook."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from html import escape
from typing import TYPE_CHECKING

from hptune.report.answer import answer
from hptune.report.plots.style import house_style, image, new_figure
from hptune.report.read import RunRecord
from hptune.results.records import Decision
from hptune.results.tables import result_row

if TYPE_CHECKING:
    from hptune.api.results import Result

_VALUES = ("lr", "lr_min", "momentum", "momentum_min", "weight_decay", "batch_size")
_NEXT = "next: .decisions has every value with its reason, .plot() draws what was found"
_METRICS = ", .metrics is what it reached"
_WEIGHTS = f"      .model() is the trained net{_METRICS}"
_SAVED = f"      .saved() has what the loop saved{_METRICS}"


def as_text(result: Result) -> str:
    """Return the answer as the commands print it, with what to do next in Python."""
    record = RunRecord(
        path=result.out,
        name=result.task.model,
        trials=[result_row(one) for one in result.results],
        curves={},
        decisions=[*_held(result), *result.decisions],
        evidence=result.evidence,
        experiment="",
        tuned="",
        manifest={"notes": list(result.task.notes)},
        problems=[],
    )
    weights = _WEIGHTS if result.task.loop is None else _SAVED
    following = [_NEXT, *([weights] if hasattr(result, "metrics") else [])]
    return "\n".join(answer(record, result.decision.stage, following=following))


def as_html(result: Result) -> str:
    """Return the answer and the plot, for a notebook."""
    with house_style():
        figure, (ax,) = new_figure()
        result.draw(ax)
        drawn = base64.b64encode(image(figure, "svg")).decode()
    text = escape(as_text(result))
    alt = f"{ax.get_ylabel()} against {ax.get_xlabel()}"
    return f'<pre>{text}</pre><img src="data:image/svg+xml;base64,{drawn}" alt="{escape(alt)}">'


def _held(result: Result) -> Iterator[Decision]:
    """Yield what was given or decided before, as the decisions that it came from."""
    decided = {decision.parameter for decision in result.decisions}
    for name in _VALUES:
        value = getattr(result.trial, name)
        if name not in decided and value is not None:
            rule = "as given, or decided before"
            yield Decision(stage="", parameter=name, value=value, rule=rule, reason=rule)
