"""Image files: every kind and mode of them read, every damaged one refused in a line, names found in their order."""

import io
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

from dnn_cli.data import image_files
from dnn_cli.data.datasets import Split
from dnn_cli.data.digit_normalization import prepare
from dnn_cli.data.image_files import Source
from dnn_cli.errors import DataError, UsageError
from dnn_cli.typing import Array
from tests.pictures import coverage, encoded, painted, written


@pytest.fixture(scope="session")
def seven(sample: Split) -> Array:
    """A 7 of the sample."""
    found: Array = sample.images[sample.labels == 7][0]
    return found


@pytest.fixture(scope="session")
def picture(seven: Array) -> Array:
    """The 7, dark blue on yellow, below the middle."""
    return painted(coverage(seven, at=(0.9, 0.3)), (250, 230, 120), (20, 20, 90))


def read(content: bytes) -> Array:
    return image_files.read(io.BytesIO(content))


def assert_alike(one: Array, other: Array, least: float = 0.97) -> None:
    """Two images of the same digit, but for rounding and the noise of a compression."""
    assert one.shape == other.shape == (28, 28)
    assert one.dtype == other.dtype == np.uint8
    assert np.corrcoef(one.ravel(), other.ravel())[0, 1] > least


def refusal(content: bytes) -> str:
    with pytest.raises(DataError) as caught:
        read(content)
    (line,) = str(caught.value).splitlines()
    return line.removeprefix("standard input: ")


# What is read


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
def test_every_kind_of_file(kind: str, options: dict[str, Any], picture: Array) -> None:
    assert_alike(read(encoded(picture, kind, **options)), prepare(picture))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA"])
def test_every_mode_of_a_png(mode: str, picture: Array) -> None:
    converted = Image.fromarray(picture).convert(mode, dither=Image.Dither.NONE)
    assert_alike(read(encoded(converted)), prepare(picture), 0.9 if mode == "1" else 0.97)


def test_colours_of_print(picture: Array) -> None:
    for kind in ("JPEG", "TIFF"):
        assert_alike(read(encoded(Image.fromarray(picture).convert("CMYK"), kind)), prepare(picture))


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bits(kind: str, seven: Array) -> None:
    levels = (40_000 - 30_000 * coverage(seven)).astype(np.uint16)
    assert_alike(read(encoded(Image.fromarray(levels), kind)), prepare(painted(coverage(seven))))


def test_floats_some_of_which_are_no_numbers(seven: Array) -> None:
    levels = coverage(seven) * 1e-3
    levels[0, 0], levels[0, 1] = np.nan, np.inf
    assert_alike(read(encoded(Image.fromarray(levels), "TIFF")), prepare(painted(coverage(seven))))


@pytest.mark.parametrize("pen", [0, 255])
def test_a_transparent_background_contrasts_with_the_pen(pen: int, seven: Array) -> None:
    """Whatever colour the pixels have that cannot be seen."""
    ink = coverage(seven)
    for hidden in (0, 128, 255):
        colours = np.where(ink[..., None] > 0, pen, hidden).repeat(3, axis=2)
        pixels = np.concatenate([colours, ink[..., None] * 255], axis=2).astype(np.uint8)
        for kind in ("PNG", "WEBP"):
            assert_alike(read(encoded(pixels, kind, lossless=True)), prepare(painted(ink)))


def test_a_transparent_colour_of_a_palette(seven: Array) -> None:
    palette = Image.fromarray(painted(coverage(seven)).astype(np.uint8)).convert("P", palette=Image.Palette.ADAPTIVE)
    white = int(np.asarray(palette)[0, 0])
    for kind in ("PNG", "GIF"):
        assert_alike(read(encoded(palette, kind, transparency=white)), prepare(painted(coverage(seven))))


@pytest.mark.parametrize(("kind", "options"), [("GIF", {"duration": 100}), ("TIFF", {}), ("WEBP", {"lossless": True})])
def test_of_several_pictures_the_first(kind: str, options: dict[str, Any], picture: Array, sample: Split) -> None:
    others = [Image.fromarray(painted(coverage(digit))) for digit in sample.images[:3]]
    content = encoded(picture, kind, save_all=True, append_images=others, **options)
    assert_alike(read(content), prepare(picture))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_a_camera_held_sideways(kind: str, picture: Array) -> None:
    turned = Image.fromarray(picture).transpose(Image.Transpose.ROTATE_90)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise for display
    assert_alike(read(encoded(turned, kind, exif=exif)), prepare(picture))


def test_a_large_photo(seven: Array) -> None:
    """Decoded smaller, looked at smaller, and then at the digit."""
    paper = painted(coverage(seven, 3000, 0.15, (0.8, 0.7)), (200, 190, 180), (60, 60, 80))
    for kind in ("JPEG", "PNG"):
        assert_alike(read(encoded(paper, kind)), prepare(painted(coverage(seven))))


def test_for_networks_of_other_sizes(picture: Array) -> None:
    for side in (8, 14, 32, 64):
        assert image_files.read(io.BytesIO(encoded(picture)), side).shape == (side, side)


# What is refused


def test_what_is_no_image() -> None:
    kinds = "it is no PNG, JPEG, GIF, BMP, TIFF or WebP image"
    assert refusal(b"") == "it is empty"
    assert refusal(b"hello") == kinds
    assert refusal(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n") == kinds
    assert refusal(encoded(np.zeros((9, 9), np.uint8), "PPM")) == kinds
    assert refusal(b"\x89PNG\r\n\x1a\n") == kinds


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP"])
def test_what_is_cut_short(kind: str, picture: Array) -> None:
    content = encoded(picture, kind)
    assert re.match("it is damaged: |it is no PNG", refusal(content[: len(content) // 2]))


@pytest.mark.parametrize("level", [0, 100, 255])
def test_what_is_all_one_colour(level: int) -> None:
    message = "it holds no digit: it is all one colour"
    for shape in ((28, 28), (200, 100, 3), (1, 1), (2, 5, 4)):
        assert refusal(encoded(np.full(shape, level, np.uint8))) == message
    near = np.random.default_rng(0).integers(120, 130, (90, 90, 3), np.uint8)
    assert refusal(encoded(near)) == message
    assert refusal(encoded(np.zeros((9, 9, 4), np.uint8))) == message


def bomb(width: int, height: int) -> bytes:
    """A PNG of a few bytes that says it has this many pixels."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"0" * 99)) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("side", [8193, 9500, 15_000, 60_000])
def test_bombs_are_not_decoded(side: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Up to where Pillow warns, where it warns, and where it refuses."""
    monkeypatch.setattr(image_files, "_pixels", lambda _: pytest.fail("it was decoded"))
    assert "; up to 67,108,864 are read" in refusal(bomb(side, side))


def test_files_that_are_too_large(monkeypatch: pytest.MonkeyPatch, picture: Array) -> None:
    monkeypatch.setattr(image_files, "MAX_BYTES", 1000)
    assert refusal(encoded(picture, "BMP")) == "it is larger than 1,000 bytes"
    with pytest.raises(DataError, match="/dev/zero: it is larger than 1,000 bytes"):
        image_files.read(Path("/dev/zero"))


def test_files_that_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"^none\.png: it cannot be read: No such file or directory$"):
        image_files.read(Path("none.png"))
    with pytest.raises(DataError, match="it cannot be read: Is a directory$"):
        image_files.read(tmp_path)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP"])
def test_damage_of_any_kind_is_a_line_or_nothing(kind: str, picture: Array) -> None:
    """Bytes overwritten here and there: a digit, or a refusal, and never another exception."""
    whole, chance = encoded(Image.fromarray(picture).resize((40, 40)), kind), random.Random(kind)
    refusals: list[str] = []
    for _ in range(150):
        content = bytearray(whole)
        for _ in range(chance.choice([1, 3, 10])):
            content[chance.randrange(min(len(content), chance.choice([64, 10**6])))] = chance.randrange(256)
        try:
            shape: tuple[int, ...] = read(bytes(content)).shape
        except DataError as error:
            refusals.append(str(error))
        else:
            assert shape == (28, 28)
    assert refusals
    assert not [refusal for refusal in refusals if len(refusal.splitlines()) != 1]


def test_without_pillow_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "PIL", None)
    for reading in (lambda: image_files.read(Path("a.png")), lambda: image_files.read_all([Source("a.png")])):
        with pytest.raises(UsageError, match=re.escape("pip install 'dnn-cli[images]'")):
            reading()


# Names


def names(*asked: str) -> list[str]:
    return [source.name for source in image_files.find(asked) if not source.problem]


def test_a_folder_has_its_images_as_people_number_them(tmp_path: Path) -> None:
    for name in ("10.png", "9.PNG", "b/1.jpeg", "a/2.tif", "a/11.webp", "notes.txt", ".hidden.png", "1.gif", "x.bmp"):
        written(Path("scans", name), b"")
    expected = ["1.gif", "9.PNG", "10.png", "a/2.tif", "a/11.webp", "b/1.jpeg", "x.bmp"]
    assert names("scans") == [f"scans/{name}" for name in expected]
    assert names(str(tmp_path)) == [str(tmp_path / "scans" / name) for name in expected]


def test_names_stay_in_the_order_asked(tmp_path: Path) -> None:
    for name in ("2.png", "10.png", "1.jpg", "d/3.png", "[x].png"):
        written(Path(name), b"")
    assert names("2.png", "-", "1.jpg", "2.png") == ["2.png", "-", "1.jpg", "2.png"]
    assert names("*.png") == ["2.png", "10.png", "[x].png"]
    assert names("**/*.png", "d") == ["2.png", "10.png", "[x].png", "d/3.png", "d/3.png"]
    assert names(f"{tmp_path}/?.jpg") == [f"{tmp_path}/1.jpg"]
    assert names("[x].png") == ["[x].png"]  # a file, though it could be a pattern
    assert names("none.png") == ["none.png"]  # which reading will tell


def test_names_that_stand_for_nothing() -> None:
    Path("empty").mkdir()
    assert image_files.find(["empty", "*.png", "a" * 999]) == [
        Source("empty", "there are no image files in this folder"),
        Source("*.png", "no file has a name like that"),
        Source("a" * 999, "it cannot be read: File name too long"),
    ]
    with pytest.raises(UsageError, match="^- is standard input, which can be read only once$"):
        image_files.find(["-", "a.png", "-"])


# Many


def test_many_are_shared_out_and_come_back_in_order(sample: Split, monkeypatch: pytest.MonkeyPatch) -> None:
    for number, digit in enumerate(sample.images[:30]):
        written(Path("many", f"{number}.png"), encoded(digit))
    written(Path("many", "7.png"), b"")
    sources = image_files.find(["many", "none.png"])
    one_by_one = image_files.read_all(sources)
    counted: list[int] = []
    monkeypatch.setattr(image_files, "MANY", 20)
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    shared = image_files.read_all(sources, done=lambda: counted.append(1))
    assert len(counted) == len(shared) == 31
    assert shared[7] == "it is empty"
    assert shared[30] == "it cannot be read: No such file or directory"
    for one, other in zip(one_by_one, shared, strict=True):
        assert np.array_equal(one, other)
    assert np.array_equal(shared[8], sample.images[8])
