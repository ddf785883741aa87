"""Scripts that ask for their trial: the whole of hptune, a process a trial."""

from __future__ import annotations

import csv
import difflib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hptune.cli import run
from hptune.errors import InputError
from hptune.own_loop.assignment import Assignment
from hptune.own_loop.child import VARIABLE, trial
from hptune.own_loop.told import TrialEnded
from hptune.own_loop.trial import Trial
from hptune.results.records import Trial as Record
from hptune.results.settings import PolicySpec, TrainingSettings

LOOPS = Path(__file__).parents[2] / "configs" / "loops"
BY_TRIAL = [sys.executable, str(LOOPS / "train_by_trial.py")]
SAVING = """
import os, time
import torch
import hptune

trial = hptune.trial()
weights = torch.nn.Parameter(torch.ones(4))
optimizer = torch.optim.SGD([weights], lr=0.1, momentum=0.9)
schedule = trial.schedule(optimizer)
state = trial.load(optimizer=optimizer)
if "weights" in state:
    weights.data.copy_(state["weights"])
for iteration in trial:
    loss = (weights * torch.randn(4)).square().mean()
    loss.backward(); optimizer.step(); optimizer.zero_grad(); schedule.step()
    trial.log(train_loss=loss)
    if trial.evaluate_now:
        trial.log(val_loss=weights.square().mean())
        trial.save(weights=weights.data, optimizer=optimizer)
        print("read at", iteration, flush=True)
        time.sleep(float(os.environ.get("SLOW", 0)))
"""


def rows(out: Path) -> list[dict[str, str]]:
    with (out / "results.csv").open() as file:
        return list(csv.DictReader(file))


def assignment(**changes: object) -> Assignment:
    record = Record(
        stage="train", task="t", seed=3, iterations=40, batch_size=8, lr=0.3, lr_min=0.03,
        momentum=0.95, momentum_min=0.85, weight_decay=1e-3,
        policy=PolicySpec(name="1cycle", args={"stepsize": 0.4}),
        settings=TrainingSettings(evaluations=4), extra={"loop.args.width": 5}, fixed=("batch_size",),
    )  # fmt: skip
    return Assignment(trial=record, per_epoch=10, args={"width": 5}, **changes)  # type: ignore[arg-type]


def test_at_most_six_lines_make_a_script_ask_for_its_trial():
    before, after = (
        (LOOPS / name).read_text().splitlines() for name in ("train.py", "train_by_trial.py")
    )
    changed = [line for line in difflib.ndiff(before[1:], after[1:]) if line.startswith("+ ")]
    assert len([line for line in changed if line[2:].strip()]) <= 7  # a condition breaks over two
    assert len(before) <= 80


def test_an_assignment_is_the_same_after_its_way_to_another_process(tmp_path: Path):
    given = assignment(snapshot=tmp_path / "a.pt", until=20, tests=True, device="cuda:1")
    read = Assignment.parse(given.text())
    assert read.rates() == given.rates() and read.evaluate_at() == given.evaluate_at()
    assert read.trial.digest == given.trial.digest and read.trial.fixed == ("batch_size",)
    assert (read.snapshot, read.until, read.tests, read.device, dict(read.args)) == (
        given.snapshot, 20, True, "cuda:1", {"width": 5},
    )  # fmt: skip


def test_outside_hptune_one_line_says_how_to_start_it(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    with pytest.raises(InputError, match="was not started by hptune; must be, to have a trial"):
        trial()


class Sink:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, tuple[object, ...]]] = []

    def __getattr__(self, name: str):
        return lambda *about: self.told.append((name, about))


def test_only_the_first_rank_tells_and_all_read_at_the_same_iterations(tmp_path: Path):
    read = {}
    for rank in (0, 1):
        sink = Sink()
        of_rank = Trial(assignment(snapshot=tmp_path / "a.pt"), sink, rank=rank, ranks=2)
        read[rank] = []
        for iteration in of_rank:
            of_rank.log(train_loss=1.0)
            if of_rank.evaluate_now:
                read[rank].append(iteration)
                of_rank.log(val_loss=1.0)
        of_rank.finish()
        assert ("reading" in [name for name, _ in sink.told]) is (rank == 0)
    assert read[0] == read[1] == [9, 19, 29, 39]


def test_ranks_pause_together(tmp_path: Path):
    for rank in (0, 1):
        of_rank = Trial(
            assignment(snapshot=tmp_path / "a.pt", until=20), Sink(), rank=rank, ranks=2
        )
        of_rank.load()
        done = []
        with pytest.raises(TrialEnded):
            for iteration in of_rank:
                done.append(iteration)
                of_rank.log(train_loss=1.0)
                if of_rank.evaluate_now:
                    of_rank.log(val_loss=1.0)
                    of_rank.save(step=iteration)
        assert done == list(range(20))
        (tmp_path / "a.pt").unlink(missing_ok=True)


def test_a_script_that_does_not_ask_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    script = tmp_path / "other.py"
    script.write_text("print('trained')")
    words = ["train", "--lr", "1", "--iterations-per-epoch", "5", "--out", str(tmp_path / "out")]
    assert run([*words, "--quiet", "--", sys.executable, str(script)]) == 2
    error = capsys.readouterr().err.strip()
    assert "the script did not ask for its trial" in error and "\n" not in error


def test_a_script_trains_by_its_trial(tmp_path: Path):
    words = [
        "train",
        "--lr",
        "0.01",
        "--wd",
        "0.1",
        "--epochs",
        "3",
        "--iterations-per-epoch",
        "18",
    ]
    assert run([*words, "--out", str(tmp_path), "--quiet", "--", *BY_TRIAL]) == 0
    (row,) = rows(tmp_path)
    assert (row["optimizer"], row["policy"], row["iterations"]) == ("adamw", "1cycle", "54")
    assert float(row["val_loss"]) < 0.8
    curve = (tmp_path / "curves" / f"{row['trial']}.csv").read_text().splitlines()
    lrs = [float(line.split(",")[2]) for line in curve[1:]]
    assert lrs[0] == pytest.approx(0.001) and max(lrs) == pytest.approx(0.01, rel=0.1)
    assert json.loads((tmp_path / "timings.json").read_text())  # the rehearsal is kept


@pytest.mark.slow
def test_the_whole_procedure_on_a_script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(LOOPS.parents[1])
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    assert run(["run", str(LOOPS / "train.yaml"), "--out", str(tmp_path), "--quiet"]) == 0
    stages = {row["stage"] for row in rows(tmp_path)}
    assert {"lr-range", "final"} <= stages
    final = [float(row["val_loss"]) for row in rows(tmp_path) if row["stage"] == "final"]
    assert min(final) < 0.25


@pytest.mark.slow
def test_a_run_that_was_killed_goes_on_where_the_script_saved(tmp_path: Path):
    script = tmp_path / "saving.py"
    script.write_text(SAVING)
    options = ["train", "--lr", "0.05", "--epochs", "4", "--iterations-per-epoch", "10"]
    command = [sys.executable, "-m", "hptune", *options, "--quiet"]
    own = ["--", sys.executable, str(script)]
    whole = subprocess.run([*command, "--out", str(tmp_path / "a"), *own], check=True)
    assert whole.returncode == 0
    slow = {**os.environ, "SLOW": "0.7"}
    out = tmp_path / "b"
    process = subprocess.Popen([*command, "--out", str(out), *own], env=slow)
    while not list(out.glob("snapshots/*.pt")):
        assert process.poll() is None
        time.sleep(0.1)
    process.send_signal(signal.SIGKILL)
    process.wait()
    log = next(out.glob("logs/*.txt"))
    before = log.read_text().count("read at")
    subprocess.run([*command, "--out", str(out), *own], check=True)
    one, two = rows(tmp_path / "a")[0], rows(out)[0]
    assert [one[name] for name in ("trial", "train_loss", "val_loss")] == [
        two[name] for name in ("trial", "train_loss", "val_loss")
    ]
    assert log.read_text().count("read at") - before < 20  # it did not begin anew


@pytest.mark.slow
def test_processes_of_torchrun_are_one_trial(tmp_path: Path):
    script = tmp_path / "ddp.py"
    script.write_text(
        "import torch, hptune\n"
        "import torch.distributed as dist\n"
        "dist.init_process_group('gloo')\n"
        "trial = hptune.trial()\n"
        "weights = torch.nn.Parameter(torch.ones(2))\n"
        "optimizer = torch.optim.SGD([weights], lr=0.1)\n"
        "schedule = trial.schedule(optimizer)\n"
        "for iteration in trial:\n"
        "    loss = weights.square().mean() * (1 + dist.get_rank())\n"
        "    loss.backward()\n"
        "    dist.all_reduce(weights.grad)\n"
        "    optimizer.step(); optimizer.zero_grad(); schedule.step()\n"
        "    trial.log(train_loss=loss)\n"
        "    if trial.evaluate_now:\n"
        "        trial.log(val_loss=weights.square().mean())\n"
    )
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", str(script)]
    words = [
        "train",
        "--epochs",
        "3",
        "--iterations-per-epoch",
        "10",
        "--out",
        str(tmp_path / "out"),
    ]
    assert run([*words, "--lr", "0.05", "--quiet", "--", *torchrun]) == 0
    assert float(rows(tmp_path / "out")[0]["val_loss"]) < 0.2
    began = time.monotonic()
    assert (
        run([*words, "--lr", "1e6", "--quiet", "--", *torchrun]) == 1
    )  # one rank waits for the other
    assert time.monotonic() - began < 60
    assert rows(tmp_path / "out")[1]["status"] == "diverged"


def test_what_a_script_does_not_do_is_told_in_hptunes_own_words(tmp_path: Path, capsys):
    script = tmp_path / "reads_after.py"
    script.write_text(
        "import hptune\ntrial = hptune.trial()\nfor _ in trial.batches([1, 2]):\n"
        "    trial.log(train_loss=1.0)\ntrial.log(val_loss=1.0)\n"
    )
    words = ["train", "--lr", "1", "--iterations-per-epoch", "5", "--out", str(tmp_path / "out")]
    assert run([*words, "--quiet", "--", sys.executable, str(script)]) == 2
    error = capsys.readouterr().err
    assert "trial.log(val_loss=...)` inside the loop over batches" in error and "File" not in error


def test_what_a_script_raises_is_told_by_its_last_lines(tmp_path: Path, capsys):
    script = tmp_path / "raises.py"
    script.write_text("import hptune\ntrial = hptune.trial()\nraise RuntimeError('no such data')\n")
    words = ["train", "--lr", "1", "--iterations-per-epoch", "5", "--out", str(tmp_path / "out")]
    assert run([*words, "--quiet", "--", sys.executable, str(script)]) == 2
    error = capsys.readouterr().err
    assert "exit code 1; its last lines:" in error and "RuntimeError: no such data" in error
