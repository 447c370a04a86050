"""Scale stored pixels inside a TensorFlow graph, as `dnn_cli.data.pixels` does in NumPy."""

import tensorflow as tf

from dnn_cli.data.pixels import MAX_BYTE


def to_unit_range(pixels: tf.Tensor, stored: tf.DType | None = None) -> tf.Tensor:
    """Return pixels as float32 in [0, 1].

    Args:
        pixels: any shape, in 0..255 if they are stored as uint8, otherwise float32 in [0, 1].
        stored: type of the images that `pixels` were computed from; None if it is the type of `pixels`.
    """
    return tf.cast(pixels, tf.float32) / float(MAX_BYTE) if (stored or pixels.dtype) == tf.uint8 else pixels
