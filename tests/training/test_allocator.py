"""Large tensors do not cost their pages again and again; the user's own settings stand."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

CODE = """
import resource, torch
from hptune.training.device import resolve_device
resolve_device("cpu")
for _ in range(10):
    torch.empty(2**24).zero_()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    torch.empty(2**24).zero_()  # 64 MiB, 16384 pages
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the setting is glibc's")
@pytest.mark.parametrize(
    ("environment", "kept"), [({}, True), ({"MALLOC_TRIM_THRESHOLD_": "1"}, False)]
)
def test_memory_that_an_iteration_frees_serves_the_next_one(environment, kept: bool):
    command = [sys.executable, "-c", CODE]
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, env=os.environ | environment
    )
    assert (int(done.stdout) < 1000) == kept
