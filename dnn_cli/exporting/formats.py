"""The table of formats: how each is written, and what runs it."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Literal, Protocol

from dnn_cli.typing import Array

FormatName = Literal["onnx", "litert", "saved_model", "javascript", "npz", "keras"]
Quantization = Literal["none", "float16", "dynamic", "int8"]


class Runtime(Protocol):
    """A program that runs an exported network, as its users run it."""

    def predict(self, images: Array) -> Array:
        """Return the probabilities (n, classes) of images (n, …)."""
        ...


@dataclass(frozen=True)
class Format:
    """A format of exported networks.

    Attributes:
        title: its name in sentences.
        module: the module that writes it, and whose `Runtime` runs it.
        runtime: the name of the program that runs it.
        extra: the extra that installs what is needed; "" if nothing is.
        packages: the packages that write it, by the names by which they are imported.
        runtime_packages: the packages that run it.
        usage: five lines that run it, for the model card; ``images`` is defined.
    """

    title: str
    module: str
    runtime: str
    extra: str = ""
    packages: tuple[str, ...] = ()
    runtime_packages: tuple[str, ...] = ()
    language: str = "python"
    usage: str = ""

    def writer(self) -> Callable[..., None]:
        """Return the function ``write(network, contract, folder)``."""
        found: Callable[..., None] = import_module(self.module).write
        return found

    def open(self, folder: Path) -> Runtime:
        """Load the export in a folder with its own program."""
        found: Runtime = import_module(self.module).Runtime(folder)
        return found


FORMATS: dict[FormatName, Format] = {
    "onnx": Format(
        title="ONNX",
        module="dnn_cli.exporting.onnx_file",
        runtime="onnxruntime",
        extra="onnx",
        packages=("onnx",),
        runtime_packages=("onnxruntime",),
        usage="""\
import onnxruntime
session = onnxruntime.InferenceSession("model.onnx")
(probabilities,) = session.run(["probabilities"], {"images": images})
""",
    ),
    "litert": Format(
        title="LiteRT",
        module="dnn_cli.exporting.litert",
        runtime="LiteRT",
        extra="litert",
        runtime_packages=("ai_edge_litert",),
        usage="""\
from ai_edge_litert.interpreter import Interpreter
interpreter = Interpreter("model.tflite")
place = interpreter.get_input_details()[0]["index"]
interpreter.resize_tensor_input(place, images.shape)
interpreter.allocate_tensors()
interpreter.set_tensor(place, images)
interpreter.invoke()
probabilities = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
""",
    ),
    "saved_model": Format(
        title="SavedModel",
        module="dnn_cli.exporting.saved_model",
        runtime="TensorFlow",
        usage="""\
import tensorflow as tf
model = tf.saved_model.load("1").signatures["serving_default"]
probabilities = model(images=tf.constant(images))["probabilities"]
""",
    ),
    "javascript": Format(
        title="JavaScript",
        module="dnn_cli.exporting.javascript",
        runtime="Node",
        language="javascript",
        usage="""\
const model = require("./model.js");  // in a page: <script src="model.js"></script> defines dnnModel
const probabilities = model.predict(image);  // the pixels of one image in rows
console.log(model.classes[probabilities.indexOf(Math.max(...probabilities))]);
""",
    ),
    "npz": Format(
        title="NPZ",
        module="dnn_cli.exporting.arrays_file",
        runtime="NumPy",
        usage="""\
import numpy as np
file = np.load("model.npz")
print(file["contract"], file["activations"])
print(file["dense_1/weights"].shape, file["dense_1/bias"].shape)
""",
    ),
    "keras": Format(
        title="Keras",
        module="dnn_cli.exporting.plain_keras",
        runtime="Keras",
        usage="""\
import keras
model = keras.models.load_model("model.keras")
probabilities = model.predict(images)
""",
    ),
}
