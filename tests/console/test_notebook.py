"""In a notebook: a line that changes, a line a stage, and results that show themselves."""

from __future__ import annotations

import base64
import re
import sys
import threading
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

import hptune
from hptune.console.notebook import WIDTH, in_notebook
from hptune.report.answer import WIDTH as ANSWER

X = torch.randn(96, 4, generator=torch.Generator().manual_seed(0))
Y = (X[:, 0] * X[:, 1] > 0).long()


@pytest.fixture(scope="module")
def task() -> hptune.Task:
    return hptune.Task(
        lambda: nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2)), train=(X, Y)
    )


@pytest.fixture(scope="module")
def tuned(task: hptune.Task) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("hptune.api.options.in_notebook", lambda: True)
        module, output = ModuleType("IPython.display"), Output()
        module.display = output.display
        patch.setitem(sys.modules, "IPython", ModuleType("IPython"))
        patch.setitem(sys.modules, "IPython.display", module)
        found = hptune.tune(task, epochs=4, seeds=2, batch_size=16)
    return found, output


class Output:
    """A cell's only output, with all that it has shown."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def display(self, shown: dict[str, str], *, raw: bool, display_id: bool) -> Output:
        assert not self.texts and raw and display_id  # later it is changed in its place
        self.update(shown, raw=raw)
        return self

    def update(self, shown: dict[str, str], *, raw: bool) -> None:
        self.texts.append(shown["text/plain"])


def test_a_kernel_is_told_from_a_script(monkeypatch: pytest.MonkeyPatch):
    assert not in_notebook()
    module = ModuleType("IPython")
    monkeypatch.setitem(sys.modules, "IPython", module)
    for kernel, told in ((None, False), (object(), True)):
        shell = SimpleNamespace(kernel=kernel) if kernel else SimpleNamespace()
        monkeypatch.setattr(module, "get_ipython", lambda shell=shell: shell, raising=False)
        assert in_notebook() is told


def test_progress_is_one_output_with_a_line_a_stage(tuned: Any):
    _, output = tuned
    lines = output.texts[-1].split("\n")
    assert len(lines) <= 20 and not any("trial 1 of" in line for line in lines)
    assert any(line.startswith("lr-range: lr = ") for line in lines)
    assert any(line.startswith("final: ") and "val_accuracy = " in line for line in lines)
    changing = [text.split("\n")[-1] for text in output.texts]
    assert any("trial 1 of" in line and len(line) <= WIDTH for line in changing)


def test_a_result_prints_as_the_answer(tuned: Any, task: hptune.Task):
    found, _ = tuned
    lines = str(found).splitlines()
    assert len(lines) <= 12 and max(map(len, lines)) <= ANSWER
    assert lines[0].startswith("Sequential: validation accuracy") and "±" in lines[0]
    assert any(re.match(r"  LR +\S", line) for line in lines)
    assert lines[-2].startswith("next: .decisions") and ".model()" in lines[-1]
    given = str(hptune.train(task, lr=0.1, epochs=1, batch_size=16, progress=False))
    assert re.search(r"LR +0\.1 +as given, or decided before", given)


def test_a_result_shows_itself_with_its_curve(tuned: Any):
    found, _ = tuned
    html = found._repr_html_()
    assert html.startswith("<pre>Sequential: validation accuracy")
    drawn = base64.b64decode(re.search(r"base64,([^\"]+)\"", html)[1])
    assert drawn.startswith(b"<?xml") and b"<svg" in drawn
    assert 'alt="loss' in html and "<script" not in html and len(html) < 200_000


def test_what_a_user_named_is_no_markup(task: hptune.Task):
    named = hptune.Task(lambda: nn.Linear(4, 2), train=(X, Y), model="<script>a</script>")
    html = hptune.train(named, lr=0.1, epochs=1, batch_size=16, progress=False)._repr_html_()
    assert "<script>" not in html and "&lt;script&gt;" in html


def test_workers_of_a_thread_outlive_it_and_end(task: hptune.Task):
    """A kernel may run a cell in a thread of its own, which ends with the cell."""
    found: list[Any] = []

    def cell() -> None:
        found.append(
            hptune.sweep(
                task, "momentum", [0.9, 0.95], lr=0.1, epochs=1, batch_size=16, jobs=2, progress=False,
                executor="processes",
            )
        )  # fmt: skip

    for _ in range(2):
        thread = threading.Thread(target=cell)
        thread.start()
        thread.join()
    assert [one.value for one in found] == [found[0].value] * 2
