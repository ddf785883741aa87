"""The options that every command shares, and what they are turned into."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from hptune.cli.completion import settings, words
from hptune.cli.defaults import RUN_DIR
from hptune.trackers import NAMES as TRACKERS
from hptune.trials.executors import EXECUTORS

if TYPE_CHECKING:
    from hptune.config.schema import Experiment
    from hptune.procedure.session import Session
    from hptune.results.records import Scalar
    from hptune.trials.progress import Progress

F = TypeVar("F", bound=Callable[..., Any])
LOCAL_CONFIG = Path("hptune.yaml")


@dataclass(frozen=True)
class Common:
    """The common options as given."""

    config: Path | None
    overrides: tuple[str, ...]
    out: Path | None
    device: str
    seed: int | None
    json: bool
    quiet: bool
    executor: str = "auto"
    jobs: int | None = None
    track: tuple[str, ...] = ()

    def with_setting(self, override: str) -> Common:
        """Return the options with one more `--set`, for a flag that stands for a key."""
        return replace(self, overrides=(*self.overrides, override))

    def experiment(self) -> tuple[Experiment, str]:
        """Return the experiment and where it comes from: CONFIG, ./hptune.yaml or the bundled one."""
        from hptune.config.load import BUNDLED, load_experiment

        path = self.config
        if path is None and LOCAL_CONFIG.exists():
            path = LOCAL_CONFIG
        overrides = [*self.overrides, *([] if self.seed is None else [f"seed={self.seed}"])]
        return load_experiment(path, overrides), BUNDLED if path is None else str(path)

    def run_dir(self, experiment: Experiment) -> Path:
        """Return --out, else runs/<experiment name>."""
        return Path(str(self.out or RUN_DIR).replace("{name}", experiment.name))

    def session(
        self,
        *,
        flags: dict[str, Scalar] | None = None,
        restart: bool = False,
        dry: bool = False,
    ) -> Session:
        """Open the run directory for work and say which experiment it is."""
        from hptune.console.terminal import Console
        from hptune.procedure.session import Session
        from hptune.trials.progress import ProgressGroup

        experiment, source = self.experiment()
        out = self.run_dir(experiment)
        console = Console(silent=self.json or self.quiet)
        progress = ProgressGroup([console, *self._trackers(out, experiment.name)])
        progress.message(f"{experiment.name}: {source}, results in {out}")
        return Session.open(
            experiment,
            out,
            device=self.device,
            progress=progress,
            flags=flags or {},
            restart=restart,
            executor=self.executor,
            jobs=self.jobs,
            dry=dry,
        )

    def _trackers(self, out: Path, experiment: str) -> list[Progress]:
        from hptune.cli.tracking import Tracking
        from hptune.trackers import open_tracker

        return [
            Tracking(name, open_tracker(name, run_dir=out, experiment=experiment))
            for name in dict.fromkeys(self.track)
        ]


def common_options(function: F) -> F:
    """Add CONFIG and the common options to a command; it receives them as `common`."""

    @click.argument(
        "config",
        required=False,
        type=click.Path(path_type=Path),
    )
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
        envvar="HPTUNE_OUT",
        help="Run directory, in which {name} stands for the experiment's name [runs/{name}].",
    )
    @click.option(
        "--device",
        default="auto",
        envvar="HPTUNE_DEVICE",
        shell_complete=words("auto", "cpu", "cuda", "cuda:0", "mps"),
        help="auto, cpu, cuda, cuda:N or mps [auto].",
    )
    @click.option("--seed", type=click.IntRange(min=0), help="Seed of the run.")
    @click.option("--json", is_flag=True, help="One JSON document on stdout, nothing else.")
    @click.option("--quiet/--no-quiet", envvar="HPTUNE_QUIET", help="No progress on stderr.")
    @click.option("--debug", is_flag=True, help="Show tracebacks.")
    def wrapped(
        config: Path | None,
        overrides: tuple[str, ...],
        out: Path | None,
        device: str,
        seed: int | None,
        json: bool,
        quiet: bool,
        debug: bool,
        **kwargs: Any,
    ) -> Any:
        common = Common(config, overrides, out, device, seed, json, quiet)
        return function(common, **kwargs)

    return _with_options_of(function, wrapped)


class _Jobs(click.ParamType[int | None]):
    """A number of trials at once, or "auto", which is None."""

    name = "N|auto"

    def convert(self, value: Any, param: click.Parameter | None, ctx: Any) -> int | None:
        if value == "auto":
            return None
        if not str(value).isdigit() or int(value) < 1:
            self.fail(f"{value!r} is neither auto nor a number of at least 1", param, ctx)
        return int(value)


def execution_options(function: F) -> F:
    """Add what a command that trains has beside; it receives it within `common`."""

    @click.option("--jobs", type=_Jobs(), help="Trials at once [auto: the cores, or the GPUs].")
    @click.option(
        "--executor",
        type=click.Choice(list(EXECUTORS)),
        default="auto",
        help="How trials are run: "
        + "; ".join(f"{kind.name}, {kind.summary}" for kind in EXECUTORS.values())
        + " [auto].",
    )
    @click.option(
        "--track",
        type=click.Choice(TRACKERS),
        multiple=True,
        envvar="HPTUNE_TRACK",
        help="Hand every trial to another tool too; repeatable.",
    )
    def wrapped(
        common: Common,
        jobs: int | None,
        executor: str,
        track: tuple[str, ...],
        **kwargs: Any,
    ) -> Any:
        common = replace(common, jobs=jobs, executor=executor, track=track)
        return function(common, **kwargs)

    return _with_options_of(function, wrapped)


def _with_options_of(function: F, wrapped: Callable[..., Any]) -> F:
    """Give a wrapper the name, the help text and the options of what it wraps."""
    wrapped.__doc__ = function.__doc__
    wrapped.__name__ = function.__name__
    # Options declared on the function itself are kept by click on this attribute.
    params = getattr(function, "__click_params__", [])
    wrapped.__click_params__ = params + getattr(wrapped, "__click_params__", [])  # type: ignore[attr-defined]
    return wrapped  # type: ignore[return-value]


restart_option = click.option("--restart", is_flag=True, help="Run finished trials again.")
baseline_option = click.option(
    "--baseline",
    type=click.Choice(["step", "multistep", "inv", "exponential", "cosine", "constant"]),
    help="Train a comparison too, by a policy of the usual kind at its usual length.",
)
seeds_option = click.option("--seeds", type=click.IntRange(min=1), help="Repeats over seeds.")


def with_baseline(common: Common, policy: str | None) -> Common:
    """Return the options with the baseline that a flag asks for."""
    if policy is None:
        return common
    return common.with_setting(f"procedure.final.baseline={policy}")


def print_outcome(common: Common, session: Session, decisions: Any, results: Any) -> None:
    """Print what a stage command gives: one JSON document, or nothing more than was shown."""
    if not common.json:
        return
    import json

    from hptune.results.cells import finite
    from hptune.results.tables import decision_row, result_row

    document = {
        "run_dir": str(session.run_dir.path),
        "decisions": [decision_row(d) for d in decisions],
        "trials": [result_row(r) for r in results],
    }
    click.echo(json.dumps(finite(document), indent=2))
