"""Test that pictures of every kind become arrays as people see them."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dnn_cli.data import decoding
from dnn_cli.data.decoding import Picture
from dnn_cli.data.reading import Reading
from dnn_cli.typing import Array

RAMP = np.arange(0, 240, 10, dtype=np.uint8).reshape(4, 6)


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> Picture:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return Picture(f"a.{kind}", stream.getvalue(), stream.tell())


def decode(*pictures: Picture, **settings: Any) -> Array:
    found = decoding.decode(pictures, "here", Reading(**settings))
    assert not found.broken
    return found.images


def grey(image: Image.Image | Array, **options: Any) -> Array:
    picture = Image.fromarray(image) if isinstance(image, np.ndarray) else image
    found: Array = decode(encoded(picture, **options), color="grey")[0]
    return found


@pytest.mark.parametrize("kind", ["PNG", "GIF", "BMP", "TIFF"])
def test_exact_formats_keep_every_pixel(kind: str) -> None:
    np.testing.assert_array_equal(grey(RAMP, kind=kind), RAMP)


@pytest.mark.parametrize("quality", [95])
def test_jpeg_and_webp_keep_the_picture(quality: int) -> None:
    smooth = np.tile(np.arange(0, 128, 8, dtype=np.uint8), (16, 1))
    for kind in ("JPEG", "WEBP"):
        assert np.abs(grey(smooth, kind=kind, quality=quality).astype(int) - smooth).max() < 12


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_the_orientation_of_a_photograph_is_honoured(orientation: int, kind: str) -> None:
    upright = np.zeros((16, 32), np.uint8)
    upright[:8, :8] = 255  # the upper left corner
    turn = {1: 0, 3: 180, 6: 90, 8: 270}.get(orientation)
    stored = Image.fromarray(upright)
    if turn is None:
        transposed = {2: Image.Transpose.FLIP_LEFT_RIGHT, 4: Image.Transpose.FLIP_TOP_BOTTOM}
        method = transposed.get(
            orientation, {5: Image.Transpose.TRANSPOSE, 7: Image.Transpose.TRANSVERSE}.get(orientation)
        )
        assert method is not None
        stored = stored.transpose(method)
    else:
        stored = stored.rotate(turn, expand=True)
    exif = Image.Exif()
    exif[decoding.ORIENTATION] = orientation
    picture = encoded(stored.convert("RGB") if kind == "WEBP" else stored, kind, exif=exif)
    found = decode(picture, color="grey")[0]
    assert found.shape == (16, 32)
    assert found[:8, :8].mean() > 200
    assert found[8:, :].mean() < 50
    assert next(decoding._headers([picture]))[0] == (16, 32)


@pytest.mark.parametrize(
    "image",
    [
        Image.fromarray(RAMP).convert("RGB"),
        Image.fromarray(RAMP).convert("P"),
        Image.fromarray(RAMP).convert("LA"),
        Image.fromarray(RAMP).convert("RGBA"),
        Image.fromarray(RAMP.astype(np.uint16) * 257),
    ],
    ids=lambda image: image.mode,
)
def test_every_mode_becomes_the_same_grey(image: Image.Image) -> None:
    np.testing.assert_array_equal(grey(image), RAMP)


@pytest.mark.parametrize(("mode", "kind"), [("CMYK", "JPEG"), ("YCbCr", "JPEG"), ("1", "PNG")])
def test_other_modes_are_converted(mode: str, kind: str) -> None:
    bright = Image.new("RGB", (16, 16), "white")
    assert grey(bright.convert(mode), kind=kind).mean() > 240


def test_floats_and_palettes_with_transparency() -> None:
    np.testing.assert_array_equal(grey(RAMP.astype(np.float32) / 255, kind="TIFF"), RAMP)
    clear = Image.new("RGBA", (4, 4), (0, 0, 0, 0))
    assert grey(clear).tolist() == [[255] * 4] * 4
    assert grey(clear.convert("P"), kind="GIF", transparency=0).tolist() == [[255] * 4] * 4


@pytest.mark.parametrize(("resize", "corner", "centre"), [("fit", 0, 200), ("fill", 200, 200), ("stretch", 200, 200)])
def test_a_picture_is_fitted_filled_or_stretched(resize: Any, corner: int, centre: int) -> None:
    wide = encoded(Image.new("L", (40, 10), 200))
    found = decode(wide, image_size=(8, 8), resize=resize)[0]
    assert (found.shape, found[0, 0], found[4, 4]) == ((8, 8), corner, centre)


def test_fill_cuts_edges_and_stretch_keeps_them() -> None:
    image = np.zeros((8, 24), np.uint8)
    image[:, :8] = 255
    assert decode(encoded(Image.fromarray(image)), image_size=(8, 8), resize="fill").max() == 0
    assert decode(encoded(Image.fromarray(image)), image_size=(8, 8), resize="stretch").max() == 255


def test_processes_give_what_one_process_gives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pictures = [encoded(Image.fromarray(np.roll(RAMP, index))) for index in range(6)]
    pictures[4] = Picture("bad", b"?", 1)
    alone = decoding.decode(pictures, "here", Reading())
    monkeypatch.setattr(decoding, "PARALLEL_PICTURES", 1)
    monkeypatch.setattr(decoding, "CHUNK", 2)
    together = decoding.decode(pictures, "here", Reading())
    np.testing.assert_array_equal(together.images, alone.images)
    assert together.digests == alone.digests
    assert together.broken == alone.broken == {4: "not a PNG, JPEG, GIF, BMP, TIFF or WebP image"}


def test_colours_that_show_up_late_decode_all_again_in_rgb(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding, "PROBES", 1)
    pictures = [encoded(Image.new("L", (3, 3), 7)), encoded(Image.new("RGB", (3, 3), "red"))]
    assert decode(*pictures).shape == (2, 3, 3, 3)
