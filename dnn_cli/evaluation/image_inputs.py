"""Turn what a Python program holds as images into arrays that a network takes: arrays, Pillow images and files."""

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from dnn_cli.data import decoding, image_files
from dnn_cli.data.decoding import Form
from dnn_cli.data.pixels import Box, to_unit_range
from dnn_cli.errors import DataError, UsageError
from dnn_cli.evaluation import model_source
from dnn_cli.typing import Array

if TYPE_CHECKING:
    from PIL import Image

    # An array may hold one image or many; whatever is not an array is one image, or a folder or pattern of files.
    ImageLike: TypeAlias = Array | Image.Image | str | os.PathLike[str]


@dataclass(frozen=True)
class ImageInput:
    """An image as a network takes it.

    Attributes:
        image: (height, width[, channels]), uint8 in 0..255 or float32 in [0, 1].
        file: the file that it was read from; empty if there is none.
        box: the place of a digit in its picture: left, top, right and bottom in pixels; empty for an array.
        doubt: why it may be no digit; empty if nothing indicates it.
    """

    image: Array
    file: str = ""
    box: Box = ()
    doubt: str = ""


def read(
    images: "ImageLike | Iterable[ImageLike]",
    shape: tuple[int, ...],
    side: Callable[[], int],
    model: object,
    form: Form | None = None,
) -> list[ImageInput]:
    """Prepare images for a network.

    Args:
        images: an array of one image or of many, a Pillow image, the path of a file, a folder or a pattern; or several
            of these, where each array is one image.
        shape: of the network's input images.
        side: returns the side of the network's input images; raises `RunError` if they are not grey and square, as
            pictures are made.
        model: the network's file, for messages.
        form: what pictures become; None if the digit in them is scaled and centred.

    Raises:
        DataError: an array has another shape, type or range; or a picture cannot be read. The message names it.
        UsageError: `images` is nothing of that; or Pillow, which pictures need, is not installed.
    """
    if _is_array(images):
        return [ImageInput(image) for image in _batch(np.asarray(images), shape, model)]
    if _is_picture(images):
        return list(_pictures(images, "the image", side, form))
    if not isinstance(images, Iterable):
        raise UsageError(f"images must be arrays, Pillow images or paths, got {type(images).__name__}")
    found = list[ImageInput]()
    for index, one in enumerate(images):
        if _is_array(one):
            found.append(ImageInput(_single(np.asarray(one), shape, model, f"image {index}")))
        elif _is_picture(one):
            found += _pictures(one, f"image {index}", side, form)
        else:
            raise UsageError(f"image {index} must be an array, a Pillow image or a path, got {type(one).__name__}")
    return found


def stack(inputs: Sequence[ImageInput], shape: tuple[int, ...]) -> Array:
    """Return the images, one at least, as (n, *shape): uint8 if all of them are, and float32 otherwise."""
    images = [one.image.reshape(shape) for one in inputs]
    if any(image.dtype != np.uint8 for image in images):
        images = [to_unit_range(image) for image in images]
    return np.stack(images)


def _is_array(value: Any) -> bool:
    return hasattr(value, "__array__") and not _is_pillow(value)


def _is_pillow(value: Any) -> bool:
    pillow = sys.modules.get("PIL.Image")
    return pillow is not None and isinstance(value, pillow.Image)


def _is_picture(value: Any) -> bool:
    return isinstance(value, str | os.PathLike) or _is_pillow(value)


def _batch(array: Array, shape: tuple[int, ...], model: object) -> Array:
    """Return the images in an array as (n, height, width[, channels])."""
    images = array[None] if model_source.fits(array.shape, shape) else array
    if not (images.ndim and model_source.fits(images.shape[1:], shape)):
        found, wanted = "×".join(map(str, array.shape)), "×".join(map(str, shape))
        raise DataError(f"the array is {found or 'a number'}, but {model} needs images of {wanted}")
    return _checked(images, "the array")


def _single(array: Array, shape: tuple[int, ...], model: object, title: str) -> Array:
    if not model_source.fits(array.shape, shape):
        found, wanted = "×".join(map(str, array.shape)), "×".join(map(str, shape))
        raise DataError(f"{title} is {found or 'a number'}, but {model} needs images of {wanted}")
    return _checked(array, title)


def _checked(array: Array, title: str) -> Array:
    """Return an array as uint8 or float32; raise `DataError` if its type or range does not say what is white."""
    if array.dtype == np.uint8:
        return array
    if array.dtype != bool and not np.issubdtype(array.dtype, np.floating):
        raise DataError(f"{title} must be uint8 from 0 to 255 or floats from 0 to 1, got {array.dtype}")
    if array.size and not (array.min() >= 0 and array.max() <= 1):  # also true of NaN
        found = f"{array.min():g} to {array.max():g}"
        raise DataError(f"{title} must have floats from 0 to 1, got {found}; divide them by white's value")
    return array.astype(np.float32, copy=False)


def _pictures(value: Any, title: str, side: Callable[[], int], form: Form | None) -> Iterator[ImageInput]:
    """Yield what a network sees of the picture that `value` is or names, or of those in that folder or pattern.

    With a form it is the whole picture, and otherwise each of its digits.
    """
    if _is_pillow(value):
        if form:
            yield ImageInput(decoding.prepare(value, form))
        else:
            for one in image_files.normalize_image(value, side(), title):
                yield ImageInput(one.image, "", one.box, one.doubt)
        return
    image_files.require_pillow()
    name = os.fspath(value)
    for source in image_files.find([name]) if name != "-" else [image_files.ImageSource(name)]:
        if source.problem:
            raise DataError(f"{source.name}: {source.problem}")
        if form:
            (image,) = decoding.read_all([source], form)
            if isinstance(image, str):
                raise DataError(f"{source.name}: {image}")
            yield ImageInput(image, source.name)
        else:
            for one in image_files.read(Path(source.name), side()):
                yield ImageInput(one.image, source.name, one.box, one.doubt)
