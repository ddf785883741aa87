"""A user's own problems from end to end: sequences, dicts, several inputs, numbers, many labels."""

from __future__ import annotations

import math
from collections import UserDict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
from char_gpt import GPT, Characters
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset, random_split

import hptune

QUIET: dict[str, Any] = {"progress": False}


@pytest.fixture
def random() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def test_a_gpt_on_characters_with_adamw_and_its_own_loss():
    """From a user's own file to a tuned run, in the lines that a user needs."""
    text = (Path(__file__).parents[2] / "LICENSE").read_text()
    data = Characters(text)
    task = hptune.Task(lambda: GPT(len(data.alphabet)), train=data)
    tuned = hptune.tune(
        task, optimizer={"name": "adamw", "args": {"betas": (0.9, 0.95)}}, epochs=25, seeds=1,
        stages=["lr-range"], batch_size=32, settings={"training.clip_norm": 1.0}, **QUIET,
    )  # fmt: skip
    assert 1e-3 < tuned.lr < 0.1 and (tuned.trials["optimizer"] == "adamw").all()
    counts = torch.bincount(data.data).float() / len(data.data)
    guessing = -(counts * counts.log()).sum().item()
    assert tuned.metrics["val_loss"] < 0.7 * guessing
    assert tuned.metrics["val_accuracy"] > 0.3
    logits, loss = tuned.load(GPT(len(data.alphabet))).eval()(data[0][0][None])
    assert loss is None and logits.shape == (1, 24, len(data.alphabet))


@dataclass
class Output:
    """As Hugging Face's models return it."""

    loss: Tensor | None
    logits: Tensor


class Classifier(nn.Module):
    """As a Hugging Face model for sequence classification is called."""

    def __init__(self, vocabulary: int = 50, labels: int = 3) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, 16)
        self.classifier = nn.Linear(16, labels)

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, labels: Tensor | None = None
    ) -> Output:
        mask = attention_mask[..., None].float()
        pooled = (self.embedding(input_ids) * mask).sum(1) / mask.sum(1)
        logits = self.classifier(pooled)
        return Output(None if labels is None else F.cross_entropy(logits, labels), logits)


class Sentences(Dataset[Any]):
    """Token ids of differing lengths, as a tokenizer gives them."""

    def __init__(self, count: int, random: torch.Generator) -> None:
        lengths = torch.randint(4, 12, (count,), generator=random).tolist()
        self.ids = [torch.randint(1, 50, (n,), generator=random) for n in lengths]
        self.labels = [int(ids[ids < 25].numel() * 3 / (len(ids) + 1)) for ids in self.ids]

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {"input_ids": self.ids[index], "labels": self.labels[index], "text": "unused"}


def padded(examples: list[dict[str, Any]]) -> UserDict[str, Any]:
    """Pad as a data collator does; like its BatchEncoding, what comes out is a mapping, not a dict."""
    ids = nn.utils.rnn.pad_sequence([e["input_ids"] for e in examples], batch_first=True)
    labels = torch.tensor([e["labels"] for e in examples])
    return UserDict(input_ids=ids, attention_mask=ids > 0, labels=labels)


def test_a_classifier_on_dict_batches(random):
    loader = DataLoader(Sentences(400, random), batch_size=32, shuffle=True, collate_fn=padded)
    test = DataLoader(Sentences(100, random), batch_size=32, collate_fn=padded)
    task = hptune.Task(
        Classifier, train=loader, test=test, metrics=["accuracy", "f1_score"], data="sentences"
    )
    assert task.splits["split"] == "stratified"
    trained = hptune.train(task, optimizer="adamw", lr=0.03, epochs=20, **QUIET)
    assert trained.batch_size == 32 and trained.decision.parameter == "test_accuracy"
    assert trained.metrics["test_accuracy"] > 0.8 and "test_f1_score" in trained.metrics


class TwoTowers(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = nn.Linear(4, 16), nn.Linear(3, 16)
        self.head = nn.Sequential(nn.ReLU(), nn.Linear(32, 2))

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        return self.head(torch.cat([self.left(left), self.right(right)], 1))


@pytest.mark.parametrize("form", ["three columns", "nested", "dict"])
def test_a_model_of_two_inputs(form: str, random):
    left, right = torch.randn(300, 4, generator=random), torch.randn(300, 3, generator=random)
    y = (left[:, 0] > right[:, 0]).long()
    train: Any = {
        "three columns": (left, right, y),
        "nested": ((left, right), y),
        "dict": {"left": left, "right": right, "target": y},
    }[form]
    trained = hptune.train(hptune.Task(TwoTowers, train=train), lr=0.1, epochs=8, **QUIET)
    assert trained.metrics["val_accuracy"] > 0.9


def test_a_regression_from_arrays(random):
    x = torch.randn(400, 5, generator=random)
    y = x[:, 0] - 2 * x[:, 1] + 0.1 * torch.randn(400, generator=random)

    def model() -> nn.Module:
        return nn.Sequential(nn.Linear(5, 16), nn.Tanh(), nn.Linear(16, 1))

    task = hptune.Task(
        model, train=(x.double().numpy(), y.double().numpy()), metrics=["r2_score", "mean_absolute_error"]
    )  # fmt: skip
    tuned = hptune.tune(task, epochs=15, seeds=1, stages=["lr-range"], **QUIET)
    assert tuned.metrics["val_r2_score"] > 0.95
    assert tuned.metrics["val_mean_absolute_error"] < 0.4


def test_several_labels_at_once(random):
    x = torch.randn(400, 6, generator=random)
    labels = (x[:, :4] + x[:, 2:] > 0).float()
    task = hptune.Task(
        lambda: nn.Sequential(nn.Linear(6, 32), nn.ReLU(), nn.Linear(32, 4)),
        train=(x, labels),
        loss=nn.BCEWithLogitsLoss(),
        metrics=["accuracy", "f1_score"],
    )
    trained = hptune.train(task, lr=0.3, epochs=12, **QUIET)
    assert trained.metrics["val_accuracy"] > 0.9 and trained.metrics["val_f1_score"] > 0.9


def test_a_torchvision_model_with_weights_from_a_file(tmp_path: Path, random):
    torch.manual_seed(0)
    torch.save(torchvision.models.squeezenet1_1(num_classes=1000).state_dict(), tmp_path / "w.pt")

    def pretrained() -> nn.Module:
        model = torchvision.models.squeezenet1_1()
        model.load_state_dict(torch.load(tmp_path / "w.pt", weights_only=True))
        model.features.requires_grad_(False)
        model.classifier[1] = nn.Conv2d(512, 2, 1)
        return model

    images = torch.rand(48, 3, 32, 32, generator=random)
    y = torch.arange(48) % 2
    images[y == 1, 0] *= 0.2
    task = hptune.Task(pretrained, train=(images, y))
    trained = hptune.train(task, optimizer="adamw", lr=0.01, epochs=3, batch_size=8, **QUIET)
    before, after = pretrained().state_dict(), trained.state_dict()
    for name in before:  # what is frozen stays as it was in the file
        assert torch.equal(before[name], after[name]) is name.startswith("features"), name
    assert trained.metrics["val_loss"] < math.log(2)


def test_an_autoencoder_needs_no_targets(random):
    class Autoencoder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.down, self.up = nn.Linear(8, 2), nn.Linear(2, 8)

        def forward(self, x: Tensor) -> Tensor:
            return F.mse_loss(self.up(torch.tanh(self.down(x))), x)

    x = torch.randn(300, 2, generator=random) @ torch.randn(2, 8, generator=random)
    train, validation = random_split(x.unbind(), [250, 50], generator=random)  # type: ignore[arg-type]
    task = hptune.Task(Autoencoder, train=train, validation=validation, loss="model")
    trained = hptune.train(task, lr=0.05, epochs=10, **QUIET)
    curve = trained.curve["val_loss"].dropna()
    assert curve.iloc[-1] < 0.5 * curve.iloc[0] and not task.metrics
    assert trained.decision.parameter == "val_loss"
