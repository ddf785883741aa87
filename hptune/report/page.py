"""The report as one self-contained HTML page."""

from __future__ import annotations

import base64
import hashlib
import math
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

from hptune.errors import InputError
from hptune.report import summary, wording
from hptune.report.figures import Picture, pictures
from hptune.report.plots.candidates import rank
from hptune.report.read import RunRecord, TrialRecord, read_run
from hptune.report.trust import comparison_of, trust_of
from hptune.report.views import (
    anchor_of,
    comparisons,
    decided_by,
    decided_lr,
    ended,
    final_runs,
    range_test,
    title_of,
)
from hptune.results.atomic import write_atomic
from hptune.results.evidence import Candidate, Comparison, FinalRun
from hptune.results.records import Status

_ASSETS = resources.files("hptune.report") / "assets"
_BEFORE = ("trial", "stage", "status", "seed", "epochs", "iterations", "batch_size")


@dataclass(frozen=True)
class Report:
    """What was written."""

    page: Path
    plots: tuple[Path, ...]


@dataclass(frozen=True)
class Cell:
    """A cell of a table: what is shown, and what it sorts by where that is a number."""

    text: str
    number: float | None = None


def write_report(run_dir: Path, out: Path | None = None) -> Report:
    """Draw a run directory's plots and write its page.

    Args:
        run_dir: What to report on.
        out: Where report.html and plots/ go, by default into the run directory.

    Raises:
        InputError: The directory cannot be read, or the files not be written there.
    """
    record = read_run(run_dir)
    folder = out or run_dir
    _must_be_writable(folder)
    drawn = pictures(record)
    paths = []
    for picture in drawn:
        paths.append(folder / "plots" / f"{picture.name}.png")
        write_atomic(paths[-1], picture.png)
    page = folder / "report.html"
    write_atomic(page, render(record, drawn))
    return Report(page, tuple(paths))


def _must_be_writable(folder: Path) -> None:
    """Refuse before drawing a folder that nothing can be written to."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise InputError(
            f"--out: {folder}; must be a folder that can be written ({error.strerror}); "
            "give another --out"
        ) from None


def render(record: RunRecord, drawn: Sequence[Picture]) -> str:
    """Return the page as HTML; everything that a user named is escaped."""
    from jinja2 import DictLoader, Environment, StrictUndefined

    environment = Environment(
        loader=DictLoader({"page.html": _asset("page.html")}),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "plain": wording.plain,
        "duration": wording.duration,
        "stage_title": wording.stage_title,
        "parameter_name": wording.parameter,
        "column_name": wording.column,
        "small": lambda number: wording.plain(float(f"{number:.2g}")),
        "value": lambda number, column: wording.value(column, number),
        "sentence": lambda text: text[:1].upper() + text[1:].removesuffix(".") + ".",
    }
    script = _asset("page.js")
    return environment.get_template("page.html").render(
        **_context(record, drawn),
        style=_asset("page.css"),
        script=script,
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )


def _context(record: RunRecord, drawn: Sequence[Picture]) -> dict[str, Any]:
    runs = final_runs(record)
    groups: dict[str, list[dict[str, Any]]] = {}
    for picture in drawn:
        source = "data:image/png;base64," + base64.b64encode(picture.png).decode()
        groups.setdefault(picture.group, []).append({"picture": picture, "source": source})
    finals = [_final(run, record) for run in runs]
    return {
        "record": record,
        "title": f"{record.name}: hptune report",
        "facts": _facts(record),
        "written": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "values": summary.decided_values(record),
        "main": next((own for own in finals if not own["run"].baseline), None),
        "meaning": summary.MEANING,
        "warnings": summary.warnings(record),
        "costs": summary.costs(record),
        "decisions": _decisions(record),
        "test": _test(record),
        "comparisons": [_comparison(own, record) for own in comparisons(record)],
        "finals": finals,
        "pictures": groups,
        "trials": _trials(record),
        "environment": _environment(record),
    }


def _facts(record: RunRecord) -> list[str]:
    """Return data, models and devices of the trials, as far as they tell something."""
    return [
        ", ".join(
            dict.fromkeys(str(v) for t in record.trials if (v := t.row.get(name)) is not None)
        )
        for name in ("data", "model", "optimizer", "device")
        if any(t.row.get(name) is not None for t in record.trials)
    ]


def _decisions(record: RunRecord) -> list[dict[str, Any]]:
    """Return the rows of the decision table; what several decisions share is told once."""
    rows = []
    told = set()
    for d in record.decisions:
        # Seconds count a stage's own trials; those that another stage ran cost nothing here.
        own = [t for t in record.find(d.trials) if t.stage == d.stage]
        rows.append(
            {
                "decision": d,
                "value": wording.value(d.parameter, d.value),
                "first": (d.stage, d.trials) not in told,
                "cost": summary.cost_of(own),
            }
        )
        told.add((d.stage, d.trials))
    return rows


def _test(record: RunRecord) -> dict[str, Any] | None:
    found = range_test(record.evidence)
    if found is None:
        return None
    test, reading = found
    marks = [
        ("decided maximum LR", decided_lr(test, record.decisions)),
        ("read from the curve", reading.lr_max),
        ("plausible from", reading.interval[0]),
        ("plausible to", reading.interval[1]),
        ("learning begins", reading.lr_begin),
        ("lowest loss", reading.lr_lowest),
        ("turns up", reading.lr_rise),
        ("diverges", reading.lr_divergence),
    ]
    return {
        "test": test,
        "reading": reading,
        "marks": [(name, lr) for name, lr in marks if lr is not None],
    }


def _comparison(comparison: Comparison, record: RunRecord) -> dict[str, Any]:
    decisions = decided_by(comparison, record.decisions)
    parts = [f"{wording.parameter(d.parameter)} = {wording.plain(d.value)}" for d in decisions]
    main = next((d for d in decisions if comparison_of(d, [comparison])), None)
    return {
        "comparison": comparison,
        "anchor": anchor_of(comparison),
        "title": title_of(comparison),
        "column": f"val_{comparison.by}",
        "rows": [(c, _verdict(c, comparison)) for c in sorted(comparison.candidates, key=rank)],
        "seeds": max((len(c.seeds) for c in comparison.candidates), default=0),
        "decided": ", ".join(parts),
        "trust": trust_of(main, record.evidence) if main else None,
        "warnings": list(dict.fromkeys(w for d in decisions for w in d.warnings)),
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
    names = ["train_loss", "val_loss", *(f"val_{metric}" for metric in record.metrics)]
    names += ["test_loss", *(f"test_{metric}" for metric in record.metrics)]
    trials, done = record.find(run.trials), record.find(ended(run))
    columns = [name for name in names if any(t.number(name) is not None for t in trials)]
    title = wording.stage_title(run.stage)
    about = (run.stage, f"{'baseline_' * run.baseline}{run.column}")
    decided = [d for d in record.decisions if (d.stage, d.parameter) == about]
    return {
        "run": run,
        "title": f"Baseline of the {title.lower()}" if run.baseline else title,
        "anchor": f"{run.stage}-baseline" if run.baseline else run.stage,
        "decision": decided[-1] if decided else None,
        "headline": summary.headline(run),
        "done": len(done),
        "columns": columns,
        "rows": trials,
        "means": [_mean(done, name) for name in columns],
    }


def _mean(trials: Sequence[TrialRecord], column: str) -> str:
    values = [value for t in trials if (value := t.number(column)) is not None]
    return wording.spread(column, values) if values else "–"


def _trials(record: RunRecord) -> dict[str, Any]:
    """Return the table of all trials, without the columns that hold nothing or are told above."""
    names = dict.fromkeys(str(name) for t in record.trials for name in t.row)
    told = {"data", "model", "optimizer", "device", "started"}
    kept = [
        name
        for name in names
        if name not in told and any(t.row.get(name) is not None for t in record.trials)
    ]
    head = [name for name in _BEFORE if name in kept]
    columns = [*head, *(name for name in kept if name not in head)]
    rows = [[_cell(name, t) for name in columns] for t in record.trials]
    return {"columns": columns, "rows": rows}


def _cell(name: str, trial: TrialRecord) -> Cell:
    number = trial.row.get(name)
    if isinstance(number, int | float) and not isinstance(number, bool):
        shown = wording.plain(float(f"{number:.4g}")) if isinstance(number, float) else str(number)
        return Cell(shown, float(number) if math.isfinite(number) else None)
    return Cell("" if number is None else str(number))


def _environment(record: RunRecord) -> list[tuple[str, str]]:
    shown = []
    for name, fact in record.manifest.items():
        if name == "command" and isinstance(fact, list):
            fact = shlex.join(str(part) for part in fact)
        if fact is not None:
            shown.append((str(name).replace("_", " "), str(fact)))
    return shown


def _asset(name: str) -> str:
    return (_ASSETS / name).read_text(encoding="utf-8")
