"""Frozen parts stay to the bit, are released in time, and train alike in every way of training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from factories import CPU, image_task, image_trial, mlp_task, mlp_trial
from torch.nn import functional as F

from hptune.errors import InputError
from hptune.results.settings import OptimizerSpec, PolicySpec, TrainingSettings
from hptune.task import Freeze, Task
from hptune.training import loop
from hptune.training.check_batch import check_batch
from hptune.training.freezing import Releases, parts, train_mode
from hptune.training.loop import run_lanes, run_trial
from hptune.training.snapshot import load_state
from hptune.training.trial_run import Job, TrialRun


def weights_after(task: Task, folder: Path, **changes: Any) -> dict[str, torch.Tensor]:
    path = folder / "weights.pt"
    run_trial(task, Job(mlp_trial(**changes), checkpoint=path), CPU)
    return load_state(path)["model"]


def initial(task: Task) -> dict[str, torch.Tensor]:
    torch.manual_seed(3)
    return task.make_model().state_dict()


@pytest.mark.parametrize("name", ["sgd", "nadamw", "adamw", "rmsprop"])
def test_what_is_frozen_stays_to_the_bit_and_the_rest_trains(name: str, tmp_path: Path):
    task = mlp_task(freeze=Freeze(1))
    trial = {"optimizer": OptimizerSpec(name=name), "weight_decay": 0.1}
    trained, before = weights_after(task, tmp_path, **trial), initial(task)
    same = {key for key in before if torch.equal(before[key], trained[key])}
    assert same == {key for key in before if key.startswith(("0.", "1."))}  # with its batch norm
    assert {"1.running_mean", "1.num_batches_tracked"} <= same


def test_what_is_frozen_has_no_gradient_and_no_state_of_the_optimizer():
    run = TrialRun(mlp_task(freeze=Freeze(("0", "1.*"))), Job(mlp_trial()), CPU)
    lanes = loop.Lanes([run])
    lanes.step()
    assert {len(p.shape) for p in run.optimizer.torch.state} == {1, 2}
    assert len(run.optimizer.torch.state) == 2  # the head's
    assert run.model[1].training is False and run.model[3].training is True  # dropout drops


def test_a_head_alone_is_what_torch_trains_on_frozen_features(tmp_path: Path):
    """Against a loop by hand: features computed once in evaluation mode, SGD on the head alone."""
    task = mlp_task(dropout=0.0, freeze=Freeze(-1))
    constant = PolicySpec(name="constant")
    trial = mlp_trial(policy=constant, lr_min=None, momentum_min=None)
    path = tmp_path / "w.pt"
    run_trial(task, Job(trial, checkpoint=path), CPU)
    torch.manual_seed(3)
    net = task.make_model()
    features, head = net[:-1].eval(), net[-1]
    optimizer = torch.optim.SGD(
        head.parameters(), 0.1, momentum=0.95, weight_decay=1e-3, nesterov=True
    )
    for x, y in [b for e in range(10) for b in task.train.batches(16, seed=3, epoch=e)]:
        optimizer.zero_grad()
        F.cross_entropy(head(features(x).detach()), y).backward()
        optimizer.step()
    trained = load_state(path)["model"]
    torch.testing.assert_close(trained["4.weight"], head.weight.detach())
    torch.testing.assert_close(trained["4.bias"], head.bias.detach())


def test_blocks_are_released_from_the_head_on_at_their_fractions():
    task = image_task(freeze=Freeze(-1, (0.25, 0.5)))
    model = task.make_model()
    first = Releases(model, task.freeze, 8).first
    names = {name.rsplit(".", 1)[0]: first.get(p, 0) for name, p in model.named_parameters()}
    assert names["blocks.2.conv1"] == names["blocks.1.norm2"] == 2 and names["head"] == 0
    assert names["blocks.0.conv1"] == names["stem"] == names["norm"] == 4
    run = TrialRun(task, Job(image_trial()), CPU)
    turns, moved = [], []
    before = {k: v.clone() for k, v in run.model.state_dict().items()}
    update = run.update

    def watched() -> None:
        update()
        now = run.model.state_dict()
        turns.append(sum(p.requires_grad for p in run.model.parameters()))
        moved.append({k.split(".")[0] for k in now if not torch.equal(now[k], before[k])})

    run.update = watched  # type: ignore[method-assign]
    list(loop.Lanes([run]).train())
    assert moved[0] == moved[1] == {"head"} and moved[2] == {"blocks", "head"}
    assert moved[3] == {"blocks", "head"} and moved[4] == {"stem", "norm", "blocks", "head"}
    assert turns == sorted(turns) and turns[-1] == len(list(run.model.parameters()))
    assert len(run.optimizer.torch.state) == turns[-1]


def test_trials_trained_as_one_release_what_each_alone_does(tmp_path: Path):
    task = mlp_task(freeze=Freeze(1, (0.5,)))
    trials = [mlp_trial(lr=lr, lr_min=lr / 10) for lr in (0.1, 0.05, 0.02)]
    together = {
        job.trial.lr: result
        for job, result in run_lanes(task, [Job(t) for t in trials], CPU, how="stacked")
    }
    for trial in trials:
        alone = run_trial(task, Job(trial), CPU)
        assert together[trial.lr].val_loss == pytest.approx(alone.val_loss, rel=1e-4)
        assert alone.curve.train_loss == pytest.approx(
            together[trial.lr].curve.train_loss, rel=1e-3
        )


@pytest.mark.parametrize("until", [10, 20, 30])
def test_a_trial_that_is_resumed_releases_as_one_that_was_not(until: int, tmp_path: Path):
    task = mlp_task(freeze=Freeze(1, (0.5,)))
    trial = mlp_trial(settings=TrainingSettings(evaluations=4))
    whole = run_trial(task, Job(trial), CPU)
    run_trial(task, Job(trial, snapshot=tmp_path / "s.pt", until=until), CPU)
    resumed = run_trial(task, Job(trial, snapshot=tmp_path / "s.pt"), CPU)
    assert resumed.curve.train_loss.tolist() == whole.curve.train_loss.tolist()
    assert resumed.val_loss == whole.val_loss


def test_frozen_averages_are_not_gathered_anew_for_a_reading(tmp_path: Path):
    task = mlp_task(freeze=Freeze(1))
    settings = TrainingSettings(evaluations=8, fresh_statistics=True)
    trained = weights_after(task, tmp_path, settings=settings)
    assert torch.equal(trained["1.running_mean"], initial(task)["1.running_mean"])


def test_a_check_counts_what_trains_and_no_more():
    free, frozen = (
        check_batch(task, CPU, batch_size=8, optimizer=OptimizerSpec(name="sgd"), seed=0).parameters
        for task in (mlp_task(), mlp_task(freeze=Freeze(-1)))
    )
    assert (free, frozen) == (6 * 16 + 16 + 32 + 51, 51)


def test_names_may_be_of_parameters_and_a_norm_is_held_when_all_of_it_is():
    model = image_task().make_model()
    (part,) = parts(model, Freeze(("norm.*",)))
    assert part.modules == [model.norm] and len(part.parameters) == 2
    (part,) = parts(model, Freeze(("norm.bias",)))
    assert not part.modules and len(part.parameters) == 1
    for part in parts(model, Freeze(("blocks.1", "*.norm2"))):
        part.freeze()
    train_mode(model)
    assert not model.blocks[1].norm1.training and not model.blocks[0].norm2.training
    assert model.blocks[0].norm1.training and model.blocks[0].conv2.weight.requires_grad


def test_what_was_frozen_before_stays_so_when_all_is_released():
    model = image_task().make_model()
    model.stem.weight.requires_grad_(False)
    releases = Releases(model, Freeze(2, (0.5,)), 10)
    releases.turn(0)
    assert not model.norm.training
    releases.turn(5)
    assert model.norm.training
    assert not model.stem.weight.requires_grad


@pytest.mark.parametrize(
    ("freeze", "expected"),
    [
        (Freeze(("block.1",)), "did you mean 'blocks.1'"),
        (Freeze(("relu",)), "of which the outermost are stem, norm, blocks, head"),
        (Freeze(5), "must leave one of the 5 blocks, which are stem, blocks.0"),
        (Freeze(-6), "must leave one of the 5 blocks"),
        (Freeze(("*",)), "must leave something to train"),
        (Freeze(1, (0.1, 0.2)), "no more times than there are frozen blocks, which are 1"),
    ],
)
def test_a_freeze_that_cannot_be(freeze: Freeze, expected: str):
    with pytest.raises(InputError, match=expected) as caught:
        parts(image_task().make_model(), freeze)
    assert "\n" not in str(caught.value)


def test_the_time_of_an_iteration_is_measured_with_all_that_will_train():
    task = mlp_task(freeze=Freeze(1, (0.5,)))
    run = TrialRun(task, Job(mlp_trial()), CPU)
    loop.Lanes([run])
    assert all(parameter.requires_grad for parameter in run.model.parameters())
