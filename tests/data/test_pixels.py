"""Test the scaling of pixels to [0, 1], in NumPy and in TensorFlow."""

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from dnn_cli.data.pixels import to_unit_range
from dnn_cli.engines.keras import pixels as keras_pixels

BYTES = np.arange(256, dtype=np.uint8).reshape(4, 8, 8)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_bytes_are_divided_by_255_in_the_type_of_the_result(dtype: Any) -> None:
    scaled = to_unit_range(BYTES, dtype)
    assert scaled.dtype == dtype
    assert scaled.tobytes() == (BYTES.astype(dtype) / dtype(255)).tobytes()
    assert (scaled.min(), scaled.max()) == (0, 1)


def test_floats_keep_their_values_and_are_not_copied() -> None:
    images = to_unit_range(BYTES)
    assert to_unit_range(images) is images
    assert (to_unit_range(images, np.float64) == images).all()


@pytest.mark.parametrize("images", [BYTES, to_unit_range(BYTES)])
def test_the_result_is_written_to_out(images: Any) -> None:
    out = np.empty(BYTES.shape, np.float32)
    assert to_unit_range(images, out=out) is out
    assert out.tobytes() == to_unit_range(BYTES).tobytes()


def test_tensorflow_gives_the_same_bits_as_numpy() -> None:
    expected = to_unit_range(BYTES)
    assert keras_pixels.to_unit_range(tf.constant(BYTES)).numpy().tobytes() == expected.tobytes()
    assert keras_pixels.to_unit_range(tf.constant(expected)).numpy().tobytes() == expected.tobytes()
    computed = keras_pixels.to_unit_range(tf.constant(BYTES.astype(np.float32)), tf.uint8)
    assert computed.numpy().tobytes() == expected.tobytes()
