"""`hptune export`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from hptune.cli.options import output_options, print_json
from hptune.cli.predict import ensemble_option, loaded, model_option, run_argument, trial_option
from hptune.errors import InputError
from hptune.prediction import FORMATS

EXAMPLES = """\b
Examples:
  hptune export runs/digits --format onnx -o digits.onnx
  hptune export runs/digits --format torch
"""


@click.command("export", epilog=EXAMPLES)
@run_argument
@click.option(
    "--format",
    "kind",
    type=click.Choice(list(FORMATS)),
    help="Which [by the ending of FILE, else torch].",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Where it goes [model.pt, .ts or .onnx in RUN].",
)
@ensemble_option
@trial_option
@model_option
@output_options
def command(
    run: Path | None, kind: str | None, output: Path | None, as_json: bool, **which: Any
) -> None:
    """Write what was trained for torch, TorchScript or ONNX.

    It takes inputs as the model was trained on, in batches of any size; what they are made of and what
    the outputs mean is written into the file. By default the model of the latest run.
    """
    from hptune.cli.show import find_run_dir

    predictor = loaded(run, device="cpu", **which)
    if output is None:
        if run is not None and run.suffix == ".pt":
            raise InputError(f"-o: none given and {run} is a file; must be named; give -o FILE")
        output = find_run_dir(run) / f"model{FORMATS[kind or 'torch']}"
    path = predictor.export(output, kind)
    if as_json:
        print_json({"file": str(path), "trials": list(predictor.trials)})
    else:
        click.echo(path)
