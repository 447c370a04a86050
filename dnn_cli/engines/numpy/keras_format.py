"""Write and read the `.keras` file of a NumPy network without Keras; stock Keras loads it and can train it further.

The file omits settings for which Keras has defaults, so that it does not depend on the version of Keras. Tests compare
it with the file that Keras writes for the same network.
"""

import io
import json
from collections import Counter
from collections.abc import Container, Sequence
from dataclasses import dataclass
from importlib import metadata
from math import prod
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from dnn_cli.config.schema import MAX_UNITS, Config
from dnn_cli.engines import keras_file, network_spec
from dnn_cli.engines.keras_file import FIRST_SLOT, ITERATIONS, LEARNING_RATE, MAX_EXPANSION, UNCOUNTED_BYTES
from dnn_cli.engines.network_spec import Layer, NetworkSpec
from dnn_cli.engines.numpy import build
from dnn_cli.engines.numpy.activations import FUNCTIONS
from dnn_cli.engines.numpy.network import Network
from dnn_cli.engines.numpy.optimizers import Adam, Optimizer
from dnn_cli.engines.numpy.regularization import BatchNormalization
from dnn_cli.errors import RunError, reason
from dnn_cli.typing import Array

MAX_LAYERS = 1000  # hidden layers of a network that is read; dnn makes at most 100 blocks of four
MAX_BATCH_VALUES = 2**28  # outputs of all layers for a batch: 1 GiB of float32


class NumpyCheckpointWriter:
    """Writes a network and its optimizer to `.keras` files, and reads them back.

    Args:
        config: the config of the training.
        spec: the network.
        network: as `build.build` makes it of the spec.
        optimizer: built for the network.
        class_names: the names of its classes, which are stored in every file.

    Attributes:
        description: Keras's description of the network, JSON.
    """

    def __init__(
        self,
        config: Config,
        spec: NetworkSpec,
        network: Network,
        optimizer: Optimizer,
        class_names: Sequence[str] | None = None,
    ) -> None:
        self.description = json.dumps(_model_config(config, spec))
        self._metadata = {"keras_version": metadata.version("keras"), **keras_file.names_as_metadata(class_names)}
        self._optimizer = optimizer
        weights = _weights(spec, network)
        names = (f"{layer.name}/{name}" for layer in spec.layers for name in layer.shapes)
        self._named = dict(zip(names, weights, strict=True))
        self._arrays = weights | _optimizer_slots(network, optimizer)

    def snapshot(self) -> dict[str, Array]:
        """Return copies of all current values by their places in the file, for `write`."""
        numbers: dict[str, Array] = {
            ITERATIONS: np.array(self._optimizer.iterations, np.int64),
            LEARNING_RATE: np.array(self._optimizer.learning_rate, np.float32),
        }
        return numbers | {place: array.copy() for place, array in self._arrays.items()}

    def weights(self, values: dict[str, Array]) -> dict[str, Array]:
        """Return the arrays of a snapshot that belong to layers, by layer and variable: ``dense_1/kernel``."""
        return {name: values[place] for name, place in self._named.items()}

    def write(self, values: dict[str, Array], path: Path) -> None:
        """Write the network with the values of a snapshot."""
        weights = io.BytesIO()
        with h5py.File(weights, "w") as file:
            for place, value in values.items():
                file[place] = value
        keras_file.write(path, self._metadata, self.description, weights.getbuffer())

    def read(self, path: Path) -> None:
        """Set network and optimizer to the values in a file; raises `RunError` if it does not fit the network."""
        values = _read(path, {ITERATIONS: np.array(0), **self._arrays})
        self._optimizer.iterations = int(values.pop(ITERATIONS))
        _assign(self._arrays, values)


@dataclass(frozen=True)
class Loaded:
    """A network from a file.

    Attributes:
        network: with room for `batch` images.
        image_shape: shape of the images that it takes.
        classes: number of its outputs.
        batch: largest number of images in a batch.
    """

    network: Network
    image_shape: tuple[int, ...]
    classes: int
    batch: int


class UnknownNetworkError(RunError):
    """The network in the file is not of the kind that dnn builds."""


def load(path: Path) -> Loaded:
    """Return the network of a `.keras` file, written by dnn or by Keras.

    Raises:
        UnknownNetworkError: the network is not of the kind that dnn builds.
        RunError: the file is damaged.
    """
    keras_file.check_file(path)
    try:
        spec = _described_spec(keras_file.description(path))
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError) as error:
        raise UnknownNetworkError(f"{path} holds a network that NumPy cannot run: {reason(error)}") from None
    if 4 * spec.parameters > max(UNCOUNTED_BYTES, MAX_EXPANSION * keras_file.weights_size(path)):
        raise RunError(f"{path} does not hold this network: its weights are {spec.parameters:,} numbers")
    outputs = sum(layer.units for layer in spec.layers)
    batch = max(1, min(network_spec.prediction_batch(spec.image_shape), MAX_BATCH_VALUES // outputs))
    network = build.assemble(spec, rows=batch)
    arrays = _weights(spec, network)
    _assign(arrays, _read(path, arrays))
    return Loaded(network, spec.image_shape, spec.classes, batch)


def _described_spec(described: dict[str, Any]) -> NetworkSpec:
    """Return the spec of a described network; raises `ValueError` and the like if dnn does not build such networks."""
    if described["class_name"] != "Sequential":
        raise ValueError(f"it is a {described['class_name']} model")
    inputs, flatten, *hidden, head = described["config"]["layers"]
    image_shape = tuple(map(int, inputs["config"]["batch_shape"][1:]))
    if flatten["class_name"] != "Flatten" or not image_shape or min(image_shape) < 1:
        raise ValueError("it does not begin with Flatten")
    if len(hidden) > MAX_LAYERS:
        raise ValueError(f"it has more than {MAX_LAYERS} hidden layers")
    layers = [Layer("Flatten", {}, prod(image_shape))]
    for layer in hidden:
        layers.append(_layer(layer, layers[-1].units, FUNCTIONS))
    if head["class_name"] != "Dense" or head["config"]["activation"] != "softmax":
        raise ValueError("it does not end with a Dense layer of softmax")
    layers.append(_layer(head, layers[-1].units, {"softmax"}))
    spec = NetworkSpec(image_shape, tuple(layers))
    if spec.parameters > network_spec.MAX_PARAMETERS:
        raise ValueError(f"it has more than {network_spec.MAX_PARAMETERS:,} weights")
    return spec


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
            if type(known["use_bias"]) is not bool:
                raise ValueError(f"it has a use_bias of {known['use_bias']!r}")
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


def _weights(spec: NetworkSpec, network: Network) -> dict[str, Array]:
    """Return the arrays of all layers by their places in the file, as views."""
    found: dict[str, Array] = {}
    counts = Counter[str]()
    for described, layer in zip(spec.layers[1:], network.layers, strict=True):
        kind = "batch_normalization" if described.kind == "BatchNormalization" else described.kind.lower()
        group = keras_file.layer_group(kind, counts[kind])
        counts[kind] += 1
        arrays = [parameter.value for parameter in layer.parameters]
        if isinstance(layer, BatchNormalization):
            arrays += [layer.moving_mean, layer.moving_variance]
        found |= {keras_file.variable(group, number): array for number, array in enumerate(arrays)}
    return found


def _optimizer_slots(network: Network, optimizer: Optimizer) -> dict[str, Array]:
    """Return the optimizer's running means by their places in the file, as views.

    Keras stores all means of one kind, then all of the next; Adam alone stores both means of a parameter together.
    """
    kinds = [network.views(slot) for slot in optimizer.slots]
    groups = zip(*kinds, strict=True) if isinstance(optimizer, Adam) else kinds
    arrays = [array for group in groups for array in group]
    return {keras_file.variable("optimizer", number): array for number, array in enumerate(arrays, FIRST_SLOT)}


def _read(path: Path, arrays: dict[str, Array]) -> dict[str, Array]:
    """Return the file's array for each of `arrays`, by place; raises `RunError` if one is missing or does not fit."""
    with keras_file.open_weights(path) as file:
        try:
            return {place: _checked(file.get(place), place, array) for place, array in arrays.items()}
        except Exception as error:  # h5py raises exceptions of many kinds for a damaged file
            raise RunError(f"{path} does not hold this network: {reason(error)}") from None


def _checked(found: Any, place: str, array: Array) -> Array:
    """Return the values of a dataset; raises `ValueError` unless it has the shape and kind of `array`."""
    if not isinstance(found, h5py.Dataset):
        raise ValueError(f"there is no {place}")
    if found.shape != array.shape:
        raise ValueError(f"{place} is {_dimensions(found.shape)}, not {_dimensions(array.shape)}")
    if found.dtype.kind != array.dtype.kind:
        raise ValueError(f"{place} holds numbers of type {found.dtype}, not {array.dtype}")
    values: Array = found[()]
    return values


def _dimensions(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape)) or "a number"


def _assign(arrays: dict[str, Array], values: dict[str, Array]) -> None:
    for place, value in values.items():
        arrays[place][...] = value


def _model_config(config: Config, spec: NetworkSpec) -> dict[str, Any]:
    """Return Keras's serialization of the compiled network, the content of ``config.json``."""
    inputs = {"batch_shape": [None, *spec.image_shape], "dtype": "float32", "name": "input_layer"}
    layers = [_keras("layers", "InputLayer", inputs), *map(_layer_config, spec.layers)]
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
        "build_config": {"input_shape": [None, *spec.image_shape]},
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
    """Return an object as Keras serializes it."""
    return {"module": f"keras.{module}", "class_name": name, "config": config, "registered_name": None}
