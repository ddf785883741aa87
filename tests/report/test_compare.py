"""Runs side by side: by the scores that they have in common, with the noise, or not at all."""

from __future__ import annotations

import csv
import io
import json
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from report_runs import BASE, edit_csv, final_run, result

from hptune.cli import run
from hptune.errors import InputError
from hptune.report.compare import compare_runs
from hptune.results.evidence import FinalRun
from hptune.results.run_dir import RunDir

Make = Callable[..., Path]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    def made(name: str, ends: Sequence[float], *, judged: str = "same", yaml: str = "") -> Path:
        path = tmp_path / name
        with RunDir.open(path) as run_dir:
            run_dir.experiment.write_text(f"name: {name}\n{yaml}")
            run_dir.manifest.write_text(json.dumps({"judged_by": judged, "device": "cpu"}))
            if ends:
                final_run(run_dir, ends)
        return path

    return made


def test_a_clear_difference_is_told_from_one_within_the_noise(make: Make):
    first = make("first", [0.30, 0.31, 0.29, 0.30])
    better = make("better", [0.20, 0.22, 0.19, 0.20])
    like = make("like", [0.31, 0.29, 0.30, 0.29])
    found = compare_runs([first, better, like])
    assert found.column == "test_accuracy" and found.higher_is_better
    assert [one.better for one in found.runs] == [None, True, None]
    difference = found.runs[1].difference
    assert difference is not None and "paired over 4 seeds" in difference.how
    assert difference.mean == pytest.approx(0.0975 / 2.5)
    # Of more runs, the intervals are wider: they hold together.
    alone = compare_runs([first, better]).runs[1].difference
    assert alone is not None and alone.low > difference.low


def test_one_seed_shows_the_difference_and_cannot_tell(make: Make, capsys):
    paths = [str(make("a", [0.3])), str(make("b", [0.2]))]
    assert run(["compare", *paths]) == 0
    out = capsys.readouterr().out
    assert "+4.00" in out and "cannot tell" in out and "one seed does not tell" in out


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"judged": "other"}, "other data"),
        ({"ends": []}, "nothing was trained"),
    ],
)
def test_what_does_not_measure_the_same_is_shown_and_not_compared(
    make: Make, changes: dict[str, object], why: str, capsys
):
    paths = [make("a", [0.3, 0.31]), make("b", **({"ends": [0.2, 0.21]} | changes))]
    found = compare_runs(paths).runs[1]
    assert found.difference is None and why in found.apart
    assert run(["compare", *map(str, paths)]) == 0
    assert f"b: not compared; {found.apart}" in " ".join(capsys.readouterr().out.split())


def test_without_a_digest_of_the_examples_the_data_section_tells(make: Make):
    split = "data: {{name: digits, split_seed: {}}}\n"
    paths = [make(str(k), [0.3, 0.2], judged="", yaml=split.format(k)) for k in range(2)]
    assert "data.split_seed is 1, not 0" in compare_runs(paths).runs[1].apart


def test_other_metrics_are_not_compared(make: Make, tmp_path: Path):
    first = make("a", [0.3, 0.31])
    other = make("b", [0.3, 0.31])
    for path in [other / "results.csv", *(other / "curves").glob("*.csv")]:
        path.write_text(path.read_text().replace("accuracy", "r2_score"))
    found = compare_runs([first, other])
    assert found.column == "" and all("other metrics" in one.apart for one in found.runs)


def test_less_is_better_where_the_best_readings_were_lower(make: Make):
    def lower_the_best(rows: list[dict[str, str]]) -> None:
        for row in rows:
            row["best_val_mean_thing"] = str(float(row["val_mean_thing"]) - 0.1)

    paths = [make("a", [0.3, 0.31, 0.3]), make("b", [0.2, 0.22, 0.19])]
    for path in paths:
        for file in [path / "results.csv", *(path / "curves").glob("*.csv")]:
            file.write_text(file.read_text().replace("accuracy", "mean_thing"))
        edit_csv(path / "results.csv", lower_the_best)
    found = compare_runs(paths)
    assert found.higher_is_better is False and found.runs[1].better is False


def test_costs_say_by_what_the_comparison_is_fair(make: Make, tmp_path: Path):
    first, path = make("a", [0.3, 0.31]), tmp_path / "b"
    with RunDir.open(path) as run_dir:
        run_dir.experiment.write_text("name: b\n")
        run_dir.manifest.write_text(json.dumps({"judged_by": "same", "device": "cuda"}))
        base = BASE.change(stage="final", batch_size=64, iterations=30)
        results = [result(base.change(seed=k), 0.3) for k in range(2)]
        for one in results:
            run_dir.add(one)
        ids = tuple(one.trial.id for one in results)
        run_dir.add_evidence(
            [FinalRun(stage="final", trials=ids, column="test_accuracy", scores=(0.88, 0.88))]
        )
    notes = " ".join(compare_runs([first, path]).notes)
    assert "the same epochs" in notes and "different iterations (30 to 60)" in notes
    assert "Batch sizes differ" in notes and "on other devices (a: cpu; b: cuda)" in notes


@pytest.mark.parametrize("width", [80, 120])
def test_the_tables_fit_the_width(make: Make, width: int, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(width))
    settings = "model: {{name: a-long-name-{0}, args: {{width: {0}, depth: {0}, heads: {0}}}}}\n"
    paths = [
        str(make(f"experiment-{k}", [0.3 + k / 50, 0.31], yaml=settings.format(k)))
        for k in range(8)
    ]
    assert run(["compare", *paths]) == 0
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= width
    assert out.count("experiment-7 ") >= 4 and "a-long-name-3" in out and "model.args.heads" in out


def test_every_form_holds_the_same_scores(make: Make, capsys):
    paths = [str(make("a_b", [0.3, 0.31])), str(make("c", [0.2, 0.22]))]
    texts = {}
    for form in ("--csv", "--markdown", "--latex", "--json"):
        assert run(["compare", *paths, form]) == 0
        texts[form] = capsys.readouterr().out
    rows = list(csv.DictReader(io.StringIO(texts["--csv"])))
    document = json.loads(texts["--json"])
    for row, record in zip(rows, document["runs"], strict=True):
        assert float(row["mean"]) == record["mean"]
        shown = f"{100 * float(row['mean']):.2f}"
        assert shown in texts["--markdown"] and shown in texts["--latex"]
    assert r"a\_b" in texts["--latex"] and r"\toprule" in texts["--latex"]
    assert r"seeds & test accuracy in \% & difference" in texts["--latex"]
    assert r"\begin{tabular}{lrrrrl}" in texts["--latex"]  # numbers right, words left
    assert re.search(r" & (\+|\$-\$)\d", texts["--latex"]) and " & -" not in texts["--latex"]
    assert document["against"] == "a_b" and document["runs"][1]["scores"].keys() == {"0", "1"}


@pytest.mark.parametrize(
    ("form", "start"), [("png", b"\x89PNG"), ("svg", b"<?xml"), ("pdf", b"%PDF")]
)
def test_curves_are_drawn_over_one_another(make: Make, tmp_path: Path, form: str, start: bytes):
    paths = [str(make("a", [0.3, 0.31])), str(make("b", [0.2, 0.21]))]
    out = tmp_path / f"curves.{form}"
    assert (
        run(["compare", *paths, "--plot", str(out), "--by", "iteration", "--style", "paper"]) == 0
    )
    assert out.read_bytes().startswith(start)
    if form == "pdf":  # fonts that may be searched and edited
        assert b"/Type /Font" in out.read_bytes() and b"/Subtype /Type3" not in out.read_bytes()


def test_two_runs_of_one_name_are_told_apart(make: Make):
    found = compare_runs([make("x/digits", [0.3, 0.2]), make("y/digits", [0.3, 0.2])])
    assert [one.name for one in found.runs] == ["x/digits", "y/digits"]


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (["a"], "1 given"),
        (["a"] * 2, "named twice"),
        (["a", "nowhere"], "no such run directory"),
        (["a", "b", "--plot", "x.gif"], "must end in .png"),
        (["a", "b", "--json", "--csv"], "leave one out"),
    ],
)
def test_what_cannot_be_compared_is_one_line(
    make: Make, tmp_path, monkeypatch, capsys, words, what
):
    make("a", [0.3]), make("b", [0.3])
    monkeypatch.chdir(tmp_path)
    assert run(["compare", *words]) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.count("\n") == 1 and what in captured.err


def test_more_runs_than_can_be_told_apart_are_refused(make: Make):
    with pytest.raises(InputError, match="9 given"):
        compare_runs([make(str(k), [0.3]) for k in range(9)])


def test_a_comparison_needs_neither_torch_nor_pandas(make: Make):
    paths = [str(make("a", [0.3, 0.31])), str(make("b", [0.2, 0.21]))]
    code = (
        "import sys; from hptune.cli import run; "
        f"assert run(['compare', *{paths!r}]) == 0; "
        "print([n for n in ('torch', 'pandas', 'matplotlib') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert re.search(r"^\[\]$", done.stdout, re.MULTILINE)
