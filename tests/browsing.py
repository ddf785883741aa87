"""How the tests look at a page in a browser."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Any

import pytest


def open_page(browser: Any, page: Path, *, width: int = 1280, scheme: str = "light") -> None:
    """Open a file at a width of the screen, in light or dark colours."""
    media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    browser.get_log("browser")
    browser.get_log("performance")
    browser.get(page.as_uri())


def violations(browser: Any) -> list[list[str]]:
    """Return what axe finds wrong with the open page: rules, each with the first place."""
    pytest.importorskip("axe_core_python", reason="needs axe-core-python")
    axe = resources.files("axe_core_python").joinpath("axe.min.js").read_text()
    # Through the protocol: the page's own policy lets no other script in.
    browser.execute_cdp_cmd("Runtime.evaluate", {"expression": axe})
    found = browser.execute_cdp_cmd(
        "Runtime.evaluate",
        {
            "expression": "axe.run().then(r => r.violations.map(v => [v.id, v.nodes[0].html]))",
            "awaitPromise": True,
            "returnByValue": True,
        },
    )
    value: list[list[str]] = found["result"]["value"]
    return value
