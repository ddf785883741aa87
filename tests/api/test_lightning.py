"""Lightning modules and data modules go in as they are, and come out as they were."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset, random_split
from torchmetrics import Accuracy

import hptune
from hptune.errors import InputError

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    pl = pytest.importorskip(
        "lightning.pytorch", reason='needs lightning: pip install "hptune[lightning]"'
    )

G = torch.Generator().manual_seed(0)
X = torch.randn(400, 8, generator=G)
Y = (X[:, 0] + X[:, 1] > 0).long()


class Net(pl.LightningModule):
    """As Lightning's documentation writes one."""

    def __init__(self, width: int = 16, lr: float = 1e-3) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.net = nn.Sequential(nn.Linear(8, width), nn.ReLU(), nn.Linear(width, 2))
        self.accuracy = Accuracy(task="multiclass", num_classes=2)

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        x, y = batch
        loss = F.cross_entropy(self(x), y)
        self.log("train_loss", loss, prog_bar=True)
        return loss

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        x, y = batch
        logits = self(x)
        self.accuracy(logits, y)
        self.log("val_loss", F.cross_entropy(logits, y))
        self.log("val_acc", self.accuracy, on_epoch=True)

    def configure_optimizers(self) -> Any:
        decayed = [p for p in self.parameters() if p.ndim > 1]
        others = [p for p in self.parameters() if p.ndim < 2]
        groups = [{"params": decayed}, {"params": others, "weight_decay": 0.0}]
        optimizer = torch.optim.AdamW(groups, lr=self.hparams["lr"], betas=(0.9, 0.95))
        total = self.trainer.estimated_stepping_batches
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=total)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule}}


class Data(pl.LightningDataModule):
    def setup(self, stage: str) -> None:
        self.test = TensorDataset(X[320:], Y[320:])
        whole = TensorDataset(X[:320], Y[:320])
        self.train, self.val = random_split(
            whole, [270, 50], generator=torch.Generator().manual_seed(1)
        )

    def train_dataloader(self) -> Any:
        return DataLoader(self.train, batch_size=16, shuffle=True)

    def val_dataloader(self) -> Any:
        return DataLoader(self.val, batch_size=16)

    def test_dataloader(self) -> Any:
        return DataLoader(self.test, batch_size=16)


def test_a_module_and_its_data_module_go_in_as_they_are():
    torch.manual_seed(3)
    module, data = Net(), Data()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    random = torch.get_rng_state()
    task = hptune.from_lightning(module, data)
    assert task.splits["train"] == 270 and task.splits["validation"] == 50
    assert task.model == "Net" and task.data == "Data" and list(task.metrics) == ["acc"]
    trained = hptune.train(task, lr=0.03, epochs=8, progress=False)
    assert torch.equal(random, torch.get_rng_state())
    for name, value in module.state_dict().items():
        assert torch.equal(value, before[name])
    assert "log" not in vars(module) and module._trainer is None

    row = trained.trials.iloc[0]
    assert row["optimizer"] == "adamw" and row["batch_size"] == 16
    assert trained.decision.parameter == "test_acc" and trained.metrics["test_acc"] > 0.9
    found = trained.load(Net()).eval()
    with torch.no_grad():
        accuracy = (found(X[320:]).argmax(1) == Y[320:]).float().mean().item()
        loss = F.cross_entropy(found(X[320:]), Y[320:]).item()
    assert trained.metrics["test_acc"] == pytest.approx(accuracy)
    assert trained.metrics["test_loss"] == pytest.approx(loss, rel=1e-4)


def test_the_optimizers_kind_and_groups_are_taken():
    task = hptune.from_lightning(Net(), Data())
    assert task.optimizer is not None
    assert task.optimizer["name"] == "adamw" and task.optimizer["args"] == {"betas": (0.9, 0.95)}
    assert task.optimizer["rules"] == [
        {"match": "net.0.bias", "lr": 1.0, "weight_decay": 0.0},
        {"match": "net.2.bias", "lr": 1.0, "weight_decay": 0.0},
    ]
    (note,) = task.notes  # never in silence
    assert note.startswith("configure_optimizers: lr 0.") and "OneCycleLR left out" in note
    trained = hptune.train(task, optimizer="sgd", lr=0.1, epochs=1, progress=False)
    assert trained.trials["optimizer"].tolist() == ["sgd"]  # what the call says comes first


def test_the_trained_weights_go_back_into_a_module():
    tuned = hptune.tune(
        hptune.from_lightning(Net, Data()), epochs=4, seeds=1, stages=["lr-range"], progress=False
    )
    module = Net(lr=tuned.lr)
    tuned.load(module)
    for name, value in tuned.state_dict().items():
        assert torch.equal(module.state_dict()[name], value)


def test_without_validation_or_test_data_and_steps():
    class Plain(pl.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.net = nn.Linear(8, 2)

        def training_step(self, batch: Any) -> dict[str, Tensor]:
            return {"loss": F.cross_entropy(self.net(batch[0]), batch[1])}

        def configure_optimizers(self) -> Any:
            return [torch.optim.SGD(self.parameters(), lr=0.1, momentum=0.9)], []

    class TrainOnly(pl.LightningDataModule):
        def train_dataloader(self) -> Any:
            return DataLoader(TensorDataset(X, Y), batch_size=32)

    task = hptune.from_lightning(Plain(), TrainOnly())
    assert task.splits["split"] == "stratified" and task.test is None and not task.metrics
    trained = hptune.train(task, lr=0.3, epochs=4, progress=False)
    assert trained.metrics["val_loss"] < 0.4 and trained.decision.parameter == "val_loss"


class Manual(Net):
    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization = False


class Two(Net):
    def configure_optimizers(self) -> Any:
        return [torch.optim.SGD(self.parameters(), lr=0.1) for _ in range(2)]


class Asking(Net):
    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), lr=self.trainer.datamodule.lr)


class TwoLoaders(Data):
    def val_dataloader(self) -> Any:
        return [super().val_dataloader(), super().val_dataloader()]


@pytest.mark.parametrize(
    ("module", "data", "message"),
    [
        (Manual, Data, "module: Manual optimizes by itself"),
        (Two, Data, "module: configure_optimizers gives 2 optimizers"),
        (Asking, Data, "module: configure_optimizers fails without a Trainer"),
        (lambda: nn.Linear(2, 2), Data, "module: Linear has no training_step"),
        (pl.LightningModule, Data, "module: LightningModule has no training_step"),
        (Net, TwoLoaders, "datamodule: val_dataloader gives 2 loaders"),
        (Net, pl.LightningDataModule, "datamodule: LightningDataModule has no train_dataloader"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_does_not_fit_is_told_in_a_line(module: Any, data: Any, message: str):
    with pytest.raises(InputError) as error:
        hptune.from_lightning(module(), data())
    assert message in str(error.value) and "\n" not in str(error.value)
