"""The page docs/neighbours.md and its figures, from the stored results alone."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from hptune.report.plots.style import SIZE, house_style, image
from scripts.neighbours.experiment import Claim, Experiment, Row, Verdict
from scripts.neighbours.stored import rows_of

DOCS = Path(__file__).resolve().parents[2] / "docs"
PICTURES = Path("images") / "neighbours"
INTRODUCTION = """# The neighbouring papers, tried

hptune tunes by Leslie Smith's report. The papers around it say *why* a large learning rate, a small
batch or weight decay help, and what a search should look like. Here each of their claims is tried with hptune
itself on nets and data small enough for two cores, so that you can see it, repeat it, and know how
far to trust it: `python -m scripts.neighbours` runs all of it again, and `--long` does so with larger nets
on a GPU. Each number of each seed is in `scripts/neighbours/results/`, and this page is written from these.

**How a claim is judged.** Before anything is run, each claim is turned into one number a seed, and the
bound that this number has to pass; the repository's history has claims before numbers. Seeds differ in
initial weights and order of batches, and what is compared shares both. A claim is **shown** where the
whole 95 % interval (Student's t) of the mean over the seeds lies above the bound, **reversed** where
all of it lies below (below the bound of the opposite, where one is named), and else **not shown here**:
which does not make it wrong, as nets of millions of weights may do what these do not. Ratios are judged
by their logarithms; ×÷ stands for the factor by which the seeds spread. Learning rates and lengths were
chosen on other seeds, so that nets train at all.
"""


def write_page(experiments: Sequence[Experiment], *, figures: bool = True) -> None:
    """Write the page, and the figures of what was run."""
    (DOCS / PICTURES).mkdir(parents=True, exist_ok=True)
    for experiment in experiments:
        if figures and (rows := rows_of(experiment)):
            path = DOCS / PICTURES / f"{experiment.name}.png"
            path.write_bytes(_figure(experiment, rows))
    (DOCS / "neighbours.md").write_text(page(experiments))


def page(experiments: Sequence[Experiment]) -> str:
    """Return the page of the experiments that were run."""
    done = [e for e in experiments if rows_of(e)]
    long = [e for e in experiments if rows_of(e, long=True)]
    parts = [INTRODUCTION, "## All claims\n", _claims(done, long=False)]
    if long:
        parts += ["## The longer form, on a GPU\n", _claims(long, long=True)]
    return "\n".join([*parts, *map(_section, done)])


def _claims(experiments: Iterable[Experiment], *, long: bool) -> str:
    lines = []
    for experiment in experiments:
        rows = rows_of(experiment, long=long)
        link = f"[{experiment.title}](#{_anchor(experiment.title)})"
        for claim in experiment.claims:
            found = claim.verdict(rows)
            lines.append([link, claim.says, _number(claim, found), f"**{found.word}**"])
    return _table(["paper", "claim", "the number that decides", "here"], lines)


def _section(experiment: Experiment) -> str:
    """Return what was claimed, run and found, with the figure and what to make of it."""
    rows = rows_of(experiment)
    seconds = sum(float(row["cpu_seconds"]) for row in rows)  # type: ignore[arg-type]
    lines = []
    for claim in experiment.claims:
        found = claim.verdict(rows)
        each = ", ".join(map(_text, found.numbers))
        interval = f"{_text(found.low)} to {_text(found.high)}"
        lines.append([claim.number, _bound(claim), each, interval, found.word])
    parts = [
        f"## {experiment.title}",
        f"{experiment.tells} *{experiment.papers}*",
        f"**Here.** {experiment.setup} It takes {_minutes(seconds)} of one core.",
        f"![{experiment.look}]({PICTURES / experiment.name}.png)",
        f"**Look for** {experiment.look}",
        f"**In your tuning:** {experiment.change}",
        _table(["number", "bound", "each seed", "95 % interval", "verdict"], lines),
    ]
    if experiment.found:
        parts.insert(2, f"**What came out.** {experiment.found}")
    return "\n\n".join(parts)


def _anchor(title: str) -> str:
    """Return what MkDocs and GitHub both make of a title."""
    return re.sub(r"[^\w -]", "", title).lower().replace(" ", "-")


def _number(claim: Claim, found: Verdict) -> str:
    """Return a mean with its spread, beside what it has to pass."""
    spread = f"{'×÷' if claim.ratio else '±'} {_text(found.spread)}"
    return f"{claim.number}: {_text(found.mean)} {spread} (n = {len(found.numbers)}); shown {_bound(claim)}"


def _bound(claim: Claim) -> str:
    opposite = "" if claim.below is None else f", reversed below {_text(claim.below)}"
    return f"above {_text(claim.above)}{opposite}"


def _text(number: float) -> str:
    return f"{number:.3g}"


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:.1f} minutes" if seconds >= 60 else f"{seconds:.0f} seconds"


def _figure(experiment: Experiment, rows: Sequence[Row]) -> bytes:
    with house_style():
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        width, height = SIZE
        figure = Figure((width * experiment.panels, height), dpi=150, layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.subplots(1, experiment.panels, squeeze=False)[0]
        experiment.draw(rows, list(axes))
        return image(figure, "png")


def _table(head: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    rows = [head, ["---"] * len(head), *lines]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows) + "\n"
