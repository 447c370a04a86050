"""A NumPy network's `.keras` file, written and read without Keras: stock Keras loads it, and trains on.

The file leaves out what Keras has defaults for, so that it does not depend on the version of Keras. A test holds it
against what Keras writes and reads of the same network.
"""

import io
import json
import zipfile
from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from dnn_cli import model, numpy_model
from dnn_cli.config import Config
from dnn_cli.descent import Adam, Optimizer
from dnn_cli.errors import RunError, reason
from dnn_cli.layers import BatchNormalization
from dnn_cli.model import Layer
from dnn_cli.reference import Array, Network

CONFIG, METADATA, WEIGHTS = "config.json", "metadata.json", "model.weights.h5"
ITERATIONS, LEARNING_RATE = "optimizer/vars/0", "optimizer/vars/1"


class NumpyFile:
    """What is saved of a network and its optimizer, and where.

    Args:
        config: what they were made from.
        image_shape: of the images that the network takes.
        classes: how many it tells apart.
        network: as `numpy_model.build` makes it of these.
        optimizer: built for it.
    """

    def __init__(
        self, config: Config, image_shape: tuple[int, ...], classes: int, network: Network, optimizer: Optimizer
    ) -> None:
        planned = model.blueprint(config, image_shape, classes)
        self._config = json.dumps(_model_config(config, image_shape, planned))
        self._optimizer = optimizer
        self._arrays = _weights(planned, network) | _means(network, optimizer)

    def values(self) -> dict[str, Array]:
        """Copies of all values as they are now, for `write`: by their places in the file."""
        numbers: dict[str, Array] = {
            ITERATIONS: np.array(self._optimizer.iterations, np.int64),
            LEARNING_RATE: np.array(self._optimizer.learning_rate, np.float32),
        }
        return numbers | {place: array.copy() for place, array in self._arrays.items()}

    def write(self, values: dict[str, Array], path: Path) -> None:
        """Write the network with these `values` to `path`."""
        weights = io.BytesIO()
        with h5py.File(weights, "w") as file:
            for place, value in values.items():
                file[place] = value
        saved = datetime.now().strftime("%Y-%m-%d@%H:%M:%S")
        about = json.dumps({"keras_version": metadata.version("keras"), "date_saved": saved})
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in ((METADATA, about), (CONFIG, self._config), (WEIGHTS, weights.getbuffer())):
                archive.writestr(name, content)

    def read(self, path: Path) -> None:
        """Give network and optimizer the values that were written to `path`; raises `RunError` if they do not fit."""
        values = _read(path, [ITERATIONS, *self._arrays])
        self._optimizer.iterations = int(values[ITERATIONS])
        _assign(self._arrays, values, path)


@dataclass(frozen=True)
class Loaded:
    """A network from a file, the shape of the images that it takes, and how many it may be given at once."""

    network: Network
    image_shape: tuple[int, ...]
    classes: int
    batch: int


def load(path: Path) -> Loaded:
    """The network in a file that `NumpyFile` wrote.

    Raises:
        RunError: there is another kind of network in the file.
    """
    model.check_file(path)
    try:
        with zipfile.ZipFile(path) as archive:
            layers = json.loads(archive.read(CONFIG))["config"]["layers"]
        image_shape = tuple(layers[0]["config"]["batch_shape"][1:])
        planned = [_planned(layer["class_name"], layer["config"]) for layer in layers[1:]]
        planned[0] = Layer("Flatten", {}, int(np.prod(image_shape)))
        batch = model.prediction_batch(image_shape)
        network = numpy_model.assemble(planned, rows=batch)
    except (ValueError, KeyError, IndexError, TypeError) as error:
        raise RunError(f"{path} is no network that NumPy knows: {reason(error)}") from None
    arrays = _weights(planned, network)
    _assign(arrays, _read(path, list(arrays)), path)
    return Loaded(network, image_shape, planned[-1].units, batch)


def _planned(kind: str, arguments: dict[str, Any]) -> Layer:
    return Layer(kind, arguments, int(arguments.get("units", 0)))


def _weights(planned: list[Layer], network: Network) -> dict[str, Array]:
    """The arrays of all layers by their places in the file: views, not copies."""
    found: dict[str, Array] = {}
    counts = Counter[str]()
    for plan, layer in zip(planned[1:], network.layers, strict=True):
        kind = "batch_normalization" if plan.kind == "BatchNormalization" else plan.kind.lower()
        folder = f"layers/{kind}_{counts[kind]}" if counts[kind] else f"layers/{kind}"
        counts[kind] += 1
        arrays = [parameter.value for parameter in layer.parameters]
        if isinstance(layer, BatchNormalization):
            arrays += [layer.moving_mean, layer.moving_variance]
        found |= {f"{folder}/vars/{number}": array for number, array in enumerate(arrays)}
    return found


def _means(network: Network, optimizer: Optimizer) -> dict[str, Array]:
    """The optimizer's running means by their places: all of one kind, then the next; those of Adam take turns."""
    kinds = [network.views(slot) for slot in optimizer.slots]
    turns = zip(*kinds, strict=True) if isinstance(optimizer, Adam) else kinds
    arrays = [array for turn in turns for array in turn]
    return {f"optimizer/vars/{number}": array for number, array in enumerate(arrays, start=2)}


def _read(path: Path, places: list[str]) -> dict[str, Array]:
    try:
        with zipfile.ZipFile(path) as archive, h5py.File(io.BytesIO(archive.read(WEIGHTS))) as file:
            return {place: file[place][()] for place in places}
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise RunError(f"{path} does not hold this network: {reason(error)}") from None


def _assign(arrays: dict[str, Array], values: dict[str, Array], path: Path) -> None:
    for place, array in arrays.items():
        if values[place].shape != array.shape:
            found, wanted = ("×".join(map(str, each.shape)) for each in (values[place], array))
            raise RunError(f"{path} does not hold this network: {place} is {found}, not {wanted}")
        array[...] = values[place]


def _model_config(config: Config, image_shape: tuple[int, ...], planned: list[Layer]) -> dict[str, Any]:
    """What `config.json` holds: Keras's serialization of the compiled network."""
    shown = {"batch_shape": [None, *image_shape], "dtype": "float32", "name": "input_layer"}
    layers = [_keras("layers", "InputLayer", shown), *(_layer_config(layer) for layer in planned)]
    loss: Any = "sparse_categorical_crossentropy"
    if smoothing := config.training.label_smoothing:
        loss = _keras("losses", "CategoricalCrossentropy", {"label_smoothing": smoothing})
    section = config.optimizer
    settings = {"name": section.name, **{key: value for key, value in section if key != "name"}}
    compiled = {"optimizer": _keras("optimizers", type(section).__name__, settings), "loss": loss}
    return {
        "module": "keras",
        "class_name": "Sequential",
        "config": {"name": "sequential", "trainable": True, "dtype": "float32", "layers": layers},
        "registered_name": None,
        "build_config": {"input_shape": [None, *image_shape]},
        "compile_config": compiled | {"metrics": ["accuracy"]},
    }


def _layer_config(layer: Layer) -> dict[str, Any]:
    arguments = dict(layer.arguments)
    if layer.kind == "BatchNormalization":
        arguments |= {"axis": -1, "center": True, "scale": True}
    if layer.initializer:
        seeded = {} if layer.initializer == "identity" else {"seed": layer.seed}
        kind = "".join(word.capitalize() for word in layer.initializer.split("_"))
        arguments["kernel_initializer"] = _keras("initializers", kind, seeded)
    if any(layer.penalties):
        arguments["kernel_regularizer"] = _keras(
            "regularizers", "L1L2", dict(zip(("l1", "l2"), layer.penalties, strict=True))
        )
    return _keras("layers", layer.kind, arguments)


def _keras(module: str, name: str, config: dict[str, Any]) -> dict[str, Any]:
    """An object as Keras serializes it."""
    return {"module": f"keras.{module}", "class_name": name, "config": config, "registered_name": None}
