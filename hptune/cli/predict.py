"""`hptune predict`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hptune.cli.options import debug_option, json_option, print_json
from hptune.cli.wrapped import wrapped
from hptune.errors import InputError

if TYPE_CHECKING:
    from hptune.prediction.predictions import Predictions
    from hptune.prediction.predictor import Predictor

STDOUT, CONFIGS = "-", (".yaml", ".yml")
run_argument = click.argument(
    "run", required=False, metavar="[RUN]", type=click.Path(path_type=Path)
)
trial_option = click.option(
    "--trial",
    metavar="ID",
    help="Whose weights [the last run's seed of the lowest validation loss].",
)
ensemble_option = click.option(
    "--ensemble", is_flag=True, help="All seeds of the last run together, by their mean."
)
model_option = click.option(
    "--model",
    metavar="MODULE:CALLABLE",
    help="Makes the model, where a script or notebook trained one that has no name.",
)
quiet_option = click.option("--quiet/--no-quiet", envvar="HPTUNE_QUIET", help="No notes on stderr.")

EXAMPLES = """\b
Examples:
  hptune predict runs/house test.csv -o submission.csv --id Id
  hptune predict runs/flowers new/*.jpg --probabilities --ensemble
"""


@click.command("predict", epilog=EXAMPLES)
@run_argument
@click.argument("data", nargs=-1, type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--output",
    default=STDOUT,
    metavar="FILE",
    help="Where the table goes, a csv; - is stdout [-].",
)
@click.option("--probabilities", is_flag=True, help="A column a class in the place of the class.")
@click.option(
    "--id",
    "id_column",
    metavar="COLUMN",
    help="Of a csv, the column that names the rows [what training left out as an id].",
)
@ensemble_option
@trial_option
@model_option
@click.option(
    "--device",
    default="auto",
    envvar="HPTUNE_DEVICE",
    help="auto, cpu, cuda, cuda:N or mps [auto].",
)
@quiet_option
@json_option
@debug_option
def command(
    run: Path | None,
    data: tuple[Path, ...],
    output: str,
    probabilities: bool,
    id_column: str | None,
    as_json: bool,
    quiet: bool,
    device: str,
    **which: Any,
) -> None:
    """Predict new data with what was trained.

    DATA is a csv, an npz, a folder of images or image files; without DATA, the run's own test split.
    Where the data have targets, it also says how well the model does. By default the model of the
    latest run.
    """
    if output != STDOUT and Path(output).resolve() in [path.resolve() for path in data]:
        raise InputError(f"-o: {output!r}; is DATA; name another file")
    predictor = loaded(run, device=device, **which)
    given: Any = None if not data else data[0] if len(data) == 1 else list(data)
    found = predictor.predict(given, id_column=id_column)
    table = found.frame(probabilities=probabilities)
    if not quiet:
        for note in found.notes:
            click.echo(wrapped(f"note: {note}", sys.stderr), err=True)
        click.echo(wrapped(repr(found), sys.stderr), err=True)
    text = table.to_csv(index=False, lineterminator="\n")
    if output != STDOUT:
        from hptune.results.atomic import write_atomic

        write_atomic(Path(output), text)
    if as_json:
        print_json(_document(found, None if output == STDOUT else output))
    elif output == STDOUT:
        click.echo(text, nl=False)


def loaded(run: Path | None, *, model: str | None, **which: Any) -> Predictor:
    """Return the trained model of a run directory, of a config's, or of the latest."""
    from hptune.cli.show import find_run_dir
    from hptune.prediction.load import load_run
    from hptune.user_code import find

    if run is not None and run.is_file() and run.suffix not in (*CONFIGS, ".pt"):
        raise InputError(
            f"RUN: {str(run)!r}; must be a run directory, a CONFIG or an exported .pt; give it before DATA"
        )
    path = run if run is not None and run.suffix == ".pt" else find_run_dir(run)
    make_model = None if model is None else find(model, "--model")
    return load_run(path, make_model=make_model, **which)


def _document(found: Predictions, output: str | None) -> dict[str, Any]:
    shares = [None] * len(found) if found.probabilities is None else found.probabilities.tolist()
    rows = [
        {found.id_name: name, "prediction": value, "probabilities": share}
        for name, value, share in zip(found.ids, found.labels.tolist(), shares, strict=True)
    ]
    return {
        "trials": list(found.trials),
        "kind": found.kind,
        "target": found.target,
        "classes": list(found.classes),
        "examples": len(found),
        "with_targets": found.with_targets,
        "loss": found.loss,
        "metrics": dict(found.metrics),
        "notes": list(found.notes),
    } | ({"output": output} if output else {"predictions": rows})
