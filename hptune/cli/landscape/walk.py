"""`hptune landscape walk`: the loss along training."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import click

from hptune.cli.landscape.look import COUNT, Look, look_options
from hptune.errors import InputError

if TYPE_CHECKING:
    from hptune.landscape.steps import Row
    from hptune.results.records import TrialProgress
    from hptune.training.trial_run import Job


@click.command("walk")
@look_options
@click.option(
    "--trial",
    metavar="ID",
    help="Which run to train again [the last run's seed of the lowest validation loss].",
)
@click.option("--every", type=COUNT, default=10, help="Iterations of which one is measured [10].")
@click.option("--between", type=COUNT, default=3, help="Points between two iterates [3].")
def walk(look: Look, trial: str | None, every: int, between: int) -> None:
    """Train a run again and show the loss between its steps, angles, distance and noise scale.

    Takes less than twice as long as training, beside which --budget counts. The loss of a step's own
    batch, batch norm by that batch, dropout off; --examples has no part in it.
    """
    from hptune.landscape.steps import retrace
    from hptune.landscape.tables import rows_table
    from hptune.training.snapshot import save_state

    console = look.console()
    trained = look.open(console)
    row = trained.find(trial) if trial else trained.seeds()[0]
    again, name = trained.trial(row), str(row["trial"])
    if look.budget is not None:
        # Beside training's: the points between, and forth and back through two halves of a batch.
        each = between + 4
        if look.budget < min(2, again.iterations) * each:
            raise InputError(
                f"--budget: {look.budget} batches; must be at least {2 * each}, for two measured steps; "
                "raise it"
            )
        every = max(every, math.ceil(again.iterations * each / look.budget))
    every = min(every, max(again.iterations // 2, 1))  # a short run has some measured steps, too
    console.message(
        f"{name}: {again.iterations} iterations again, one of {every} measured on its own batch; "
        "batch norm by that batch, dropout off"
    )
    with look.meter(console, again.iterations, "iterations") as meter:

        def heard(job: Job, progress: TrialProgress) -> None:
            meter(progress.iteration + 1)

        walked = retrace(
            trained.task_of(row),
            again,
            trained.device,
            every=every,
            between=between,
            on_progress=heard,
        )
    stored = trained.run_dir.history(row)
    new = walked.result.curve.train_loss
    if stored is None or len(stored) != len(new) or (stored.train_loss != new).any():
        console.message(
            "  its losses are not those that the run directory holds to the last digit: another device, "
            "precision or version; what is shown is of the run as it went now"
        )
    rows = walked.walk.rows
    save_state(trained.run_dir.walked(name), {"trial": name, "path": walked.walk.path})
    summary = _summary(rows)
    shown = {key: "–" if value is None else f"{value:.4g}" for key, value in summary.items()}
    answer = [
        f"{name}: {len(rows)} of {len(new)} steps measured; over their last quarter:",
        f"  height above the floor {shown['height']}, cosine of successive gradients {shown['cosine']}, "
        f"gradient norm {shown['gradient_norm']}",
        f"  noise scale {shown['noise_scale']} examples, distance from the start {shown['distance']}, "
        f"{shown['distance_per_log']} more with each factor of e in iterations",
    ]
    look.write(
        trained,
        {f"walk-{name}": rows_table(rows)},
        answer,
        {"trial": name, **summary, "steps": rows},
    )


def _summary(rows: list[Row]) -> dict[str, float | None]:
    last = rows[-max(len(rows) // 4, 1) :]
    means: dict[str, Any] = {}
    for key in ("height", "cosine", "gradient_norm", "signal", "noise"):
        known = [value for row in last if (value := row[key]) is not None]
        means[key] = sum(known) / len(known) if known else None
    signal, noise = means.pop("signal"), means.pop("noise")
    # Where the signal is lost in noise no batch is large enough to be told from it.
    means["noise_scale"] = noise / signal if signal and noise and signal > 0 else None
    end, early = rows[-1], rows[len(rows) // 10]
    grown = float(end["distance"] or 0) - float(early["distance"] or 0)
    span = math.log((float(end["iteration"] or 0) + 1) / (float(early["iteration"] or 0) + 1))
    return {
        **means,
        "distance": end["distance"],
        "distance_per_log": grown / span if span > 0 else None,
    }
