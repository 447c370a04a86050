"""A network as a TensorFlow function, from which SavedModels and LiteRT files are made."""

from typing import TYPE_CHECKING, Any

from dnn_cli.engines.keras import tensorflow_import
from dnn_cli.exporting.contract import Input
from dnn_cli.exporting.plain_network import PlainNetwork

if TYPE_CHECKING:
    import tensorflow as tf


def module(network: PlainNetwork, kind: Input) -> "tf.Module":
    """Return a module whose function `serve` computes ``probabilities`` from ``images`` (n, …), for any n."""
    tensorflow_import.import_tensorflow()
    import keras
    import tensorflow as tf

    dtype = tf.uint8 if kind == "uint8" else tf.float32
    holder: Any = tf.Module(name="network")
    # Constants, because the converter to LiteRT leaves out variables that it does not find, and reports success.
    steps = [(tf.constant(step.weights), tf.constant(step.bias), step.activation) for step in network.steps]

    def serve(images: Any) -> dict[str, Any]:
        x = tf.cast(images, tf.float32)
        if kind == "uint8":
            x = x / 255.0
        x = tf.reshape(x, [-1, network.steps[0].weights.shape[0]])
        for weights, bias, activation in steps:
            x = keras.activations.get(activation)(tf.matmul(x, weights) + bias)
        return {"probabilities": tf.identity(x, name="probabilities")}

    holder.serve = tf.function(serve, input_signature=[tf.TensorSpec([None, *network.image_shape], dtype, "images")])
    return holder
