"""What a trial sets in the optimizers of a loop, iteration by iteration."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from own_loops import X, Y, loader, net, run, tune
from torch import nn

import hptune
from hptune.errors import InputError


def seen_by(
    make: Callable[[hptune.Trial, Any], list[Any]], **how: Any
) -> list[list[dict[str, Any]]]:
    """Return what the groups of a loop's optimizers hold at each step."""
    rows = []

    def train(trial: hptune.Trial) -> None:
        model = net()
        optimizers = make(trial, model)
        schedule = trial.schedule(*optimizers, **how)
        for _ in trial:
            groups = [group for optimizer in optimizers for group in optimizer.param_groups]
            rows.append([{k: v for k, v in group.items() if k != "params"} for group in groups])
            for optimizer in optimizers:
                optimizer.step()
            schedule.step()
            if trial.evaluate_now:
                trial.log(val_loss=1.0)

    result = run(train)
    assert result.message == ""
    curve = result.curve
    assert [float(row[0]["lr"]) for row in rows] == pytest.approx(curve.lr.tolist())
    return rows


def groups_of(model: Any) -> tuple[Any, Any]:
    return model[0].parameters(), model[3].parameters()


def test_groups_and_optimizers_keep_their_ratio():
    def make(trial: hptune.Trial, model: Any) -> list[Any]:
        first, second = groups_of(model)
        return [
            torch.optim.SGD([{"params": first}], lr=trial.lr),
            torch.optim.Adam([{"params": second, "lr": trial.lr / 100}], betas=(0.5, 0.99)),
        ]

    rows = seen_by(make)
    assert [row[1]["lr"] / row[0]["lr"] for row in rows] == pytest.approx([0.01] * len(rows))
    assert {row[1]["betas"][1] for row in rows} == {0.99}
    momenta = [row[0]["momentum"] for row in rows]
    assert max(momenta) == pytest.approx(0.95) and min(momenta) == pytest.approx(0.85, abs=0.01)
    assert [row[1]["betas"][0] for row in rows] == momenta
    assert {row[1]["weight_decay"] for row in rows} == {1e-3}


def test_momentum_may_stay_the_loops_own():
    rows = seen_by(
        lambda trial, model: [torch.optim.Adam(model.parameters(), lr=trial.lr, betas=(0.5, 0.9))],
        momentum=False,
    )
    assert {row[0]["betas"] for row in rows} == {(0.5, 0.9)}


def test_a_group_without_weight_decay_stays_without_and_others_keep_their_ratio():
    def make(trial: hptune.Trial, model: Any) -> list[Any]:
        first, second = groups_of(model)
        extra = nn.Linear(2, 2).parameters()
        return [
            torch.optim.AdamW(
                [
                    {"params": first, "weight_decay": 0.2},
                    {"params": second, "weight_decay": 0.1},
                    {"params": extra, "weight_decay": 0.0},
                ],
                lr=trial.lr,
            )
        ]

    for row in seen_by(make):
        assert [group["weight_decay"] for group in row] == [1e-3, 5e-4, 0.0]


def test_an_lr_that_is_a_tensor_is_set_in_place():
    lr, seen = torch.tensor(0.5), []

    def train(trial: hptune.Trial) -> None:
        optimizer = torch.optim.Adam(net().parameters(), lr=lr)
        trial.schedule(optimizer)
        for _ in trial:
            assert optimizer.param_groups[0]["lr"] is lr
            seen.append(float(lr))
            if trial.evaluate_now:
                trial.log(val_loss=1.0)

    assert seen == pytest.approx(run(train).curve.lr.tolist())


def test_a_group_that_is_added_on_the_way_keeps_its_ratio_too():
    lrs = []

    def train(trial: hptune.Trial) -> None:
        model = net()
        first, second = groups_of(model)
        optimizer = torch.optim.SGD(first, lr=trial.lr)
        trial.schedule(optimizer)
        for at in trial:
            if at == 5:
                optimizer.add_param_group({"params": second, "lr": trial.lr / 10})
                continue
            lrs.append([group["lr"] for group in optimizer.param_groups])
            if trial.evaluate_now:
                trial.log(val_loss=1.0)

    run(train)
    assert all(pair[1] == pytest.approx(pair[0] / 10) for pair in lrs[5:])


def test_a_step_that_is_left_out_or_taken_twice_changes_nothing():
    def lrs(steps: int) -> list[float]:
        seen = []

        def train(trial: hptune.Trial) -> None:
            optimizer = torch.optim.SGD(net().parameters(), lr=trial.lr)
            schedule = trial.schedule(optimizer)
            for _ in trial:
                seen.append(schedule.get_last_lr()[0])
                for _ in range(steps):
                    schedule.step()
                if trial.evaluate_now:
                    trial.log(val_loss=1.0)

        run(train)
        return seen

    assert lrs(0) == lrs(1) == lrs(3)


def test_what_is_loaded_into_an_optimizer_after_its_schedule_was_made_is_driven():
    """Loading a state puts new groups in the place of those that the schedule was made with."""
    seen = []

    def train(trial: hptune.Trial) -> None:
        optimizer = torch.optim.SGD(net().parameters(), lr=trial.lr)
        trial.schedule(optimizer)
        optimizer.load_state_dict(optimizer.state_dict())
        for _ in trial:
            seen.append(optimizer.param_groups[0]["lr"])
            if trial.evaluate_now:
                trial.log(val_loss=1.0)

    assert seen == run(train).curve.lr.tolist()[: len(seen)]
    assert len(set(seen)) > 10


def test_batches_of_an_iteration_add_up_to_one_step():
    def train(trial: hptune.Trial, parts: int) -> None:
        model = net()
        optimizer = torch.optim.SGD(model.parameters(), lr=trial.lr, momentum=0.9)
        schedule = trial.schedule(optimizer)
        number = 0
        for x, y in trial.batches(loader(trial, parts), accumulate=parts):
            assert trial.iteration == number // parts
            number += 1
            loss = nn.functional.cross_entropy(model(x), y) / parts
            loss.backward()
            if number % parts == 0:
                optimizer.step()
                optimizer.zero_grad()
            schedule.step()
            if trial.evaluate_now:
                assert number % parts == 0
                with torch.no_grad():
                    trial.log(val_loss=nn.functional.cross_entropy(model(X), Y))
        assert number == parts * trial.iterations

    whole, parts = (run(lambda trial, n=n: train(trial, n)) for n in (1, 4))
    assert parts.val_loss == pytest.approx(whole.val_loss, rel=1e-5)


@pytest.mark.parametrize(
    ("optimizers", "told"),
    [
        (lambda model: [model], "a Sequential; must be an optimizer"),
        (lambda model: [], "no optimizer"),
        (lambda model: [torch.optim.SGD(model.parameters(), lr=0.0)], "LR 0 .* must be above 0"),
    ],
)
def test_what_cannot_be_driven_is_told_before_any_trial(optimizers: Any, told: str):
    def train(trial: hptune.Trial) -> None:
        trial.schedule(*optimizers(net()))

    with pytest.raises(InputError, match=told):
        tune(train)
