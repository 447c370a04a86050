"""Write the arrays of a network, by layer and name, as an NPZ file, and compute its probabilities with NumPy alone."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from dnn_cli.engines.numpy.activations import FUNCTIONS
from dnn_cli.exporting.contract import Contract
from dnn_cli.exporting.plain_network import PlainNetwork
from dnn_cli.typing import Array

FILE = "model.npz"


def write(network: PlainNetwork, contract: Contract, folder: Path) -> None:
    """Write the network into a folder.

    The file holds ``dense_1/weights`` (inputs, units) and ``dense_1/bias`` (units,) of each layer, ``activations``, and
    ``contract``, a JSON text. Batch normalization is part of the arrays, and so is the temperature.
    """
    arrays: dict[str, Any] = {}
    for number, step in enumerate(network.steps, 1):
        arrays |= {f"dense_{number}/weights": step.weights, f"dense_{number}/bias": step.bias}
    activations = np.array([step.activation for step in network.steps])
    np.savez_compressed(folder / FILE, activations=activations, contract=contract.to_json(), **arrays)


class Runtime:
    """The arrays of a file, applied by NumPy."""

    def __init__(self, folder: Path) -> None:
        with np.load(folder / FILE, allow_pickle=False) as file:
            self._arrays = {name: file[name] for name in file.files}
        self._scale = 255 if json.loads(str(self._arrays["contract"]))["input"] == "uint8" else 1

    def predict(self, images: Array) -> Array:
        """Return the probabilities (n, classes) of images (n, …)."""
        x = images.reshape(len(images), -1) / np.float32(self._scale)
        for number, name in enumerate(self._arrays["activations"].tolist(), 1):
            z = x @ self._arrays[f"dense_{number}/weights"] + self._arrays[f"dense_{number}/bias"]
            if name == "softmax":
                x = np.exp(z - z.max(axis=1, keepdims=True))
                x /= x.sum(axis=1, keepdims=True)
            else:
                x = np.empty_like(z)
                FUNCTIONS[name].value(z, x)
        return x
