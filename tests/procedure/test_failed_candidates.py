"""A candidate that cannot be run is left out, or a failed row; the stage goes on with the others."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import hptune
from hptune.errors import HptuneError, InputError, StageError

G = torch.Generator().manual_seed(0)
X = torch.randn(200, 6, generator=G)
Y = (X[:, 0] > 0).long()


class Refuses(nn.Module):
    """A linear model that raises on some training batches, or on its outputs."""

    def __init__(self, batch: Callable[[int], bool] | None = None, most: float = 1e9) -> None:
        super().__init__()
        self.linear, self.batch, self.most = nn.Linear(6, 2), batch, most

    def forward(self, x: Tensor) -> Tensor:
        if self.training and self.batch and self.batch(len(x)):
            raise RuntimeError("no such batch")
        outputs: Tensor = self.linear(x)
        if not outputs.detach().abs().max() < self.most:
            raise RuntimeError("outputs exploded")
        return outputs


class FailsLater(nn.Module):
    """It passes the check of a first batch."""

    def __init__(self) -> None:
        super().__init__()
        self.linear, self.calls = nn.Linear(6, 2), 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        if self.calls > 5:
            raise RuntimeError("too late")
        return self.linear(x)


def normed() -> nn.Module:
    return nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 2))


def rows(out: Path, column: str) -> dict[str, set[str]]:
    """Return how the trials of each value of a column ended."""
    found: dict[str, set[str]] = {}
    with (out / "results.csv").open() as file:
        for row in csv.DictReader(file):
            found.setdefault(row[column], set()).add(row["status"])
    return found


def sweep(make: Any, key: str, values: Any, out: Path, **options: Any) -> hptune.Sweep:
    given = {"optimizer": "sgd", "lr": 0.1, "epochs": 2, "device": "cpu", **options}
    return hptune.sweep(hptune.Task(make, train=(X, Y)), key, values, out=out, **given)


@pytest.mark.parametrize("values", [None, [1, 2, 4]])
def test_a_batch_of_one_is_no_candidate_for_batch_normalization(
    values: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    sweep(normed, "batch-size", values, tmp_path, batch_size=2)
    assert "1" not in rows(tmp_path, "batch_size") and "4" in rows(tmp_path, "batch_size")
    assert "batch size 1: left out, it cannot run (Expected more than 1 value" in (
        capsys.readouterr().err
    )


def test_nor_are_micro_batches_of_one(tmp_path: Path):
    settings = {"training.accumulate": 2}
    sweep(normed, "batch-size", None, tmp_path, batch_size=4, settings=settings)
    assert set(rows(tmp_path, "batch_size")) == {"4", "8", "16"}


def test_a_model_that_takes_one_example_keeps_the_candidate(tmp_path: Path):
    sweep(lambda: nn.Linear(6, 2), "batch-size", [1, 2], tmp_path, batch_size=2)
    assert rows(tmp_path, "batch_size")["1"] <= {"complete", "pruned"}


def test_where_no_other_size_can_be_run_the_present_one_is_kept(tmp_path: Path):
    found = sweep(normed, "batch-size", [1], tmp_path, batch_size=2)
    assert found.value == 2 and set(rows(tmp_path, "batch_size")) == {"2"}
    assert "compared with nothing" in found.decision.warnings[0]


def test_batch_sizes_that_cannot_be_cut_are_refused_before_anything_runs(tmp_path: Path):
    with pytest.raises(InputError, match="must divide the batch size 9"):
        settings = {"training.accumulate": 2}
        sweep(normed, "batch-size", [8, 9], tmp_path, batch_size=4, settings=settings)
    assert not (tmp_path / "results.csv").exists()


def test_a_batch_size_that_the_model_refuses_is_a_failed_row(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    found = sweep(
        lambda: Refuses(lambda size: size % 4 > 0), "batch-size", [6, 16], tmp_path, batch_size=8
    )
    assert found.decisions[0].value == 16
    assert rows(tmp_path, "batch_size")["6"] == {"failed"}
    assert "no such batch" in capsys.readouterr().err
    assert "6: failed" in found.decisions[0].reason


@pytest.mark.parametrize(("key", "values"), [("momentum", [0.99, 0.5]), ("lr", [0.05, 500.0])])
def test_the_other_values_go_on(key: str, values: list[float], tmp_path: Path):
    found = sweep(lambda: Refuses(most=8.0), key, values, tmp_path, lr=0.5)
    assert found.decisions[0].value == values[0]
    assert {float(k): ended for k, ended in rows(tmp_path, key).items()}[values[1]] == {"failed"}


@pytest.mark.parametrize("key", ["width", "dropout_like"])  # with LRs of their own, and without
def test_a_value_whose_model_fails_on_the_way_is_a_failed_row(key: str, tmp_path: Path):
    def make(**args: int) -> nn.Module:
        return FailsLater() if args.get(key) == 2 else nn.Linear(6, 2)

    found = sweep(make, f"model.args.{key}", [1, 2], tmp_path)
    assert found.decisions[0].value == 1
    assert rows(tmp_path, f"model.args.{key}")["2"] == {"failed"}


@pytest.mark.parametrize("key", ["batch-size", "momentum", "wd", "lr"])
def test_only_where_all_fail_is_it_an_error(key: str, tmp_path: Path):
    with pytest.raises(StageError, match=r"all of .* failed: RuntimeError: too late") as caught:
        sweep(FailsLater, key, None, tmp_path)
    assert "\n" not in str(caught.value)


def test_the_bracket_goes_on_below_a_rate_that_fails(tmp_path: Path):
    task = hptune.Task(lambda: Refuses(most=8.0), train=(X, Y))
    found = hptune.lr_find(task, optimizer="sgd", out=tmp_path, epochs=3, device="cpu")
    assert 1e-3 < found.decisions[0].value < 10
    assert "failed" in rows(tmp_path, "stage")["lr-range"]


def test_timing_a_plan_of_a_model_that_fails_is_one_line(tmp_path: Path):
    with pytest.raises(HptuneError, match="fails at batch size") as caught:
        hptune.tune(hptune.Task(FailsLater, train=(X, Y)), time="30s", out=tmp_path, device="cpu")
    assert "\n" not in str(caught.value)
