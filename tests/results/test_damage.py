"""A finished run whose files were cut short, emptied, overwritten or deleted ends right, or says so."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from hptune.cli import run
from hptune.results.run_dir import RunDir

ARGS = ["run", "--device", "cpu", "--stages", "lr-range,final", "--jobs", "1"]
for setting in (
    "training.epochs=2",
    "procedure.final.seeds=2",
    "procedure.budget=3",
    "data.subset=200",
    "model.args.hidden=[16]",
    "model.name=mlp",
):
    ARGS += ["--set", setting]

FILES = [
    "results.csv",
    "decisions.csv",
    "comparisons.json",
    "manifest.json",
    "timings.json",
    "experiment.yaml",
    "tuned.yaml",
    "curves/lr-range-*.csv",
    "curves/final-*.csv",
    "checkpoints/final-*.pt",
]
Damage = Callable[[bytes], bytes | None]


def cut(tenths: int) -> Damage:
    return lambda data: data[: len(data) * tenths // 10 - (tenths > 9)]


def overwritten(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + random.Random(0).randbytes(40) + data[middle + 40 :]


DAMAGES: dict[str, Damage] = {
    **{f"cut at {k} tenths": cut(k) for k in range(1, 11)},
    "emptied": lambda data: b"",
    "random": lambda data: random.Random(0).randbytes(len(data)),
    "overwritten": overwritten,
    "saved by a spreadsheet": lambda data: b"\xef\xbb\xbf" + data.replace(b"\n", b"\r\n"),
    "deleted": lambda data: None,
}
QUICK = [
    ("results.csv", "cut at 5 tenths"),
    ("results.csv", "cut at 10 tenths"),
    ("results.csv", "overwritten"),
    ("results.csv", "saved by a spreadsheet"),
    ("decisions.csv", "cut at 5 tenths"),
    ("decisions.csv", "random"),
    ("timings.json", "cut at 5 tenths"),
    ("manifest.json", "emptied"),
    ("experiment.yaml", "cut at 1 tenths"),
    ("curves/final-*.csv", "cut at 5 tenths"),
    ("curves/lr-range-*.csv", "random"),
    ("checkpoints/final-*.pt", "cut at 5 tenths"),
    ("checkpoints/final-*.pt", "overwritten"),
]


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("damage") / "run"
    with pytest.MonkeyPatch.context() as patch:
        no_report(patch)
        assert run([*ARGS, "--out", str(out), "--quiet"]) == 0
    return out


def no_report(patch: pytest.MonkeyPatch) -> None:
    """A page is drawn by its own tests."""
    patch.setattr("hptune.report.page.write_report", lambda *args, **kwargs: None)


@pytest.fixture
def copy(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    no_report(monkeypatch)
    return Path(shutil.copytree(finished, tmp_path / "run"))


def decided(path: Path) -> dict[str, object]:
    return {d.parameter: d.value for d in RunDir.open(path, write=False).decisions()}


def check(finished: Path, copy: Path, name: str, damage: str, capsys) -> str:
    """Damage a file of the copy, run again, and return what was told."""
    found = sorted(copy.glob(name))
    if not found:
        pytest.skip(f"this run wrote no {name}")
    path = found[0]
    data = DAMAGES[damage](path.read_bytes())
    if data is None:
        path.unlink()
    else:
        path.write_bytes(data)
    assert run(["show", str(copy)]) == 0
    shown = capsys.readouterr()
    assert "Traceback" not in shown.err
    assert not list(copy.rglob("*.damaged")), "a reader writes nothing"
    assert run([*ARGS, "--out", str(copy)]) == 0
    told = capsys.readouterr().err
    assert "Traceback" not in told
    assert decided(copy) == decided(finished)
    assert run([*ARGS, "--out", str(copy)]) == 0
    again = capsys.readouterr().err
    assert ".damaged" not in "".join(again.split()), "what is repaired is told once"
    return told


@pytest.mark.parametrize(("name", "damage"), QUICK)
def test_a_damaged_file_costs_what_it_held(
    finished: Path, copy: Path, name: str, damage: str, capsys
):
    told = check(finished, copy, name, damage, capsys)
    if damage != "saved by a spreadsheet":
        assert ".damaged" in "".join(told.split())
        assert list(copy.rglob("*.damaged"))


@pytest.mark.slow
@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", FILES)
def test_every_damage_to_every_file(finished: Path, copy: Path, name: str, damage: str, capsys):
    check(finished, copy, name, damage, capsys)


def test_a_table_that_a_spreadsheet_of_another_country_saved_is_read(
    finished: Path, copy: Path, capsys
):
    lines = (copy / "results.csv").read_text().splitlines()
    cells = [line.split(",") for line in lines]
    order = list(range(len(cells[0])))[::-1]
    text = "".join(
        ";".join([*(row[k].replace(".", ",") for k in order), "x"]) + "\r\n" for row in cells
    )
    (copy / "results.csv").write_bytes(b"\xef\xbb\xbf" + text.encode())
    with RunDir.open(copy) as opened:
        rows = opened.rows()
    with RunDir.open(finished, write=False) as whole:
        wanted = whole.rows()
    for row, want in zip(rows, wanted, strict=True):
        assert {k: row[k] for k in ("trial", "lr", "val_loss", "status")} == {
            k: want[k] for k in ("trial", "lr", "val_loss", "status")
        }
    assert run([*ARGS, "--out", str(copy)]) == 0
    assert not list(copy.rglob("*.damaged*"))
    assert decided(copy) == decided(finished)


def test_a_row_edited_by_hand_is_not_taken_for_its_trial(finished: Path, copy: Path, capsys):
    path = copy / "results.csv"
    header, *lines = path.read_text().splitlines()
    cells = lines[-1].split(",")
    cells[header.split(",").index("lr")] = "0.5"
    path.write_text("\n".join([header, *lines[:-1], ",".join(cells)]) + "\n")
    assert run([*ARGS, "--out", str(copy)]) == 0
    told = " ".join(capsys.readouterr().err.split())
    assert "lr is 0.5 in the row of final-" in told
    assert decided(copy) == decided(finished)


def test_an_id_that_leads_out_of_the_directory_is_no_path(copy: Path, tmp_path: Path, capsys):
    precious = tmp_path / "precious.pt"
    precious.write_text("mine")
    path = copy / "results.csv"
    lines = path.read_text().splitlines()
    cells = lines[-1].split(",")
    cells[0] = "../../precious"
    path.write_text("\n".join([*lines, ",".join(cells)]) + "\n")
    assert run(["show", str(copy)]) == 0 and run(["report", str(copy)]) != 130
    capsys.readouterr()
    assert run([*ARGS, "--out", str(copy), "--restart"]) == 0
    assert "1 line cannot be trusted" in " ".join(capsys.readouterr().err.split())
    assert precious.read_text() == "mine"


def test_opening_removes_only_what_hptune_left_unfinished(copy: Path):
    own = [copy / "results.csv.12.hptune.part", copy / "snapshots" / "0a1b2c3d@40.pt.9.hptune.part"]
    theirs = [copy / "movies" / "film.mkv.part", copy / "notes.12.part", copy / "x.csv.3.part"]
    for path in (*own, *theirs):
        path.parent.mkdir(exist_ok=True)
        path.write_text("half")
    with RunDir.open(copy):
        assert not any(path.exists() for path in own)
    assert all(path.exists() for path in theirs)
