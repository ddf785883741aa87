"""The report as one self-contained HTML page."""

from __future__ import annotations

import base64
import hashlib
import json
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
from hptune.report.charts import charts
from hptune.report.figures import Picture, comparison_name, pictures
from hptune.report.read import RunRecord, TrialRecord, read_run
from hptune.report.stages import (
    Candidate,
    Comparison,
    FinalRun,
    RangeTest,
    comparisons,
    final_runs,
    range_test,
)
from hptune.results.atomic import write_atomic
from hptune.results.records import Decision, Status

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
        "stage_name": wording.stage,
        "parameter_name": wording.parameter,
        "column_name": wording.column,
        "small": lambda number: wording.plain(float(f"{number:.2g}")),
        "value": lambda number, column: wording.value(column, number),
    }
    scripts = [
        f"/*\n{_asset('uplot-LICENSE.txt')}*/\n{_asset('uplot.min.js')}",
        _asset("page.js"),
    ]
    return environment.get_template("page.html").render(
        **_context(record, drawn),
        style=_asset("uplot.min.css") + _asset("page.css"),
        scripts=scripts,
        script_hashes=" ".join(f"'sha256-{_sha256(script)}'" for script in scripts),
    )


def _context(record: RunRecord, drawn: Sequence[Picture]) -> dict[str, Any]:
    compared, runs, test = comparisons(record), final_runs(record), range_test(record)
    anchors = {place: comparison_name(own) for place, own in enumerate(compared)}
    found = charts(record)
    groups: dict[str, list[dict[str, Any]]] = {}
    for picture in drawn:
        source = "data:image/png;base64," + base64.b64encode(picture.png).decode()
        groups.setdefault(picture.group, []).append({"picture": picture, "source": source})
    main = next((run for run in runs if not run.baseline), None)
    return {
        "record": record,
        "title": f"{record.name}: hptune report",
        "facts": _facts(record),
        "written": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "values": summary.decided_values(record, anchors),
        "main": main,
        "headline": summary.headline(main) if main else "",
        "verdict": summary.verdict(main) if main else None,
        "warnings": summary.warnings(record),
        "costs": summary.costs(record),
        "decisions": _decisions(record),
        "test": _test(test),
        "comparisons": [_comparison(own, anchors[k]) for k, own in enumerate(compared)],
        "finals": [_final(run, record) for run in runs],
        "pictures": groups,
        "charts": {name: _json(chart) for name, chart in found.items()},
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
        first = (d.stage, d.trials) not in told
        told.add((d.stage, d.trials))
        cost = summary.cost_of(own)
        rows.append(
            {
                "decision": d,
                "value": wording.value(d.parameter, d.value),
                "first": first,
                "cost": cost,
            }
        )
    return rows


def _test(test: RangeTest | None) -> dict[str, Any] | None:
    if test is None:
        return None
    reading = test.reading
    marks = [
        ("decided maximum LR", test.decided),
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
        "marks": [(name, lr) for name, lr in marks if lr is not None and math.isfinite(lr)],
        "rules": [(name, test.rules.get(name)) for name in ("valley", "steep", "minimum", "slide")],
    }


def _comparison(comparison: Comparison, anchor: str) -> dict[str, Any]:
    ends = [c.end for c in comparison.candidates if c.end is not None]
    sign = -1 if comparison.higher_is_better else 1
    best = sign * min((sign * end for end in ends), default=math.nan)
    reach = max((abs(end - best) for end in ends), default=0.0)
    noise = comparison.noise
    # Far ones must not squeeze the rest of the strip: beyond a few noises all is equally lost.
    reach = min(reach, 6 * noise) if noise else reach
    rows: list[dict[str, Any]] = []
    for candidate in comparison.candidates:
        behind = None if candidate.end is None else abs(candidate.end - best)
        rows.append(
            {
                "candidate": candidate,
                "behind": behind,
                "noises": behind / noise if behind is not None and noise else None,
                "verdict": _verdict(candidate, noise),
                "strip": None if behind is None or not reach else min(100.0, 100 * behind / reach),
            }
        )
    rows.sort(key=lambda row: math.inf if row["behind"] is None else row["behind"])
    band = 100 * min(1.0, noise / reach) if noise and reach else None
    return {
        "comparison": comparison,
        "anchor": anchor,
        "title": comparison.title,
        "rows": rows,
        "seeds": max(len(c.trials) for c in comparison.candidates),
        "band": band,
        "of_decisions": _by_rule(comparison.decisions),
        "warnings": list(dict.fromkeys(w for d in comparison.decisions for w in d.warnings)),
    }


def _by_rule(decisions: Sequence[Decision]) -> list[tuple[str, str]]:
    """Return each rule with the values that came of it."""
    rules: dict[str, list[str]] = {}
    for d in decisions:
        shown = f"{wording.parameter(d.parameter)} = {wording.value(d.parameter, d.value)}"
        rules.setdefault(d.rule, []).append(shown)
    return [(", ".join(shown), rule) for rule, shown in rules.items()]


def _verdict(candidate: Candidate, noise: float | None) -> str:
    """Say what became of a candidate; how it ended where that is not complete."""
    if candidate.chosen:
        word = "chosen"
    elif candidate.end is None or noise is None:
        word = ""
    else:
        word = "tie" if candidate.tied else "worse"
    ended = "" if candidate.status == Status.COMPLETE else candidate.status
    return ", ".join(filter(None, (word, ended)))


def _final(run: FinalRun, record: RunRecord) -> dict[str, Any]:
    names = ["train_loss", "val_loss"]
    names += [f"val_{metric}" for metric in record.metrics]
    names += ["test_loss", *(f"test_{metric}" for metric in record.metrics)]
    trials = [*run.trials, *run.lost]
    columns = [name for name in names if any(t.number(name) is not None for t in trials)]
    return {
        "run": run,
        "title": f"Baseline of the {wording.stage(run.stage).lower()}" if run.baseline
        else wording.stage(run.stage),
        "anchor": f"{run.stage}-baseline" if run.baseline else run.stage,
        "columns": columns,
        "rows": trials,
        "headline": summary.headline(run),
        "verdict": summary.verdict(run),
        "means": [_mean(run.trials, name) for name in columns],
    }  # fmt: skip


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


def _json(chart: dict[str, Any]) -> str:
    """Return JSON that can stand in a script element: no tag can end in it."""
    text = json.dumps(chart, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _asset(name: str) -> str:
    return (_ASSETS / name).read_text(encoding="utf-8")


def _sha256(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
