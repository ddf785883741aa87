"""Images that cannot be read: few of many are left out and told, more are refused."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hptune.data import DataSpec, load
from hptune.data.inspect import inspect
from hptune.errors import InputError


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("many")
    for k, name in enumerate("ab"):
        (root / name).mkdir()
        for i in range(550):
            Image.new("L", (4, 4), (k * 100 + i) % 256).save(root / name / f"{i:03}.png")
    return root


@pytest.fixture
def damaged(many: Path):
    """The set, in which some images are replaced by something else, and put back after."""
    before: dict[Path, bytes] = {}

    def damage(name: str, content: bytes | Path) -> Path:
        path = many / name
        before[path] = path.read_bytes()
        path.unlink()
        if isinstance(content, Path):
            path.symlink_to(content)
        else:
            path.write_bytes(content)
        return many

    yield damage
    for path, content in before.items():
        path.unlink()
        path.write_bytes(content)


def huge() -> bytes:
    """Return a PNG file of 190 megapixels, as its header says."""
    head = b"IHDR" + struct.pack(">IIBBBBB", 19_000, 10_000, 8, 0, 0, 0, 0)
    return (
        PICTURE + struct.pack(">I", 13) + head + struct.pack(">I", zlib.crc32(head))
        + struct.pack(">I", 9) + b"IDAT" + bytes(13)
    )  # fmt: skip


def cut() -> bytes:
    """Return a PNG file that ends early; its header is whole."""
    file = io.BytesIO()
    Image.effect_noise((64, 64), 90).save(file, "PNG")
    return file.getvalue()[:-900]


PICTURE = b"\x89PNG\r\n\x1a\n"


@pytest.mark.parametrize(
    ("content", "reason", "storage"),
    [
        (b"", "empty", "memory"),
        (PICTURE + b"but no picture", "no image that Pillow reads", "memory"),
        (b"<html>404</html>", "no image that Pillow reads", "stream"),
        (Path("/nowhere/at/all.png"), "a link that leads nowhere", "memory"),
        (cut(), "image file is truncated", "memory"),
        (cut(), "image file is truncated", "stream"),
        (huge(), "more than the 179 megapixels that are read, scale it down", "memory"),
    ],
    ids=["empty", "damaged", "html", "link", "cut", "cut, streamed", "huge"],
)
def test_few_of_many_are_left_out_with_a_note(
    damaged, content, reason: str, storage: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("hptune.data.inspect.image_folder.SAMPLE", 2000)
    root = damaged("b/007.png", content)
    spec = DataSpec(name="image-folder", path=str(root), storage=storage, workers=0, cache=False)
    splits = load(spec)
    assert len(splits.train) + len(splits.validation) + len(splits.test) == 1099
    (note,) = splits.notes
    assert note.startswith(f"images that cannot be read, left out: 1 of 1,100 (b/007.png: {reason}")
    assert inspect(root).warnings == (note,) and not inspect(root).problems
    with pytest.raises(
        InputError, match=r"1 of 1,100 .*must be at most 0 of all; replace or remove"
    ):
        load(spec.change(unreadable=0))


def test_more_are_refused_with_names_count_and_remedy(damaged):
    for i in range(5):
        root = damaged(f"a/{i:03}.png", b"")
    spec = DataSpec(name="image-folder", path=str(root), cache=False)
    message = (
        r"5 of 1,100 \(a/000.png: empty, a/001.png: empty, a/002.png: empty and 2 more\).*0\.01"
    )
    with pytest.raises(InputError, match=message):
        load(spec)
    (problem,) = inspect(root).problems
    assert "5 of 1,100" in problem
    assert len(load(spec.change(unreadable=0.01)).notes) == 1


def test_none_that_can_be_read(tmp_path: Path):
    for name in "ab":
        (tmp_path / name).mkdir()
        (tmp_path / name / "0.jpg").write_bytes(b"?")
    for look in (inspect, lambda path: load(DataSpec(name="image-folder", path=str(path)))):
        with pytest.raises(InputError, match="2 of 2"):
            look(tmp_path)


def test_what_few_images_suggest_and_others_do_not_is_decided_by_all(tmp_path: Path):
    for name in "ab":
        (tmp_path / name).mkdir()
        for i in range(100):
            Image.new("L", (4, 4), i).save(tmp_path / name / f"{i:03}.png")
    odd = tmp_path / "b" / "001.png"
    Image.fromarray(np.full((4, 4), 65535, np.uint16)).save(odd)
    splits = load(DataSpec(name="image-folder", path=str(tmp_path), normalize="none", test=0))
    values = np.concatenate([s.inputs.numpy() for s in (splits.train, splits.validation)])
    assert values.max() == 1 and sorted(values.max((1, 2, 3)))[-2] == np.float32(99 / 255)
    assert "1 of 200 opened" in splits.notes[0]
