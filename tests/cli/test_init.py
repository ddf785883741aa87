"""`hptune init`: what it writes runs as it is, and it never writes over a user's work."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from hptune.cli import run
from hptune.config.load import load_experiment


def picture_folder(root: Path, size: int = 12, step: int = 0) -> None:
    """Write two classes of colour images, the second of them rare; sizes differ with a step."""
    rng = np.random.default_rng(0)
    for name, level, count in (("dull", 40, 90), ("bright 'n' new", 150, 20)):
        (root / name).mkdir(parents=True)
        for i in range(count):
            pixels = level + rng.integers(0, 80, (size + step * (i % 3), size, 3))
            Image.fromarray(pixels.astype(np.uint8)).save(root / name / f"{i}.png")


def write_npz(path: Path) -> None:
    rng = np.random.default_rng(0)
    y = np.arange(120) % 2
    x = (y[:, None, None] * 90 + rng.integers(0, 100, (120, 8, 8))).astype(np.uint8)
    np.savez(path, x_train=x, y_train=y, x_test=x[:30], y_test=y[:30])


def write_csv(path: Path) -> None:
    rng = np.random.default_rng(0)
    a, colour = rng.normal(size=120), rng.choice(["red", "blue"], 120)
    y = 3 * a + (colour == "red") + rng.normal(size=120) / 9
    table = pd.DataFrame({"id": range(120), "a": a, "colour": colour, "price": y})
    table.to_csv(path, index=False)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def check_and_run(here: Path, name: str) -> list[dict[str, str]]:
    """Return the rows of the final run that was decided on: of its four seeds."""
    assert run(["check", "--quiet", "--device", "cpu"]) == 0
    assert run(["run", "--quiet", "--device", "cpu"]) == 0
    with (here / "runs" / name / "results.csv").open() as file:
        return [row for row in csv.DictReader(file) if row["test_loss"]]


def test_a_folder_of_images_runs_unchanged(here: Path):
    picture_folder(here / "lamps")
    assert run(["init", "lamps"]) == 0
    final = check_and_run(here, "lamps")
    assert len(final) == 4 and all(float(row["test_accuracy"]) > 0.7 for row in final)
    assert all(row["val_f1_score"] for row in final)


def test_an_npz_runs_unchanged(here: Path):
    write_npz(here / "x.npz")
    assert run(["init", "x.npz"]) == 0
    final = check_and_run(here, "x")
    assert len(final) == 4 and all(float(row["test_accuracy"]) > 0.9 for row in final)


def test_a_csv_runs_unchanged(here: Path):
    write_csv(here / "houses.csv")
    assert run(["init", "houses.csv"]) == 0
    final = check_and_run(here, "houses")
    assert len(final) == 4 and all(float(row["test_r2_score"]) > 0.9 for row in final)


@pytest.mark.slow
def test_larger_images_run_unchanged(here: Path):
    picture_folder(here / "lamps", 20, 3)
    assert run(["init", "lamps"]) == 0
    assert load_experiment(Path("hptune.yaml")).model.name == "resnet-20"
    assert check_and_run(here, "lamps")


@pytest.mark.parametrize(
    ("size", "step"),
    [(20, 3), (33, 0), (7, 1), pytest.param(130, 0, marks=pytest.mark.slow)],
)
def test_images_of_any_size_pass_check(here: Path, size: int, step: int):
    picture_folder(here / "lamps", size, step)
    assert run(["init", "lamps", "--quiet"]) == 0
    assert run(["check", "--quiet", "--device", "cpu"]) == 0


def test_without_a_path_it_is_the_digits(here: Path, capsys):
    assert run(["init"]) == 0
    assert "next: hptune check, then hptune run" in capsys.readouterr().out
    assert run(["check", "--device", "cpu"]) == 0
    shown = capsys.readouterr()
    assert "hptune.yaml" in shown.err and "digits" in shown.out


def test_every_line_has_its_reason_and_what_was_found_stands_on_top(here: Path):
    picture_folder(here / "lamps", 20, 3)
    assert run(["init", "lamps", "--quiet"]) == 0
    text = (here / "hptune.yaml").read_text()
    for part in ("110 images in 2 class folders", "20x20 to 20x26", "imbalanced", "hptune check"):
        assert part in text
    experiment = load_experiment(Path("hptune.yaml"))
    assert experiment.data.resize == 20 and experiment.data.flip and experiment.data.crop == 2
    assert experiment.metrics == ("accuracy", "f1_score")
    assert experiment.hyper_parameters.batch_size is None


def test_characters_and_grey_images_are_not_mirrored(here: Path):
    rng = np.random.default_rng(0)
    for k in range(3):
        (here / "signs" / str(k)).mkdir(parents=True)
        for i in range(9):
            pixels = rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(here / "signs" / str(k) / f"{i}.png")
    assert run(["init", "signs", "--quiet"]) == 0
    assert not load_experiment(Path("hptune.yaml")).data.flip


@pytest.mark.parametrize(
    ("name", "flip"), [("turn-left", False), ("Right", False), ("leftover", True)]
)
def test_classes_that_tell_left_from_right_are_not_mirrored(here: Path, name: str, flip: bool):
    picture_folder(here / "signs")
    (here / "signs" / "dull").rename(here / "signs" / name)
    assert run(["init", "signs", "--quiet"]) == 0
    assert load_experiment(Path("hptune.yaml")).data.flip is flip


def test_a_csv_says_what_it_predicts_and_leaves_out(here: Path, capsys):
    write_csv(here / "houses.csv")
    assert run(["init", "houses.csv"]) == 0
    shown = capsys.readouterr().out
    for part in ("price, by its name", "regression", "'id' is left out: a running number"):
        assert part in shown
    assert run(["init", "houses.csv", "--target", "colour", "--force", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["settings"]["data"]["target"] == "colour"
    assert document["found"]["kind"] == "classification"
    assert set(document["found"]["classes"]) == {"red", "blue"}
    assert document["config"] == "hptune.yaml"


def test_it_never_overwrites_without_force(here: Path, capsys):
    (here / "hptune.yaml").write_text("mine")
    assert run(["init"]) == 2
    assert "--force" in capsys.readouterr().err
    assert (here / "hptune.yaml").read_text() == "mine"
    assert run(["init", "--force", "--quiet"]) == 0
    assert load_experiment(Path("hptune.yaml")).name == "digits"


@pytest.mark.parametrize("output", ["other.yaml", "configs/other.yaml"])
def test_paths_are_found_from_the_configs_folder(here: Path, output: str, monkeypatch, capsys):
    write_csv(here / "houses.csv")
    assert run(["init", "houses.csv", "--output", output]) == 0
    assert f"hptune run {output}" in capsys.readouterr().out
    monkeypatch.chdir("/")
    assert load_experiment(here / output).data.path == str(here / "houses.csv") or (
        Path(load_experiment(here / output).data.path or "").resolve() == here / "houses.csv"
    )


def test_what_the_reader_would_refuse_is_told_and_nothing_is_written(here: Path, capsys):
    picture_folder(here / "lamps")
    (here / "lamps" / "dull" / "7.png").write_bytes(b"")
    assert run(["init", "lamps"]) == 2
    shown = capsys.readouterr()
    assert "7.png" in shown.err and shown.err.count("\n") == 1 and "110 images" in shown.out
    assert not (here / "hptune.yaml").exists()
    assert run(["init", "lamps", "--json"]) == 2
    document = json.loads(capsys.readouterr().out)
    assert document["config"] is None and "7.png" in document["found"]["problems"][0]


@pytest.mark.parametrize("name", ["2024", "a # b: [c]", "true", "ünï", "1e3", "it's"])
def test_any_name_of_folder_classes_and_columns(here: Path, name: str):
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"a": rng.normal(size=60), name: np.arange(60) % 2, "k, ]": 1})
    (here / name).mkdir()
    table.to_csv(here / name / f"{name}.csv", index=False)
    assert run(["init", f"{name}/{name}.csv", "--target", name, "--quiet"]) == 0
    experiment = load_experiment(Path("hptune.yaml"))
    assert (experiment.data.target, experiment.data.drop) == (name, ("k, ]",))
    assert run(["check", "--quiet", "--device", "cpu"]) == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["none"], "PATH"),
        (["--target", "y"], "give its PATH too"),
        (["lamps", "--target", "y"], "for a csv alone"),
        (["--output", "file/x.yaml"], "--output"),
    ],
)
def test_wrong_input_is_one_line(here: Path, words: list[str], message: str, capsys):
    (here / "lamps").mkdir()
    (here / "file").write_text("")
    assert run(["init", *words]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


def test_60000_files_are_looked_at_in_seconds(here: Path):
    import time

    picture_folder(here / "many", 8)
    content = (here / "many" / "dull" / "0.png").read_bytes()
    for i in range(100, 20_000):
        (here / "many" / "dull" / f"{i}.png").write_bytes(content)
    begin = time.monotonic()
    assert run(["init", "many", "--quiet"]) == 0
    assert time.monotonic() - begin < 15
