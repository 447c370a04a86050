"""Decode many pictures into one array: upright, of one size, grey or RGB; in parallel if that saves time."""

import hashlib
import multiprocessing
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import repeat
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dnn_cli import progress
from dnn_cli.data import image_files
from dnn_cli.data.class_names import listed
from dnn_cli.data.formats import MAX_SIDE
from dnn_cli.data.image_files import ImageSource
from dnn_cli.data.reading import Reading, Resize
from dnn_cli.errors import DataError
from dnn_cli.typing import Array

if TYPE_CHECKING:
    from PIL import Image

PARALLEL_PICTURES, PARALLEL_BYTES = 2000, 2**25  # From these on, starting processes saves time.
CHUNK = 250  # Pictures that a process decodes at a time.
PROBES = 32  # Pictures whose headers decide what all of them are expected to be.
PROPOSED_SIDE = 64  # A message proposes no larger size.
GREY_MODES = {"1", "L", "LA", "La", "I", "F", "I;16", "I;16B", "I;16L"}  # Pillow's names
ORIENTATION = 0x0112  # the EXIF tag; from 5 on, height and width are exchanged
SIXTEEN_BITS = 65_535


@dataclass(frozen=True)
class Picture:
    """An encoded picture.

    Attributes:
        name: its name in messages.
        source: the path of its file, or its bytes.
        size: number of bytes.
    """

    name: str
    source: str | bytes
    size: int


@dataclass(frozen=True)
class Form:
    """What every picture becomes.

    Attributes:
        size: height and width.
        rgb: whether it has three channels; otherwise it is grey.
        resize: how it gets that size; None if it must have it.
        is_grey_expected: whether a picture with colours is an error instead of being converted to grey.
    """

    size: tuple[int, ...]
    rgb: bool
    resize: Resize | None
    is_grey_expected: bool = False

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of a picture's array."""
        return (*self.size, 3) if self.rgb else self.size


@dataclass(frozen=True)
class Decoded:
    """Decoded pictures.

    Attributes:
        images: (n, height, width[, 3]) uint8; a broken picture is black.
        digests: the SHA-256 of each encoded picture.
        broken: the index of each broken picture → what is wrong with it.
    """

    images: Array
    digests: list[str]
    broken: dict[int, str]


class DifferentSizesError(DataError):
    """The pictures have different sizes, and the settings do not say which all of them get.

    Args:
        message: names the sizes, and a size that suits.
        proposed: that size.
    """

    def __init__(self, message: str, proposed: tuple[int, int]) -> None:
        super().__init__(message)
        self.proposed = proposed


class _OtherFormError(DataError):
    """A picture is not of the expected form: it has another size, or colours."""


def decode(pictures: Sequence[Picture], place: object, reading: Reading) -> Decoded:
    """Decode pictures, one at least.

    Args:
        pictures: the pictures.
        place: where they are, for messages.
        reading: its `image_size`, `color`, `resize` and `max_bytes`.

    Raises:
        DataError: the pictures have different sizes and none is set, or need too much memory.
        UsageError: Pillow is not installed.
    """
    image_files.require_pillow()
    with image_files.quiet_decoder():
        form = _expected_form(pictures, reading)
        reading.check_memory(place, len(pictures), form.shape)
        try:
            return _decode_as(pictures, form)
        except _OtherFormError:
            sizes = {size for size, _ in _headers(pictures)}
            if len(sizes) > 1 and reading.image_size is None:
                raise _different_sizes(pictures, place) from None
        form = replace(form, rgb=True, is_grey_expected=False)
        reading.check_memory(place, len(pictures), form.shape)
        return _decode_as(pictures, form)


def read_all(sources: Sequence[ImageSource], form: Form, done: Callable[[], None] = lambda: None) -> list[Array | str]:
    """Read image files that a user named.

    Args:
        sources: the files.
        form: what they become.
        done: called after each file, for a progress bar.

    Returns:
        For each source, in order, the image (height, width[, 3]) uint8, or the reason why it cannot be read.

    Raises:
        UsageError: Pillow is not installed.
    """
    image_files.require_pillow()
    results: list[Array | str] = []
    with image_files.quiet_decoder():
        for source in sources:
            results.append(_read(source, form))
            done()
    return results


def _read(source: ImageSource, form: Form) -> Array | str:
    try:
        if source.problem:
            raise DataError(source.problem)
        content = sys.stdin.buffer.read(image_files.MAX_BYTES + 1) if source.name == "-" else _content(source.name)
        with image_files.opened(content) as image:
            return prepare(image, form)
    except DataError as error:
        return str(error)


def prepare(image: "Image.Image", form: Form) -> Array:
    """Return an opened picture, (height, width[, 3]) uint8, in a form."""
    if form.is_grey_expected and image.mode not in GREY_MODES:
        raise _OtherFormError
    upright = _upright(image)
    return np.asarray(_resized(_of_color(upright, rgb=form.rgb), form))


def _expected_form(pictures: Sequence[Picture], reading: Reading) -> Form:
    """Return the form that the settings ask for, or else that of some of the pictures."""
    probes = list(_headers(pictures[:: max(1, len(pictures) // PROBES)]))
    rgb = reading.color == "rgb" or (reading.color is None and any(not is_grey for _, is_grey in probes))
    size = reading.image_size or (probes[0][0] if probes else (1, 1))
    if max(size) > MAX_SIDE:
        raise DataError(
            f"{pictures[0].name}: pictures of {_sides(size)} are too large to train on, at most {MAX_SIDE} pixels a "
            f"side are supported; set data.image_size: [{PROPOSED_SIDE}, {PROPOSED_SIDE}]"
        )
    return Form(size, rgb, reading.resize if reading.image_size else None, reading.color is None and not rgb)


def _headers(pictures: Sequence[Picture]) -> Iterator[tuple[tuple[int, ...], bool]]:
    """Yield the size, upright, of each picture that is not broken, and whether it is grey."""
    for picture in pictures:
        try:
            with image_files.opened(_content(picture.source)) as image:
                width, height = image.size
                is_stored = _has_metadata(image) and image.format != "TIFF"  # Pillow gives the upright size of a TIFF.
                turned = is_stored and image.getexif().get(ORIENTATION, 1) > 4
                yield ((width, height) if turned else (height, width)), image.mode in GREY_MODES
        except DataError:
            continue


def _different_sizes(pictures: Sequence[Picture], place: object) -> DifferentSizesError:
    sizes = Counter(size for size, _ in _headers(pictures))
    side = min(PROPOSED_SIDE, *(min(size) for size in sizes))
    common = listed([f"{_sides(size)} ({count:,})" for size, count in sizes.most_common()])
    message = (
        f"{place}: the pictures have {len(sizes):,} different sizes: {common}; "
        f"set the size that all of them get, for example data.image_size: [{side}, {side}]"
    )
    return DifferentSizesError(message, (side, side))


def _decode_as(pictures: Sequence[Picture], form: Form) -> Decoded:
    images = np.empty((len(pictures), *form.shape), np.uint8)
    digests: list[str] = []
    broken: dict[int, str] = {}
    starts = range(0, len(pictures), CHUNK)
    chunks = [[picture.source for picture in pictures[start : start + CHUNK]] for start in starts]
    is_large = len(pictures) >= PARALLEL_PICTURES or sum(picture.size for picture in pictures) >= PARALLEL_BYTES
    with (
        _results(chunks, form, is_parallel=is_large) as results,
        progress.bar("decoding pictures", len(pictures), quiet=not is_large) as done,
    ):
        for start, result in zip(starts, results, strict=True):
            images[start : start + len(result.digests)] = result.images
            broken |= {start + index: problem for index, problem in result.broken.items()}
            digests += result.digests
            done(len(result.digests))
    return Decoded(images, digests, broken)


@contextmanager
def _results(chunks: Sequence[Any], form: Form, *, is_parallel: bool) -> Iterator[Iterator[Decoded]]:
    """Yield an iterator over the decoded chunks, in order."""
    processors = os.cpu_count() or 1
    if not is_parallel or processors == 1:
        yield map(_decode_chunk, chunks, repeat(form))
        return
    # A forked process would lack the threads of this one, which may be TensorFlow's.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processors, context, initializer=image_files.begin_worker) as pool:
        try:
            yield pool.map(_decode_chunk, chunks, repeat(form))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _decode_chunk(sources: Sequence[str | bytes], form: Form) -> Decoded:
    images = np.zeros((len(sources), *form.shape), np.uint8)
    digests: list[str] = []
    broken: dict[int, str] = {}
    for index, source in enumerate(sources):
        content = b""
        try:
            content = _content(source)
            with image_files.opened(content) as image:
                if form.resize:
                    image.draft(None, (max(form.size),) * 2)  # A large JPEG is decoded at a lower resolution.
                images[index] = prepare(image, form)
        except _OtherFormError:
            raise
        except DataError as error:
            broken[index] = str(error)
        digests.append(hashlib.sha256(content).hexdigest())
    return Decoded(images, digests, broken)


def _content(source: str | bytes) -> bytes:
    """Return the bytes of a picture, as `image_files.content` does; a buffer for the largest file would take time."""
    if isinstance(source, bytes):
        return source
    try:
        if (size := os.stat(source).st_size) <= image_files.MAX_BYTES:  # noqa: PTH116 - a `Path` takes time
            with open(source, "rb", buffering=0) as file:  # noqa: PTH123
                if content := file.read(size):
                    return content
    except OSError:
        pass
    return image_files.content(Path(source))  # raises, if the file has not changed


def _has_metadata(image: "Image.Image") -> bool:
    """Return whether a picture may have an orientation; to look for it in every one would take time."""
    return image.format == "TIFF" or any(key in image.info for key in ("exif", "xmp", "XML:com.adobe.xmp"))


def _upright(image: "Image.Image") -> "Image.Image":
    from PIL import ImageOps

    return ImageOps.exif_transpose(image) if _has_metadata(image) else image


def _of_color(image: "Image.Image", *, rgb: bool) -> "Image.Image":
    """Return a picture as grey or RGB of eight bits; transparent parts show white."""
    from PIL import Image

    if image.has_transparency_data:
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image.convert("RGBA")).convert("L" if image.mode in GREY_MODES else "RGB")
    elif image.mode.startswith(("I", "F")):
        image = Image.fromarray(_eight_bits(np.asarray(image, np.float64), image.mode))
    wanted = "RGB" if rgb else "L"
    return image if image.mode == wanted else image.convert(wanted)


def _eight_bits(levels: Array, mode: str) -> Array:
    """Scale the levels of a 16-bit picture, or floats in [0, 1] or 0..255, to uint8."""
    low, high = float(levels.min()), float(levels.max())
    white = SIXTEEN_BITS if mode.startswith("I") else 1 if high <= 1 else 255
    if not (low >= 0 and high <= white):  # also true of NaN
        raise DataError(f"its levels lie in {low:g} to {high:g}; at most 0 to {white} are supported")
    return np.rint(levels * (255 / white)).astype(np.uint8)


def _resized(image: "Image.Image", form: Form) -> "Image.Image":
    from PIL import Image, ImageOps

    height, width = form.size
    if image.size == (width, height):
        return image
    method = Image.Resampling.BILINEAR
    match form.resize:
        case "fit":
            return ImageOps.pad(image, (width, height), method, color=0)
        case "fill":
            return ImageOps.fit(image, (width, height), method)
        case "stretch":
            return image.resize((width, height), method)
    raise _OtherFormError


def _sides(size: Sequence[int]) -> str:
    return "×".join(map(str, size))
