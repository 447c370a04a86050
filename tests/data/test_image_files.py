"""Test reading image files: formats and modes, messages for damaged files, and the order in which files are found."""

import io
import os
import random
import re
import struct
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dnn_cli.data import digit_normalization, image_files
from dnn_cli.data.datasets import Split
from dnn_cli.data.image_files import ImageSource
from dnn_cli.errors import DataError, UsageError
from dnn_cli.typing import Array
from tests.pictures import coverage, encoded, painted, written


@pytest.fixture(scope="session")
def seven(sample: Split) -> Array:
    """Return a 7 of the sample."""
    found: Array = sample.images[sample.labels == 7][0]
    return found


@pytest.fixture(scope="session")
def picture(seven: Array) -> Array:
    """Return a picture of the 7 in dark blue on yellow, below the middle."""
    return painted(coverage(seven, at=(0.9, 0.3)), (250, 230, 120), (20, 20, 90))


def read(content: bytes) -> Array:
    """Return the only digit of an image file."""
    (digit,) = image_files.read(io.BytesIO(content))
    return digit.image


def normalize(pixels: Array) -> Array:
    (digit,) = digit_normalization.normalize(pixels)
    return digit.image


def assert_alike(one: Array, other: Array, least: float = 0.97) -> None:
    """Check that two images show the same digit, apart from rounding and compression noise."""
    assert one.shape == other.shape == (28, 28)
    assert one.dtype == other.dtype == np.uint8
    assert np.corrcoef(one.ravel(), other.ravel())[0, 1] > least


def refusal(content: bytes) -> str:
    with pytest.raises(DataError) as caught:
        read(content)
    (line,) = str(caught.value).splitlines()
    return line.removeprefix("standard input: ")


# Files that are read


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("PNG", {}),
        ("JPEG", {"quality": 60}),
        ("JPEG", {"quality": 85, "progressive": True}),
        ("GIF", {}),
        ("BMP", {}),
        ("TIFF", {}),
        ("TIFF", {"compression": "tiff_lzw"}),
        ("WEBP", {}),
        ("WEBP", {"lossless": True}),
    ],
)
def test_every_file_format_is_read(kind: str, options: dict[str, Any], picture: Array) -> None:
    assert_alike(read(encoded(picture, kind, **options)), normalize(picture))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA"])
def test_every_png_mode_is_read(mode: str, picture: Array) -> None:
    converted = Image.fromarray(picture).convert(mode, dither=Image.Dither.NONE)
    assert_alike(read(encoded(converted)), normalize(picture), 0.9 if mode == "1" else 0.97)


def test_cmyk_images_are_read(picture: Array) -> None:
    for kind in ("JPEG", "TIFF"):
        assert_alike(read(encoded(Image.fromarray(picture).convert("CMYK"), kind)), normalize(picture))


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bit_images_are_read(kind: str, seven: Array) -> None:
    levels = (40_000 - 30_000 * coverage(seven)).astype(np.uint16)
    assert_alike(read(encoded(Image.fromarray(levels), kind)), normalize(painted(coverage(seven))))


def test_float_images_with_nan_and_infinity_are_read(seven: Array) -> None:
    levels = coverage(seven) * 1e-3
    levels[0, 0], levels[0, 1] = np.nan, np.inf
    assert_alike(read(encoded(Image.fromarray(levels), "TIFF")), normalize(painted(coverage(seven))))


@pytest.mark.parametrize("pen", [0, 255])
def test_a_transparent_background_contrasts_with_the_ink(pen: int, seven: Array) -> None:
    """The colour of transparent pixels does not matter."""
    ink = coverage(seven)
    for hidden in (0, 128, 255):
        colours = np.where(ink[..., None] > 0, pen, hidden).repeat(3, axis=2)
        pixels = np.concatenate([colours, ink[..., None] * 255], axis=2).astype(np.uint8)
        for kind in ("PNG", "WEBP"):
            assert_alike(read(encoded(pixels, kind, lossless=True)), normalize(painted(ink)))


def test_a_transparent_palette_colour_is_background(seven: Array) -> None:
    palette = Image.fromarray(painted(coverage(seven)).astype(np.uint8)).convert("P", palette=Image.Palette.ADAPTIVE)
    white = int(np.asarray(palette)[0, 0])
    for kind in ("PNG", "GIF"):
        assert_alike(read(encoded(palette, kind, transparency=white)), normalize(painted(coverage(seven))))


@pytest.mark.parametrize(("kind", "options"), [("GIF", {"duration": 100}), ("TIFF", {}), ("WEBP", {"lossless": True})])
def test_the_first_frame_of_several_is_read(kind: str, options: dict[str, Any], picture: Array, sample: Split) -> None:
    others = [Image.fromarray(painted(coverage(digit))) for digit in sample.images[:3]]
    content = encoded(picture, kind, save_all=True, append_images=others, **options)
    assert_alike(read(content), normalize(picture))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_the_exif_orientation_is_applied(kind: str, picture: Array) -> None:
    turned = Image.fromarray(picture).transpose(Image.Transpose.ROTATE_90)
    exif = Image.Exif()
    exif[0x0112] = 6  # Display it turned clockwise.
    assert_alike(read(encoded(turned, kind, exif=exif)), normalize(picture))


def test_a_small_digit_in_a_large_photo_is_read(seven: Array) -> None:
    """The photo is decoded at a lower resolution, reduced, and then cropped around the digit."""
    paper = painted(coverage(seven, 3000, 0.15, (0.8, 0.7)), (200, 190, 180), (60, 60, 80))
    for kind in ("JPEG", "PNG"):
        assert_alike(read(encoded(paper, kind)), normalize(painted(coverage(seven))), 0.9)


def test_images_of_other_sizes_are_returned_on_request(picture: Array) -> None:
    for side in (8, 14, 32, 64):
        (digit,) = image_files.read(io.BytesIO(encoded(picture)), side)
        assert digit.image.shape == (side, side)


# Files that are rejected


def test_files_that_are_not_images_are_rejected() -> None:
    kinds = "not a PNG, JPEG, GIF, BMP, TIFF or WebP image"
    assert refusal(b"") == "the file is empty"
    assert refusal(b"hello") == kinds
    assert refusal(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n") == kinds
    assert refusal(encoded(np.zeros((9, 9), np.uint8), "PPM")) == kinds
    assert refusal(b"\x89PNG\r\n\x1a\n") == kinds


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP"])
def test_truncated_images_are_rejected(kind: str, picture: Array) -> None:
    content = encoded(picture, kind)
    assert re.match("damaged image: |not a PNG", refusal(content[: len(content) // 2]))


@pytest.mark.parametrize("level", [0, 100, 255])
def test_a_picture_of_a_single_colour_is_rejected(level: int) -> None:
    message = "no digit found: the picture is a single colour"
    for shape in ((28, 28), (200, 100, 3), (1, 1), (2, 5, 4)):
        assert refusal(encoded(np.full(shape, level, np.uint8))) == message
    near = np.random.default_rng(0).integers(120, 130, (90, 90, 3), np.uint8)
    assert refusal(encoded(near)) == message
    assert refusal(encoded(np.zeros((9, 9, 4), np.uint8))) == message


def bomb(width: int, height: int) -> bytes:
    """Return a PNG of a few bytes whose header claims this many pixels."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"0" * 99)) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("side", [8193, 9500, 15_000, 60_000])
def test_images_with_too_many_pixels_are_not_decoded(side: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sizes are below Pillow's own limit, above it, and where Pillow warns and fails."""
    monkeypatch.setattr(image_files, "_to_uint8", lambda _: pytest.fail("it was decoded"))
    assert "at most 67,108,864 " in refusal(bomb(side, side))


def test_files_that_are_too_large_are_rejected(monkeypatch: pytest.MonkeyPatch, picture: Array) -> None:
    monkeypatch.setattr(image_files, "MAX_BYTES", 1000)
    assert refusal(encoded(picture, "BMP")) == "the file is too large: at most 1,000 bytes are supported"


@pytest.mark.skipif(os.name != "posix", reason="needs devices and pipes")
def test_devices_and_pipes_are_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    for path in (Path("/dev/zero"), tmp_path / "pipe.png"):
        with pytest.raises(DataError, match=f"^{path}: cannot be read: not a regular file$"):
            image_files.read(path)


def test_files_that_cannot_be_opened_are_reported(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"^none\.png: cannot be read: No such file or directory$"):
        image_files.read(Path("none.png"))
    with pytest.raises(DataError, match="cannot be read: Is a directory$"):
        image_files.read(tmp_path)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP"])
def test_any_damaged_image_is_read_or_rejected_in_one_line(kind: str, picture: Array) -> None:
    """Overwritten bytes lead to a digit or to a `DataError`, never to another exception."""
    whole, chance = encoded(Image.fromarray(picture).resize((40, 40)), kind), random.Random(kind)
    refusals: list[str] = []
    for _ in range(150):
        content = bytearray(whole)
        for _ in range(chance.choice([1, 3, 10])):
            content[chance.randrange(min(len(content), chance.choice([64, 10**6])))] = chance.randrange(256)
        try:
            shape: tuple[int, ...] = image_files.read(io.BytesIO(content))[0].image.shape
        except DataError as error:
            refusals.append(str(error))
        else:
            assert shape == (28, 28)
    assert refusals
    assert not [refusal for refusal in refusals if len(refusal.splitlines()) != 1]


def test_without_pillow_the_message_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "PIL", None)
    for reading in (lambda: image_files.read(Path("a.png")), lambda: image_files.read_all([ImageSource("a.png")])):
        with pytest.raises(UsageError, match=re.escape("pip install 'dnn-cli[images]'")):
            reading()


# Names


def names(*asked: str) -> list[str]:
    return [source.name for source in image_files.find(asked) if not source.problem]


def test_images_in_a_folder_are_sorted_in_natural_order(tmp_path: Path) -> None:
    for name in ("10.png", "9.PNG", "b/1.jpeg", "a/2.tif", "a/11.webp", "notes.txt", ".hidden.png", "1.gif", "x.bmp"):
        written(Path("scans", name), b"")
    expected = ["1.gif", "9.PNG", "10.png", "a/2.tif", "a/11.webp", "b/1.jpeg", "x.bmp"]
    assert names("scans") == [f"scans/{name}" for name in expected]
    assert names(str(tmp_path)) == [str(tmp_path / "scans" / name) for name in expected]


def test_names_keep_their_order(tmp_path: Path) -> None:
    for name in ("2.png", "10.png", "1.jpg", "d/3.png", "[x].png"):
        written(Path(name), b"")
    assert names("2.png", "-", "1.jpg", "2.png") == ["2.png", "-", "1.jpg", "2.png"]
    assert names("*.png") == ["2.png", "10.png", "[x].png"]
    assert names("**/*.png", "d") == ["2.png", "10.png", "[x].png", "d/3.png", "d/3.png"]
    assert names(f"{tmp_path}/?.jpg") == [f"{tmp_path}/1.jpg"]
    assert names("[x].png") == ["[x].png"]  # a file, although it could be a pattern
    assert names("none.png") == ["none.png"]  # reported when it is read


def test_names_without_images_carry_the_problem() -> None:
    Path("empty").mkdir()
    assert image_files.find(["empty", "*.png", "a" * 999]) == [
        ImageSource("empty", "there are no image files in this folder"),
        ImageSource("*.png", "no file matches this pattern"),
        ImageSource("a" * 999, "cannot be read: File name too long"),
    ]
    with pytest.raises(UsageError, match=r"^- \(standard input\) can be given only once$"):
        image_files.find(["-", "a.png", "-"])


# Many files


def test_many_images_are_read_by_several_processes_in_order(sample: Split, monkeypatch: pytest.MonkeyPatch) -> None:
    for number, digit in enumerate(sample.images[:30]):
        written(Path("many", f"{number}.png"), encoded(digit))
    written(Path("many", "7.png"), b"")
    sources = image_files.find(["many", "none.png"])
    one_by_one = image_files.read_all(sources)
    counted: list[int] = []
    monkeypatch.setattr(image_files, "PARALLEL_IMAGES", 20)
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    shared = image_files.read_all(sources, done=lambda: counted.append(1))
    assert len(counted) == len(shared) == 31
    assert shared[7] == "the file is empty"
    assert shared[30] == "cannot be read: No such file or directory"
    for number, (one, other) in enumerate(zip(one_by_one, shared, strict=True)):
        if isinstance(one, str) or isinstance(other, str):
            assert one == other
        else:
            assert [digit.box for digit in one] == [digit.box for digit in other]
            assert np.array_equal(other[0].image, sample.images[number])
