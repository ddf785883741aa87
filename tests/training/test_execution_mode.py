"""The precision of a CPU: measured, never a slower or a different one, and kept for the run."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from hptune.cli import run
from hptune.config.build import build_task
from hptune.config.load import load_experiment
from hptune.results.records import Trial
from hptune.results.settings import TrainingSettings
from hptune.stages import TRAIN
from hptune.task import Task
from hptune.training import execution_mode
from hptune.training.device import Device, resolve_device
from hptune.training.execution_mode import alike, choose_mode, measure_modes

TURNED = {"without gradients": 0.0, "negated": -1.0, "steeper": 1.5}  # what losses hardly show
CPU = Device(torch.device("cpu"), needs_probe=True)
TRIAL = Trial(
    stage=TRAIN, task="t", seed=0, iterations=100, batch_size=32, lr=0.01, momentum=0.9,
    weight_decay=0.0,
)  # fmt: skip


class Turned(torch.autograd.Function):
    """Passes values on, and gradients times a factor."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, factor: float) -> Tensor:
        """Return the values."""
        ctx.factor = factor
        return x.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        """Return the gradients, turned."""
        return gradients[0] * ctx.factor, None


class Net(nn.Module):
    """A linear classifier that may misbehave in bf16."""

    def __init__(self, habit: str = "") -> None:
        super().__init__()
        self.layer, self.habit = nn.Linear(64, 10), habit

    def forward(self, x: Tensor) -> Tensor:
        """Return logits."""
        logits: Tensor = self.layer(x.flatten(1))
        if x.is_cuda and torch.cuda.is_current_stream_capturing() and self.habit in TURNED:
            return Turned.apply(logits, TURNED[self.habit])
        if torch.is_autocast_enabled("cpu"):
            if self.habit == "raises" or (self.habit == "reads" and not self.training):
                raise RuntimeError("not implemented for 'BFloat16'")
            if self.habit in TURNED:
                return Turned.apply(logits, TURNED[self.habit])
            if self.habit in ("other", "nan"):
                return logits * {"other": 30.0, "nan": float("nan")}[self.habit]
        return logits


def task(habit: str = "") -> Task:
    """Return digits with such a net."""
    digits = build_task(load_experiment(None, ["data.name=digits"]))
    return dataclasses.replace(digits, make_model=lambda: Net(habit))


def test_both_precisions_are_timed_where_an_iteration_takes_long_enough(monkeypatch):
    assert measure_modes(task(), TRIAL, CPU)[0]["bf16"] is None
    monkeypatch.setattr(execution_mode, "WORTH", 0.0)
    seconds, _ = measure_modes(task(), TRIAL, CPU)
    assert all(value is not None and value > 0 for value in seconds.values())


@pytest.mark.parametrize("habit", ["raises", "reads", "other", "nan", *TURNED])
def test_bf16_is_no_choice_where_a_model_does_not_train_the_same_in_it(habit, monkeypatch):
    monkeypatch.setattr(execution_mode, "WORTH", 0.0)
    seconds, why = measure_modes(task(habit), TRIAL, CPU)
    assert seconds["bf16"] is None and why


@pytest.mark.gpu
@pytest.mark.parametrize("habit", TURNED)
def test_a_gpu_replays_no_pass_whose_gradients_are_others_than_the_launched_ones(habit: str):
    seconds, why = measure_modes(task(habit), TRIAL, resolve_device("cuda", "fp32"))
    assert seconds["launched"] is not None and seconds["replayed"] is None and why


@pytest.mark.parametrize("dropped", [0.0, 0.5])
def test_bf16_is_a_choice_where_gradients_differ_by_its_rounding_alone(dropped, monkeypatch):
    monkeypatch.setattr(execution_mode, "WORTH", 0.0)
    digits = build_task(load_experiment(None, [f"model.dropout={dropped}"]))
    seconds, why = measure_modes(digits, TRIAL, CPU)
    assert seconds["bf16"] is not None and not why
    # A probe on fewer examples is cut into as many parts.
    parts = TRIAL.change(batch_size=96, settings=TrainingSettings(accumulate=3))
    assert measure_modes(digits, parts, CPU)[0]["bf16"] is not None


def test_each_parameter_counts_and_what_is_lost_in_rounding_does_not():
    generator = torch.Generator().manual_seed(0)
    usual = [torch.randn(20, generator=generator) * scale for scale in (1.0, 0.5, 1e-4)]
    likeness = execution_mode.LIKE["cuda"]

    def changed(which: int, factor: float) -> list[Tensor]:
        return [g * factor if n == which else g for n, g in enumerate(usual)]

    assert alike(usual, changed(2, -1.0), likeness) and alike(usual, changed(0, 1.02), likeness)
    for factor in (0.0, -1.0, 1.2, float("nan")):
        assert not alike(usual, changed(0, factor), likeness)
        assert not alike(usual, changed(1, factor), likeness)
    nothing = [torch.zeros(3)]
    assert alike(nothing, nothing, likeness) and not alike(nothing, [torch.ones(3)], likeness)


def test_a_gpu_is_not_asked_to_record_what_it_could_not_replay():
    gpu = Device(torch.device("cuda"), needs_probe=True)
    accumulating = TRIAL.change(settings=TrainingSettings(accumulate=2))
    for trial, device in (
        (accumulating, gpu),
        (TRIAL, dataclasses.replace(gpu, dtype=torch.float16)),
    ):
        seconds, why = measure_modes(task(), trial, device)
        assert why and not choose_mode(device, seconds).uses_graph(10**6)


def test_what_fails_in_any_precision_is_left_for_the_trials_to_tell(monkeypatch):
    class Broken(Net):
        def forward(self, x: Tensor) -> Tensor:
            if not self.training:
                raise RuntimeError("no validation")
            return super().forward(x)

    broken = dataclasses.replace(task(), make_model=Broken)
    assert measure_modes(broken, TRIAL, CPU)[0] == {"fp32": None, "bf16": None}


@pytest.mark.parametrize(
    ("fp32", "bf16", "chosen"),
    [(1.0, 0.5, "bf16"), (1.0, 0.9, "fp32"), (1.0, 3.0, "fp32"), (1.0, None, "fp32")],
)
def test_bf16_has_to_be_clearly_faster(fp32: float, bf16: float | None, chosen: str):
    device = choose_mode(CPU, {"fp32": fp32, "bf16": bf16})
    assert (device.precision, device.needs_probe) == (chosen, False)


def test_only_auto_is_undecided_and_only_where_the_cpu_may_compute_in_bf16(monkeypatch):
    capability = "AVX512"
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    assert resolve_device("cpu", "auto").needs_probe
    assert not resolve_device("cpu", "fp32").needs_probe
    capability = "AVX2"
    assert not resolve_device("cpu", "auto").needs_probe


def test_a_run_keeps_the_precision_that_was_measured_first(tmp_path: Path, monkeypatch, capsys):
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX512")
    measured = [{"fp32": 1.0, "bf16": 0.5}, {"fp32": 1.0, "bf16": 2.0}]
    monkeypatch.setattr(
        "hptune.procedure.session.problem.measure_modes", lambda *_: (measured.pop(0), "")
    )
    command = ["train", "--epochs", "3", "--lr", "0.05", "--quiet"]

    def losses(out: str, *more: str) -> list[str]:
        assert run([*command, "--out", str(tmp_path / out), *more]) == 0
        (curve,) = (tmp_path / out / "curves").iterdir()
        return [line.split(",")[5] for line in curve.read_text().splitlines()[1:]]

    half = losses("half", "--jobs", "1")
    full = losses("full", "--set", "training.precision=fp32")
    assert half != full
    assert [float(a) for a in half] == pytest.approx([float(a) for a in full], abs=0.2)
    manifest = json.loads((tmp_path / "half" / "manifest.json").read_text())
    assert manifest["precision"] == "bf16" and len(measured) == 1
    # What was faster then is not asked again, so that trials of one run stay comparable.
    (tmp_path / "half" / "results.csv").unlink()
    (next((tmp_path / "half" / "curves").iterdir())).unlink()
    assert losses("half") == half and len(measured) == 1
    assert losses("other") == full and not measured
