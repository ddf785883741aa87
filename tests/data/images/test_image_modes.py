"""Every mode that Pillow opens lands in the right range, by one rule for all images of a set."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hptune.data import DataSpec, Splits, load
from hptune.data.images.decode import Decoding, decode
from hptune.data.inspect import inspect
from hptune.errors import InputError

# A class is bright on the left, the other on the right.
LEVELS = [
    np.kron([[200, 60], [200, 20]], np.ones((4, 4))),
    np.kron([[60, 200], [20, 200]], np.ones((4, 4))),
]
Maker = Callable[[np.ndarray], Image.Image]


def fill(root: Path, make: Maker, *, each: int = 8, suffix: str = ".png", begin: int = 0) -> Path:
    for name, levels in zip("ab", LEVELS, strict=True):
        (root / name).mkdir(parents=True, exist_ok=True)
        for i in range(begin, begin + each):
            make(levels).save(root / name / f"{i}{suffix}")
    return root


def read(root: Path) -> Splits:
    """Load a folder as it is, of which `init` must say what the reader does."""
    splits = load(DataSpec(name="image-folder", path=str(root), normalize="none", cache=False))
    assert inspect(root).warnings == splits.notes
    return splits


def images_of(splits: Splits) -> dict[str, np.ndarray]:
    """Return one image of each class, from 0 to 1."""
    x, y = next(splits.train.batches(len(splits.train)))
    return {name: x[y == k][0].numpy() for k, name in enumerate(splits.classes)}


def alpha(level: int) -> Maker:
    """Images that are drawn in their alpha channel, over one grey level."""

    def make(levels: np.ndarray) -> Image.Image:
        pixels = np.full((*levels.shape, 4), level, dtype=np.uint8)
        pixels[..., 3] = levels
        return Image.fromarray(pixels)

    return make


def grey(levels: np.ndarray) -> Image.Image:
    return Image.fromarray(levels.astype(np.uint8))


def big_endian(levels: np.ndarray) -> Image.Image:
    data = (levels * 257).astype(">u2").tobytes()
    return Image.frombytes("I;16B", levels.shape[::-1], data)


@pytest.mark.parametrize(
    ("make", "suffix", "top"),
    [
        (lambda v: Image.fromarray((v * 257).astype(np.uint16)), ".png", 255),
        (lambda v: Image.fromarray((v * 16).astype(np.uint16)), ".png", 4095 / 16),  # of 12 bits
        (lambda v: Image.fromarray((v * 257).astype(np.int32)), ".tif", 255),
        (big_endian, ".tif", 255),
        (lambda v: Image.fromarray(v.astype(np.float32) / 255), ".tif", 255),
        (lambda v: Image.fromarray(v.astype(np.float32)), ".tif", 255),
        (lambda v: grey(v).quantize(8), ".png", 255),
        (lambda v: grey(v).convert("RGB"), ".webp", 255),
    ],
    ids=["uint16", "12 bits", "int32", "big-endian", "0 to 1", "floats", "palette", "webp"],
)
def test_brightness_is_kept_at_any_depth(tmp_path: Path, make: Maker, suffix: str, top: float):
    found = images_of(read(fill(tmp_path, make, suffix=suffix)))
    for name, levels in zip("ab", LEVELS, strict=True):
        np.testing.assert_allclose(found[name][0], levels / top, atol=0.02)


def test_a_set_of_mixed_depths_has_one_scale(tmp_path: Path):
    fill(tmp_path, grey)
    fill(tmp_path, lambda v: Image.fromarray((v * 16).astype(np.uint16)), begin=8)
    fill(tmp_path, lambda v: Image.fromarray((v * 16 / 4).astype(np.uint16)), begin=16)  # darker
    splits = read(tmp_path)
    x, _ = next(splits.train.batches(len(splits.train)))
    brightest = {round(float(image.max()), 2) for image in x}
    assert splits.input_shape == (1, 8, 8) and brightest == {0.78, 0.2}
    (note,) = splits.notes
    assert (
        "32 of 48 opened; 0 to 4095 become 0 to 1 in all of them, as 0 to 255 in those of 8" in note
    )


def test_negative_values_are_scaled_by_all_that_there_are(tmp_path: Path):
    splits = read(
        fill(tmp_path, lambda v: Image.fromarray(v.astype(np.float32) * 40 - 1000), suffix=".tif")
    )
    x, _ = next(splits.train.batches(len(splits.train)))
    assert (
        (x.min(), x.max()) == (0, 1)
        and "-1000" not in splits.notes[0]
        and "-200 to 7000" in splits.notes[0]
    )


def test_values_that_are_no_numbers_name_the_file(tmp_path: Path):
    fill(tmp_path, lambda v: Image.fromarray(v.astype(np.float32)), suffix=".tif")
    Image.fromarray(np.full((8, 8), np.nan, np.float32)).save(tmp_path / "a" / "3.tif")
    with pytest.raises(InputError, match=r"1 of 16 \(a/3\.tif: holds values that are not finite\)"):
        read(tmp_path)


@pytest.mark.parametrize(
    ("levels", "background"),
    [
        ([0], "white"),
        ([255], "black"),
        ([0, 255], "grey (128 of 255)"),
        ([0, 128, 255], "grey (64 of 255)"),
    ],
)
def test_images_that_are_in_their_alpha_channel_show(
    tmp_path: Path, levels: list[int], background: str
):
    for i, level in enumerate(levels):
        fill(tmp_path, alpha(level), begin=8 * i)
    splits = read(tmp_path)
    x, _ = next(splits.train.batches(len(splits.train)))
    assert float((x.amax((1, 2, 3)) - x.amin((1, 2, 3))).min()) > 0.1
    assert f"transparent parts, laid on {background}: {16 * len(levels)} of" in splits.notes[0]


def test_opaque_alpha_channels_change_nothing(tmp_path: Path):
    splits = read(fill(tmp_path, lambda v: grey(v).convert("RGBA")))
    np.testing.assert_allclose(images_of(splits)["a"], np.stack([LEVELS[0] / 255] * 3), atol=1e-6)
    assert splits.notes == ()


def test_grey_with_alpha_and_palettes_with_a_transparent_colour(tmp_path: Path):
    assert read(fill(tmp_path / "la", lambda v: alpha(0)(v).convert("LA"))).input_shape == (1, 8, 8)

    def make(levels: np.ndarray) -> Image.Image:
        image = Image.fromarray((levels > 100).astype(np.uint8)).convert("P")
        image.putpalette([0, 0, 0, 10, 0, 0])
        image.info["transparency"] = 0
        return image

    found = images_of(read(fill(tmp_path / "p", make)))
    assert found["a"][:, 0, 0].max() < 0.05 and found["a"][:, 0, -1].min() == 1


def test_a_grey_set_with_an_image_in_colour_is_read_in_colour(tmp_path: Path):
    fill(tmp_path, grey)
    Image.new("RGB", (8, 8), "red").save(tmp_path / "b" / "red.png")
    splits = read(tmp_path)
    assert splits.input_shape == (3, 8, 8)
    assert splits.notes == ("grey images, read in colour as the others are: 16 of 17 opened",)


@pytest.mark.parametrize("mode", ["CMYK", "YCbCr", "1", "HSV"])
def test_other_modes(tmp_path: Path, mode: str):
    def make(levels: np.ndarray) -> Image.Image:
        image = grey(np.where(levels > 100, 255, 0)).convert("RGB")
        return image.convert(mode) if mode != "HSV" else image

    found = images_of(read(fill(tmp_path, make, suffix=".png" if mode in "1 HSV" else ".jpg")))
    assert found["a"][:, 0, 0].min() > 0.9 and found["a"][:, 0, -1].max() < 0.15


def test_an_exif_orientation_is_honoured(tmp_path: Path):
    fill(tmp_path, grey)
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = grey(LEVELS[0]).transpose(Image.Transpose.ROTATE_90)
    turned.save(tmp_path / "a" / "0.png", exif=exif)
    how = Decoding(channels=1)
    np.testing.assert_array_equal(decode(tmp_path / "a" / "0.png", how)[0], LEVELS[0])
    assert read(tmp_path).notes[0].endswith("EXIF orientation says: 1 of 16 opened")


def test_16_bits_a_colour_are_cut_and_told(tmp_path: Path):
    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    for name, levels in zip("ab", LEVELS, strict=True):
        (tmp_path / name).mkdir()
        colours = np.repeat((levels * 257).astype(">u2")[..., None], 3, axis=2)
        rows = b"".join(b"\0" + row.tobytes() for row in colours)
        head = struct.pack(">IIBBBBB", 8, 8, 16, 2, 0, 0, 0)
        for i in range(8):
            (tmp_path / name / f"{i}.png").write_bytes(
                b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows))
                + chunk(b"IEND", b"")
            )  # fmt: skip
    splits = read(tmp_path)
    np.testing.assert_allclose(images_of(splits)["b"][0], LEVELS[1] / 255, atol=0.01)
    assert splits.notes[0].endswith("the upper 8 are read: 16 of 16 opened")


def test_what_was_decided_decodes_another_image_in_the_same_way(tmp_path: Path):
    root = fill(tmp_path / "set", lambda v: Image.fromarray((v * 16).astype(np.uint16)))
    splits = read(root)
    how = Decoding(**splits.record["images"])
    factor, shift = (np.array(splits.record["normalize"][key]) for key in ("factor", "shift"))
    decoded = decode(root / "a" / "0.png", how) * factor + shift
    np.testing.assert_allclose(decoded, images_of(splits)["a"], atol=1e-6)
    grey(LEVELS[0]).convert("RGB").save(tmp_path / "new.jpg", quality=100)
    np.testing.assert_allclose(decode(tmp_path / "new.jpg", how), LEVELS[0][None] / 255, atol=0.02)
    assert splits.record["classes"] == ["a", "b"]
    with pytest.raises(InputError, match=r"gone\.png: cannot be read \(No such file"):
        decode(tmp_path / "gone.png", how)
