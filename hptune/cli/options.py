"""The options that commands share, and what they are turned into."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hptune.cli.completion import settings
from hptune.cli.own_loop import loop_options
from hptune.cli.own_loop import settings as settings_of_loop
from hptune.trackers import NAMES as TRACKERS
from hptune.trials.executors import EXECUTORS

if TYPE_CHECKING:
    from hptune.procedure.outcome import Outcome
    from hptune.procedure.session.session import Session
    from hptune.results.records import Decision, Scalar
    from hptune.results.tables import Row

Function = Callable[..., Any]
LOCAL_CONFIG = Path("hptune.yaml")
RUN_DIR = "runs/{name}"  # {name} stands for the experiment's
debug_option = click.option("--debug", is_flag=True, expose_value=False, help="Show tracebacks.")
json_option = click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
baseline_option = click.option(
    "--baseline",
    type=click.Choice(["step", "multistep", "inv", "exponential", "cosine", "constant"]),
    help="Train a comparison too, by a policy of the usual kind at its usual length.",
)
seeds_option = click.option("--seeds", type=click.IntRange(min=1), help="Repeats over seeds.")
style_option = click.option(
    "--style",
    type=click.Choice(["screen", "paper"]),
    default="screen",
    help="paper: 3.3 inches wide, 8 points, fonts embedded [screen].",
)
# Options that stand for a key of the config.
_KEYS = {
    "seed": "seed",
    "baseline": "procedure.final.baseline",
    "sampler": "search.sampler",
    "budget": "search.budget",
    "procedure_budget": "procedure.budget",
    "devices_per_trial": "training.devices_per_trial",
    "address": "execution.address",
    "cpus_per_trial": "execution.cpus_per_trial",
    "gpus_per_trial": "execution.gpus_per_trial",
}


@dataclass(frozen=True, kw_only=True)
class Common:
    """The shared options as given."""

    config: Path | None
    overrides: tuple[str, ...]
    out: Path
    device: str
    json: bool
    quiet: bool
    jobs: int | None = None
    executor: str | None = None
    track: tuple[str, ...] = ()
    restart: bool = False

    def session(self, *, flags: dict[str, Scalar] | None = None, dry: bool = False) -> Session:
        """Open the run directory for work and say which experiment it is."""
        from hptune.cli.tracking import Tracking
        from hptune.config.load import BUNDLED, load_experiment
        from hptune.console.terminal import Console
        from hptune.procedure.session.session import Session
        from hptune.trackers import open_tracker
        from hptune.trials.progress import ProgressGroup
        from hptune.user_code import also_look_in

        path = self.config
        if path is None and LOCAL_CONFIG.exists():
            path = LOCAL_CONFIG
        if path is not None:
            also_look_in(path.resolve().parent)
        experiment = load_experiment(path, self.overrides)
        out = run_dir_of(experiment.name, self.out)
        trackers = [
            Tracking(name, open_tracker(name, run_dir=out, experiment=experiment.name))
            for name in dict.fromkeys(self.track)
        ]
        progress = ProgressGroup([Console(silent=self.json or self.quiet), *trackers])
        what = " ".join(experiment.command) if experiment.command else path or BUNDLED
        progress.message(f"{experiment.name}: {what}, results in {out}")
        return Session.open(
            experiment,
            out,
            device=self.device,
            progress=progress,
            flags=flags or {},
            restart=self.restart,
            executor=self.executor,
            jobs=self.jobs,
            dry=dry,
        )

    def print_outcome(self, session: Session, outcome: Outcome) -> None:
        """Print what a command found: the answer in a few lines, or one JSON document."""
        from hptune.report.answer import answer
        from hptune.report.read import read_run
        from hptune.results.tables import result_row

        if self.json:
            rows = [result_row(result) for result in outcome.results]
            print_run(session.run_dir.path, outcome.decisions, rows)
            return
        record = read_run(session.run_dir.path, with_curves=False)
        lines = answer(record, outcome.decisions[-1].stage)
        click.echo("\n".join(lines if self.quiet else ["", *lines]))


def common_options(function: Function) -> Function:
    """Add CONFIG and the common options to a command; it receives them as `common`."""

    @click.argument("config", required=False, type=click.Path(path_type=Path))
    @click.option(
        "--set",
        "overrides",
        multiple=True,
        metavar="KEY.PATH=VALUE",
        shell_complete=settings,
        help="Change a value of the config; repeatable. A new name drops the args of the old one.",
    )
    @click.option(
        "--out",
        type=click.Path(path_type=Path),
        default=RUN_DIR,
        envvar="HPTUNE_OUT",
        help="Run directory, in which {name} stands for the experiment's name [runs/{name}].",
    )
    @click.option(
        "--device",
        default="auto",
        envvar="HPTUNE_DEVICE",
        help="auto, cpu, cuda, cuda:N, mps, or cuda:all for every GPU [auto].",
    )
    @click.option(
        "--devices-per-trial",
        type=click.IntRange(min=1),
        help="GPUs, or processes on a CPU, that train each trial together [1].",
    )
    @click.option("--seed", type=click.IntRange(min=0), help="Seed of the run.")
    @click.option("--json", is_flag=True, help="One JSON document on stdout, nothing else.")
    @click.option("--quiet/--no-quiet", envvar="HPTUNE_QUIET", help="No progress on stderr.")
    @debug_option
    @loop_options
    @functools.wraps(function)  # the options of the function itself, too
    def wrapped(**given: Any) -> Any:
        for option, key in _KEYS.items():
            value = given.pop(option, None)
            if value is not None:
                given["overrides"] += (f"{key}={value}",)
        given["overrides"] += tuple(settings_of_loop(given))
        common = {item.name: given.pop(item.name) for item in fields(Common) if item.name in given}
        return function(Common(**common), **given)

    return wrapped


class _Jobs(click.IntRange):
    """A number of trials at once, or "auto", which is None."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: Any) -> Any:
        return None if value == "auto" else super().convert(value, param, ctx)


def training_options(function: Function) -> Function:
    """Add the common options, and beside them what every command that trains has."""
    for option in (
        click.option("--restart", is_flag=True, help="Run finished trials again."),
        click.option(
            "--track",
            type=click.Choice(TRACKERS),
            multiple=True,
            envvar="HPTUNE_TRACK",
            help="Hand every trial to another tool too; repeatable.",
        ),
        click.option(
            "--executor",
            type=click.Choice(list(EXECUTORS)),
            help="How trials are run: "
            + "; ".join(f"{kind.name}, {kind.summary}" for kind in EXECUTORS.values())
            + " [execution.executor].",
        ),
        click.option(
            "--jobs",
            type=_Jobs(min=1),
            metavar="N|auto",
            help="Trials at once [auto: the cores, the GPUs, or what a cluster has room for].",
        ),
        click.option(
            "--address",
            metavar="auto|HOST:PORT",
            help="ray: the cluster [one of this machine, that is started].",
        ),
        click.option(
            "--cpus-per-trial", metavar="N", type=click.IntRange(min=1), help="ray: CPUs [1]."
        ),
        click.option(
            "--gpus-per-trial",
            metavar="F",
            type=click.FloatRange(min=0),
            help="ray: GPUs, also a part of one [1 where CUDA trains].",
        ),
    ):
        function = option(function)
    return common_options(function)


def output_options(function: Function) -> Function:
    """Add what a command has that only prints: --json, and --quiet and --debug as everywhere."""
    for option in (
        debug_option,
        click.option(
            "--quiet",
            is_flag=True,
            expose_value=False,
            help="Accepted as everywhere; there is no progress here.",
        ),
        json_option,
    ):
        function = option(function)
    return function


def run_dir_of(experiment: str, out: Path | str) -> Path:
    """Return the run directory that --out names for an experiment."""
    return Path(str(out).replace("{name}", experiment))


def print_json(document: Any) -> None:
    """Print plain values as one JSON document."""
    from hptune.results.cells import finite

    click.echo(json.dumps(finite(document), indent=2))


def print_run(run_dir: Path, decisions: Sequence[Decision], trials: Sequence[Row]) -> None:
    """Print decisions and trials of a run directory as one JSON document."""
    from hptune.results.tables import decision_row

    rows = [decision_row(decision) for decision in decisions]
    print_json({"run_dir": str(run_dir), "decisions": rows, "trials": trials})
