"""Compared runs as tables of text, and these as CSV, Markdown and LaTeX."""

from __future__ import annotations

import re
import statistics
from collections.abc import Sequence
from typing import NamedTuple

from hptune.report.compare import ComparedRun, RunsCompared, headline, measured
from hptune.report.wording import is_share, plain, rounded, spread
from hptune.results.cells import table_text
from hptune.results.records import Value

_TEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_",
    "{": r"\{", "}": r"\}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "±": r"$\pm$", "–": "--",
}  # fmt: skip


_MINUS = re.compile(r"(?<![\w.])-(?=\d)")  # of a number


class Table(NamedTuple):
    """A table of text; the first column is the run's name, the others are numbers."""

    title: str
    columns: list[str]
    rows: list[list[str]]


def tables(compared: RunsCompared) -> list[Table]:
    """Return what was reached, what was decided and what it cost; what all have in common is no column."""
    runs = compared.runs
    interval = f"{100 * compared.sure:.0f} % interval"
    reached = [
        [run.name, str(len(run.reached)), _score(run, compared), *_difference(run, compared)]
        for run in runs
    ]
    costs = ["epochs", "iterations", "seconds"]
    search = [[run.name, str(run.search.trials), *map(_short, run.search[1:])] for run in runs]
    whole = [
        [run.name, *(_short(total / max(run.whole.trials, 1)) for total in run.whole[1:])]
        for run in runs
    ]
    keys = differing_values(compared)
    return [
        Table(
            headline(compared),
            ["run", "seeds", measured(compared), "difference", interval, ""],
            reached,
        ),
        Table(
            "Values",
            ["run", *keys],
            [[run.name, *(plain(run.values.get(key)) for key in keys)] for run in runs],
        ),
        Table("Cost of the search", ["run", "trials", *costs], search),
        Table("Cost of a run of full length", ["run", *costs], whole),
    ]


def differing_values(compared: RunsCompared) -> list[str]:
    """Return the values in which the runs differ."""
    values = [run.values for run in compared.runs]
    keys = dict.fromkeys(key for own in values for key in own)
    return [key for key in keys if len({repr(own.get(key)) for own in values}) > 1]


def in_common(compared: RunsCompared) -> str:
    """Return the values that all runs have in common, in words."""
    apart, values = differing_values(compared), compared.runs[0].values
    told = (f"{k} {plain(v)}" for k, v in values.items() if k not in apart and v is not None)
    return f"all: {', '.join(told)}"


def remarks(compared: RunsCompared) -> list[str]:
    """Return what stands below the tables: how each difference was judged, why one was not, the notes."""
    told = []
    for run in compared.runs:
        if run.apart:
            told.append(f"{run.name}: not compared; {run.apart}.")
        elif run.difference is not None:
            told.append(f"{run.name}: {run.difference.how}.")
    if len(compared.runs) > 2:
        told.append(
            f"The intervals hold for all differences together with {100 * compared.sure:.0f} %."
        )
    return [*told, *compared.notes]


def as_csv(compared: RunsCompared) -> str:
    """Return a row a run, with all values and numbers in full."""
    records = [_record(run, compared.column) for run in compared.runs]
    columns = list(dict.fromkeys(key for record in records for key in record))
    return table_text(columns, ([record.get(key) for key in columns] for record in records))


def as_markdown(compared: RunsCompared) -> str:
    """Return the tables in Markdown, with the remarks below."""
    parts = []
    for table in _worth_it(compared):
        rules = ["---", *("--:" for _ in table.columns[1:])]
        rows = [table.columns, rules, *([c.replace("|", r"\|") for c in row] for row in table.rows)]
        parts.append(f"**{table.title}**\n")
        parts += [f"| {' | '.join(row)} |" for row in rows]
        parts.append("")
    return "\n".join([*parts, *(f"- {text}" for text in (in_common(compared), *remarks(compared)))])


def as_latex(compared: RunsCompared) -> str:
    """Return the tables in LaTeX, for the package booktabs, with the remarks as comments."""
    lines = [f"% {text}" for text in (in_common(compared), *remarks(compared))]
    for table in _worth_it(compared):
        rows = [" & ".join(map(_tex, row)) + r" \\" for row in (table.columns, *table.rows)]
        lines += [
            f"% {table.title}",
            rf"\begin{{tabular}}{{{''.join(map(_alignment, zip(*table.rows, strict=True)))}}}",
            *(r"\toprule", rows[0], r"\midrule", *rows[1:], r"\bottomrule"),
            r"\end{tabular}",
        ]
    return "\n".join(lines)


def _worth_it(compared: RunsCompared) -> list[Table]:
    return [table for table in tables(compared) if len(table.columns) > 1]


def _score(run: ComparedRun, compared: RunsCompared) -> str:
    """Return the mean and its deviation; the title says where that is in per cent."""
    return spread(list(run.reached.values()), compared.column).removesuffix(" %")


def _difference(run: ComparedRun, compared: RunsCompared) -> list[str]:
    found, column = run.difference, compared.column
    if run is compared.first:
        return ["", "", ""]
    if found is None:
        return ["", "", "not compared"]
    ends = ""
    if found.low is not None and found.high is not None:
        ends = f"{_signed(found.low, column)} to {_signed(found.high, column)}"
    words = {True: "better", False: "worse", None: "clear" if found.is_clear else "cannot tell"}
    if found.noise is None and found.mean == 0:
        return [_signed(0.0, column), "", "the same"]
    return [_signed(found.mean, column), ends, words[run.better]]


def _signed(number: float, column: str) -> str:
    if is_share(column):
        return f"{100 * number:+.2f}"
    return f"{number:+.3g}"


def _short(number: float) -> str:
    return rounded(number, 3)


def _record(run: ComparedRun, column: str) -> dict[str, Value]:
    scores = list(run.reached.values())
    found = run.difference
    record: dict[str, Value] = {
        "run": run.name,
        "path": str(run.path),
        "column": column,
        "seeds": len(scores),
        "mean": statistics.fmean(scores) if scores else None,
        "std": statistics.stdev(scores) if len(scores) > 1 else None,
        "difference": found.mean if found else None,
        "noise": found.noise if found else None,
        "low": found.low if found else None,
        "high": found.high if found else None,
        "better": run.better,
        "how": run.apart or (found.how if found else None),
        "verdict": run.verdict,
    }
    for name, cost in (("search", run.search), ("final", run.whole)):
        record |= {f"{name}_{what}": value for what, value in cost._asdict().items()}
    return record | dict(run.values)


def _tex(text: str) -> str:
    escaped = "".join(_TEX.get(character, character) for character in text)
    return _MINUS.sub("$-$", escaped)


def _alignment(cells: tuple[str, ...]) -> str:
    """Return how LaTeX aligns a column: numbers at the right."""
    return "r" if all(cell[:1] in "+-–" or cell[:1].isdigit() for cell in cells) else "l"


def as_document(compared: RunsCompared) -> dict[str, object]:
    """Return the same for JSON: how it was compared, a record a run, the remarks."""
    records: Sequence[object] = [
        _record(run, compared.column) | {"scores": dict(zip(run.seeds, run.scores, strict=True))}
        for run in compared.runs
    ]
    return {
        "column": compared.column or None,
        "higher_is_better": compared.higher_is_better,
        "against": compared.first.name if compared.first else None,
        "sure": compared.sure,
        "runs": records,
        "remarks": remarks(compared),
    }
