"""A trial within Lightning's Trainer, which keeps its own loop.

def train(trial: hptune.Trial) -> None:
    data, module = Data(batch_size=trial.batch_size), Module()
    trainer = lightning.Trainer(
        callbacks=[TrialCallback(trial)], logger=False, enable_checkpointing=False
    )
    trainer.fit(module, data)
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from hptune.errors import InputError
from hptune.own_loop.trial import Trial

try:
    from lightning.pytorch.callbacks import Callback
except ImportError:
    try:
        from pytorch_lightning.callbacks import Callback
    except ImportError:
        raise InputError(
            'hptune.lightning: lightning is not installed; run pip install "hptune[lightning]"'
        ) from None

__all__ = ["TrialCallback"]

NEVER = 2**62  # batches after which Lightning is to read the validation set


class TrialCallback(Callback):  # type: ignore[misc]
    """Sets LR, momentum and weight decay of a fit, tells hptune of it, and ends it with the trial.

    The fit takes as many steps as the trial has, whatever the Trainer's epochs. The validation set
    is read when the trial asks for it, by Lightning's own validation loop: what is logged with a
    name that begins with val is told to hptune. The training loss is what `training_step` returns.
    A scheduler of `configure_optimizers` is left out. Under manual optimization an iteration is a
    batch in which any optimizer steps. The module's weights are kept at the end of a run.

    Args:
        trial: What to train.
        monitor: Name under which the validation loss is logged.
        momentum: Whether momentum, or beta1, follows the trial too.
    """

    def __init__(self, trial: Trial, *, monitor: str = "val_loss", momentum: bool = True) -> None:
        self.trial, self._monitor, self._momentum = trial, monitor, momentum
        self._steps = -1  # of the optimizers, when the iteration began

    def setup(self, trainer: Any, pl_module: Any, stage: str) -> None:
        """Let the fit be as long as the trial."""
        if stage != "fit":
            return
        loop, alone = trainer.fit_loop, pl_module.automatic_optimization
        loop.min_epochs, loop.max_epochs = None, -1
        # Several optimizers count several steps an iteration; those end by `should_stop` alone.
        loop.epoch_loop.min_steps = None
        loop.epoch_loop.max_steps = self.trial.iterations if alone else -1

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Take over LR, momentum and weight decay."""
        if not trainer.enable_validation:
            raise InputError(
                "TrialCallback: there is no validation; must be a validation_step and a val_dataloader, "
                "for the trial to be judged by; add them"
            )
        left_out = [type(config.scheduler).__name__ for config in trainer.lr_scheduler_configs]
        if left_out:
            self.trial.note(f"{', '.join(left_out)} of configure_optimizers: left out, for the trial "
                            "sets the LR")  # fmt: skip
            trainer.strategy.lr_scheduler_configs = []
        self.trial.schedule(*trainer.optimizers, momentum=self._momentum)
        trainer.check_val_every_n_epoch = trainer._val_check_time_interval = None

    def on_train_batch_start(
        self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int
    ) -> None:
        """Begin an iteration, unless the batch adds to the gradients of the one before."""
        if self._steps != trainer.global_step:
            self._steps = trainer.global_step
            next(self.trial, None)

    def on_train_batch_end(
        self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Tell the loss, and have the validation set read where the trial asks for it."""
        loss = outputs.get("loss") if isinstance(outputs, dict) else outputs
        if isinstance(loss, Tensor):
            parts = trainer.accumulate_grad_batches if pl_module.automatic_optimization else 1
            self.trial.log(train_loss=loss * parts)
        else:
            logged = trainer.callback_metrics.get("train_loss")
            self.trial.log(train_loss=logged)
        stepped = trainer.global_step != self._steps
        trainer.val_check_batch = 1 if stepped and self.trial.evaluate_now else NEVER
        if stepped and self.trial.iteration == self.trial.iterations - 1:
            trainer.should_stop = True

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        """Tell what was read."""
        if trainer.sanity_checking or self._steps < 0:
            return
        logged = trainer.callback_metrics
        if self._monitor not in logged:
            raise InputError(
                f"TrialCallback: {self._monitor!r} is not logged; must be of "
                f"{', '.join(logged) or 'what validation_step logs'}; log it, or give monitor="
            )
        values = {
            f"val_{name.removeprefix('val').lstrip('_/')}".replace("/", "_"): value
            for name, value in logged.items()
            if name.startswith("val") and name != self._monitor
        }
        self.trial.log(**values | {"val_loss": logged[self._monitor]})
        self.trial.save(model=pl_module)
