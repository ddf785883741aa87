"""The report as one self-contained HTML page."""

from __future__ import annotations

import base64
import hashlib
import math
import shlex
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

from hptune.errors import InputError
from hptune.report import summary, wording
from hptune.report.figures import Picture, pictures
from hptune.report.plots.candidates import rank
from hptune.report.plots.landscape import numbers_of
from hptune.report.plots.style import SIZE
from hptune.report.read import RunRecord, number, numbers, read_run
from hptune.report.trust import comparison_of, trust_of
from hptune.report.views import (
    comparisons,
    decided_by,
    decided_lr,
    ended,
    final_runs,
    heading,
    models,
    range_test,
)
from hptune.results.atomic import write_atomic
from hptune.results.evidence import Candidate, Comparison, FinalRun
from hptune.results.records import Status, Value

_ASSETS = resources.files("hptune.report") / "assets"
_BEFORE = ("trial", "stage", "status", "seed", "epochs", "iterations", "batch_size")
_ABOVE = ("data", "model", "optimizer", "device")  # told once, not in every row of the trials
_WORDING = ("plain", "rounded", "value", "duration", "stage_title", "parameter", "column")
_PIXELS = 96  # of CSS, an inch


class Report(NamedTuple):
    """What was written."""

    page: Path
    plots: tuple[Path, ...]


def write_report(
    run_dir: Path, out: Path | None = None, *, figures: str = "png", style: str = "screen"
) -> Report:
    """Draw a run directory's plots and write its page.

    Args:
        run_dir: What to report on.
        out: Where report.html and plots/ go, by default into the run directory.
        figures: What the plots' files are: png, svg or pdf.
        style: Of these: "screen", or "paper" for a column of a paper. The page has its own.

    Raises:
        InputError: The directory cannot be read, or the files not be written there.
    """
    record, folder = read_run(run_dir), out or run_dir
    try:
        (folder / "plots").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"--out: {folder}; must be a folder that can be written ({error.strerror}); "
            "give another --out"
        ) from None
    drawn = pictures(record)
    alike = (figures, style) == ("png", "screen")
    files = drawn if alike else pictures(record, figures, style)
    plots = {folder / "plots" / f"{own.name}.{figures}": own.image for own in files}
    for path, content in plots.items():
        write_atomic(path, content)
    page = folder / "report.html"
    write_atomic(page, render(record, drawn, figures))
    return Report(page, tuple(plots))


def render(record: RunRecord, drawn: Sequence[Picture], suffix: str = "png") -> str:
    """Return the page as HTML; everything that a user named is escaped.

    Args:
        record: Of the run.
        drawn: Its plots as PNG, which the page holds.
        suffix: Of their files beside the page.
    """
    from jinja2 import Environment, StrictUndefined

    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {name: getattr(wording, name) for name in _WORDING} | {
        "number": number,
        "command": lambda words: shlex.join(words) if isinstance(words, list) else words,
        "base64": lambda data: base64.b64encode(data).decode(),
        "upper_first": _upper_first,
        "sentence": lambda text: f"{_upper_first(text).removesuffix('.')}.",
    }
    script = _asset("page.js")
    return environment.from_string(_asset("page.html")).render(
        **_context(record),
        pictures=drawn,
        suffix=suffix,
        picture_size=[round(_PIXELS * inches) for inches in SIZE],
        style=_asset("page.css"),
        script=script,
        script_digest=hashlib.sha256(script.encode()).digest(),
    )


def _upper_first(text: str) -> str:
    return text[:1].upper() + text[1:]


def _context(record: RunRecord) -> dict[str, Any]:
    tested = range_test(record.evidence)
    finals = [_final(run, record) for run in final_runs(record.evidence)]
    return {
        "record": record,
        "facts": [", ".join(found) for name in _ABOVE if (found := _found(record, name))],
        "written": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "values": summary.decided_values(record),
        "main": next((own for own in finals if not own["run"].baseline), None),
        "warnings": summary.warnings(record),
        "costs": summary.costs(record),
        "decisions": _decisions(record),
        "range_test": tested,
        "decided_lr": decided_lr(tested[0], record.decisions) if tested else None,
        "comparisons": [_comparison(own, record) for own in comparisons(record.evidence)],
        "models": models(record.evidence),
        "finals": finals,
        "looks": numbers_of(record),
        "trials": _trials(record),
    }


def _found(record: RunRecord, name: str) -> list[str]:
    """Return what the trials have in a column, each value once."""
    cells = (row.get(name) for row in record.trials)
    return list(dict.fromkeys(str(cell) for cell in cells if cell is not None))


def _decisions(record: RunRecord) -> list[dict[str, Any]]:
    """Return the rows of the decision table; what several decisions share is told once."""
    rows = []
    told = set()
    for d in record.decisions:
        # Seconds count a stage's own trials; those that another stage ran cost nothing here.
        own = [row for row in record.find(d.trials) if row["stage"] == d.stage]
        first = (d.stage, d.trials) not in told
        rows.append({"decision": d, "first": first, "cost": summary.cost_of(own)})
        told.add((d.stage, d.trials))
    return rows


def _comparison(comparison: Comparison, record: RunRecord) -> dict[str, Any]:
    anchor, title = heading(comparison)
    decisions = decided_by(comparison, record.decisions)
    parts = [f"{wording.parameter(d.parameter)} = {wording.plain(d.value)}" for d in decisions]
    main = next((d for d in decisions if comparison_of(d, [comparison])), None)
    return {
        "comparison": comparison,
        "anchor": anchor,
        "title": title,
        "column": f"val_{comparison.by}",
        "rows": [(c, _verdict(c, comparison)) for c in sorted(comparison.candidates, key=rank)],
        "seeds": max((len(c.seeds) for c in comparison.candidates), default=0),
        "decided": ", ".join(parts),
        "trust": trust_of(main, record.evidence) if main else None,
        "warnings": dict.fromkeys(w for d in decisions for w in d.warnings),
    }


def _verdict(candidate: Candidate, comparison: Comparison) -> str:
    """Return what became of a candidate; how it ended where that is not complete."""
    if candidate.label == comparison.chosen:
        word = "chosen"
    elif candidate.score is None or comparison.noise is None:
        word = ""
    else:
        word = "tie" if candidate.tied else "worse"
    status = "" if candidate.status == Status.COMPLETE else candidate.status
    return ", ".join(filter(None, (word, status)))


def _final(run: FinalRun, record: RunRecord) -> dict[str, Any]:
    kinds = ("loss", *record.metrics)
    names = ["train_loss", *(f"{part}_{kind}" for part in ("val", "test") for kind in kinds)]
    trials, done = record.find(run.trials), record.find(ended(run))
    columns = [name for name in names if numbers(trials, name)]
    title = wording.stage_title(run.stage)
    about = (run.stage, f"{'baseline_' * run.baseline}{run.column}")
    decided = [d for d in record.decisions if (d.stage, d.parameter) == about]
    return {
        "run": run,
        "title": f"Baseline of the {title.lower()}" if run.baseline else title,
        "anchor": f"{run.stage}-baseline" if run.baseline else run.stage,
        "decision": decided[-1] if decided else None,
        "headline": wording.spread([s for s in run.scores if s is not None], run.column),
        "done": len(done),
        "columns": columns,
        "rows": trials,
        "means": [wording.spread(numbers(done, name), name) for name in columns],
    }


def _trials(record: RunRecord) -> dict[str, Any]:
    """Return the table of all trials, without the columns that hold nothing or are told above."""
    names = dict.fromkeys([*_BEFORE, *(name for row in record.trials for name in row)])
    told = (*_ABOVE, "started")
    columns = [name for name in names if name not in told and _found(record, name)]
    rows = [[_cell(row.get(name)) for name in columns] for row in record.trials]
    return {"columns": columns, "rows": rows}


def _cell(value: Value) -> tuple[str, float | None]:
    """Return what a cell shows, and what it sorts by where that is a number."""
    if value is None or isinstance(value, bool) or not isinstance(value, int | float):
        return "" if value is None else str(value), None
    shown = wording.rounded(value, 4) if isinstance(value, float) else str(value)
    return shown, float(value) if math.isfinite(value) else None


def _asset(name: str) -> str:
    return (_ASSETS / name).read_text(encoding="utf-8")
