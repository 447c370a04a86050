"""A NumPy network's `.keras` file, written and read without Keras: stock Keras loads it, and trains on.

The file leaves out what Keras has defaults for, so that it does not depend on the version of Keras. A test holds it
against what Keras writes and reads of the same network.
"""

import io
import json
import zipfile
from collections import Counter
from collections.abc import Container
from dataclasses import dataclass
from datetime import datetime
from importlib import metadata
from math import prod
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from dnn_cli.config.schema import MAX_UNITS, Config
from dnn_cli.engines import keras_file, network_spec
from dnn_cli.engines.network_spec import Layer
from dnn_cli.engines.numpy import build
from dnn_cli.engines.numpy.activations import FUNCTIONS
from dnn_cli.engines.numpy.network import Network
from dnn_cli.engines.numpy.optimizers import Adam, Optimizer
from dnn_cli.engines.numpy.regularization import BatchNormalization
from dnn_cli.errors import RunError, reason
from dnn_cli.typing import Array

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
        planned = network_spec.network_spec(config, image_shape, classes)
        self.network = json.dumps(_model_config(config, image_shape, planned))
        self._optimizer = optimizer
        weights = _weights(planned, network)
        names = (f"{layer.name}/{name}" for layer in planned for name in layer.shapes)
        self._named = dict(zip(names, weights, strict=True))
        self._arrays = weights | _means(network, optimizer)

    def values(self) -> dict[str, Array]:
        """Copies of all values as they are now, for `write`: by their places in the file."""
        numbers: dict[str, Array] = {
            ITERATIONS: np.array(self._optimizer.iterations, np.int64),
            LEARNING_RATE: np.array(self._optimizer.learning_rate, np.float32),
        }
        return numbers | {place: array.copy() for place, array in self._arrays.items()}

    def weights(self, values: dict[str, Array]) -> dict[str, Array]:
        """Those of `values` that are the network's, by layer and name."""
        return {name: values[place] for name, place in self._named.items()}

    def write(self, values: dict[str, Array], path: Path) -> None:
        """Write the network with these `values` to `path`."""
        weights = io.BytesIO()
        with h5py.File(weights, "w") as file:
            for place, value in values.items():
                file[place] = value
        saved = datetime.now().strftime("%Y-%m-%d@%H:%M:%S")
        about = json.dumps({"keras_version": metadata.version("keras"), "date_saved": saved})
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in ((METADATA, about), (CONFIG, self.network), (WEIGHTS, weights.getbuffer())):
                archive.writestr(name, content)

    def read(self, path: Path) -> None:
        """Give network and optimizer the values that were written to `path`; raises `RunError` if they do not fit."""
        values = _read(path, {ITERATIONS: np.array(0), **self._arrays})
        self._optimizer.iterations = int(values.pop(ITERATIONS))
        _assign(self._arrays, values)


@dataclass(frozen=True)
class Loaded:
    """A network from a file, the shape of the images that it takes, and how many it may be given at once."""

    network: Network
    image_shape: tuple[int, ...]
    classes: int
    batch: int


class UnknownNetworkError(RunError):
    """A file that holds another kind of network than dnn builds."""


def load(path: Path) -> Loaded:
    """The network in a `.keras` file of layers as dnn builds them, whoever wrote it.

    Raises:
        UnknownNetworkError: there is another kind of network in the file.
        RunError: the file is damaged.
    """
    keras_file.check_file(path)
    try:
        image_shape, planned = _planned(keras_file.description(path))
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError) as error:
        raise UnknownNetworkError(f"{path} is no network that NumPy knows: {reason(error)}") from None
    batch = network_spec.prediction_batch(image_shape)
    network = build.assemble(planned, rows=batch)
    arrays = _weights(planned, network)
    _assign(arrays, _read(path, arrays))
    return Loaded(network, image_shape, planned[-1].units, batch)


def _planned(described: dict[str, Any]) -> tuple[tuple[int, ...], list[Layer]]:
    """The image's shape, and the layers after it; raises `ValueError` and the like where dnn builds no such network."""
    if described["class_name"] != "Sequential":
        raise ValueError(f"it is a {described['class_name']} model")
    shown, flatten, *hidden, head = described["config"]["layers"]
    image_shape = tuple(map(int, shown["config"]["batch_shape"][1:]))
    if flatten["class_name"] != "Flatten" or not image_shape:
        raise ValueError("it does not begin with Flatten")
    layers = [Layer("Flatten", {}, prod(image_shape))]
    for layer in hidden:
        layers.append(_layer(layer, layers[-1].units, FUNCTIONS))
    if head["class_name"] != "Dense" or head["config"]["activation"] != "softmax":
        raise ValueError("it does not end with a Dense layer of softmax")
    layers.append(_layer(head, layers[-1].units, {"softmax"}))
    if network_spec.count_parameters(layers) > network_spec.MAX_PARAMETERS:
        raise ValueError(f"it has more than {network_spec.MAX_PARAMETERS:,} weights")
    return image_shape, layers


def _layer(described: dict[str, Any], inputs: int, activations: Container[str]) -> Layer:
    kind, arguments = described["class_name"], described["config"]
    if kind in ("Dense", "Activation") and str(arguments["activation"]) not in activations:
        raise ValueError(f"it has the activation {arguments['activation']}")
    match kind:
        case "Dense":
            units = int(arguments["units"])
            if not 1 <= units <= MAX_UNITS:
                raise ValueError(f"it has a layer of {units} units")
            known = {key: arguments[key] for key in ("activation", "use_bias")}
            return Layer(kind, known, units, {"kernel": (inputs, units)})
        case "BatchNormalization" if not (arguments["scale"] and arguments["center"]):
            raise ValueError("it has a BatchNormalization without scale or center")
        case "BatchNormalization":
            return Layer(kind, {key: float(arguments[key]) for key in ("momentum", "epsilon")}, inputs)
        case "Activation":
            return Layer(kind, {"activation": arguments["activation"]}, inputs)
        case "Dropout":
            return Layer(kind, {"rate": float(arguments["rate"])}, inputs)
    raise ValueError(f"it has a {kind} layer")


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


def _read(path: Path, arrays: dict[str, Array]) -> dict[str, Array]:
    """What the file has for each of `arrays`, by its place; raises `RunError` where that has another shape."""
    try:
        with zipfile.ZipFile(path) as archive, h5py.File(io.BytesIO(archive.read(WEIGHTS))) as file:
            return {place: _whole(file[place], place, array.shape) for place, array in arrays.items()}
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise RunError(f"{path} does not hold this network: {reason(error)}") from None


def _whole(found: Any, place: str, shape: tuple[int, ...]) -> Array:
    if not isinstance(found, h5py.Dataset) or found.shape != shape:
        held = "×".join(map(str, getattr(found, "shape", ())))
        raise ValueError(f"{place} is {held}, not {'×'.join(map(str, shape))}")
    return np.asarray(found[()])


def _assign(arrays: dict[str, Array], values: dict[str, Array]) -> None:
    for place, value in values.items():
        arrays[place][...] = value


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
