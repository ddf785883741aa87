"""Wrong input of many kinds: exit code 2, one clear line, no traceback, nothing lost."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from hptune.cli import run


def folder(root: Path, classes: int = 2, each: int = 6) -> Path:
    for k in range(classes):
        (root / str(k)).mkdir(parents=True)
        for i in range(each):
            Image.new("RGB", (8, 8), (k * 90, i * 20, 3)).save(root / str(k) / f"{i}.png")
    return root


def corrupt(root: Path) -> None:
    (folder(root) / "0" / "3.png").write_bytes(b"\x89PNG\r\n\x1a\n but no picture")


def mixed_sizes(root: Path) -> None:
    Image.new("RGB", (9, 8)).save(folder(root) / "1" / "x.png")


def csv(**changes: object) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        rng = np.random.default_rng(0)
        table = pd.DataFrame({"a": rng.normal(size=40), "b": rng.normal(size=40), "y": [0, 1] * 20})
        for column, value in changes.items():
            table.loc[3, column] = value
        table.to_csv(path, index=False)

    return make


def npz(**arrays: np.ndarray) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        with path.open("wb") as file:
            np.savez(file, **arrays)

    return make


def text(content: str) -> Callable[[Path], None]:
    return lambda path: path.write_text(content) and None


X, Y = np.zeros((20, 4), dtype=np.float32), np.arange(20) % 2
FOLDER = "--set data.name=image-folder --set data.path=d"
CSV = "--set data.name=csv --set data.path=d --set data.target=y"
NPZ = "--set data.name=npz --set data.path=d"

# (what is at ./d, the command line, what the line must say)
CASES: dict[str, tuple[Callable[[Path], None] | None, str, str]] = {
    "unknown command": (None, "lrfind", "did you mean 'lr-find'"),
    "unknown option": (None, "run --sedd 3", "--sedd"),
    "absent config": (None, "check nowhere.yaml", "must be a YAML file that can be read"),
    "config is a folder": (lambda p: p.mkdir(), "check d", "must be a YAML file"),
    "config is no YAML": (text("a: [1"), "check d", "must be valid YAML"),
    "config is a list": (text("- 1"), "check d", "must be keys with values"),
    "misspelt section": (text("modle: {}"), "check d", "did you mean 'model'"),
    "misspelt key": (None, "check --set training.epoch=3", "did you mean 'epochs'"),
    "wrong type": (None, "check --set training.epochs=lots", "must be a valid number"),
    "value out of range": (None, "check --set training.epochs=0", "must be greater than 0"),
    "momentum above 1": (
        None,
        "check --set hyper_parameters.momentum=1.5",
        "less than or equal to 1",
    ),
    "set without a value": (None, "check --set seed", "must be KEY.PATH=VALUE"),
    "set into a value": (None, "check --set name.x=1", "holds a value, no section"),
    "unknown data": (None, "check --set data.name=digit", "did you mean 'digits'"),
    "unknown model": (None, "check --set model.name=reznet-20", "did you mean 'resnet-20'"),
    "unknown model argument": (None, "check --set model.args.hiden=[3]", "takes dropout, hidden"),
    "unknown policy": (None, "check --set policy.name=1cycel", "did you mean '1cycle'"),
    "policy of a loop of one's own": (None, "check --set policy.name=own", "must be of 1cycle"),
    "unknown policy argument": (None, "check --set policy.args.step=3", "did you mean 'stepsize'"),
    "unknown policy on train": (None, "train --policy onecycle --lr 0.1", "policy: 'onecycle'"),
    "unknown optimizer": (None, "check --set optimizer.name=sdg", "did you mean 'sgd'"),
    "unknown optimizer argument": (
        None,
        "check --set optimizer.args.beta=1",
        "has no such argument",
    ),
    "rule without a match": (
        None,
        "check --set optimizer.rules=[{match: head.x}]",
        "must match a parameter",
    ),
    "unknown loss": (None, "check --set loss=hinge", "must be one of auto"),
    "unknown metric": (None, "check --set metrics=[acuracy]", "a class of torchmetrics"),
    "loss for other data": (None, "check --set loss=mse", "needs numbers"),
    "unknown device": (None, "check --device gpu", "must be auto, cpu, cuda"),
    "absent device": (None, "check --device cuda:99", "use --device cpu"),
    "fp16 on a CPU": (
        None,
        "check --device cpu --set training.precision=fp16",
        "needs a CUDA device",
    ),
    "batch larger than the data": (
        None,
        "train --lr 0.1 --batch-size 5000",
        "must not exceed the 1297 training examples",
    ),
    "accumulate that does not divide": (
        None,
        "train --lr 0.1 --set training.accumulate=7",
        "must divide the batch size",
    ),
    "negative LR": (None, "train --lr -1", "--lr"),
    "unknown stage": (None, "run --stages momentm", "must be of optimizer, lr-range"),
    "sweep of no such key": (None, "sweep model.hidden --values 1,2", "there is no such key"),
    "sweep without values": (None, "sweep model.args.hidden", "give --values"),
    "sweep values of text": (None, "sweep wd --values a,b", "must be a valid number"),
    "sweep of a batch beyond the data": (None, "sweep batch-size --values 9999", "must not exceed"),
    "dropout without a dropout layer": (
        None,
        "check --set model.name=resnet-20 --set model.dropout=0.5",
        "has no dropout layer",
    ),
    "tabular data to a conv net": (
        csv(),
        f"check {CSV} --set model.name=resnet-20",
        "needs images",
    ),
    "absent folder": (None, f"check {FOLDER}", "must be a folder of images that exists"),
    "empty folder": (lambda p: p.mkdir(), f"check {FOLDER}", "folder of images for each class"),
    "class folders without images": (
        lambda p: (p / "a").mkdir(parents=True),
        f"check {FOLDER}",
        "it holds no images",
    ),
    "a single class": (lambda p: folder(p, classes=1), f"check {FOLDER}", "needs at least 2"),
    "a class of one image beside another": (
        lambda p: Image.new("RGB", (8, 8)).save(
            (folder(p, classes=1) / "z").mkdir() or p / "z" / "0.png"
        ),
        f"check {FOLDER}",
        "at least 2 of each class",
    ),
    "a corrupt image": (corrupt, f"check {FOLDER}", "3.png: no image that Pillow reads"),
    "images of several sizes": (mixed_sizes, f"check {FOLDER}", "set data.resize"),
    "too large a subset": (None, "check --set data.subset=99999", "must lie between 1 and the"),
    "absent csv": (None, f"check {CSV}", "must be a csv that exists"),
    "a spreadsheet for a csv": (text("PK\x03\x04"), f"check {CSV}", "save the table as csv"),
    "absent target": (csv(), f"check {CSV.replace('=y', '=yy')}", "did you mean 'y'"),
    "a csv of nothing": (text(""), f"check {CSV}", "is not a csv with a header"),
    "npz without arrays": (npz(z=X), f"check {NPZ}", "must hold x and y"),
    "npz of other lengths": (npz(x=X, y=Y[:9]), f"check {NPZ}", "must be as many"),
    "npz with NaN": (npz(x=X * np.nan, y=Y), f"check {NPZ}", "are not finite"),
    "npz that is none": (text("x"), f"check {NPZ}", "not an npz"),
    "own data that is not there": (None, "check --set data.name=nowhere:f", "cannot be imported"),
    "own model that is not there": (None, "check --set model.name=nowhere:f", "cannot be imported"),
    "absent torchvision set": (
        None,
        "check --set data.name=svhn --set data.root=r",
        "data.download",
    ),
    "out is a file": (text(""), "check --out d", "must be a folder that can be written"),
    "show of no run": (None, "show nowhere", "no such run directory"),
    "show without any": (None, "show", "none under runs/"),
    "show of no such stage": (
        lambda p: p.mkdir(),
        "show d --stage momentm",
        "must be one of optimizer, lr-range",
    ),
    "diagnose of no file": (None, "diagnose nowhere.csv", "must be a CSV with a header"),
    "policy series without a length": (None, "policies 1cycle --csv", "--iterations"),
    "policy of no such name": (None, "policies 1cycl --iterations 5", "did you mean '1cycle'"),
    "policy argument without a value": (
        None,
        "policies 1cycle --iterations 5 --set stepsize",
        "must be KEY.PATH=VALUE",
    ),
}


def split(line: str) -> list[str]:
    """Split a command line at spaces outside brackets."""
    words, depth, word = [], 0, ""
    for c in line:
        depth += (c in "[{") - (c in "]}")
        if c == " " and depth == 0:
            words.append(word)
            word = ""
        else:
            word += c
    return [*words, word]


@pytest.mark.parametrize("name", CASES)
def test_wrong_input(name: str, tmp_path: Path, monkeypatch, capsys: pytest.CaptureFixture[str]):
    make, line, expected = CASES[name]
    monkeypatch.chdir(tmp_path)
    if make is not None:
        make(tmp_path / "d")
    code = run(split(line))
    shown = capsys.readouterr()
    errors = [text for text in shown.err.splitlines() if text.startswith("error: ")]
    assert code == 2, shown.err
    assert len(errors) == 1 and shown.err.splitlines()[-1] == errors[0]
    assert expected in errors[0]
    assert "Traceback" not in shown.err


def test_there_are_enough_kinds():
    assert len(CASES) >= 40


def test_a_model_whose_output_does_not_fit_the_classes(tmp_path: Path, monkeypatch, capsys):
    (tmp_path / "misfit.py").write_text(
        "from torch import nn\n"
        "def three(): return nn.Sequential(nn.Flatten(), nn.Linear(64, 3))\n"
        "def breaks(): return nn.Sequential(nn.Flatten(), nn.Linear(63, 10))\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    assert run(["check", "--set", "model.name=misfit:three"]) == 2
    assert "(64, 3); must be (64, 10) for 10 classes" in capsys.readouterr().err
    assert run(["check", "--set", "model.name=misfit:breaks"]) == 2
    assert "fails on a batch of shapes (64, 1, 8, 8), (64,)" in capsys.readouterr().err


def test_a_locked_directory_is_refused_and_unharmed(tmp_path: Path, capsys):
    hold = (
        "from pathlib import Path; from hptune.results.run_dir import RunDir; import sys\n"
        "run = RunDir.open(Path(sys.argv[1])); print('held', flush=True); sys.stdin.read()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", hold, str(tmp_path)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    process.stdout.readline()
    assert run(["train", "--lr", "0.1", "--out", str(tmp_path)]) == 2
    assert "is in use by another hptune" in capsys.readouterr().err
    process.communicate("")


def test_a_directory_of_another_experiment_is_refused(tmp_path: Path, capsys):
    short = ["--out", str(tmp_path), "--set", "training.epochs=1", "--quiet"]
    assert run(["train", "--lr", "0.1", *short]) == 0
    before = (tmp_path / "results.csv").read_bytes()
    assert run(["train", "--lr", "0.1", *short, "--set", "model.args.hidden=[9]"]) == 2
    assert "holds a run with another model section" in capsys.readouterr().err
    assert (tmp_path / "results.csv").read_bytes() == before


def test_a_timings_file_that_is_broken_is_told(tmp_path: Path, capsys):
    (tmp_path / "timings.json").write_text("no json")
    assert run(["run", "--dry-run", "--out", str(tmp_path)]) == 0
    assert "timings.json: cannot be read" in capsys.readouterr().err
