"""The page in headless Chromium: no errors, accessible, sortable, and nothing from the network."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from browsing import open_page, violations

from hptune.report.page import write_report


@pytest.fixture(scope="module")
def page(whole_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_report(whole_run, tmp_path_factory.mktemp("browser")).page


def test_no_console_messages_and_nothing_from_the_network(browser: Any, page: Path):
    open_page(browser, page)
    assert browser.get_log("browser") == []
    events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    urls = [
        e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"
    ]
    assert [url for url in urls if not url.startswith("data:")] == [page.as_uri()]


def test_images_load_at_their_size(browser: Any, page: Path):
    open_page(browser, page)
    images = browser.execute_script(
        "return [...document.images].map(i => [i.complete && i.naturalWidth > 0, i.alt, "
        "i.getAttribute('width'), i.getAttribute('height'), i.naturalWidth / i.naturalHeight])"
    )
    assert len(images) >= 11
    for loaded, alt, width, height, ratio in images:
        assert loaded and alt
        assert int(width) / int(height) == pytest.approx(ratio, rel=0.01)


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (375, "light"), (1280, "dark")])
def test_accessible(browser: Any, page: Path, width: int, scheme: str):
    open_page(browser, page, width=width, scheme=scheme)
    assert violations(browser) == []


@pytest.mark.parametrize("width", [375, 768, 1280])
def test_the_page_is_not_wider_than_the_screen(browser: Any, page: Path, width: int):
    open_page(browser, page, width=width)
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width


def test_trials_sort_by_a_press_of_the_keyboard(browser: Any, page: Path):
    open_page(browser, page)

    def column(name: str) -> list[str]:
        cells: list[str] = browser.execute_script(
            "const t = document.querySelector('table.sortable');"
            "const k = [...t.tHead.rows[0].cells].findIndex(c => c.textContent === arguments[0]);"
            "t.tHead.rows[0].cells[k].querySelector('button').focus();"
            "return [...t.tBodies[0].rows].map(r => r.cells[k].dataset.number ?? '');",
            name,
        )
        return cells

    def press() -> str:
        browser.switch_to.active_element.send_keys("\ue007")
        state: str = browser.switch_to.active_element.find_element("xpath", "..").get_attribute(
            "aria-sort"
        )
        return state

    before = column("test_accuracy")
    assert press() == "ascending"
    rising = [float(cell) for cell in column("test_accuracy") if cell]
    assert rising == sorted(rising) and len(rising) == sum(bool(cell) for cell in before)
    assert press() == "descending"
    falling = column("test_accuracy")
    assert [float(cell) for cell in falling if cell] == rising[::-1]
    assert falling[-1] == "" == before[0]  # blanks stay last


def test_hostile_names_run_nothing(browser: Any, hostile_run: Path):
    open_page(browser, write_report(hostile_run).page)
    assert browser.execute_script("return window.attacked ?? null") is None
    assert browser.get_log("browser") == []


def test_without_javascript_everything_is_there(browser: Any, page: Path):
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        open_page(browser, page)
        assert len(browser.find_elements("css selector", "figure img")) >= 11
        assert not browser.find_elements("css selector", "button")
        hint = browser.find_element("css selector", ".js")
        assert not hint.is_displayed()
    finally:
        browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})
