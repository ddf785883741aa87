"""What is trained and where: an experiment's task, its first batch, the device in its fastest mode."""

from __future__ import annotations

from hptune.config.build import build_task
from hptune.config.loop import usual_batch_size
from hptune.config.named import named_task
from hptune.config.schema import Experiment
from hptune.fingerprint import digest_of_targets
from hptune.own_loop.task import rehearse, rehearsed
from hptune.procedure.defaults import MOMENTUM, OPTIMIZERS, OWN, batch_size
from hptune.results.records import Trial
from hptune.results.run_dir import RunDir
from hptune.results.settings import AUTO, OptimizerSpec
from hptune.stages import TRAIN
from hptune.task import Task
from hptune.training.check_batch import BatchCheck, check_batch
from hptune.training.device import Device
from hptune.training.execution_mode import choose_mode, measure_modes
from hptune.trials.executors.execution import Execution


class Problem:
    """An experiment's task on a device; everything is built when it is first needed.

    Args:
        run_dir: Keeps what is measured.
        execution: How trials are run; hears of the mode that is chosen for the device.
        given: The task where it was put together in Python.
    """

    def __init__(
        self,
        experiment: Experiment,
        run_dir: RunDir,
        device: Device,
        execution: Execution | None = None,
        given: Task | None = None,
    ) -> None:
        self.experiment, self.run_dir, self.device = experiment, run_dir, device
        self.execution, self.given = execution, given
        self._task: Task | None = None
        self._checked: BatchCheck | None = None

    def changed(self, experiment: Experiment, *, same_task: bool = False) -> Problem:
        """Return the same with another experiment; its task is built anew unless it is the same."""
        other = Problem(experiment, self.run_dir, self.device, self.execution, self.given)
        if same_task:
            other._task = self._task
            if other.optimizer == self.optimizer:
                other._checked = self._checked
        return other

    @property
    def optimizer(self) -> OptimizerSpec:
        """The optimizer; as long as none is decided on, the one that is taken by default."""
        written = self.experiment.optimizer
        if self.task.loop is not None:  # whose optimizer is its own
            return written.change(name=self.task.seen["optimizer"] or OWN)
        return written.change(name=OPTIMIZERS[0]) if written.name == AUTO else written

    @property
    def task(self) -> Task:
        """The task."""
        if self._task is None:
            if self.given is None and self.experiment.task is not None:
                self.given = named_task(self.experiment)
            task = build_task(self.experiment, self.given)
            if task.loop is None:
                self.run_dir.add_fact("validation_examples", len(task.validation))
                self.run_dir.add_fact("judged_by", digest_of_targets([task.validation, task.test]))
            else:
                task = self._rehearsed(task)
            self._task = task
        return self._task

    def _rehearsed(self, task: Task) -> Task:
        """Return the task of a loop with what a rehearsal of it shows, made once a run directory."""
        key = f"rehearsal/{task.fingerprint}"
        size = self.experiment.hyper_parameters.batch_size or usual_batch_size(self.experiment)
        seen = self.run_dir.timing(key)
        if not isinstance(seen, dict):
            epochs, per_epoch = self.experiment.training.epochs, len(task.train) // size
            trial = Trial(
                stage=TRAIN,
                task=task.fingerprint,
                seed=self.experiment.seed,
                iterations=max(round(epochs * per_epoch), 1),
                batch_size=size,
                lr=1e-4,
                momentum=MOMENTUM,
                weight_decay=0.0,
                settings=self.experiment.training.settings(),
            )
            seen = rehearse(task, trial, self.device)
            self.run_dir.set_timing(key, dict(seen))
        return rehearsed(task, seen, size, self.experiment.loop.validation_examples)

    def checked(self, batch_size: int) -> BatchCheck:
        """Return what the first batch shows; wrong input is told here, before any trial."""
        if self._checked is None:
            self._checked = check_batch(
                self.task,
                self.device,
                batch_size=batch_size,
                optimizer=self.optimizer,
                seed=self.experiment.seed,
            )
            self._tell_of_devices(self._checked, batch_size)
            if self.execution is not None:
                for note in self._checked.notes:
                    self.execution.tell_once(f"warning: {note}")
        return self._checked

    @property
    def usual_batch_size(self) -> int:
        """The batch size where none is decided or given."""
        if self.task.loop is not None:
            return usual_batch_size(self.experiment)
        training = self.experiment.training
        parts = training.accumulate * training.devices_per_trial
        return batch_size(len(self.task.train), training.epochs, parts)

    def devices_that_matter(self, shown: BatchCheck) -> int:
        """Return on how many devices a trial is trained, where its numbers depend on that; else 1.

        Batch norms that see a part of a batch do, and random numbers that each device draws.
        """
        ranks = self.device.ranks
        matters = shown.draws or (shown.batch_norms and not ranks.sync_batch_norm)
        return ranks.size if matters else 1

    def _tell_of_devices(self, shown: BatchCheck, batch_size: int) -> None:
        """Say how a trial is divided, and what its batch norms normalise over."""
        ranks = self.device.ranks
        if ranks.size == 1 or self.execution is None:
            return
        each = batch_size // ranks.size
        told = f"  each trial on {self.device.name}: {each} of its {batch_size} examples a step on each"
        if shown.batch_norms:
            over = f"the {each} examples on each device"
            over = f"all {batch_size} examples" if ranks.sync_batch_norm else over
            told += f"; batch norm over {over} (training.batch_norm)"
        self.execution.tell_once(told)
        self.run_dir.add_fact("batch_norm", self.experiment.training.batch_norm)

    def choose_mode(self, probe: Trial) -> None:
        """Choose precision and graph for the device by timing iterations of a trial; this is kept."""
        on_cpu = self.device.torch_device.type == "cpu"
        what = "precision" if on_cpu else "capture"
        key = f"{what}/{self.task.fingerprint}/{self.device.place}"
        seconds = self.run_dir.timing(key)
        if not isinstance(seconds, dict):
            seconds, why = measure_modes(self.task, probe, self.device)
            self.run_dir.set_timing(key, seconds)
            if why and not on_cpu:
                self.run_dir.add_fact("not_captured", why)
        self.device = choose_mode(self.device, seconds)
        self.run_dir.add_fact("precision", self.device.precision)
        if not on_cpu:
            self.run_dir.add_fact("cuda_graph", self.device.graph)
        if self.execution is not None:
            self.execution.device = self.device
