"""Image files as people have them → the digit in each, as MNIST would have it: finding, checking and decoding."""

import io
import multiprocessing
import os
import re
import signal
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from glob import glob, has_magic
from itertools import repeat
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from dnn_cli.data.digit_normalization import SIDE, prepare
from dnn_cli.errors import DataError, UsageError, reason, require_extra
from dnn_cli.typing import Array

FORMATS = ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP")
ENDINGS = {".png", ".jpg", ".jpeg", ".gif", ".bmp", ".tif", ".tiff", ".webp"}
MAX_BYTES = 100 * 2**20
MAX_PIXELS = 2**26  # 67 million, which is 8192×8192
MANY = 1000  # images for which other processes are worth their start
WORKING_SIDE = 400  # a picture of twice this or more is first made smaller by a whole factor

TINY = float(np.finfo(np.float64).tiny)


@dataclass(frozen=True)
class Source:
    """One image as the user named it, or a name that stands for nothing, and why.

    Attributes:
        name: a path; ``-`` is standard input.
        problem: what is wrong with the name, if anything.
    """

    name: str
    problem: str = ""

    @property
    def title(self) -> str:
        """The name, as messages have it."""
        return "standard input" if self.name == "-" else self.name


def read(source: Path | BinaryIO, side: int = SIDE) -> Array:
    """The digit of one image file, as MNIST would have it.

    Args:
        source: a file, or standard input, which is read to its end.
        side: of the square image that is wanted; the recipe is scaled to it.

    Returns:
        (side, side) uint8, 0 the background and 255 the strongest ink.

    Raises:
        DataError: it is no image, damaged, too large, or holds no digit; one line that names it.
        UsageError: Pillow is not installed.
    """
    check()
    with _warnings():
        try:
            return prepare(_decode(_content(source)), side)
        except DataError as error:
            name = source if isinstance(source, Path) else "standard input"
            raise DataError(f"{name}: {error}") from None


def read_all(sources: Sequence[Source], side: int = SIDE, done: Callable[[], None] = lambda: None) -> list[Array | str]:
    """What `read` gives for each of the sources, or what is wrong with it; `done` is called after each.

    Many are shared out to processes, one for each processor: threads would wait for each other.
    """
    check()
    found = []
    with _each(sources, side) as attempts:
        for attempt in attempts:
            found.append(attempt)
            done()
    return found


@contextmanager
def _each(sources: Sequence[Source], side: int) -> Iterator[Iterator[Array | str]]:
    """`_attempt` at each of the sources, in their order."""
    processors = os.cpu_count() or 1
    # Standard input is this process's alone.
    if len(sources) < MANY or processors == 1 or any(source.name == "-" for source in sources):
        with _warnings():
            yield (_attempt(source, side) for source in sources)
        return
    context = multiprocessing.get_context("spawn")  # a copy of this process would lack its threads
    with ProcessPoolExecutor(processors, context, initializer=_begin) as pool:
        try:
            yield pool.map(_attempt, sources, repeat(side), chunksize=MANY // 20)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _begin() -> None:
    """Have a process leave Ctrl-C to the one that waits for it, which ends it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _filter_warnings()


def _attempt(source: Source, side: int) -> Array | str:
    try:
        if source.problem:
            raise DataError(source.problem)
        stream = sys.stdin.buffer if source.name == "-" else Path(source.name)
        return prepare(_decode(_content(stream)), side)
    except DataError as error:
        return str(error)


def check() -> None:
    """Raise `UsageError` if images cannot be decoded here."""
    require_extra("images", "PIL", purpose="reading image files")


def _content(source: Path | BinaryIO) -> bytes:
    try:
        if isinstance(source, Path):
            with source.open("rb") as file:
                content = file.read(MAX_BYTES + 1)
        else:
            content = source.read(MAX_BYTES + 1)
    except OSError as error:
        raise DataError(f"it cannot be read: {reason(error)}") from None
    if not content:
        raise DataError("it is empty")
    if len(content) > MAX_BYTES:
        raise DataError(f"it is larger than {MAX_BYTES:,} bytes")
    return content


def _decode(content: bytes) -> Array:
    """The first frame upright, as (height, width, 1 or 3) uint8; transparency stands on what contrasts with it."""
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:
            width, height = image.size
            if width * height > MAX_PIXELS:
                raise DataError(f"it has {width:,}×{height:,} pixels; up to {MAX_PIXELS:,} are read")
            image.draft(image.mode, (WORKING_SIDE, WORKING_SIDE))  # lets a large JPEG be decoded smaller
            ImageOps.exif_transpose(image, in_place=True)
            return _pixels(image)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise DataError(f"it has too many pixels; up to {MAX_PIXELS:,} are read") from None
    except UnidentifiedImageError:
        raise DataError("it is no PNG, JPEG, GIF, BMP, TIFF or WebP image") from None
    except DataError:
        raise
    except Exception as error:  # a damaged file makes Pillow raise anything, from OSError to IndexError
        raise DataError(f"it is damaged: {reason(error)}") from None


def _pixels(image: Any) -> Array:
    from PIL import Image

    factor = max(1, max(image.size) // WORKING_SIDE)
    if image.has_transparency_data:
        return _on_contrast(_smaller(image.convert("RGBA").convert("RGBa"), factor).astype(np.float32))
    if image.mode.startswith(("I", "F")):  # more than eight bits: only the contrast counts
        image = Image.fromarray(_eight_bits(np.asarray(image, np.float64)))
    elif image.mode not in ("L", "RGB"):
        image = image.convert("L" if image.mode == "1" else "RGB")
    return _smaller(image, factor)


def _eight_bits(levels: Array) -> Array:
    """Levels of any range, some of them perhaps no numbers, as uint8 in 0..255."""
    finite = levels[np.isfinite(levels)]
    if not finite.size:
        raise DataError("it is damaged: none of its levels is a finite number")
    low, high = float(finite.min()), float(finite.max())
    with np.errstate(all="ignore"):
        scaled = (np.where(np.isfinite(levels), levels, np.median(finite)) - low) / max(high - low, TINY)
    return (np.nan_to_num(scaled) * 255).astype(np.uint8)


def _smaller(image: Any, factor: int) -> Array:
    pixels = np.asarray(image.reduce(factor) if factor > 1 else image)
    return pixels if pixels.ndim == 3 else pixels[..., None]


def _on_contrast(pixels: Array) -> Array:
    """Colours (height, width, 4), multiplied by the opacity that comes last: on white if they are dark, or on black."""
    colours, opacity = pixels[..., :3], pixels[..., 3:]
    is_dark = colours.sum() < opacity.sum() * 3 / 2
    on: Array = colours + (255 - opacity) * is_dark
    return on.astype(np.uint8)


@contextmanager
def _warnings() -> Iterator[None]:
    """Heed of Pillow's warnings only that of too many pixels, which is then an error."""
    with warnings.catch_warnings():
        _filter_warnings()
        yield


def _filter_warnings() -> None:
    from PIL import Image

    warnings.simplefilter("ignore")
    warnings.simplefilter("error", Image.DecompressionBombWarning)


def find(names: Sequence[str]) -> list[Source]:
    """What the names stand for, in their order.

    Args:
        names: files; folders, of which all image files are taken, those in folders of theirs too, sorted as people
            number them; patterns such as ``scans/*.png``; ``-`` for standard input.

    Raises:
        UsageError: standard input is named twice.
    """
    if names.count("-") > 1:
        raise UsageError("- is standard input, which can be read only once")
    return [source for name in names for source in _named(name)]


def _named(name: str) -> list[Source]:
    try:
        if Path(name).is_dir():
            return _inside(Path(name)) or [Source(name, "there are no image files in this folder")]
        if name == "-" or Path(name).exists() or not has_magic(name):
            return [Source(name)]
        # Path.glob takes no absolute patterns.
        matches = sorted(glob(name, recursive=True), key=_natural)  # noqa: PTH207
        return [Source(match) for match in matches] or [Source(name, "no file has a name like that")]
    except OSError as error:
        return [Source(name, f"it cannot be read: {reason(error)}")]


def _inside(folder: Path) -> list[Source]:
    found = (path for path in folder.rglob("*") if path.suffix.lower() in ENDINGS and not path.name.startswith("."))
    return [Source(name) for name in sorted((str(path) for path in found if path.is_file()), key=_natural)]


def _natural(name: str) -> list[tuple[int, str]]:
    """A key by which ``2.png`` comes before ``10.png``."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name)]
