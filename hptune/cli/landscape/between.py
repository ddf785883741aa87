"""`hptune landscape line` and `plane`: the loss between solutions."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from hptune.cli.landscape.look import Look, look_options
from hptune.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import nn

    from hptune.landscape.reader import Row
    from hptune.procedure.session.trained import TrainedRun

START = "start"
MATCHED = "matched_"
_test_option = click.option(
    "--test", is_flag=True, help="Read the test set too; by default the validation set alone."
)


class End(NamedTuple):
    """An end of a line: how it is called, and its model."""

    name: str
    model: nn.Module


@click.command("line")
@look_options
@click.option("--from", "start", metavar="END", help="start, a trial's ID or a run directory.")
@click.option("--to", "end", metavar="END", help="A trial's ID or a run directory.")
@click.option("--points", type=click.IntRange(min=3), default=25, help="Between the ends [25].")
@_test_option
@click.option(
    "--match",
    is_flag=True,
    help="Another curve, with the units of the second net in the order of the first.",
)
def line(
    look: Look, start: str | None, end: str | None, points: int, test: bool, match: bool
) -> None:
    """Show loss and metrics along the line between two solutions, and the barrier.

    By default from the start of the run to its end, and between its first two seeds. Averages of
    batch norms are gathered anew at each point; dropout is off.
    """
    from hptune import landscape
    from hptune.landscape.interpolation import line_points
    from hptune.landscape.tables import rows_table

    console = look.console()
    trained = look.open(console)
    pairs = _pairs(trained, look, start, end)
    splits, step = _splits(trained, test=test), trained.task.step
    tables, answer, found = {}, [], []
    how = _reading(look, trained)
    for begin, last in pairs:
        ends = f"{begin.name} to {last.name}"
        console.message(f"{ends}: at most {look.examples} examples a split")
        matching = None
        if match and begin.name == START:
            console.message("  not matched: the units of one run are in one order")
        elif match:
            matching = landscape.match(
                begin.model, begin.model.state_dict(), last.model.state_dict(), step,
                trained.task.train,
            )  # fmt: skip
            console.message(f"  {matching}")
        lines = {}
        for kind, weights in (
            ("", last.model.state_dict()),
            *([(MATCHED, matching.weights)] if matching else []),
        ):
            about = len(line_points(points)) * _batches(look, how, splits, last.model)
            with look.meter(console, about) as meter:
                lines[kind] = landscape.line(
                    begin.model, begin.model.state_dict(), weights, step, splits, points=points,
                    on_batch=meter, **how,
                )  # fmt: skip
        rows = _side_by_side({kind: shown.rows for kind, shown in lines.items()})
        tables[f"line-{begin.name}-{last.name}"] = rows_table(rows)
        document: dict[str, Any] = {"from": begin.name, "to": last.name}
        for kind, shown in lines.items():
            barrier, distance = shown.barrier(), shown.distance
            answer.append(
                f"{ends}{', matched' if kind else ''}: barrier of the training loss {barrier:.4g}, "
                f"distance {distance:.4g}"
            )
            document |= {f"{kind}barrier": barrier, f"{kind}distance": distance}
        found.append({**document, "points": rows})
    look.write(trained, tables, answer, {"lines": found})


@click.command("plane")
@look_options
@click.option(
    "--trial", "ends", metavar="END", multiple=True,
    help="Once: around it; three times: through these IDs or run directories.",
)  # fmt: skip
@click.option("--side", type=click.IntRange(min=3), default=15, help="Points of a side [15].")
@_test_option
def plane(look: Look, ends: tuple[str, ...], side: int, test: bool) -> None:
    """Show loss and metrics on a plane, with the path of a run that was walked.

    By default through the last run's first three seeds, or around its best one: along the path's
    two principal directions, or without a path in two random ones, each filter as long as the
    weights' own. Averages of batch norms are gathered anew
    at each point; dropout is off.
    """
    from hptune import landscape
    from hptune.landscape.tables import rows_table
    from hptune.training.snapshot import load_state

    console = look.console()
    trained = look.open(console)
    if not ends:
        seeds = [str(row["trial"]) for row in trained.seeds()]
        ends = tuple(seeds[:3] if len(seeds) >= 3 else seeds[:1])
    if len(ends) not in (1, 3):
        raise InputError(
            f"--trial: given {len(ends)} times; must be once or three times; give one or three"
        )
    found = [_end(trained, look, name) for name in ends]
    walked = load_state(trained.run_dir.walked(found[0].name))
    path = [] if walked is None else walked["path"]
    if not path:
        console.message(
            f"  without a path: `hptune landscape walk --trial {found[0].name}` keeps it"
        )
    how = _reading(look, trained)
    splits = _splits(trained, test=test)
    about = side * side * _batches(look, how, splits, found[0].model)
    with look.meter(console, about) as meter:
        shown = landscape.plane(
            found[0].model, [own.model.state_dict() for own in found], trained.task.step,
            splits, path=path, side=side, on_batch=meter, seed=look.seed, **how,
        )  # fmt: skip
    names = [own.name for own in found] + [f"path {n}" for n in range(len(path))]
    places = [{"name": n, **p} for n, p in zip(names, shown.places, strict=True)]
    key = "-".join(own.name for own in found)
    tables = {
        f"plane-{key}": rows_table(shown.rows),
        f"places-{key}": rows_table(places),
    }
    low = min(row["train_loss"] for row in shown.rows)
    high = max(row["train_loss"] for row in shown.rows)
    answer = [f"plane of {', '.join(names[: len(found)])}: training loss {low:.4g} to {high:.4g}"]
    look.write(trained, tables, answer, {"points": shown.rows, "places": places})


def _pairs(
    trained: TrainedRun, look: Look, start: str | None, end: str | None
) -> list[tuple[End, End]]:
    seeds = [str(row["trial"]) for row in trained.seeds()]
    if start is None and end is None:
        wanted = [(START, seeds[0]), *([(seeds[0], seeds[1])] if len(seeds) > 1 else [])]
    else:
        wanted = [(start or START, end or seeds[0])]
    pairs = []
    for begin, last in wanted:
        to = _end(trained, look, last)
        if begin == START:
            if last not in seeds and not _is_trial(last):
                raise InputError(
                    f"--from: start of {last}; must be of a trial here; give --to one of {', '.join(seeds)}"
                )
            pairs.append((End(START, trained.start(trained.find(last))), to))
        else:
            pairs.append((_end(trained, look, begin), to))
    return pairs


def _is_trial(text: str) -> bool:
    from hptune.results.paths import is_trial_id

    return is_trial_id(text)


def _end(trained: TrainedRun, look: Look, name: str) -> End:
    """Return the model of a trial, or of the best seed of another run directory."""
    from hptune.procedure.session.trained import TrainedRun

    if _is_trial(name):
        return End(name, trained.model(trained.find(name)))
    other = TrainedRun(Path(name), look.device, lambda _: None)
    best = other.seeds()[0]
    return End(str(best["trial"]), other.model(best))


def _side_by_side(lines: Mapping[str, list[Row]]) -> list[Row]:
    """Return the rows of curves over the same positions as one table, the second's columns prefixed."""
    return [
        {"position": own[0]["position"]}
        | {
            f"{kind}{name}": value
            for kind, row in zip(lines, own, strict=True)
            for name, value in row.items()
            if name != "position"
        }
        for own in zip(*lines.values(), strict=True)
    ]


def _batches(
    look: Look, how: Mapping[str, Any], splits: Mapping[str, Any], model: nn.Module
) -> int:
    """Return the batches that a point costs: averages are gathered from the training set."""
    from hptune.training.statistics import running_modules

    gathered = [splits["train"]] if running_modules(model) else []
    return look.batches(how["batch_size"], *splits.values(), *gathered)


def _splits(trained: TrainedRun, *, test: bool) -> dict[str, Any]:
    task = trained.task
    splits = {"train": task.train, "val": task.validation}
    if not test:
        return splits
    if task.test is None:
        raise InputError("--test: the data have no test set; must have one; leave --test out")
    return {**splits, "test": task.test}


def _reading(look: Look, trained: TrainedRun) -> dict[str, Any]:
    # As large as evaluation takes them: more than a batch of training fits without gradients.
    size = 4 * int(str(trained.seeds()[0]["batch_size"]))
    return {
        "examples": look.examples,
        "batch_size": min(size, 1024),
        "ignored": trained.task.ignored,
        "metrics": trained.task.metrics,
        "budget": look.budget,
    }
