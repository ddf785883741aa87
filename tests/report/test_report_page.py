"""The page and the plots: complete, self-contained, and safe from what users write."""

from __future__ import annotations

import base64
import io
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from matplotlib.figure import Figure
from PIL import Image
from report_runs import BASE, HOSTILE, candidate, compare, edit_csv, result, sweep_of

from hptune.report.page import write_report
from hptune.report.plots.candidates import MOST_LABELS, plot_candidates
from hptune.report.plots.style import DPI, new_figure
from hptune.report.read import read_run
from hptune.report.views import comparisons
from hptune.results.run_dir import RunDir


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
        "weight-decay", "batch-size", "sweep-dropout", "search", "search-lr", "final-schedule",
        "final-loss", "final-accuracy",
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


def test_the_page_tells_what_was_decided_and_why(page: Page):
    for text in (
        "weight decay",
        "Can it be trusted?",
        "did equally well within the noise",
        "mean ± standard deviation of 2 seeds",
        "Underfit (2 of 2 seeds)".lower(),
        "maximum momentum = 0.95, minimum momentum = 0.85",
        "1 trial tested other ranges",
        "hidden:",  # the config
    ):
        assert text in page.text or text in page.text.lower(), text
    assert "95.40 ± 0.85 %" in page.text
    for name in ("hptune", "python", "torch", "command"):
        assert name in page.text


def candidate_rows(html: str) -> list[list[str]]:
    tables = re.findall(r'<table class="candidates">.*?</table>', html, re.S)
    rows = [row for table in tables for row in re.findall(r"<tr[^>]*>(.*?)</tr>", table, re.S)]
    return [
        [" ".join(re.sub("<[^>]*>", " ", c).split()) for c in re.split("</t[hd]>", row)]
        for row in rows
    ]


@pytest.fixture(scope="module")
def unequal(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """LRs with 2, 2 and 1 seeds: 0.01 ended at 0.60 with a seed on which all did well."""
    path = tmp_path_factory.mktemp("unequal") / "run"
    ends = {"0.001": [0.5, 0.8], "0.0003": [0.51, 0.805], "0.01": [0.6]}
    with RunDir.open(path) as run_dir:
        run_dir.experiment.write_text("name: unequal\n")
        compare(
            run_dir,
            "sweep",
            "lr",
            {label: ({"lr": float(label)}, own) for label, own in ends.items()},
            scores={"0.001": 0.65, "0.0003": 0.6575, "0.01": 0.75},
            chosen="0.001",
            noise=0.02,
        )
    return path


def test_candidates_with_unequal_seeds_stand_as_they_were_compared(unequal: Path, tmp_path: Path):
    html = write_report(unequal, tmp_path).page.read_text()
    _, *rows = candidate_rows(html)
    assert [row[:5] for row in rows] == [
        ["0.001", "chosen", "2", "0.65", "best"],
        ["0.0003", "tie", "2", "0.6575", "0.0075 ± 0.02"],
        ["0.01", "worse", "1", "0.75", "0.1 ± 0.02"],
    ]
    (image,) = Page(html).of("img")
    assert "0.001: 0.65; 0.0003: 0.6575; 0.01: 0.75" in (image["alt"] or "")
    assert "0.01: 0.6" not in html


def test_a_plot_labels_candidates_as_they_were_compared_and_draws_them_paired(unequal: Path):
    record = read_run(unequal)
    (comparison,) = comparisons(record.evidence)
    ax = Figure().subplots()
    plot_candidates(comparison, record.curves, ax)
    legend = ax.get_legend()
    assert legend is not None
    labels = [text.get_text() for text in legend.get_texts()]
    assert labels == ["0.001: 0.65", "0.0003: 0.6575", "0.01: 0.75"]
    # The lines are of the one seed that all three ran: their order is that of the labels.
    drawn = [line.get_ydata()[-1] for line in legend.axes.get_lines()]
    assert sorted(drawn) == pytest.approx([0.5, 0.51, 0.6])


@pytest.mark.parametrize("count", [1, 4, 12, 40])
def test_a_legend_stays_on_the_picture(count: int):
    candidates = tuple(
        replace(candidate(0.1 + k / 100), label=f"value {k} with a long name, {k} of them")
        for k in range(count)
    )
    comparison = sweep_of(candidates)
    curves = {c.trials[0]: result(BASE, c.score).curve for c in candidates}
    figure, (ax,) = new_figure()
    plot_candidates(comparison, curves, ax)
    figure.canvas.draw()
    legend = ax.get_legend()
    assert legend is not None and len(legend.get_texts()) == min(count, MOST_LABELS)
    box, whole = legend.get_window_extent(), figure.bbox
    assert whole.x0 <= box.x0 and box.x1 <= whole.x1
    assert ax.get_position().width > 0.3


def test_a_run_without_records_still_has_a_page(copy: Path):
    (copy / "comparisons.json").unlink()
    html = write_report(copy).page.read_text()
    page = Page(html)
    assert "No record says what came of the trials of" in page.text
    assert "No final run yet" in page.text and "0.92" in page.text  # in the table of trials
    assert "The run could still learn more." not in page.text
    assert "maximum momentum" in page.text and not candidate_rows(html)
    assert "The record of what it was compared with is missing." in page.text


RANGE_TEST = '[{"kind": "range-test", "stage": "s", "trials": 1, "earlier": [], "reading": {}}]'


@pytest.mark.parametrize(
    "text", ["[", "[{}]", '[{"kind": "comparison"}]', RANGE_TEST, "7", "[1]", "\x00"]
)
def test_records_that_cannot_be_read_are_a_warning(copy: Path, text: str):
    (copy / "comparisons.json").write_text(text)
    page = Page(write_report(copy).page.read_text())
    assert "comparisons.json: cannot be read" in page.text


def test_names_of_users_are_only_text(hostile_run: Path):
    html = write_report(hostile_run).page.read_text()
    page = Page(html)
    assert HOSTILE in page.text
    assert len(page.of("img")) >= 11
    assert all("onerror" not in attributes for _, attributes in page.tags)
    assert "<script>window" not in html and "<b>" not in html
    assert len(page.of("script")) == 1


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
    assert all(path.name.startswith("search-") for path in written.plots)
    assert "is not there" in page.text and "Decided values" in page.text
