"""`hptune landscape hessian` and `sharpness`: the loss around trained weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from hptune.cli.landscape.look import COUNT, Look, look_options

if TYPE_CHECKING:
    from hptune.console.meter import Meter
    from hptune.console.terminal import Console
    from hptune.procedure.session.trained import TrainedRun
    from hptune.results.tables import Row

Function = Callable[..., Any]
_ARRAYS = ("top", "grid", "density", "nodes", "shares")


def around_options(function: Function) -> Function:
    """Add the options of a look around the weights of one run."""
    for option in (
        click.option(
            "--batch-norm",
            type=click.Choice(["batch", "running"]),
            default="batch",
            help="Normalise by each batch, as training does, or by the averages, as in use [batch].",
        ),
        click.option(
            "--trial",
            metavar="ID",
            help="Whose weights [the last run's seed of the lowest validation loss].",
        ),
    ):
        function = option(function)
    return look_options(function)


@click.command("hessian")
@around_options
@click.option("--top", type=COUNT, default=5, help="How many of the largest eigenvalues [5].")
@click.option(
    "--steps",
    type=click.IntRange(min=0),
    default=40,
    help="Of Lanczos for the density, 0 leaves it out [40].",
)
@click.option("--vectors", type=COUNT, default=2, help="Random ones for the density [2].")
@click.option(
    "--products",
    type=click.Choice(["exact", "differences"]),
    default="exact",
    help="By second derivatives, or by differences of gradients: faster on a CPU, to 1e-3 [exact].",
)
def hessian(look: Look, trial: str | None, batch_norm: str, **how: Any) -> None:
    """Show the curvature: the largest eigenvalues, the trace and the spectral density.

    Dropout is off.
    """
    from hptune import landscape
    from hptune.landscape.curvature import EXACT
    from hptune.landscape.tables import density_table, spectrum_table

    console = look.console()
    trained = look.open(console)
    row = trained.find(trial) if trial else trained.seeds()[0]
    size = int(str(row["batch_size"]))
    model = trained.model(row)
    weights = sum(p.numel() for p in model.parameters() if p.requires_grad)
    products = how["steps"] * how["vectors"] + 6 * how["top"] + 12
    if weights <= EXACT:
        products = weights
    _say_what(console, look, row, batch_norm, trained)
    with look.meter(console, (products + 1) * look.batches(size, trained.task.train)) as meter:
        found = landscape.hessian(
            model, trained.task.step, trained.task.train,
            **_objective(look, trained, size, batch_norm, meter), **how,
        )  # fmt: skip
    about = {"examples": look.examples, "batch_norm": batch_norm, "lr": row["lr"]}
    name = str(row["trial"])
    tables = {f"hessian-{name}": spectrum_table(found, about)}
    if len(found.grid):
        tables[f"density-{name}"] = density_table(found)
    kept = "" if found.converged else f"; only {len(found.top)} converged within the budget"
    values = ", ".join(f"{value:.4g}" for value in found.top)
    error = f" ± {found.trace_error:.2g}" if found.trace_error > 0 else ""
    answer = [
        f"{name}: largest eigenvalues {values}{kept}",
        f"  trace {found.trace:.4g}{error}, lowest {found.lowest:.3g}, "
        f"{100 * found.near_zero:.3g} % of {found.weights} near zero; {found.products} products",
    ]
    known = {key: value for key, value in vars(found).items() if key not in _ARRAYS}
    document = {"trial": name, **about, "eigenvalues": found.top.tolist(), **known}
    look.write(trained, tables, answer, document)


@click.command("sharpness")
@around_options
@click.option("--epsilon", "epsilons", type=float, multiple=True, help="Box [1e-3 and 5e-4].")
@click.option(
    "--directions",
    type=click.IntRange(min=0),
    default=100,
    help="Of the random subspace, 0 leaves it out [100].",
)
@click.option("--rho", type=float, default=0.05, help="Length of SAM's step [0.05].")
def sharpness(
    look: Look, trial: str | None, batch_norm: str, epsilons: tuple[float, ...], **how: Any
) -> None:
    """Show how far the loss rises in a box around the weights, and by SAM's one step.

    Dropout is off.
    """
    from hptune import landscape
    from hptune.landscape.box import EPSILONS
    from hptune.landscape.tables import rises_table

    console = look.console()
    trained = look.open(console)
    row = trained.find(trial) if trial else trained.seeds()[0]
    size = int(str(row["batch_size"]))
    epsilons = epsilons or EPSILONS
    _say_what(console, look, row, batch_norm, trained)
    about = (
        20
        * (2 if how["directions"] else 1)
        * len(epsilons)
        * look.batches(size, trained.task.train)
    )
    with look.meter(console, about) as meter:
        rises = landscape.sharpness(
            trained.model(row), trained.task.step, trained.task.train, epsilons=epsilons,
            **_objective(look, trained, size, batch_norm, meter), **how,
        )  # fmt: skip
    name = str(row["trial"])
    answer = [f"{name}: loss {rises[0].loss:.4g}; largest rise, in % of 1 + loss:"]
    answer += [f"  {r.measure} {r.radius:g}: {r.sharpness:.4g}" for r in rises]
    rows = [vars(rise) | {"sharpness": rise.sharpness} for rise in rises]
    tables = {f"sharpness-{name}": rises_table(rises)}
    look.write(trained, tables, answer, {"trial": name, "rises": rows})


def _objective(
    look: Look, trained: TrainedRun, batch_size: int, batch_norm: str, meter: Meter
) -> dict[str, Any]:
    return {
        "examples": look.examples,
        "batch_size": batch_size,
        "batch_norm": batch_norm,
        "ignored": trained.task.ignored,
        "on_batch": meter,
        "budget": look.budget,
        "seed": look.seed,
    }


def _say_what(console: Console, look: Look, row: Row, batch_norm: str, trained: TrainedRun) -> None:
    count = min(look.examples, len(trained.task.train))
    by = "its batch" if batch_norm == "batch" else "the running averages"
    console.message(
        f"{row['trial']}: the first {count} training examples in batches of {row['batch_size']}, "
        f"without augmentation; batch norm by {by}, dropout off"
    )
