"""`hptune landscape introspection`: learn how weights evolve."""

from __future__ import annotations

from pathlib import Path

import click

from hptune.cli.options import debug_option, json_option, print_json
from hptune.errors import InputError


@click.command("introspection")
@click.argument("runs", nargs=-1, metavar="[RUN_DIR]...", type=click.Path(path_type=Path))
@click.option(
    "--to",
    "file",
    type=click.Path(dir_okay=False, path_type=Path),
    default="introspection.pt",
    help="File that receives the net [introspection.pt].",
)
@click.option("--seed", type=click.IntRange(min=0), default=0, help="Of what is random [0].")
@json_option
@debug_option
def introspection(runs: tuple[Path, ...], file: Path, seed: int, as_json: bool) -> None:
    """Learn from runs that were walked where weights go, for training.introspection=FILE.

    A small net gets each weight at iterations 0, 0.4 t, 0.7 t and t of a walk, and learns its value at
    2 t. Trained with --set training.introspection=FILE, other runs jump there after a fifth of their
    length; training.introspection_at says when.
    """
    from hptune.cli.show import find_run_dir
    from hptune.landscape.evolution import learn_evolution
    from hptune.training.introspection import save_evolution
    from hptune.training.snapshot import load_state

    folders = [find_run_dir(run) for run in runs] or [find_run_dir(None)]
    states = [
        load_state(path)
        for folder in folders
        for path in sorted((folder / "landscape").glob("*.pt"))
    ]
    histories = [state["path"] for state in states if state is not None and state.get("path")]
    if not histories:
        raise InputError(
            f"{', '.join(map(str, folders))}: no run was walked; must have the weights along a run; run "
            "`hptune landscape walk`"
        )
    learned = learn_evolution(histories, seed=seed)
    save_evolution(file, learned.evolution)
    errors = {"error": learned.error, "stays": learned.stays, "straight": learned.straight}
    if as_json:
        known = {"histories": len(histories), "weights": learned.samples}
        print_json({"file": str(file), **known, **errors})
        return
    click.echo(
        f"{file}: learned from {len(histories)} walks, {learned.samples} weights; mean error at 2 t "
        f"{learned.error:.3g}, {learned.stays:.3g} if they stay, {learned.straight:.3g} straight on"
    )
    if learned.error >= learned.stays:
        click.echo("  no better than staying: its jumps are not worth taking; walk more runs")
