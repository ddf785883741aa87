"""The cache: in the user's cache folder alone, bounded, and never in the way."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from hptune.cli import run
from hptune.data import DataSpec, Splits, load
from hptune.data.readers import cache


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HPTUNE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def make(tmp_path: Path) -> Callable[[str], DataSpec]:
    def made(name: str, size: int = 16) -> DataSpec:
        for k in "ab":
            (tmp_path / name / k).mkdir(parents=True)
            for i in range(12):
                Image.effect_noise((size, size), 50).save(tmp_path / name / k / f"{i}.png")
        return DataSpec(name="image-folder", path=str(tmp_path / name))

    return made


def snapshot(root: str) -> list[tuple[str, int]]:
    return sorted((str(path), path.stat().st_mtime_ns) for path in Path(root).rglob("*"))


def whence(splits: Splits) -> str:
    return str(splits.record["cache"])


def test_the_users_folder_stays_as_it_was(folder: Path, make):
    from torchvision.datasets import ImageFolder

    spec = make("set")
    before = snapshot(spec.path)
    assert whence(load(spec)) == "written" and whence(load(spec)) == "read"
    assert snapshot(spec.path) == before
    assert ImageFolder(spec.path).classes == ["a", "b"]
    assert len(list(folder.iterdir())) == 2


@pytest.mark.parametrize(
    ("own", "xdg", "expected"),
    [("/own", "/xdg", "/own"), ("", "/xdg", "/xdg/hptune"), ("", "", "/home/me/.cache/hptune")],
)
def test_where_it_is(monkeypatch: pytest.MonkeyPatch, own: str, xdg: str, expected: str):
    monkeypatch.setenv("HPTUNE_CACHE", own)
    monkeypatch.setenv("XDG_CACHE_HOME", xdg)
    monkeypatch.setenv("HOME", "/home/me")
    assert cache.folder() == Path(expected)


def test_the_survey_is_kept_for_other_sizes_and_for_streams(folder: Path, make, monkeypatch):
    spec = make("set")
    load(spec)
    streamed = spec.change(storage="stream", workers=0)
    monkeypatch.setattr("hptune.data.readers.image_folder.look_at_images", None)  # opens none
    assert whence(load(spec)) == "read"
    assert whence(load(streamed)) == "streamed"


def test_another_resize_is_another_entry(folder: Path, make):
    spec = make("set")
    assert load(spec).input_shape == (1, 16, 16)
    assert load(spec.change(resize=8)).input_shape == (1, 8, 8)
    assert load(spec.change(resize=8)).record["cache"] == load(spec).record["cache"] == "read"


def test_images_that_cannot_be_read_are_told_from_the_cache_too(folder: Path, make):
    spec = make("set").change(unreadable=0.1)
    (Path(spec.path) / "a" / "3.png").write_bytes(b"")
    first, second = load(spec), load(spec)
    assert first.notes == second.notes and "1 of 24" in first.notes[0]
    assert second.record["cache"] == "read"
    assert first.record["fingerprint"] == second.record["fingerprint"]


def test_what_was_not_used_for_longest_goes_first(folder: Path, make, monkeypatch):
    specs = [make(name, 256) for name in ("one", "two", "three")]
    size = 24 * 256 * 256
    monkeypatch.setenv("HPTUNE_CACHE_GIB", str(2.5 * size / 2**30))
    for age, spec in enumerate(specs[:2]):
        load(spec)
        for entry in cache.entries():
            if entry.source == str(Path(spec.path).resolve()):
                os.utime(entry.path, (age, age))
    assert whence(load(specs[0])) == "read"  # so that the second is the oldest
    load(specs[2])
    assert [whence(load(spec)) for spec in (specs[0], specs[2])] == ["read", "read"]
    assert sum(entry.size for entry in cache.entries()) <= 2.5 * size
    assert whence(load(specs[1])) == "written"


def test_what_does_not_fit_is_not_kept_and_told(folder: Path, make, monkeypatch):
    spec = make("set", 256)
    monkeypatch.setenv("HPTUNE_CACHE_GIB", "0.001")
    splits = load(spec)
    assert whence(splits) == "not writable" and "of HPTUNE_CACHE_GIB" in splits.notes[0]
    monkeypatch.setenv("HPTUNE_CACHE_GIB", "0")
    assert (whence(load(spec)), load(spec).notes) == ("off", ())
    assert load(spec.change(cache=False)).record["cache"] == "off"


def test_a_folder_that_cannot_be_written_and_a_full_disk(folder: Path, make, monkeypatch):
    spec = make("set")
    folder.write_text("a file in its place")
    splits = load(spec)
    assert whence(splits) == "not writable"
    assert "decoded again at each start" in splits.notes[0] and "HPTUNE_CACHE" in splits.notes[0]
    folder.unlink()

    def full(*args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("hptune.data.readers.cache.os.fsync", full)
    splits = load(spec)
    assert "No space left on device" in splits.notes[0] and not list(folder.iterdir())


def test_a_disk_that_is_nearly_full_is_not_filled(folder: Path, make, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=2**29))
    splits = load(make("set"))
    assert "has 512 MiB free" in splits.notes[0] and not list(folder.iterdir())


def test_two_processes_at_once(folder: Path):
    code = """
import sys
from pathlib import Path
from hptune.data.readers import cache
for k in range(50):
    content = sys.argv[1].encode() * 100_000
    told = cache.write("k", lambda file: file.write(content), source=Path("/"), what="x", size=9)
    read = cache.read("k", lambda file: file.read())
    assert not told and len(read) == 100_000 and len(set(read)) == 1, (told, read[:9])
"""
    both = [subprocess.Popen([sys.executable, "-c", code, word]) for word in "ab"]
    assert [process.wait() for process in both] == [0, 0]
    assert len(list(folder.iterdir())) == 1


def test_what_killed_writers_left_goes(folder: Path, make):
    folder.mkdir()
    left, fresh = (folder / f"x.{pid}.part.hptune" for pid in (1, 2))
    for path in (left, fresh):
        path.write_bytes(b"half")
    os.utime(left, (0, 0))
    load(make("set"))
    assert not left.exists() and fresh.exists()


def test_the_command_shows_and_clears(folder: Path, make, capsys):
    spec = make("set")
    load(spec)
    (folder / "mine.txt").write_text("not hptune's")
    assert run(["cache"]) == 0
    shown = capsys.readouterr().out
    assert f"{folder}: 2 entries" in shown and "of at most 10 GiB" in shown
    assert f"24 images of 1x16x16, {spec.path}" in shown
    assert run(["cache", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert len(document["entries"]) == 2 and document["folder"] == str(folder)
    assert run(["cache", "--clear"]) == 0
    assert "removed 2 entries" in capsys.readouterr().out
    assert [path.name for path in folder.iterdir()] == ["mine.txt"]
    assert run(["cache"]) == 0


def test_a_bound_that_is_no_number_is_one_line(folder: Path, monkeypatch, capsys):
    monkeypatch.setenv("HPTUNE_CACHE_GIB", "much")
    assert run(["cache"]) == 2
    assert "HPTUNE_CACHE_GIB: 'much'; must be" in capsys.readouterr().err


def test_entries_hold_what_was_decoded(folder: Path, make):
    spec = make("set").change(normalize="none")
    first = load(spec).train.inputs
    assert np.array_equal(load(spec).train.inputs, first)
