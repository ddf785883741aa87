"""The answer of a run in a few lines of a terminal: the score, the values, the cost, what to do next."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence
from textwrap import shorten

from hptune.report.read import RunRecord, numbers
from hptune.report.summary import costs, warnings
from hptune.report.trust import is_result, trust_of
from hptune.report.views import final_runs
from hptune.report.wording import PARAMETERS, column, duration, parameter, plain, spread
from hptune.results.evidence import FinalRun
from hptune.results.records import Decision
from hptune.stages import procedure

WIDTH = 80
_NAMES, _VALUES = 16, 12  # of the columns
_WARNINGS = 2  # at most
_FOLLOW = ("lr_min", "momentum_min")  # told with their maximum, or not at all
_OWN = "name: python"  # of the data, in the experiment of a task that was put together in Python
_NAMED = re.compile("^(task|function): [^n]", re.MULTILINE)  # by which the shell finds it
_READ = re.compile(
    "^data:\n  name: (.*)$", re.MULTILINE
)  # what new data are like, by a reader's name
_NEW = {"csv": "NEW.csv", "image-folder": "NEW_FOLDER", "npz": "NEW.npz", "npy": "NEW.npy"}


def answer(
    record: RunRecord, stage: str | None = None, *, following: Sequence[str] | None = None
) -> list[str]:
    """Return the lines, none longer than `WIDTH` but for paths.

    Args:
        record: Of the run.
        stage: What was run last, and is spoken of first; by default the final run.
        following: What to do next; by default the shell's commands.
    """
    latest = {d.parameter: d for d in record.decisions if not is_result(d)}
    runs = [run for run in final_runs(record.evidence) if not run.baseline]
    run = next((one for one in runs if stage in (None, one.stage)), None)
    head = shorten(f"{record.name}: {_headline(run, latest, stage)}", WIDTH, placeholder=" ...")
    names = sorted(latest.keys() - set(_FOLLOW), key=[*PARAMETERS, *latest].index)
    values = [_value(record, latest, name) for name in names]
    told = _next(record) if following is None else following
    return [head, *values, *_cost(record), *_warnings(record, following is None), *told]


def told_warnings(record: RunRecord) -> list[str]:
    """Return what the data and the run give to think about, of which the answer has the beginning."""
    return [*record.manifest.get("notes", ()), *warnings(record)]


def _headline(run: FinalRun | None, latest: dict[str, Decision], stage: str | None) -> str:
    if run is None:
        own = [d for d in latest.values() if d.stage == stage and d.parameter not in _FOLLOW]
        told = (f"{parameter(d.parameter)} {plain(d.value)}" for d in own)
        return ", ".join(told) or "nothing decided yet"
    scores = [score for score in run.scores if score is not None]
    seeds = f" over {len(scores)} seeds" if len(scores) > 1 else ", one seed"
    return f"{column(run.column)} {spread(scores, run.column)}{seeds}; {run.verdict}"


def _value(record: RunRecord, latest: dict[str, Decision], name: str) -> str:
    decision = latest[name]
    text = plain(decision.value)
    lowest = latest.get(f"{name}_min")
    if name == "momentum" and lowest is not None and lowest.value != decision.value:
        text += f"-{plain(lowest.value)}"
    words = parameter(name).removeprefix("maximum ")
    start = f"  {words:<{_NAMES - 1}} {text:<{_VALUES - 1}} "
    brief = trust_of(decision, record.evidence).brief
    return f"{start}{shorten(brief, max(WIDTH - len(start), 20), placeholder=' ...')}".rstrip()


def _cost(record: RunRecord) -> Iterator[str]:
    told = [
        f"{name.removesuffix(' runs')} {cost.trials} trial{'s' * (cost.trials > 1)}, "
        f"{cost.epochs:.3g} epochs, {duration(cost.seconds)}"
        for name, cost in costs(record).items()
    ]
    line = "cost: " + "; ".join(told)
    if told and len(line) <= WIDTH:
        yield line
    elif told:
        yield f"cost: {told[0]}"
        yield from (f"      {other}" for other in told[1:])


def _warnings(record: RunRecord, in_shell: bool) -> Iterator[str]:
    found = told_warnings(record)
    for text in found[:_WARNINGS]:
        yield shorten(f"warning: {text}", WIDTH, placeholder=" ...")
    if more := len(found) - _WARNINGS if len(found) > _WARNINGS else 0:
        yield f"         and {more} more, told by {'--why' if in_shell else '.decisions'}"


def _next(record: RunRecord) -> Iterator[str]:
    folder = shlex.quote(str(record.path))
    yield f"next: hptune show --why {folder}"
    if record.tuned and (_OWN not in record.experiment or _NAMED.search(record.experiment)):
        yield f"      {_to_improve(record, folder)}"


def _to_improve(record: RunRecord, folder: str) -> str:
    """Return the command that promises most.

    For a run that is too short a longer one; then predictions, where there are files to predict; else what
    was compared with nothing.
    """
    run = next((run for run in final_runs(record.evidence) if not run.baseline), None)
    if run is not None and run.verdict == "underfit":
        epochs = max(numbers(record.find(run.trials), "epochs"), default=0.0)
        return f"hptune train {folder}/tuned.yaml --epochs {2 * epochs:.4g} --out {folder}-longer"
    read = _READ.search(record.experiment)
    if (
        run is not None
        and read is not None
        and read[1] in _NEW
        and not _NAMED.search(record.experiment)
    ):
        return f"hptune predict {folder} {_NEW[read[1]]} -o predictions.csv"
    latest = {d.parameter: d for d in record.decisions}
    for stage in procedure():
        decision = latest.get(stage.parameter)
        if stage.aliases and decision is not None and not decision.trials:
            return f"hptune sweep {stage.aliases[0]} {folder}/experiment.yaml --out {folder}"
    return f"hptune train {folder}/tuned.yaml"
