"""A trial within Hugging Face's Trainer, which keeps its own loop.

def train(trial: hptune.Trial) -> None:
    arguments = TrainingArguments("out", **training_arguments(trial))
    trainer = Trainer(make_model(), arguments, train_dataset=..., eval_dataset=...,
                      callbacks=[TrialCallback(trial)])
    trainer.train()
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from hptune.errors import InputError
from hptune.own_loop.schedule import Schedule
from hptune.own_loop.trial import Trial

try:
    from transformers import TrainerCallback
except ImportError:
    raise InputError(
        'hptune.huggingface: transformers is not installed; run pip install "hptune[huggingface]"'
    ) from None

__all__ = ["TrialCallback", "training_arguments"]

_NOT_METRICS = ("runtime", "per_second", "epoch", "model_preparation_time")


def training_arguments(trial: Trial) -> dict[str, Any]:
    """Return the keywords of `TrainingArguments` that a trial decides.

    The batch size is that of one device, without accumulation. The Trainer shows no bars, for hptune
    shows how far a trial is, and writes no checkpoints, for the callback keeps the weights.
    """
    return {
        "max_steps": trial.iterations,
        "learning_rate": trial.lr,
        "lr_scheduler_type": "constant",  # the callback sets it
        "weight_decay": trial.weight_decay,
        "per_device_train_batch_size": trial.batch_size,
        "adam_beta1": trial.momentum,
        "seed": trial.seed,
        "use_cpu": trial.device.type == "cpu",
        "disable_tqdm": True,
        "save_strategy": "no",
    }


class TrialCallback(TrainerCallback):  # type: ignore[misc]
    """Sets LR, momentum and weight decay of a training, tells hptune of it, and ends it with the trial.

    Before each step it sets what the trial says, so the Trainer's own scheduler has no effect. The
    evaluation set is read when the trial asks for it: eval_loss and eval_NAME become val_loss and
    val_NAME. The training loss is the `loss` that the model returns. The model's weights are kept
    at the end of a run.

    Args:
        trial: What to train.
        momentum: Whether momentum, or beta1, follows the trial too.
    """

    def __init__(self, trial: Trial, *, momentum: bool = True) -> None:
        self.trial, self._momentum = trial, momentum
        self._schedule: Schedule | None = None
        self._losses: list[Tensor] = []  # of an iteration's parts
        self._is_on = False
        self._hook: Any = None

    def on_train_begin(
        self, args: Any, state: Any, control: Any, *, model: Any = None, optimizer: Any = None, **_: Any
    ) -> None:  # fmt: skip
        """Take over LR, momentum and weight decay."""
        if state.max_steps < self.trial.iterations:
            raise InputError(
                f"TrainingArguments: {state.max_steps} steps; must be the {self.trial.iterations} of "
                "the trial; give max_steps=trial.iterations"
            )
        groups = optimizer.param_groups
        if not any(group.get("weight_decay") for group in groups) and "weight_decay" in groups[0]:
            groups[0]["weight_decay"] = 1.0  # the second is that of biases and norms
        self._schedule = self.trial.schedule(optimizer, momentum=self._momentum)
        self._hook = model.register_forward_hook(self._take_loss)
        self._is_on = True

    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Begin an iteration."""
        self._losses.clear()
        if next(self.trial, None) is None:
            control.should_training_stop = True

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Set LR and momentum, whatever the Trainer's scheduler has set."""
        assert self._schedule is not None
        self._schedule.go_to(self.trial.iteration)

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> Any:
        """Tell the loss, and have the evaluation set read where the trial asks for it."""
        if self._losses:
            self.trial.log(train_loss=sum(self._losses[1:], self._losses[0]) / len(self._losses))
        if self.trial.evaluate_now:
            control.should_evaluate = True
        if self.trial.iteration == self.trial.iterations - 1:
            control.should_training_stop = True
        return control

    def on_evaluate(
        self, args: Any, state: Any, control: Any, *, metrics: Any, model: Any = None, **_: Any
    ) -> None:  # fmt: skip
        """Tell what was read."""
        if not self._is_on:  # called by the user, of other data perhaps
            return
        values = {
            f"val_{name.removeprefix('eval_')}": value
            for name, value in metrics.items()
            if name.startswith("eval_") and isinstance(value, int | float) and not name.endswith(_NOT_METRICS)
        }  # fmt: skip
        if "val_loss" not in values:
            raise InputError(
                f"TrialCallback: no eval_loss among {', '.join(metrics)}; must be there; let the model "
                "return a loss, and the evaluation set have labels"
            )
        self.trial.log(**values)
        self.trial.save(model=model)

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Leave the model as it was."""
        self._is_on = False
        if self._hook is not None:
            self._hook.remove()

    def _take_loss(self, model: Any, inputs: Any, outputs: Any) -> None:
        loss = outputs.get("loss") if isinstance(outputs, dict) else None
        if model.training and isinstance(loss, Tensor):
            self._losses.append(loss.detach().mean())
