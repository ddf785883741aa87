"""What is no classification by one optimizer: a GAN, a policy gradient, wrappers, mixed precision."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
import torch
from own_loops import BATCH_SIZE, X_VAL, Y_VAL, X, Y, loader, net, run, tune
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import hptune
from hptune.results.records import Status


def gan(trial: hptune.Trial) -> None:
    """Points on a shifted, narrow blob; the distance is between the moments of real and made ones."""

    def real(count: int) -> torch.Tensor:
        return torch.randn(count, 2) * torch.tensor([0.5, 1.5]) + torch.tensor([2.0, -1.0])

    generator = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 2))
    critic = nn.Sequential(nn.Linear(2, 16), nn.ReLU(), nn.Linear(16, 1))
    g = torch.optim.Adam(generator.parameters(), lr=trial.lr, betas=(0.5, 0.99))
    c = torch.optim.Adam(critic.parameters(), lr=2 * trial.lr, betas=(0.5, 0.99))
    schedule = trial.schedule(g, c, momentum=False)
    loss_of = nn.functional.binary_cross_entropy_with_logits
    for _ in trial:
        noise = torch.randn(trial.batch_size, 4)
        made, ones = generator(noise), torch.ones(trial.batch_size, 1)
        critic_loss = loss_of(critic(real(trial.batch_size)), ones) + loss_of(
            critic(made.detach()), 0 * ones
        )
        c.zero_grad()
        critic_loss.backward()
        c.step()
        generator_loss = loss_of(critic(made), ones)
        g.zero_grad()
        generator_loss.backward()
        g.step()
        schedule.step()
        trial.log(train_loss=generator_loss)
        if trial.evaluate_now:
            with torch.no_grad():
                fakes, reals = generator(torch.randn(512, 4)), real(512)
            moments = [(x.mean(0), x.std(0)) for x in (fakes, reals)]
            distance = sum((a - b).square().sum() for a, b in zip(*moments, strict=True))
            trial.log(val_loss=distance)


def bandit(trial: hptune.Trial) -> None:
    """REINFORCE on a bandit of five arms, of which the last pays most."""
    pay = torch.tensor([0.1, 0.2, 0.3, 0.4, 1.0])
    logits = nn.Parameter(torch.zeros(5))
    optimizer = torch.optim.SGD([logits], lr=trial.lr)
    schedule = trial.schedule(optimizer)
    for _ in trial:
        policy = torch.distributions.Categorical(logits=logits)
        arms = policy.sample((trial.batch_size,))
        reward = pay[arms] + 0.1 * torch.randn(trial.batch_size)
        loss = -((reward - reward.mean()) * policy.log_prob(arms)).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        trial.log(train_loss=-reward.mean())
        if trial.evaluate_now:
            trial.log(val_loss=-(logits.softmax(0) * pay).sum())


def test_a_gan_with_two_optimizers_is_tuned():
    tuned = tune(gan, epochs=10, stages=["lr-range"], iterations_per_epoch=20)
    assert tuned.metrics["val_loss"] < 3.0  # it begins above 5
    assert tuned.optimizer == "adam"


def test_a_policy_gradient_is_tuned():
    tuned = tune(bandit, epochs=5, stages=["lr-range", "momentum"])
    assert tuned.metrics["val_loss"] < -0.8  # a mean reward; 0.4 by chance


def with_accelerate(trial: hptune.Trial, seen: list[float], accumulate: int = 1) -> None:
    from accelerate import Accelerator

    accelerator = Accelerator(cpu=True, gradient_accumulation_steps=accumulate)
    model = net()
    optimizer = torch.optim.AdamW(model.parameters(), lr=trial.lr)
    schedule = trial.schedule(optimizer)
    model, optimizer, data, schedule = accelerator.prepare(
        model, optimizer, loader(trial, accumulate), schedule
    )
    for x, y in trial.batches(data, accumulate=accumulate):
        with accelerator.accumulate(model):
            loss = nn.functional.cross_entropy(model(x), y)
            accelerator.backward(loss)
            if accelerator.sync_gradients:
                seen.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
        trial.log(train_loss=loss)
        if trial.evaluate_now:
            with torch.no_grad():
                outputs = model(X_VAL)
            trial.log(
                val_loss=nn.functional.cross_entropy(outputs, Y_VAL),
                val_accuracy=(outputs.argmax(1) == Y_VAL).float().mean(),
            )


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("accumulate", [1, 2])
def test_what_accelerate_has_prepared_is_driven(accumulate: int):
    pytest.importorskip("accelerate")
    seen: list[float] = []
    result = run(lambda trial: with_accelerate(trial, seen, accumulate), lr=0.01)
    assert result.status is Status.COMPLETE, result.message
    assert seen == pytest.approx(result.curve.lr.tolist())


@pytest.mark.filterwarnings("ignore")
def test_an_accelerate_loop_is_tuned():
    pytest.importorskip("accelerate")
    tuned = tune(lambda trial: with_accelerate(trial, []))
    assert tuned.metrics["val_accuracy"] > 0.8 and tuned.optimizer == "adamw"


@pytest.mark.filterwarnings("ignore")
def test_a_fabric_loop_is_driven():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        lightning = pytest.importorskip("lightning")
    seen: list[float] = []

    def train(trial: hptune.Trial) -> None:
        fabric = lightning.Fabric(accelerator="cpu", devices=1)
        model = net()
        optimizer = torch.optim.Adam(model.parameters(), lr=trial.lr)
        model, optimizer = fabric.setup(model, optimizer)
        schedule = trial.schedule(optimizer)
        for x, y in trial.batches(fabric.setup_dataloaders(loader(trial))):
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(x), y)
            fabric.backward(loss)
            seen.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            schedule.step()
            trial.log(train_loss=loss)
            if trial.evaluate_now:
                with torch.no_grad():
                    trial.log(val_loss=nn.functional.cross_entropy(model(X_VAL), Y_VAL))
            trial.save(model=model, optimizer=optimizer)

    result = run(train, lr=0.01)
    assert result.status is Status.COMPLETE, result.message
    assert seen == pytest.approx(result.curve.lr.tolist())


def test_mixed_precision_with_a_scaler_is_driven_and_saved():
    def train(trial: hptune.Trial) -> None:
        model = net()
        optimizer = torch.optim.SGD(model.parameters(), lr=trial.lr)
        scaler = torch.amp.GradScaler("cpu", enabled=False)
        schedule = trial.schedule(optimizer)
        trial.load(model=model, optimizer=optimizer, scaler=scaler)
        for x, y in trial.batches(loader(trial)):
            with torch.autocast("cpu", dtype=torch.bfloat16):
                loss = nn.functional.cross_entropy(model(x), y)
            scaler.scale(loss).backward()
            scaler.step(optimizer)
            scaler.update()
            optimizer.zero_grad()
            schedule.step()
            trial.log(train_loss=loss.to(torch.bfloat16))
            if trial.evaluate_now:
                with torch.no_grad():
                    trial.log(val_loss=nn.functional.cross_entropy(model(X_VAL), Y_VAL))
                trial.save(model=model, optimizer=optimizer, scaler=scaler)

    tuned = tune(train, epochs=2, lr=0.1, stages=[])
    assert tuned.metrics["train_loss"] < 0.7
    assert set(tuned.saved()) == {"model", "optimizer", "scaler"}


def test_a_stream_without_a_length_is_passed_over_again_and_again():
    class Stream(torch.utils.data.IterableDataset[Any]):
        def __iter__(self) -> Any:
            return iter(TensorDataset(X, Y))

    taken = []

    def train(trial: hptune.Trial) -> None:
        for x, _ in trial.batches(DataLoader(Stream(), BATCH_SIZE)):
            taken.append(len(x))
            trial.log(train_loss=trial.lr)
            if trial.evaluate_now:
                trial.log(val_loss=1.0)

    assert run(train, iterations=25).status is Status.COMPLETE
    assert taken == [BATCH_SIZE] * 25
