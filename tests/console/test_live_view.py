"""What a terminal shows during a run, and what a pipe gets in its place."""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from io import StringIO
from pathlib import Path

import numpy as np
import pyte
import pytest
from rich.console import Console as RichConsole

from hptune.console.live import LEVELS, ROWS, LiveView, sparkline
from hptune.console.terminal import Console
from hptune.results.records import Curve, Status, Trial, TrialProgress, TrialResult
from hptune.stages import WEIGHT_DECAY

TRIAL = Trial(
    stage=WEIGHT_DECAY, task="t", seed=1, iterations=100, batch_size=10, lr=0.1, lr_min=0.01,
    momentum=0.95, momentum_min=0.85, weight_decay=1e-3,
)  # fmt: skip


def trial(number: int) -> Trial:
    return TRIAL.change(weight_decay=number / 1000)


def trial_progress(done: int, loss: float = 0.5) -> TrialProgress:
    readings = tuple((at, 0.1, loss + 1 / (at + 1)) for at in range(9, done, 10))
    return TrialProgress(done - 1, 0, 0.0625, 0.875, 0.4321, readings)


def result(of: Trial, loss: float) -> TrialResult:
    n = of.iterations
    losses, nothing = np.linspace(2, loss, n), np.full(n, 0.1)
    losses[np.arange(n) % 10 != 9] = np.nan
    curve = Curve(np.arange(n), nothing, nothing, nothing, nothing, nothing, losses, {}, nothing)
    return TrialResult(
        trial=of, status=Status.COMPLETE, data="d", model="m", device="cpu", started="", epochs=1.0,
        seconds=1.0, curve=curve, train_loss=0.1, val_loss=loss,
    )  # fmt: skip


def view(width: int = 80, **planned: float) -> LiveView:
    console = RichConsole(file=StringIO(), width=width, height=40, force_terminal=True)
    made = LiveView(console, "weight-decay", **planned)
    made.start = lambda: None  # type: ignore[method-assign]  # nothing is drawn by itself
    return made


def shown(made: LiveView) -> str:
    console = RichConsole(file=StringIO(), width=made.console.width)
    with console.capture() as captured:
        console.print(made.get_renderable())
    return captured.get()


@pytest.mark.parametrize("width", [40, 66, 80, 160])
def test_it_shows_where_the_trials_are(width: int):
    made = view(width)
    made.trial_started(trial(3), 3, 5)
    made.trial_progressed(trial(3), trial_progress(40))
    text = shown(made)
    assert all(len(line) <= width - 3 for line in text.splitlines())
    if width > 66:
        for told in ("weight-decay", "trial 3 of 5", "40/100", "0.0625", "0.525", "wd 0.003"):
            assert told in text
        assert "0.875" in text and "0.432" in text and "▁" in text


def test_trials_that_run_together_have_a_row_each_as_far_as_there_is_room():
    made = view(160)
    for number in range(1, 9):
        made.trial_started(trial(number), number, 9)
    assert "8 at once" in shown(made) and shown(made).count("0/100") == ROWS
    made.trial_left(result(trial(1), 0.7))
    made.trial_started(trial(9), 9, 9)
    assert "wd 0.001" not in shown(made) and "wd 0.002" in shown(made)


def test_what_is_left_follows_from_the_plan_and_from_what_was_found():
    made = view(planned=4000, after=6000)
    made.trial_left(result(trial(9), 0.5))  # 1,000 of them are in the run directory
    made.trial_started(trial(1), 1, 2)
    made.trial_progressed(trial(1), trial_progress(50))
    stage, whole, _ = made.tasks
    assert (stage.total, stage.completed) == (3000, 500)
    assert (whole.total, whole.completed) == (9000, 500)


def test_a_sparkline_bears_losses_that_are_not_finite():
    assert sparkline([3.0, 2.0, 1.0]) == "█▅▁"
    assert sparkline([1.0, float("nan"), float("inf")])[1:] == LEVELS[-1] * 2
    assert not sparkline([])


@pytest.mark.parametrize("environment", [{"NO_COLOR": "1"}, {"TERM": "dumb"}, {}])
def test_plain_lines_where_no_live_view_can_be(environment: dict[str, str], monkeypatch, capsys):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("sys.stderr.isatty", lambda: bool(environment), raising=False)
    console, now = Console(), [0.0]
    monkeypatch.setattr("hptune.console.terminal.time.monotonic", lambda: now[0])
    console.stage_started(WEIGHT_DECAY, "weight-decay")
    console.trial_started(TRIAL, 1, 1)
    console.trial_progressed(TRIAL, trial_progress(10))
    now[0] = 100.0
    console.trial_progressed(TRIAL, trial_progress(20))
    console.trial_finished(result(TRIAL, 0.5), reused=False)
    console.close()
    told = capsys.readouterr().err
    assert "\x1b" not in told and "\r" not in told
    assert [line.split("seed 1  ")[-1] for line in told.strip().splitlines()] == [
        "weight-decay",
        "iteration 20 of 100  train_loss 0.4321  val_loss 0.55",
        "complete  val_loss 0.5  1.0 s",
    ]


class Terminal:
    """A process on a pseudo-terminal of 80 columns, and what can be seen there."""

    def __init__(self, command: list[str], folder: Path) -> None:
        self.screen = pyte.HistoryScreen(80, 40, history=5000, ratio=1)
        self._stream = pyte.ByteStream(self.screen)
        self._end, theirs = pty.openpty()
        environment = os.environ | {"TERM": "xterm-256color", "COLUMNS": "80", "LINES": "40"}
        environment.pop("NO_COLOR", None)
        self.process = subprocess.Popen(
            command, stdin=theirs, stdout=theirs, stderr=theirs, cwd=folder, env=environment,
            preexec_fn=lambda: os.login_tty(theirs),
        )  # fmt: skip
        os.close(theirs)

    def until(self, seen: Callable[[str], bool], seconds: float = 60.0) -> str:
        """Read on until something is seen, or until the process has gone."""
        end = time.monotonic() + seconds
        while time.monotonic() < end and not seen(self.text()):
            if not select.select([self._end], [], [], 0.1)[0]:
                continue
            try:
                self._stream.feed(os.read(self._end, 65536))
            except OSError:  # the other end is closed
                break
        return self.text()

    def text(self) -> str:
        """Return what has scrolled away and what is on the screen."""
        lines = [
            "".join(row[column].data for column in range(80)) for row in self.screen.history.top
        ]
        return "\n".join(line.rstrip() for line in [*lines, *self.screen.display]).rstrip()

    def press_ctrl_c(self) -> None:
        os.write(self._end, b"\x03")


NET = """
from math import prod
from torch import nn
class Talking(nn.Sequential):
    calls = 0
    def forward(self, x):
        self.calls += 1
        if self.calls % 100 == 0:
            print(f"<call {self.calls}>")
        return super().forward(x)
def net(input_shape, outputs):
    return Talking(nn.Flatten(), nn.Linear(prod(input_shape), outputs))
"""


def test_ctrl_c_leaves_a_clean_terminal_with_workers_that_print(tmp_path: Path):
    (tmp_path / "talking.py").write_text(NET)
    terminal = Terminal(
        [
            *(sys.executable, "-m", "hptune", "train", "--lr", "0.01", "--seeds", "2", "--jobs", "2"),
            *("--executor", "processes", "--set", "model.name=talking:net"),
            *("--set", "training.epochs=100000", "--out", "run"),
        ],
        tmp_path,
    )  # fmt: skip
    try:
        # A frame may fall between a trial's row and the stage's: wait for what is asserted below.
        wanted = ("<call 300>", "momentum", "2 at once", "/2000000")
        running = terminal.until(lambda text: all(told in text for told in wanted))
        terminal.press_ctrl_c()
        terminal.until(lambda text: False)
        assert terminal.process.wait(30) == 130
    finally:
        if terminal.process.poll() is None:
            os.kill(terminal.process.pid, signal.SIGKILL)
            terminal.process.wait()
    assert "2 at once" in running and "/2000000" in running
    text = terminal.text()
    assert not terminal.screen.cursor.hidden
    assert "at once" not in text and "/2000000" not in text and "│" not in text
    calls = [line for line in text.splitlines() if "call" in line]
    assert calls and all(line == f"<call {line[6:-1]}>" for line in calls)
    assert "error: interrupted" in text.splitlines()[-2]
