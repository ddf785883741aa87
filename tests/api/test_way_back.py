"""What was decided, in torch's own objects and in Hugging Face's keywords."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import pytest
import torch
from torch import nn

import hptune


@cache
def trained(optimizer: str, policy: str = "1cycle") -> hptune.api.results.Trained:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(120, 4, generator=generator)
    data = (x, (x[:, 0] > 0).long())
    task = hptune.Task(lambda: nn.Linear(4, 2), train=data, validation=0.2, test=data)
    return hptune.train(
        task, optimizer=optimizer, policy=policy, lr=0.02, momentum=0.95, weight_decay=0.01, epochs=4,
        batch_size=12, progress=False,
    )  # fmt: skip


def test_what_was_compared_before_it_was_tested_counts_with_its_test_values():
    """As where the final runs are of the LR that a comparison of whole runs has tried."""
    result = trained("sgd")
    untested = [replace(r, test_loss=None, test_metrics={"accuracy": None}) for r in result.results]
    again = replace(result, results=[*untested, *result.results])
    assert again.metrics == result.metrics and "test_accuracy" in again.metrics


def test_an_optimizer_is_configured_with_its_groups_in_their_ratios():
    first, second = nn.Linear(2, 2), nn.Linear(2, 2)
    optimizer = torch.optim.AdamW(
        [
            {"params": first.parameters(), "lr": 0.1, "weight_decay": 0.3},
            {"params": second.parameters(), "lr": 0.05, "weight_decay": 0.0},
        ]
    )
    trained("adamw").configure(optimizer)
    groups = optimizer.param_groups
    assert [group["lr"] for group in groups] == pytest.approx([0.02, 0.01])
    assert [group["weight_decay"] for group in groups] == [0.01, 0.0]
    assert {group["betas"] for group in groups} == {(0.95, 0.999)}


def test_a_schedule_follows_the_policy_over_any_length():
    result = trained("sgd")
    optimizer = torch.optim.SGD(nn.Linear(2, 2).parameters(), lr=1.0, momentum=0.9)
    schedule = result.schedule(optimizer, len(result.curve))
    for _, row in result.curve.iterrows():
        group = optimizer.param_groups[0]
        assert (group["lr"], group["momentum"]) == pytest.approx((row["lr"], row["momentum"]))
        optimizer.step()
        schedule.step()
    longer = result.schedule(optimizer, 10 * len(result.curve))
    lrs = []
    for _ in range(10 * len(result.curve)):
        lrs.append(longer.get_last_lr()[0])
        longer.step()
    assert max(lrs) == pytest.approx(0.02) and lrs.index(max(lrs)) == 144


def test_hugging_face_gets_what_comes_near():
    assert trained("adamw").training_arguments() == {
        "learning_rate": 0.02,
        "weight_decay": 0.01,
        "per_device_train_batch_size": 12,
        "adam_beta1": 0.95,
        "num_train_epochs": 4.0,
        "seed": 0,
        "optim": "adamw_torch",
        "lr_scheduler_type": "linear",
        "warmup_steps": 14,
        "max_grad_norm": 0.0,
    }
    cosine = trained("adamw", "cosine").training_arguments()
    assert (cosine["lr_scheduler_type"], cosine["warmup_steps"]) == ("cosine", 0)


@pytest.mark.parametrize(("optimizer", "policy"), [("sgd", "1cycle"), ("adamw", "step")])
def test_what_hugging_face_has_no_name_for_is_told(optimizer: str, policy: str):
    with pytest.raises(
        hptune.InputError, match=r"training_arguments: .* tuned.schedule\(optimizer"
    ):
        trained(optimizer, policy).training_arguments()
