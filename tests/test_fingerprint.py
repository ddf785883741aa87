"""What tells tasks apart, and what does not."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import pytest
import torch
from torch import nn

from hptune.fingerprint import changed_code, digest_of_weights, fingerprint

SCALE = 1.0


def of(*parts: Any) -> str:
    torch.manual_seed(0)
    return str(fingerprint(nn.Linear(2, 2), parts, None))


def make(scale: float) -> Any:
    return lambda outputs, targets: (outputs - targets).mean() * scale


def with_default(scale: float) -> Any:
    def loss(outputs: Any, targets: Any, s: float = scale, *, t: float = scale) -> Any:
        return s * t * outputs

    return loss


def uses_a_global(outputs: Any) -> Any:
    return outputs * SCALE


@pytest.mark.parametrize("factory", [make, with_default, lambda scale: [{"a": {scale}}]])
def test_what_a_function_holds_counts(factory: Any):
    assert of(factory(1.0)) == of(factory(1.0)) != of(factory(5.0))


def test_globals_count(monkeypatch: pytest.MonkeyPatch):
    before = of(uses_a_global)
    monkeypatch.setitem(globals(), "SCALE", 2.0)
    assert of(uses_a_global) != before


def test_cycles_end():
    def loss(outputs: Any) -> Any:
        return again(outputs)

    def again(outputs: Any) -> Any:
        return loss(outputs), held

    held: list[Any] = []
    held.append(held)
    assert of(loss) == of(loss) != of(again)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.int64, torch.bool])
def test_weights_of_any_type_count(dtype: torch.dtype):
    module = nn.Module()
    module.register_buffer("values", torch.tensor([0, 1, 1], dtype=dtype))
    before = digest_of_weights(module)
    assert digest_of_weights(module) == before
    module.values[0] = 1
    assert digest_of_weights(module) != before


def test_weights_are_not_copied_whole():
    """A hundred million numbers: a copy would take 400 MB, a piece of them takes 16."""
    code = (
        "import resource, torch; from torch import nn; from hptune.fingerprint import fingerprint\n"
        "model = nn.Linear(100_000, 1000, bias=False)\n"
        "def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024\n"
        "before = peak(); fingerprint(model, [], None); print(peak() - before)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 100  # of 400 MB in float32


SCRIPT = """
import torch
from torch import nn
from hptune.fingerprint import fingerprint

WORDS = {"aa", "bb", "cc"}

def step(model, batch):
    return model(batch) if "x" in {"aa", "bb", "cc", "dd"} else WORDS

torch.manual_seed(0)
print(fingerprint(nn.Linear(2, 2), [step, lambda a: {1, a}], {"drop": frozenset("abc")}))
print(fingerprint(torch.compile(nn.Linear(2, 2), backend="eager"), [], None))
"""


def test_neither_hashes_nor_addresses_count():
    found = {
        subprocess.run(
            [sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True,
            env={**os.environ, "PYTHONHASHSEED": seed},
        ).stdout
        for seed in ("1", "2", "3")
    }  # fmt: skip
    assert len(found) == 1


def test_the_files_that_changed_are_named():
    assert changed_code({"a.py": "1", "b.py": "2"}, {"a.py": "3", "b.py": "2", "c.py": "4"}) == [
        "a.py"
    ]
