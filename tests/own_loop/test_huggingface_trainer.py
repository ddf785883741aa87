"""Hugging Face's Trainer keeps its loop, and a trial sets what it trains with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from own_loops import run, tune

import hptune
from hptune.results.records import Status

transformers = pytest.importorskip("transformers")
pytest.importorskip("accelerate")

from hptune.huggingface import TrialCallback, training_arguments  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore")


def examples(seed: int, count: int) -> list[dict[str, torch.Tensor]]:
    """Return sequences of which the label is whether a token stands in them more than once."""
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(1, 12, (count, 6), generator=generator)
    return [{"input_ids": row, "labels": (row == 1).any().long()} for row in ids]


TRAIN, EVALUATION = examples(0, 160), examples(1, 64)


def model() -> Any:
    config = transformers.BertConfig(
        vocab_size=12, hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=16, max_position_embeddings=8, num_labels=2,
    )  # fmt: skip
    return transformers.BertForSequenceClassification(config)


def accuracy(prediction: Any) -> dict[str, float]:
    return {"accuracy": float((prediction.predictions.argmax(1) == prediction.label_ids).mean())}


class Watching(transformers.TrainerCallback):
    """Takes down what the optimizer steps with."""

    def __init__(self) -> None:
        self.lrs: list[float] = []
        self.decays: list[list[float]] = []
        self.read_after: list[int] = []

    def on_optimizer_step(
        self, args: Any, state: Any, control: Any, *, optimizer: Any, **_: Any
    ) -> None:
        self.lrs.append(optimizer.param_groups[0]["lr"])
        self.decays.append([group["weight_decay"] for group in optimizer.param_groups])

    def on_evaluate(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.read_after.append(state.global_step)


def fit(trial: hptune.Trial, folder: Path, **options: Any) -> Watching:
    watching = Watching()
    how = {
        "report_to": "none",
        "disable_tqdm": True,
        "save_strategy": "no",
        "logging_strategy": "no",
    }
    arguments = transformers.TrainingArguments(
        str(folder), **how | training_arguments(trial) | options
    )
    transformers.Trainer(
        model(), arguments, train_dataset=TRAIN, eval_dataset=EVALUATION, compute_metrics=accuracy,
        callbacks=[TrialCallback(trial), watching],
    ).train()  # fmt: skip
    return watching


@pytest.mark.parametrize("scheduler", ["constant", "linear"])
def test_a_training_goes_by_the_trial_whatever_its_own_scheduler(scheduler: str, tmp_path: Path):
    seen = []
    how = {"lr_scheduler_type": scheduler, "warmup_steps": 5, "weight_decay": 0.0}
    result = run(lambda trial: seen.append(fit(trial, tmp_path, **how)), lr=1e-3)
    assert result.status is Status.COMPLETE, result.message
    assert seen[0].lrs == pytest.approx(result.curve.lr.tolist())
    assert seen[0].read_after == [5, 10, 15, 20]
    assert set(map(tuple, seen[0].decays)) == {(1e-3, 0.0)}
    assert len(set(result.curve.train_loss.tolist())) > 10


def test_gradients_that_accumulate_are_one_iteration(tmp_path: Path):
    seen = []
    how = {"gradient_accumulation_steps": 2, "per_device_train_batch_size": 8}
    result = run(lambda trial: seen.append(fit(trial, tmp_path, **how)), lr=1e-3, iterations=12)
    assert result.status is Status.COMPLETE, result.message
    assert seen[0].lrs == pytest.approx(result.curve.lr.tolist())


def test_a_training_that_diverges_ends_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(
        "hptune.huggingface.TrialCallback._take_loss",
        lambda self, model, inputs, outputs: self._losses.append(torch.tensor(float("nan"))),
    )
    result = run(lambda trial: fit(trial, tmp_path), lr=1e-3)
    assert result.status is Status.DIVERGED


def test_a_model_is_tuned_end_to_end(tmp_path: Path):
    tuned = tune(lambda trial: fit(trial, tmp_path / "hf"), epochs=4, out=tmp_path / "run", lr=3e-3,
                 stages=["lr-range"])  # fmt: skip
    assert tuned.optimizer == "adamw" and tuned.metrics["val_accuracy"] > 0.5
    fresh = model()
    fresh.load_state_dict(tuned.saved()["model"])
    again = tuned.training_arguments()
    transformers.TrainingArguments(str(tmp_path / "hf"), **again)
    assert again["learning_rate"] == tuned.lr and again["num_train_epochs"] == 4


def test_a_training_of_another_length_is_told(tmp_path: Path):
    with pytest.raises(hptune.InputError, match=r"TrainingArguments: 3 steps; .* max_steps=trial"):
        tune(lambda trial: fit(trial, tmp_path, max_steps=3))
