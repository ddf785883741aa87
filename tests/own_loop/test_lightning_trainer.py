"""Lightning's Trainer keeps its loop, and a trial sets what it trains with."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from own_loops import X_VAL, Y_VAL, X, Y, net, run, tune
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import hptune
from hptune.results.records import Status

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    lightning = pytest.importorskip("lightning")

from hptune.lightning import TrialCallback

pytestmark = pytest.mark.filterwarnings("ignore")


class Module(lightning.LightningModule):
    def __init__(self, lr: float = 0.05) -> None:
        super().__init__()
        self.net, self.lr, self.read_after = net(), lr, []
        self.seen: list[float] = []

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        self.seen.append(self.trainer.optimizers[0].param_groups[0]["lr"])
        return nn.functional.cross_entropy(self.net(batch[0]), batch[1])

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        if not self.trainer.sanity_checking:
            self.read_after.append(self.trainer.global_step)
        outputs = self.net(batch[0])
        self.log("val_loss", nn.functional.cross_entropy(outputs, batch[1]))
        self.log("val/accuracy", (outputs.argmax(1) == batch[1]).float().mean())

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.SGD(self.parameters(), lr=self.lr, momentum=0.9)
        return [optimizer], [torch.optim.lr_scheduler.StepLR(optimizer, 1, 0.1)]


class Rivals(Module):
    """Two optimizers, by hand."""

    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.rival = nn.Linear(4, 1)

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        first, second = self.optimizers()
        self.seen.append(first.param_groups[0]["lr"])
        loss = nn.functional.cross_entropy(self.net(batch[0]), batch[1])
        for optimizer, own in ((first, loss), (second, self.rival(batch[0]).square().mean())):
            optimizer.zero_grad()
            self.manual_backward(own)
            optimizer.step()
        return loss

    def configure_optimizers(self) -> Any:
        return [
            torch.optim.SGD(self.net.parameters(), lr=self.lr, momentum=0.9),
            torch.optim.Adam(self.rival.parameters(), lr=self.lr / 10),
        ]


def loaders(batch_size: int) -> tuple[Any, Any]:
    train = DataLoader(TensorDataset(X, Y), batch_size, shuffle=True, drop_last=True)
    return train, DataLoader(TensorDataset(X_VAL, Y_VAL), len(X_VAL))


def fit(trial: hptune.Trial, module: Any, **options: Any) -> Any:
    how = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    how |= {
        "accelerator": "cpu",
        "enable_model_summary": False,
        "callbacks": [TrialCallback(trial)],
    }
    lightning.Trainer(**how | options).fit(module, *loaders(trial.batch_size))
    return module


def test_a_fit_trains_by_the_trial_and_reads_when_it_asks():
    modules = []
    result = run(lambda trial: modules.append(fit(trial, Module(), max_epochs=1)))
    assert result.status is Status.COMPLETE, result.message
    (module,) = modules
    assert module.seen == pytest.approx(result.curve.lr.tolist())
    assert module.read_after == [5, 10, 15, 20]
    assert result.curve.train_loss[-1] < result.curve.train_loss[0]


def test_gradients_that_accumulate_are_one_iteration():
    modules, whole = [], run(lambda trial: fit(trial, Module()))

    def train(trial: hptune.Trial) -> None:
        modules.append(fit(trial, Module(), accumulate_grad_batches=2))

    result = run(train, iterations=8)
    assert len(modules[0].seen) == 16 and modules[0].read_after == [2, 4, 6, 8]
    assert modules[0].seen[::2] == pytest.approx(result.curve.lr.tolist())
    assert result.curve.train_loss[0] == pytest.approx(whole.curve.train_loss[0], abs=0.3)


def test_several_optimizers_step_by_hand():
    modules = []
    result = run(lambda trial: modules.append(fit(trial, Rivals())))
    assert result.status is Status.COMPLETE, result.message
    assert len(modules[0].seen) == 20
    assert modules[0].seen == pytest.approx(result.curve.lr.tolist())


def test_a_fit_that_diverges_ends_at_once():
    class Bad(Module):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            return super().training_step(batch, batch_idx) * float("inf")

    result = run(lambda trial: fit(trial, Bad()), iterations=400)
    assert result.status is Status.DIVERGED and len(result.curve) == 1


def test_a_module_is_tuned_end_to_end(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    tuned = tune(lambda trial: fit(trial, Module()), out=tmp_path, progress=True)
    assert tuned.metrics["val_accuracy"] > 0.8
    module = Module()
    module.load_state_dict(tuned.saved()["model"])
    assert capsys.readouterr().err.count("StepLR of configure_optimizers: left out") == 1


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"limit_val_batches": 0}, "there is no validation"),
        ({"callbacks": [], "max_epochs": 1}, "without an iteration"),
    ],
)
def test_what_a_fit_must_have_is_told(options: dict[str, Any], told: str):
    with pytest.raises(hptune.InputError, match=told):
        tune(lambda trial: fit(trial, Module(), **options))


def test_the_validation_loss_goes_by_the_name_that_is_given():
    def train(trial: hptune.Trial) -> None:
        fit(trial, Module(), callbacks=[TrialCallback(trial, monitor="loss/val")])

    with pytest.raises(hptune.InputError, match="'loss/val' is not logged; must be of val_loss"):
        tune(train)
