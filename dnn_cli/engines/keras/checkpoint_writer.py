"""A network's `.keras` file, written again and again: by Keras once, then with the values of each moment in it.

Keras's own `save` looks through all objects of a network for the arrays in them. That takes 12 to 25 ms of Python each
time, which the epochs of a small network feel even from another thread; putting new values into the file takes two.
"""

import io
import json
import tempfile
import zipfile
from datetime import datetime
from pathlib import Path

import h5py
import keras
import numpy as np

from dnn_cli.typing import Array

CONFIG, WEIGHTS, METADATA = "config.json", "model.weights.h5", "metadata.json"


class Archive:
    """What Keras saves of a compiled network whose state is built, and where in it each value stands.

    Which dataset of the file holds which variable is asked of Keras, by having it save a network in which each variable
    is filled with a number of its own; nothing here knows how Keras arranges its files.
    """

    def __init__(self, network: keras.Sequential) -> None:
        # All that a file of the network holds: weights, moving means, random states and the optimizer's.
        self._variables = [*network.variables, *network.optimizer.variables]
        places = {id(variable): place for place, variable in enumerate(self._variables)}
        named = [(f"{layer.name}/{weight.name}", weight) for layer in network.layers for weight in layer.weights]
        self._named = {name: places[id(weight)] for name, weight in named}
        self._members = _saved(network)
        self.network = self._members[CONFIG].decode()
        self._weights = io.BytesIO(self._members[WEIGHTS])
        values = self.values()
        try:
            for number, variable in enumerate(self._variables):
                variable.assign(np.full(variable.shape, number, variable.dtype))
            self._places = _first_values(_saved(network)[WEIGHTS])
        finally:
            for variable, value in zip(self._variables, values, strict=True):
                variable.assign(value)
        if len(set(self._places.values())) != len(self._places):
            raise AssertionError(f"Keras saves more than the network's variables: {self._places}")

    def values(self) -> list[Array]:
        """Copies of all values as they are now, for `write`."""
        return [np.array(variable.numpy()) for variable in self._variables]

    def weights(self, values: list[Array]) -> dict[str, Array]:
        """Those of `values` that are the network's, by layer and name."""
        return {name: values[place] for name, place in self._named.items()}

    def write(self, values: list[Array], path: Path) -> None:
        """Write the network with these `values` to `path`: plain Keras, nothing of ours."""
        with h5py.File(self._weights, "r+") as file:
            for place, number in self._places.items():
                file[place][...] = values[number]
        metadata = json.loads(self._members[METADATA])
        metadata["date_saved"] = datetime.now().strftime("%Y-%m-%d@%H:%M:%S")
        members: dict[str, bytes | memoryview] = dict(self._members)
        members |= {METADATA: json.dumps(metadata).encode(), WEIGHTS: self._weights.getbuffer()}
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in members.items():
                archive.writestr(name, content)


def _saved(network: keras.Sequential) -> dict[str, bytes]:
    """The members of the file that Keras writes."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "network.keras")
        network.save(path)
        with zipfile.ZipFile(path) as archive:
            return {name: archive.read(name) for name in archive.namelist()}


def _first_values(weights: bytes) -> dict[str, int]:
    """The first value of each dataset, by the dataset's path."""
    found = {}

    def note(path: str, item: h5py.Dataset | h5py.Group) -> None:
        if isinstance(item, h5py.Dataset):
            found[path] = int(item[...].flat[0])

    with h5py.File(io.BytesIO(weights)) as file:
        file.visititems(note)
    return found
