"""What was decided, for the training loops of others: torch's own objects and Hugging Face's keywords."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hptune.errors import InputError
from hptune.own_loop.assignment import Assignment
from hptune.own_loop.schedule import Optimizer, Schedule
from hptune.procedure.defaults import OWN
from hptune.results.records import Trial

# Names of TrainingArguments for what trains alike, and the policies that its schedulers come near to.
_OPTIMIZERS = {"adamw": "adamw_torch", "adagrad": "adagrad", "rmsprop": "rmsprop"}
_SCHEDULERS = {"1cycle": "linear", "cosine": "cosine", "constant": "constant"}


def schedule(trial: Trial, optimizer: Optimizer, iterations: int, *, epochs: float) -> Schedule:
    """Return what drives an optimizer through a run of so many iterations; see `Result.schedule`.

    Args:
        trial: With the values that hold now.
        optimizer: Whose groups keep their ratios.
        iterations: Of the run.
        epochs: Of the run, for policies that count them.
    """
    if trial.policy.name == OWN:
        raise InputError(
            "schedule: the training loop sets its LR itself; there is no policy to follow; take its own"
        )
    rates = _assignment(trial, iterations, epochs).rates()
    return Schedule([optimizer], rates, weight_decay=trial.weight_decay)


def configure(trial: Trial, optimizer: Optimizer) -> None:
    """Set LR, momentum and weight decay of an optimizer, whose groups keep their ratios."""
    Schedule([optimizer], [(trial.lr, trial.momentum)], weight_decay=trial.weight_decay)


def training_arguments(trial: Trial, epochs: float, *, own_loop: bool) -> dict[str, Any]:
    """Return keywords of `transformers.TrainingArguments`; see `Result.training_arguments`.

    Raises:
        InputError: The optimizer or the policy is none that it knows by a name.
    """
    name, policy = trial.optimizer.name, trial.policy.name
    if name not in _OPTIMIZERS:
        raise InputError(
            f"training_arguments: optimizer {name}; must be of {', '.join(_OPTIMIZERS)}, which "
            "TrainingArguments can be told by name; give Trainer optimizers=(optimizer, "
            "tuned.schedule(optimizer, max_steps))"
        )
    if policy not in (*_SCHEDULERS, OWN):
        raise InputError(
            f"training_arguments: policy {policy}; must be of {', '.join(_SCHEDULERS)}, which "
            "TrainingArguments comes near to; use tuned.schedule(optimizer, max_steps)"
        )
    known = {
        "learning_rate": trial.lr,
        "weight_decay": trial.weight_decay,
        "per_device_train_batch_size": trial.batch_size,
        "adam_beta1": trial.momentum,
        "num_train_epochs": epochs,
        "seed": trial.seed,
        "optim": _OPTIMIZERS[name],
    }
    if policy in _SCHEDULERS:
        known["lr_scheduler_type"] = _SCHEDULERS[policy]
        lrs = [lr for lr, _ in _assignment(trial, trial.iterations, epochs).rates()]
        known["warmup_steps"] = lrs.index(max(lrs))
    if not own_loop:  # in which the user has clipped, or not
        known["max_grad_norm"] = trial.settings.clip_norm or 0.0
    return known


def _assignment(trial: Trial, iterations: int, epochs: float) -> Assignment:
    per_epoch = max(round(iterations / epochs), 1)
    return Assignment(trial=replace(trial, iterations=iterations), per_epoch=per_epoch)
