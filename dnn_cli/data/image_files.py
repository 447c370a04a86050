"""Find image files, decode them safely, and normalize the digits in each to images like those of MNIST.

Image files are untrusted: their size and their number of pixels are limited before they are decoded, only the formats
of `FORMATS` are tried, and any failure of the decoder becomes a `DataError` of one line.
"""

import io
import multiprocessing
import os
import signal
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from glob import glob, has_magic
from itertools import repeat
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from dnn_cli.data.class_names import natural_order
from dnn_cli.data.digit_normalization import IMAGE_SIDE, DigitImage, normalize
from dnn_cli.data.pixels import reduce_image
from dnn_cli.errors import DataError, UsageError, reason, require_extra
from dnn_cli.files import open_regular
from dnn_cli.typing import Array

if TYPE_CHECKING:
    from PIL import Image

FORMATS = ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP")  # Names of Pillow's decoders.
SUFFIXES = {".png", ".jpg", ".jpeg", ".gif", ".bmp", ".tif", ".tiff", ".webp"}  # Files that are read in a folder.
MAX_BYTES = 100 * 2**20  # Largest file that is read.
MAX_PIXELS = 2**26  # Largest picture that is decoded: 67 million pixels, 8192×8192.
PARALLEL_IMAGES = 1000  # With this many images or more, starting worker processes saves time.
DECODED_SIDE = 400  # A picture with a side of twice this many pixels or more is reduced by a whole factor.

SMALLEST_FLOAT = float(np.finfo(np.float64).tiny)


@dataclass(frozen=True)
class ImageSource:
    """An image that the user named, or a name for which there is no image.

    Attributes:
        name: a path; ``-`` is standard input.
        problem: the reason why there is no image; empty otherwise.
    """

    name: str
    problem: str = ""

    @property
    def title(self) -> str:
        """The name as it is shown in messages."""
        return "standard input" if self.name == "-" else self.name


def read(source: Path | BinaryIO, side: int = IMAGE_SIDE) -> list[DigitImage]:
    """Read an image file and normalize the digits in it.

    Args:
        source: a file, or standard input, which is read to its end.
        side: side of the square images to return.

    Returns:
        The digits in reading order, one at least, with their places in pixels of the upright picture.

    Raises:
        DataError: it is not an image, is damaged or too large, or no digit is found; one line that names the file.
        UsageError: Pillow or OpenCV is not installed.
    """
    _require_finder()
    with _pillow_warnings():
        try:
            return _digits(_content(source), side)
        except DataError as error:
            name = source if isinstance(source, Path) else "standard input"
            raise DataError(f"{name}: {error}") from None


def normalize_image(image: "Image.Image", side: int = IMAGE_SIDE, title: str = "the image") -> list[DigitImage]:
    """Normalize the digits in a Pillow image, as `read` does for a file.

    Args:
        image: the image; it is not changed.
        side: side of the square images to return.
        title: the image's name in messages.

    Raises:
        DataError: it is damaged or too large, or no digit is found; one line that begins with `title`.
        UsageError: OpenCV is not installed.
    """
    from PIL import ImageOps

    _require_finder()
    with _pillow_warnings():
        try:
            with _decoder_errors():
                _check_size(image)
                upright = ImageOps.exif_transpose(image)
                pixels = _to_uint8(upright)
            return _placed(normalize(pixels, side), upright.width / pixels.shape[1])
        except DataError as error:
            raise DataError(f"{title}: {error}") from None


def read_all(
    sources: Sequence[ImageSource], side: int = IMAGE_SIDE, done: Callable[[], None] = lambda: None
) -> list[list[DigitImage] | str]:
    """Read many image files as `read` does; many are divided among processes, one for each processor.

    Args:
        sources: the files.
        side: side of the square images to return.
        done: called after each file, for a progress bar.

    Returns:
        For each source, in order, the digits, or the reason why it cannot be read.

    Raises:
        UsageError: Pillow or OpenCV is not installed.
    """
    _require_finder()
    results = []
    with _results(sources, side) as stream:
        for result in stream:
            results.append(result)
            done()
    return results


@contextmanager
def _results(sources: Sequence[ImageSource], side: int) -> Iterator[Iterator[list[DigitImage] | str]]:
    """Yield an iterator over the result of `_digits_or_problem` for each of the sources, in order."""
    processors = os.cpu_count() or 1
    # Worker processes cannot read this process's standard input.
    if len(sources) < PARALLEL_IMAGES or processors == 1 or any(source.name == "-" for source in sources):
        with _pillow_warnings():
            yield (_digits_or_problem(source, side) for source in sources)
        return
    # Threads would not help: they wait for Python's lock. A forked process would lack the threads of this one.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processors, context, initializer=_begin_finding) as pool:
        try:
            yield pool.map(_digits_or_problem, sources, repeat(side), chunksize=PARALLEL_IMAGES // 20)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def begin_worker() -> None:
    """Prepare a worker process: it ignores Ctrl-C, which its parent process handles by stopping the workers."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _filter_pillow_warnings()


def _begin_finding() -> None:
    """Prepare a worker process that finds digits, with one thread."""
    import cv2

    cv2.setNumThreads(1)
    begin_worker()


def _digits_or_problem(source: ImageSource, side: int) -> list[DigitImage] | str:
    try:
        if source.problem:
            raise DataError(source.problem)
        stream = sys.stdin.buffer if source.name == "-" else Path(source.name)
        return _digits(_content(stream), side)
    except DataError as error:
        return str(error)


def _digits(content: bytes, side: int) -> list[DigitImage]:
    pixels, scale = _decode(content)
    return _placed(normalize(pixels, side), scale)


def _placed(digits: list[DigitImage], scale: float) -> list[DigitImage]:
    """Return the digits of a reduced picture with their places in the full one, `scale` times as large."""
    return [replace(one, box=tuple(round(value * scale, 1) for value in one.box)) for one in digits]


def require_pillow() -> None:
    """Raise `UsageError` if Pillow, which decodes the images, is not installed."""
    require_extra("images", "PIL", purpose="reading image files")


def _require_finder() -> None:
    """Raise `UsageError` if Pillow, which decodes the images, or OpenCV, which finds the digits, is not installed."""
    require_extra("images", "PIL", "cv2", purpose="finding digits in image files")


def _content(source: Path | BinaryIO) -> bytes:
    try:
        if isinstance(source, Path):
            with open_regular(source) as file:
                content = file.read(MAX_BYTES + 1)
        else:
            content = source.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:  # ValueError: a name with a null character
        raise DataError(f"cannot be read: {reason(error)}") from None
    if not content:
        raise DataError("the file is empty")
    if len(content) > MAX_BYTES:
        raise DataError(f"the file is too large: at most {MAX_BYTES:,} bytes are supported")
    return content


def _decode(content: bytes) -> tuple[Array, float]:
    """Return the first frame of an image, upright, as (height, width, 1 or 3) uint8, and by how much it was reduced."""
    from PIL import Image, ImageOps

    with _decoder_errors(), Image.open(io.BytesIO(content), formats=FORMATS) as image:
        _check_size(image)
        longer = max(image.size)
        image.draft(image.mode, (DECODED_SIDE, DECODED_SIDE))  # A large JPEG is decoded at a lower resolution.
        ImageOps.exif_transpose(image, in_place=True)
        pixels = _to_uint8(image)
        return pixels, longer / max(pixels.shape[:2])


def _check_size(image: "Image.Image") -> None:
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise DataError(f"too large: {width:,}×{height:,} pixels; at most {MAX_PIXELS:,} are supported")


@contextmanager
def _decoder_errors() -> Iterator[None]:
    """Turn any failure of Pillow within the context into a `DataError` of one line."""
    from PIL import Image, UnidentifiedImageError

    try:
        yield
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise DataError(f"too large: at most {MAX_PIXELS:,} pixels are supported") from None
    except UnidentifiedImageError:
        raise DataError("not a PNG, JPEG, GIF, BMP, TIFF or WebP image") from None
    except DataError:
        raise
    except MemoryError:
        raise DataError("there is not enough memory to decode it") from None
    except Exception as error:  # Pillow raises any exception for a damaged file, from OSError to IndexError.
        raise DataError(f"damaged image: {reason(error)}") from None


def _to_uint8(image: Any) -> Array:
    """Return a Pillow image of any mode as (height, width, 1 or 3) uint8, reduced if it is large."""
    from PIL import Image

    factor = max(1, max(image.size) // DECODED_SIDE)
    if image.has_transparency_data:
        # RGBa has colours multiplied by opacity, so that averaging ignores the colours of transparent pixels.
        return _on_contrasting_background(
            reduce_image(image.convert("RGBA").convert("RGBa"), factor).astype(np.float32)
        )
    if image.mode.startswith(("I", "F")):  # More than eight bits a pixel, in any range: only the contrast matters.
        image = Image.fromarray(_to_eight_bits(np.asarray(image, np.float64)))
    elif image.mode not in ("L", "RGB"):
        image = image.convert("L" if image.mode == "1" else "RGB")
    return reduce_image(image, factor)


def _to_eight_bits(levels: Array) -> Array:
    """Scale grey levels of any range to uint8 in 0..255; NaN and infinite levels become the median."""
    finite = levels[np.isfinite(levels)]
    if not finite.size:
        raise DataError("damaged image: it has no finite grey level")
    low, high = float(finite.min()), float(finite.max())
    with np.errstate(all="ignore"):
        scaled = (np.where(np.isfinite(levels), levels, np.median(finite)) - low) / max(high - low, SMALLEST_FLOAT)
    return (np.nan_to_num(scaled) * 255).astype(np.uint8)


def _on_contrasting_background(pixels: Array) -> Array:
    """Put a partly transparent picture on white if its opaque pixels are dark, on black otherwise.

    Args:
        pixels: (height, width, 4) float, red, green and blue multiplied by opacity, and opacity, in 0..255.

    Returns:
        (height, width, 3) uint8.
    """
    colours, opacity = pixels[..., :3], pixels[..., 3:]
    is_dark = colours.sum() < opacity.sum() * 3 / 2
    composed: Array = colours + (255 - opacity) * is_dark
    return composed.astype(np.uint8)


@contextmanager
def _pillow_warnings() -> Iterator[None]:
    """Ignore Pillow's warnings within the context, except for too many pixels, which becomes an error."""
    with warnings.catch_warnings():
        _filter_pillow_warnings()
        yield


def _filter_pillow_warnings() -> None:
    from PIL import Image

    warnings.simplefilter("ignore")
    warnings.simplefilter("error", Image.DecompressionBombWarning)


def find(names: Sequence[str]) -> list[ImageSource]:
    """Return the images that names refer to, in the order of the names.

    Args:
        names: files; folders, whose image files are read, those in subfolders too, sorted with ``2.png`` before
            ``10.png``; patterns such as ``scans/*.png``; ``-`` for standard input.

    Raises:
        UsageError: standard input is named twice.
    """
    if names.count("-") > 1:
        raise UsageError("- (standard input) can be given only once")
    return [source for name in names for source in _sources(name)]


def _sources(name: str) -> list[ImageSource]:
    try:
        if Path(name).is_dir():
            return _in_folder(Path(name)) or [ImageSource(name, "there are no image files in this folder")]
        if name == "-" or Path(name).exists() or not has_magic(name):
            return [ImageSource(name)]
        # Path.glob does not support absolute patterns.
        matches = sorted(glob(name, recursive=True), key=natural_order)  # noqa: PTH207
        return [ImageSource(match) for match in matches] or [ImageSource(name, "no file matches this pattern")]
    except OSError as error:
        return [ImageSource(name, f"cannot be read: {reason(error)}")]


def _in_folder(folder: Path) -> list[ImageSource]:
    found = (path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and not path.name.startswith("."))
    names = sorted((str(path) for path in found if path.is_file()), key=natural_order)
    return [ImageSource(name) for name in names]


def content(path: Path) -> bytes:
    """Return the bytes of an image file; raises `DataError` if it is empty, too large or cannot be read."""
    return _content(path)


@contextmanager
def opened(content: bytes) -> Iterator["Image.Image"]:
    """Open an image of bounded size; any failure within the context becomes a `DataError` of one line."""
    from PIL import Image

    with _decoder_errors(), Image.open(io.BytesIO(content), formats=FORMATS) as image:
        _check_size(image)
        yield image


def quiet_decoder() -> AbstractContextManager[None]:
    """Ignore Pillow's warnings within the context, except for too many pixels, which becomes an error."""
    return _pillow_warnings()
