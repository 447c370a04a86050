"""Write a network as a `.keras` file without its optimizer, whose input is scaled inside, and run one with Keras."""

import io
import json
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from dnn_cli.engines import keras_file
from dnn_cli.exporting.contract import Contract
from dnn_cli.exporting.plain_network import PlainNetwork
from dnn_cli.typing import Array

FILE = "model.keras"
DTYPE = "float32"


def write(network: PlainNetwork, contract: Contract, folder: Path) -> None:
    """Write the network into a folder: Rescaling, Flatten and Dense layers; Keras loads it in safe mode."""
    import h5py

    weights = io.BytesIO()
    with h5py.File(weights, "w") as file:
        for number, step in enumerate(network.steps):
            group = keras_file.layer_group("dense", number)
            file[keras_file.variable(group, 0)] = step.weights
            file[keras_file.variable(group, 1)] = step.bias
    description = {"keras_version": metadata.version("keras"), "dnn": contract.to_dict()}
    description |= keras_file.names_as_metadata(contract.classes)
    keras_file.write(folder / FILE, description, json.dumps(_config(network, contract)), weights.getbuffer())


def _config(network: PlainNetwork, contract: Contract) -> dict[str, Any]:
    """Return Keras's serialization of the network, the content of ``config.json``."""
    kind = "uint8" if contract.input == "uint8" else DTYPE
    shape = [None, *network.image_shape]
    layers = [_layer("InputLayer", {"batch_shape": shape, "dtype": kind, "name": "images"})]
    if contract.input == "uint8":
        layers.append(_layer("Rescaling", {"name": "rescaling", "dtype": DTYPE, "scale": 1 / 255, "offset": 0.0}))
    layers.append(_layer("Flatten", {"name": "flatten", "dtype": DTYPE}))
    for number, step in enumerate(network.steps, 1):
        dense = {"name": f"dense_{number}", "dtype": DTYPE, "units": len(step.bias), "activation": step.activation}
        layers.append(_layer("Dense", dense))
    return {
        "module": "keras",
        "class_name": "Sequential",
        "config": {"name": "network", "trainable": True, "dtype": DTYPE, "layers": layers},
        "registered_name": None,
        "build_config": {"input_shape": shape},
    }


def _layer(kind: str, config: dict[str, Any]) -> dict[str, Any]:
    return {"module": "keras.layers", "class_name": kind, "config": config, "registered_name": None}


class Runtime:
    """A `.keras` file in Keras."""

    def __init__(self, folder: Path) -> None:
        from dnn_cli.engines.keras import tensorflow_import

        tensorflow_import.import_tensorflow()
        import keras

        self._model = keras.models.load_model(folder / FILE, safe_mode=True, compile=False)

    def predict(self, images: Array) -> Array:
        """Return the probabilities (n, classes) of images (n, …)."""
        return np.asarray(self._model(images, training=False))
