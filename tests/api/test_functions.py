"""The functions of the API: what they return, what they share, what they leave alone, what they refuse."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import hptune
from hptune.cli import run as shell
from hptune.errors import InputError
from hptune.procedure.weight_decay import first_grid

matplotlib.use("Agg")
G = torch.Generator().manual_seed(0)
X = torch.randn(400, 8, generator=G)
Y = (X[:, 0] + X[:, 1] * X[:, 2] > 0).long() + (X[:, 3] > 1).long()
COMMON: dict[str, Any] = {"epochs": 4, "progress": False}


def net(width: int = 16) -> nn.Module:
    return nn.Sequential(nn.Linear(8, width), nn.ReLU(), nn.Dropout(0.1), nn.Linear(width, 3))


@pytest.fixture(scope="module")
def task() -> hptune.Task:
    return hptune.Task(net, train=(X[:320], Y[:320]), test=(X[320:], Y[320:]))


@pytest.fixture(scope="module")
def tuned(task, tmp_path_factory) -> Any:
    return hptune.tune(task, seeds=2, out=tmp_path_factory.mktemp("tuned"), **COMMON)


def test_lr_find(task):
    found = hptune.lr_find(task, **COMMON)
    assert found.lr == found.decision.value and found.decision.parameter == "lr"
    assert found.lr_min == pytest.approx(found.lr / 10)
    assert isinstance(found.curve, pd.DataFrame)
    assert found.curve["lr"].is_monotonic_increasing and found.curve["val_loss"].notna().any()
    assert found.curves["trial"].nunique() == len(found.trials)
    axes = found.plot()
    assert axes.get_xscale() == "log" and len(axes.lines) == 3
    assert f"maximum LR {found.lr:.4g}" in repr(found) and "next: .decisions" in repr(found)


def test_sweep_by_its_names(task):
    for name, parameter in (("weight_decay", "weight_decay"), ("wd", "weight_decay")):
        settings = {"procedure.budget": 100}
        swept = hptune.sweep(task, name, lr=0.05, settings=settings, **COMMON)
        assert swept.parameter == parameter and swept.value == swept.weight_decay
        assert set(first_grid(2, "nadamw")) <= set(swept.trials["weight_decay"])
        assert set(swept.decision.trials) == set(swept.trials["trial"])
    assert (swept.curve["weight_decay"] == swept.value).all()
    assert len(swept.plot().lines) == swept.trials["weight_decay"].nunique()


@pytest.mark.parametrize(
    ("parameter", "values", "column"),
    [
        ("model.args.width", [1, 32], "model.args.width"),
        ("dropout", [0.0, 0.9], "dropout"),
        ("optimizer.args.dampening", [0.0, 0.5], "optimizer.args.dampening"),
        ("lr", [1e-4, 0.05], "lr"),
        ("momentum", [0.9, 0.95], "momentum"),
        ("batch_size", [16, 32], "batch_size"),
    ],
)
def test_sweep_of_anything(task, parameter: str, values: list[Any], column: str):
    given = {} if parameter == "lr" else {"lr": 0.05}
    settings = {}
    if "dampening" in parameter:
        settings = {"optimizer.name": "sgd", "optimizer.args": {"nesterov": False}}
    swept = hptune.sweep(task, parameter, values, settings=settings, **given, **COMMON)
    assert swept.value in swept.trials[column].tolist() and swept.value in values
    assert len(swept.plot().lines) >= 2
    compared = swept.comparison
    assert compared in swept.comparisons and compared.parameter == swept.parameter
    trials = [trial for candidate in compared.candidates for trial in candidate.trials]
    assert set(trials) <= set(swept.trials["trial"])
    if parameter in ("lr", "model.args.width"):
        assert swept.value == values[1]


def test_sweep_is_reached_however_it_is_imported():
    code = (
        "import hptune, hptune.trials.run; from hptune import sweep; "
        "assert callable(hptune.sweep) and callable(sweep); "
        "from hptune.errors import InputError\n"
        "try: hptune.sweep(3, 'lr')\n"
        "except InputError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("task: a int; must be an hptune.Task")


def test_train_and_its_weights(task):
    trained = hptune.train(task, policy="cosine", lr=0.1, seeds=2, **COMMON)
    assert trained.decision.parameter == "test_accuracy"
    assert trained.metrics["test_accuracy"] == pytest.approx(trained.decision.value)
    best = trained.trials.sort_values("val_loss").iloc[0]
    model = trained.model()
    assert not model.training
    with torch.no_grad():
        accuracy = (model(X[320:]).argmax(1) == Y[320:]).float().mean().item()
    assert accuracy == pytest.approx(best["test_accuracy"])
    mine = net()
    assert trained.load(mine) is mine
    for a, b in zip(mine.parameters(), model.parameters(), strict=True):
        assert torch.equal(a, b)
    assert (trained.trials["policy"] == "cosine").all()
    assert len(trained.curve) == trained.trials["iterations"].iloc[0]
    trained.plot()


def test_tune_decides_everything_with_reasons(tuned):
    decided = {decision.parameter: decision for decision in tuned.decisions}
    assert {"lr", "lr_min", "momentum", "weight_decay", "batch_size"} <= set(decided)
    assert all(decision.reason and decision.rule for decision in tuned.decisions)
    final = tuned.trials[tuned.trials["trial"].isin(tuned.decision.trials)]
    assert set(final["stage"]) == {"final"}
    for name in ("lr", "lr_min", "momentum", "momentum_min", "weight_decay", "batch_size"):
        assert (final[name] == getattr(tuned, name)).all(), name
    assert final["epochs"].iloc[0] == pytest.approx(tuned.epochs)
    assert tuned.metrics["test_accuracy"] > 0.6
    assert tuned.model()(X[:5]).shape == (5, 3)
    tuned.plot()


def test_tune_again_in_the_same_directory_trains_nothing(task, tuned):
    before = (tuned.out / "results.csv").read_bytes()
    again = hptune.tune(task, seeds=2, out=tuned.out, **COMMON)
    assert again.lr == tuned.lr and again.metrics == tuned.metrics
    assert (tuned.out / "results.csv").read_bytes() == before


def test_functions_in_one_directory_use_each_others_decisions(task, tmp_path: Path):
    found = hptune.lr_find(task, out=tmp_path, **COMMON)
    swept = hptune.sweep(task, "weight_decay", out=tmp_path, **COMMON)
    assert (swept.trials["lr"] == found.lr).any()
    trained = hptune.train(task, out=tmp_path, **COMMON)
    assert (trained.lr, trained.weight_decay) == (swept.lr, swept.value)
    assert shell(["show", str(tmp_path)]) == 0


def test_the_shell_says_why_it_cannot_go_on_with_a_task(tuned, capsys):
    assert shell(["train", str(tuned.out / "tuned.yaml"), "--out", str(tuned.out / "x")]) == 2
    assert "the data were given in Python" in capsys.readouterr().err


def test_the_split_is_recorded(task, tuned):
    text = (tuned.out / "experiment.yaml").read_text()
    assert "split: stratified" in text and "train: 272" in text and "name: python" in text


def test_another_task_in_the_same_directory_is_refused(tuned):
    other = hptune.Task(net, train=(X[:100], Y[:100]))
    with pytest.raises(InputError, match="another data section"):
        hptune.lr_find(other, out=tuned.out, **COMMON)


def test_a_temporary_directory_goes_with_its_result(task):
    found = hptune.train(task, lr=0.1, epochs=1, progress=False)
    out = found.out
    assert (out / "results.csv").exists()
    del found
    assert not out.exists()


def test_a_loaders_batch_size_is_used(task):
    loader = DataLoader(TensorDataset(X, Y), batch_size=25, shuffle=True)
    trained = hptune.train(hptune.Task(net, train=loader), lr=0.1, **COMMON)
    assert trained.batch_size == 25 and trained.trials["batch_size"].tolist() == [25]
    assert trained.decision.parameter == "val_accuracy"  # there is no test set


def test_stages_and_seeds(task):
    result = hptune.tune(task, stages=["lr-range"], seeds=1, batch_size=32, **COMMON)
    assert set(result.trials["stage"]) == {"lr-range", "final"}
    assert len(result.decision.trials) == 1 and result.batch_size == 32


def test_a_time_shortens_nothing_where_all_fits(task):
    result = hptune.tune(task, stages=["lr-range"], seeds=2, time="10m", **COMMON)
    final = result.trials[result.trials["stage"] == "final"]
    assert set(final["epochs"]) == {4} and set(final["seed"]) == {0, 1}


class Checked:
    """The caller's belongings, to compare after a call."""

    def __init__(self) -> None:
        torch.manual_seed(11)
        np.random.seed(12)
        random.seed(13)
        self.model = net()
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=0.1, momentum=0.9)
        generator = torch.Generator().manual_seed(5)
        self.loader = DataLoader(
            TensorDataset(X[:320], Y[:320]), 64, shuffle=True, generator=generator
        )

    def epoch(self) -> None:
        for x, y in self.loader:
            nn.functional.cross_entropy(self.model(x), y).backward()
            self.optimizer.step()
            self.optimizer.zero_grad()

    def bits(self) -> list[bytes]:
        state = np.random.get_state()
        tensors = [*self.model.state_dict().values(), torch.get_rng_state()]
        tensors.append(self.loader.generator.get_state())
        return [
            *(tensor.numpy().tobytes() for tensor in tensors),
            state[1].tobytes() + bytes([state[2] % 256]),
            repr(random.getstate()).encode(),
            torch.get_float32_matmul_precision().encode(),
            X.numpy().tobytes(),
        ]


def test_nothing_of_the_callers_is_disturbed():
    """Train an epoch, tune, train another: bit for bit what two epochs give without tuning."""
    plain = Checked()
    plain.epoch()
    between = plain.bits()
    plain.epoch()
    after = plain.bits()

    mine = Checked()
    mine.epoch()
    task = hptune.Task(net, train=mine.loader)
    assert mine.bits() == between
    hptune.lr_find(task, **COMMON)
    hptune.sweep(task, "weight_decay", [1e-3, 1e-4], lr=0.05, **COMMON)
    result = hptune.train(task, lr=0.05, **COMMON)
    result.model()
    hptune.tune(task, stages=["lr-range"], seeds=1, **COMMON)
    assert mine.bits() == between
    mine.epoch()
    assert mine.bits() == after


def test_trials_at_once_give_what_one_after_the_other_gives(task):
    given: dict[str, Any] = {"values": [0.0, 1e-3, 1e-2], "lr": 0.05, **COMMON}
    one = hptune.sweep(task, "weight_decay", **given)
    for jobs in (2, "auto"):
        several = hptune.sweep(task, "weight_decay", jobs=jobs, **given)
        assert several.value == one.value
        assert several.curves["val_loss"].equals(one.curves["val_loss"])


def test_batch_sizes_that_would_not_fit_are_left_out(task, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("hptune.procedure.session.fit.available_memory", lambda device: 100_000)
    monkeypatch.setattr("hptune.procedure.session.fit._fits", None)  # would start a process
    swept = hptune.sweep(task, "batch_size", [16, 32, 64, 128], lr=0.05, batch_size=16, **COMMON)
    assert 16 in set(swept.trials["batch_size"]) and 128 not in set(swept.trials["batch_size"])


@pytest.mark.gpu
def test_on_a_gpu_its_random_state_is_left_alone_too(task):
    torch.cuda.init()
    before = torch.cuda.get_rng_state()
    trained = hptune.train(task, lr=0.05, device="cuda", **COMMON)
    assert trained.trials["device"].str.startswith("cuda").all()
    assert torch.equal(torch.cuda.get_rng_state(), before)
    assert trained.model()(X[:5]).device.type == "cpu"


def test_progress_is_told_on_stderr(task, capsys):
    hptune.train(task, lr=0.1, epochs=1)
    told = capsys.readouterr()
    assert "train" in told.err and not told.out
    hptune.train(task, lr=0.1, epochs=1, progress=False)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda t: hptune.train(t, optimiser="sgd"), "did you mean 'optimizer'?"),
        (lambda t: hptune.train(t, optimizer="sdg"), "did you mean 'sgd'?"),
        (lambda t: hptune.train(t, policy="2cycle"), "did you mean '1cycle'?"),
        (lambda t: hptune.train(t, epochs=0), "epochs"),
        (lambda t: hptune.train(t, lr="fast"), "lr: 'fast'; must be a number"),
        (lambda t: hptune.train(t, lr=-1), "lr: -1; must be greater than 0"),
        (lambda t: hptune.train(t, lr=0.1, batch_size=999), "batch_size: 999; must not exceed"),
        (lambda t: hptune.train(t, device="tpu"), "device: 'tpu'"),
        (
            lambda t: hptune.train(t, lr=0.1, settings={"training.label_smoothing": 0.1}),
            "training.label_smoothing: the loss was given in Python",
        ),
        (lambda t: hptune.train(t, jobs=0), 'jobs: 0; must be "auto" or a whole number'),
        (lambda t: hptune.lr_find(t, lr=0.1), "lr: 0.1; is what lr_find finds"),
        (lambda t: hptune.sweep(t, "data.flip", [True]), "data.flip: belongs to what hptune.Task"),
        (lambda t: hptune.sweep(t, "model.name", ["mlp"]), "model.name: belongs to what"),
        (lambda t: hptune.sweep(t, "model.args.depth", [1], lr=0.1), "model.args: {'depth': 1}"),
        (lambda t: hptune.sweep(t, "weight_decy"), "did you mean 'weight_decay'?"),
        (lambda t: hptune.sweep(t, "training.epoch", [3]), "training.epoch"),
        (lambda t: hptune.sweep(t, "optimizer.args.eps"), "optimizer.args.eps: no values"),
        (lambda t: hptune.train(t, settings={"training.epoch": 3}), "training.epoch"),
        (lambda t: hptune.tune(t, stages=["lr"]), "stages: 'lr'"),
        (lambda t: hptune.tune(t, time="5"), "time: 5; must be a time with its unit"),
        (lambda t: hptune.tune(t, time="0.1s"), "time: 0.1 s; must be about"),
        (lambda t: hptune.train("digits"), "task: 'digits'; must be an hptune.Task"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_wrong_is_told_in_a_line(task, call, message: str):
    with pytest.raises(InputError) as error:
        call(task)
    assert message in str(error.value) and "\n" not in str(error.value)


def test_results_are_compared_with_one_another_and_with_directories(task, tmp_path: Path):
    quick = {"epochs": 1, "seeds": 2, "progress": False}
    one = hptune.train(task, lr=0.1, **quick)
    two = hptune.train(task, lr=0.01, out=tmp_path / "small", **quick)
    found = hptune.compare(one, tmp_path / "small")
    column = found.runs.column
    assert found.table["mean"].tolist() == pytest.approx([one.metrics[column], two.metrics[column]])
    assert found.table["seeds"].tolist() == [2, 2] and "paired over 2 seeds" in repr(found)
    assert "| small |" in found.to_markdown() and r"\toprule" in found.to_latex()
    assert len(found.plot(by="iteration").get_lines()) == 2
    with pytest.raises(InputError, match="by: 'iterations'; must be of epoch, iteration"):
        found.plot(by="iterations")
