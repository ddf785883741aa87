"""The page and the plots: complete, self-contained, and safe from what users write."""

from __future__ import annotations

import base64
import io
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from PIL import Image
from report_runs import HOSTILE, edit_csv

from hptune.report.page import write_report
from hptune.report.plots.style import DPI


class Page(HTMLParser):
    """Collects a page's tags with their attributes, and its text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture(scope="module")
def page(whole_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Page:
    return Page(write_report(whole_run, tmp_path_factory.mktemp("page")).page.read_text())


def test_every_stage_has_its_plot_for_a_paper(
    whole_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("hptune.report.plots.style.DPI", DPI)
    names = {path.stem: path for path in write_report(whole_run, tmp_path).plots}
    assert {
        "lr-range", "lr-range-val_loss", "lr-range-val_accuracy", "lr-confirmation", "momentum",
        "weight-decay", "batch-size", "sweep-dropout", "final-schedule", "final-loss",
        "final-accuracy",
    } <= set(names)  # fmt: skip
    for path in names.values():
        with Image.open(path) as image:
            assert image.width > 1200 and image.info["dpi"] == pytest.approx((300, 300), abs=0.1)
            # Something is drawn: a good part of the picture is not white.
            assert len(image.convert("RGB").getcolors(100000) or []) > 10


def test_images_are_inline_with_size_and_text(page: Page):
    images = page.of("img")
    assert len(images) >= 11
    for image in images:
        assert len(image["alt"] or "") > 20 and image["width"] and image["height"]
        head, data = (image["src"] or "").split(",", 1)
        assert head == "data:image/png;base64"
        Image.open(io.BytesIO(base64.b64decode(data))).verify()


def test_nothing_is_loaded_from_elsewhere(page: Page):
    for _, attributes in page.tags:
        for name in ("src", "href", "data", "action", "poster", "srcset"):
            assert re.match(r"data:|#", attributes.get(name) or "#"), attributes
    assert not page.of("link") and not page.of("iframe")
    (policy,) = (m["content"] for m in page.of("meta") if "http-equiv" in m)
    assert policy is not None and "default-src 'none'" in policy
    assert "'unsafe-inline'" not in policy.split("script-src")[1]


def test_the_page_tells_what_was_decided_and_why(page: Page, whole_run: Path):
    decisions = (whole_run / "decisions.csv").read_text()
    for value in ("weight decay", "Can it be trusted?", "within the noise", "mean ± standard"):
        assert value in page.text
    assert re.search(r"\d\d\.\d\d ± \d\.\d\d %", page.text)
    assert any(word in page.text for word in ("balanced", "underfit", "overfit"))
    for reason in re.findall(r"fastai's rules: [^)]*", decisions):
        assert reason in page.text
    for name in ("hptune", "python", "torch", "command"):
        assert name in page.text
    assert "hidden:" in page.text  # the config


def test_names_of_users_are_only_text(hostile_run: Path):
    html = write_report(hostile_run).page.read_text()
    page = Page(html)
    assert HOSTILE in page.text
    assert len(page.of("img")) >= 11
    assert all("onerror" not in attributes for _, attributes in page.tags)
    assert "<script>window" not in html and "<b>" not in html
    executed = [s for s in page.of("script") if s.get("type") != "application/json"]
    assert len(executed) == 2


def test_a_page_of_nothing(tmp_path: Path):
    (tmp_path / "experiment.yaml").write_text("name: nothing\n")
    written = write_report(tmp_path)
    assert written.plots == ()
    assert "Nothing is decided" in Page(written.page.read_text()).text


@pytest.mark.parametrize("text", ["nan", "inf", "", "1e300", "-5"])
def test_any_loss_can_be_drawn(copy: Path, text: str):
    def spoil(rows: list[dict[str, str]]) -> None:
        for k, row in enumerate(rows):
            row |= {"train_loss": text if k else "1.0", "val_loss": text if row["val_loss"] else ""}

    for path in (copy / "curves").glob("*.csv"):
        edit_csv(path, spoil)

    def spoil_rows(rows: list[dict[str, str]]) -> None:
        for row in rows:
            row["val_loss"] = row["train_loss"] = text

    edit_csv(copy / "results.csv", spoil_rows)
    assert write_report(copy).page.exists()


def test_curves_that_are_gone_leave_the_tables(copy: Path):
    for path in (copy / "curves").glob("*.csv"):
        path.unlink()
    written = write_report(copy)
    page = Page(written.page.read_text())
    assert not [path for path in written.plots if "search" not in path.name]
    assert "cannot be read" in page.text and "Decided values" in page.text
