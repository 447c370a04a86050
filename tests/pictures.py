"""Draw digits as people photograph them: of any size and colour, anywhere in the picture, in any file format."""

import io
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from dnn_cli.typing import Array

Colour = tuple[int, ...]
WHITE, BLACK = (255, 255, 255), (0, 0, 0)


def coverage(digit: Array, size: int = 200, share: float = 0.7, at: tuple[float, float] = (0.5, 0.5)) -> Array:
    """Return the share of each pixel that is ink: (size, size) float in [0, 1].

    Args:
        digit: (28, 28) uint8, light on dark.
        size: side of the picture.
        share: side of the digit's image as a fraction of the picture's.
        at: its place between top and bottom, and between left and right, from 0 to 1.
    """
    side = round(size * share)
    drawn = Image.fromarray(digit).resize((side, side), Image.Resampling.LANCZOS)
    top, left = (round((size - side) * place) for place in at)
    ink = np.zeros((size, size), np.float32)
    ink[top : top + side, left : left + side] = np.asarray(drawn, np.float32) / 255
    return ink


def painted(ink: Array, paper: Colour = WHITE, pen: Colour = BLACK) -> Array:
    """Return a picture of that ink in the colour `pen` on `paper`: (height, width, channels) uint8."""
    background = np.array(paper, np.float32)
    return np.rint(background + (np.array(pen, np.float32) - background) * ink[..., None]).astype(np.uint8)


def encoded(pixels: Array | Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    """Return the picture as an image file of that kind."""
    if isinstance(pixels, np.ndarray):
        pixels = Image.fromarray(pixels.squeeze(2) if pixels.shape[2:] == (1,) else pixels)
    buffer = io.BytesIO()
    pixels.save(buffer, kind, **options)
    return buffer.getvalue()


def written(path: Path, content: bytes) -> Path:
    """Write a file, and its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path
