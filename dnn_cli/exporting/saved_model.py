"""Write a network as a SavedModel in TensorFlow Serving's layout, and run one with TensorFlow."""

import os
import tempfile
from pathlib import Path

import numpy as np

from dnn_cli.engines.keras import tensorflow_import
from dnn_cli.exporting import tensorflow_graph
from dnn_cli.exporting.contract import Contract
from dnn_cli.exporting.plain_network import PlainNetwork
from dnn_cli.typing import Array

VERSION = "1"  # TensorFlow Serving loads the folder with the highest number
CONTRACT = "contract.json"


def write(network: PlainNetwork, contract: Contract, folder: Path) -> None:
    """Write the network into a folder: ``1/`` with the signature ``serving_default``, and the contract as an asset."""
    holder = tensorflow_graph.module(network, contract.input)
    import tensorflow as tf

    with tempfile.TemporaryDirectory(prefix="dnn-") as temporary, tensorflow_import.quiet_output(1, 2):
        asset = Path(temporary, CONTRACT)
        asset.write_text(contract.to_json(), encoding="utf-8")
        holder.contract = tf.saved_model.Asset(os.fspath(asset))
        tf.saved_model.save(holder, os.fspath(folder / VERSION), signatures={"serving_default": holder.serve})


class Runtime:
    """A SavedModel in TensorFlow."""

    def __init__(self, folder: Path) -> None:
        tensorflow_import.import_tensorflow()
        import tensorflow as tf

        with tensorflow_import.quiet_output(1, 2):
            self._model = tf.saved_model.load(os.fspath(folder / VERSION))
        self._predict = self._model.signatures["serving_default"]

    def predict(self, images: Array) -> Array:
        """Return the probabilities (n, classes) of images (n, …)."""
        import tensorflow as tf

        return np.asarray(self._predict(images=tf.constant(images))["probabilities"])
