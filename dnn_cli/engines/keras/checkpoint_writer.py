"""Write checkpoints of a Keras network quickly: Keras saves it once, later files replace only the values.

Keras's own `save` searches all objects of a network for variables. That takes 12 to 25 ms of Python each time, which
slows down the epochs of a small network even from another thread. Replacing the values in the file takes 2 ms.
"""

import io
import json
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

import h5py
import keras
import numpy as np

from dnn_cli.engines import keras_file
from dnn_cli.typing import Array


class KerasCheckpointWriter:
    """Writes the values of a compiled network, whose variables exist, to `.keras` files.

    The place of each variable in the file is learned from Keras: the network is saved once with every variable filled
    with its own number. So this class does not depend on how Keras arranges its files.

    Args:
        network: the network.
        class_names: the names of its classes, which are stored in every file.

    Attributes:
        description: Keras's description of the network, JSON.
    """

    def __init__(self, network: keras.Sequential, class_names: Sequence[str] | None = None) -> None:
        # Everything that a file of the network contains: weights, moving means, random states, optimizer state.
        self._variables = [*network.variables, *network.optimizer.variables]
        numbers = {id(variable): number for number, variable in enumerate(self._variables)}
        named = [(f"{layer.name}/{weight.name}", weight) for layer in network.layers for weight in layer.weights]
        self._named = {name: numbers[id(weight)] for name, weight in named}
        members = _saved_members(network)
        self.description = members[keras_file.CONFIG].decode()
        self._metadata = json.loads(members[keras_file.METADATA]) | keras_file.names_as_metadata(class_names)
        self._weights = io.BytesIO(members[keras_file.WEIGHTS])
        values = self.snapshot()
        try:
            for number, variable in enumerate(self._variables):
                variable.assign(np.full(variable.shape, number, variable.dtype))
            self._places = _first_values(_saved_members(network)[keras_file.WEIGHTS])
        finally:
            for variable, value in zip(self._variables, values, strict=True):
                variable.assign(value)
        if len(set(self._places.values())) != len(self._places):
            raise AssertionError(f"Keras saves more than the network's variables: {self._places}")

    def snapshot(self) -> list[Array]:
        """Return copies of all current values, for `write`."""
        return [np.array(variable.numpy()) for variable in self._variables]

    def weights(self, values: list[Array]) -> dict[str, Array]:
        """Return the arrays of a snapshot that belong to layers, by layer and variable: ``dense_1/kernel``."""
        return {name: values[number] for name, number in self._named.items()}

    def write(self, values: list[Array], path: Path) -> None:
        """Write the network with the values of a snapshot as a plain Keras file."""
        with h5py.File(self._weights, "r+") as file:
            for place, number in self._places.items():
                file[place][...] = values[number]
        keras_file.write(path, self._metadata, self.description, self._weights.getbuffer())


def _saved_members(network: keras.Sequential) -> dict[str, bytes]:
    """Return the members of the file that Keras saves."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "network.keras")
        network.save(path)
        with zipfile.ZipFile(path) as archive:
            return {name: archive.read(name) for name in archive.namelist()}


def _first_values(weights: bytes) -> dict[str, int]:
    """Return the first value of each dataset of an HDF5 file, by the dataset's path."""
    found = {}

    def add(path: str, item: h5py.Dataset | h5py.Group) -> None:
        if isinstance(item, h5py.Dataset):
            found[path] = int(item[...].flat[0])

    with h5py.File(io.BytesIO(weights)) as file:
        file.visititems(add)
    return found
