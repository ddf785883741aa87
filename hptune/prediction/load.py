"""A trained model from its run directory, in any process."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from torch import nn

from hptune.config.build import build_task
from hptune.config.load import load_experiment
from hptune.config.model import is_own
from hptune.fingerprint import changed_code, fingerprint
from hptune.prediction.predictor import Predictor
from hptune.prediction.rebuilt import rebuilt
from hptune.prediction.weights import weights_of
from hptune.results.signature import Signature
from hptune.task import Source, Task
from hptune.user_code import find


def load_run(
    run: str | Path,
    *,
    make_model: Callable[..., nn.Module] | None = None,
    trial: str | None = None,
    ensemble: bool = False,
    device: str = "auto",
) -> Predictor:
    """Load the trained model of a run directory; the training data are not needed.

    Args:
        run: The run directory of `hptune run`, `hptune train`, `hptune.tune` or `hptune.train`, or
            a file that was exported as torch.
        make_model: Returns the model, where no other process can import the function that made it.
        trial: Whose weights; None takes the seed with the lowest validation loss of the last run.
        ensemble: Whether the seeds of that run predict together, by the mean of their probabilities.
        device: On which to predict: "auto", "cpu", "cuda", "cuda:N" or "mps".

    Raises:
        InputError: There is no trained model, or it cannot be made again.
    """
    path = Path(run).expanduser()
    weights = weights_of(path, [trial] if trial else [], ensemble=ensemble)
    signature = weights[0].signature
    task = rebuilt(signature, make_model)
    return Predictor(
        task,
        weights,
        device=device,
        test=partial(_own_test, path),
        measures=signature.loss is not None,
        notes=_changed(task, signature) if make_model is None else (),
    )


def _changed(task: Task, signature: Signature) -> tuple[str, ...]:
    """Say which of the user's source files say something else than when the weights were trained."""
    if not signature.code:
        return ()
    name, parts = signature.model.name or "", [task.make_model]
    with torch.random.fork_rng(devices=[]):
        model = task.make_model()
    if is_own(name):
        parts.append(find(name, "--model"))
    now = fingerprint(model, parts, None).code
    files = ", ".join(changed_code(signature.code, now))
    return (f"code that has changed since these weights were trained: {files}",) if files else ()


def _own_test(run: Path) -> Source | None:
    """Return the test split that a run read, by its experiment; of an exported file there is none."""
    experiment = run / "experiment.yaml"
    return build_task(load_experiment(experiment)).test if experiment.is_file() else None
