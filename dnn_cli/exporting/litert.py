"""Write a network as a LiteRT file (``.tflite``), quantized or not, and run one with LiteRT's interpreter."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np

from dnn_cli.engines.keras import tensorflow_import
from dnn_cli.exporting import tensorflow_graph
from dnn_cli.exporting.contract import Contract
from dnn_cli.exporting.plain_network import PlainNetwork
from dnn_cli.typing import Array

FILE = "model.tflite"
METADATA = "dnn_contract"  # the name of the contract among the metadata of the file
CALIBRATION_IMAGES = 500  # from which the ranges of int8 values are found
Quantization = Literal["none", "float16", "dynamic", "int8"]


def write(
    network: PlainNetwork,
    contract: Contract,
    folder: Path,
    quantization: Quantization = "none",
    images: Array | None = None,
) -> None:
    """Write the network into a folder.

    Args:
        network: the network.
        contract: its description.
        folder: an existing folder.
        quantization: ``float16`` stores weights in half of the space, ``dynamic`` in a quarter, ``int8`` also computes
            in whole numbers.
        images: (n, height, width[, channels]) uint8, training images, for ``int8``.
    """
    # The converter itself turns a float input in [0, 1] into uint8, with a scale of exactly 1 / 255.
    kind = "float" if quantization == "int8" else contract.input
    holder = tensorflow_graph.module(network, kind)
    with tensorflow_import.quiet_output(1, 2):
        content = _convert(holder, quantization, contract, images)
        content = _with_metadata(content, contract)
    (folder / FILE).write_bytes(content)


def _convert(holder: Any, quantization: Quantization, contract: Contract, images: Array | None) -> bytes:
    import tensorflow as tf

    converter = tf.lite.TFLiteConverter.from_concrete_functions([holder.serve.get_concrete_function()], holder)
    if quantization != "none":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if quantization == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if quantization == "int8":
        if images is None:
            raise ValueError("int8 needs images")
        converter.representative_dataset = lambda: _examples(images)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        if contract.input == "uint8":
            converter.inference_input_type = tf.uint8
    content: bytes = converter.convert()
    return content


def _examples(images: Array) -> Iterator[list[Array]]:
    # With a black and a white image, the range is 0 to 1 exactly.
    for image in (np.zeros_like(images[0]), np.full_like(images[0], 255), *images[:CALIBRATION_IMAGES]):
        yield [image[None].astype(np.float32) / np.float32(255)]


def _with_metadata(content: bytes, contract: Contract) -> bytes:
    """Return the file with the contract among its metadata."""
    from tensorflow.lite.python import schema_py_generated as schema
    from tensorflow.lite.tools import flatbuffer_utils

    model = flatbuffer_utils.convert_bytearray_to_object(bytearray(content))
    buffer = schema.BufferT()
    buffer.data = np.frombuffer(contract.to_json().encode(), np.uint8)
    entry = schema.MetadataT()
    entry.name, entry.buffer = METADATA, len(model.buffers)
    model.buffers.append(buffer)
    model.metadata = [*(model.metadata or []), entry]
    model.description = f"a network trained by dnn {contract.program}"
    return bytes(flatbuffer_utils.convert_object_to_bytearray(model))


class Runtime:
    """A LiteRT file in LiteRT's interpreter."""

    def __init__(self, folder: Path) -> None:
        from ai_edge_litert.interpreter import Interpreter

        with tensorflow_import.quiet_output(1, 2):
            self._interpreter = Interpreter(str(folder / FILE))
        (self._input,) = self._interpreter.get_input_details()
        (self._output,) = self._interpreter.get_output_details()
        self._count = 0

    def predict(self, images: Array) -> Array:
        """Return the probabilities (n, classes) of images (n, …)."""
        place = self._input["index"]
        if self._count != len(images):
            self._interpreter.resize_tensor_input(place, images.shape)
            with tensorflow_import.quiet_output(1, 2):
                self._interpreter.allocate_tensors()
            self._count = len(images)
        self._interpreter.set_tensor(place, images)
        self._interpreter.invoke()
        return np.array(self._interpreter.get_tensor(self._output["index"]))
