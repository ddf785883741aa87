"""The experiments on the papers around the report: their frame, their verdicts, and their page."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial

import pytest

import hptune
from hptune.config.load import load_experiment
from scripts.neighbours import EXPERIMENTS, find, page, pooling_geometry, stored
from scripts.neighbours.experiment import (
    CONFIGS,
    Claim,
    Experiment,
    Place,
    by_seed,
    first_at,
    paired,
)
from scripts.neighbours.problems import digits, mlp


@pytest.mark.parametrize(
    ("numbers", "word"),
    [
        ([2.0, 2.1, 2.2], "shown"),
        ([0.5, 2.0, 3.5], "not shown here"),  # above in the mean, but not beyond chance
        ([0.4, 0.5, 0.6], "not shown here"),  # below the bound, but no opposite of the claim
        ([-2.0, -2.1, -2.2], "reversed"),
        ([2.0, 2.0], "not shown here"),
        ([], "not run"),
    ],
)
def test_a_claim_is_judged_by_the_interval_of_its_mean_and_its_bounds(numbers, word):
    claim = Claim("", "", lambda rows: by_seed(rows, "x"), above=1.0, below=0.0)
    rows = [{"seed": seed, "x": x} for seed, x in enumerate(numbers)]
    assert claim.verdict(rows).word == word


def test_the_interval_is_students():
    claim = Claim("", "", lambda rows: by_seed(rows, "x"))
    found = claim.verdict([{"seed": seed, "x": x} for seed, x in enumerate([1.0, 2.0, 3.0])])
    assert (found.low, found.high) == pytest.approx(
        (2 - 4.303 / math.sqrt(3), 2 + 4.303 / math.sqrt(3)), rel=1e-3
    )


def _toy(ran: list[int]) -> Experiment:
    """Return an experiment that trains digits for an epoch, at two LRs for three seeds."""

    def run(cell, place):
        ran.append(cell["seed"])
        task = hptune.Task(partial(mlp, 64, 10), **digits(200))
        trained = place.train(
            task, "run", lr=cell["lr"], seed=cell["seed"], epochs=1, batch_size=50
        )
        return {"loss": trained.metrics["train_loss"], "lrs": trained.curve["lr"].tolist()}

    def slower(rows):
        return paired(lambda a, b: a - b, *(by_seed(rows, "loss", lr=lr) for lr in (1e-3, 0.1)))

    return Experiment(
        name="toy",
        title="Toy",
        papers="Nobody, 2020",
        tells="A larger LR learns faster.",
        setup="One layer.",
        claims=(Claim("Faster", "loss at 0.001 less that at 0.1", slower),),
        look="the fall.",
        change="raise the LR.",
        cells=lambda long: [{"seed": seed, "lr": lr} for seed in range(3) for lr in (1e-3, 0.1)],
        run=run,
        draw=lambda rows, axes: axes[0].plot([row["loss"] for row in rows]) and None,
    )


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.setattr(stored, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(page, "DOCS", tmp_path / "docs")
    return tmp_path


def test_cells_are_run_once_stored_with_their_seeds_and_told_of_on_the_page(here):
    ran: list[int] = []
    toy = _toy(ran)
    stored.run(toy, here / "runs")
    assert ran == [0, 0, 1, 1, 2, 2]
    path = here / "results" / "toy.csv"
    whole = path.read_text()
    path.write_text("".join(whole.splitlines(keepends=True)[:-1]))  # as if it had been killed
    stored.run(toy, here / "runs")
    assert ran[6:] == [2]
    rows = stored.rows_of(toy)
    assert [row["lrs"] for row in rows] == [[lr] * 4 for lr in (1e-3, 0.1)] * 3
    page.write_page([toy])
    text = (here / "docs" / "neighbours.md").read_text()
    assert "| **shown** |" in text and "(n = 3); shown above 0 |" in text
    assert (here / "docs" / "images" / "neighbours" / "toy.png").stat().st_size > 1000


def test_what_was_run_with_other_settings_counts_no_more_and_other_columns_are_refused(here):
    toy = _toy([])
    one = replace(toy, cells=lambda long: [{"seed": 0, "lr": 0.1}])
    stored.run(one, here / "runs")
    assert stored.rows_of(replace(toy, cells=lambda long: [{"seed": 0, "lr": 0.2}])) == []
    other = replace(one, cells=lambda long: [{"seed": 1, "lr": 0.1, "width": 3}])
    with pytest.raises(SystemExit, match="toy: its results have the columns seed, lr, loss"):
        stored.run(other, here / "runs")


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_cell_of_an_experiment_is_stored_for_three_seeds_at_least(name):
    experiment = find(name)
    assert experiment.name == name
    assert len(stored.rows_of(experiment)) == len(list(experiment.cells(False)))
    for claim in experiment.claims:
        assert len(claim.verdict(stored.rows_of(experiment)).numbers) >= 3
    assert list(experiment.cells(True))


def test_the_page_and_its_figures_are_those_of_the_stored_results():
    experiments = [find(name) for name in EXPERIMENTS]
    assert (page.DOCS / "neighbours.md").read_text() == page.page(experiments)
    pictures = {path.stem for path in (page.DOCS / page.PICTURES).iterdir()}
    assert pictures == {experiment.name for experiment in experiments}


def test_a_value_at_a_loss_lies_between_its_readings_in_the_logarithms():
    loss, values = [1.0, 0.4, 0.1, 0.2], [3.0, 8.0, 2.0, 9.0]
    assert first_at(loss, values, 0.2) == pytest.approx(4.0)
    assert first_at(loss, values, 0.01) == 9.0  # which it never comes down to


@pytest.mark.parametrize("path", sorted(CONFIGS.iterdir()), ids=lambda path: path.stem)
def test_a_config_loads_and_is_named_after_its_file(path):
    assert load_experiment(path).name == path.stem


def test_mirrored_blobs_are_told_by_their_halves_and_not_by_their_pixels():
    x, y = pooling_geometry.images("symmetry", 400, seed=0)
    same = (x == x.flip(-1)).float().mean((1, 2, 3))
    assert same[y == 1].mean() > 0.75 > 0.6 > same[y == 0].mean()
    white = (x > 0).float().mean((1, 2, 3))
    assert abs(float(white[y == 1].mean() - white[y == 0].mean())) < 0.01


def test_an_experiment_runs_in_small(tmp_path):
    cell = {"seed": 0, "task": "outline", "windows": "mirrored", "examples": 200, "epochs": 2}
    row = pooling_geometry.run(cell, Place(tmp_path))
    assert 0 < row["test_accuracy"] <= 1 and row["train_loss"] > 0
