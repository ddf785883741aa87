"""What all tests share: one thread a process, and where the real data are."""

from __future__ import annotations

import math
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import torch

CHROMIUM, DRIVER = Path("/usr/bin/chromium"), Path("/usr/bin/chromedriver")
torch.set_num_threads(1)
# The same examples each time, however slow the machine is.
hypothesis.settings.register_profile("hptune", deadline=None, derandomize=True)
hypothesis.settings.load_profile("hptune")
# A shell's background job ignores Ctrl-C, and so would the commands that the tests interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what needs a GPU where there is none."""
    if not torch.cuda.is_available():
        for item in items:
            if item.get_closest_marker("gpu"):
                item.add_marker(pytest.mark.skip(reason="needs a CUDA device; none is here"))


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Decoded images are kept in a folder of the tests, never in the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HPTUNE_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session", autouse=True)
def quick() -> Iterator[None]:
    """Plots of few pixels and speeds measured for a moment: no test asserts what more would give."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("hptune.report.plots.style.DPI", 60)
        patch.setattr("hptune.trials.run.SECONDS", 0.1)
        # So that no test's precision depends on the machine; tests of the probe set their own.
        patch.setattr("hptune.training.execution_mode.WORTH", math.inf)
        yield


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of the real data sets and the author's curves; the test skips without it."""
    default = Path(__file__).parents[2] / "shared" / "data"
    folder = Path(os.environ.get("HPTUNE_SHARED_DATA", default))
    if not folder.is_dir():
        pytest.skip(f"the real data are not at {folder}; set HPTUNE_SHARED_DATA")
    return folder


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A headless Chromium with an empty profile."""
    if not CHROMIUM.exists() or not DRIVER.exists():
        pytest.skip("needs Debian's packages chromium and chromium-driver")
    webdriver = pytest.importorskip("selenium.webdriver", reason="needs selenium")
    options = webdriver.ChromeOptions()
    options.binary_location = str(CHROMIUM)
    for flag in (
        "headless",
        "no-sandbox",
        "disable-gpu",
        "disable-quic",
        "no-first-run",
        "disable-background-networking",
        "disable-component-update",
        "disable-sync",
        "disable-dev-shm-usage",
        f"user-data-dir={tmp_path_factory.mktemp('chromium')}",
        "window-size=1280,900",
    ):
        options.add_argument(f"--{flag}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    service = webdriver.ChromeService(str(DRIVER))
    driver = webdriver.Chrome(options=options, service=service)
    yield driver
    driver.quit()
