"""The gradient check: outputs, loss and gradients of one batch in Keras and in NumPy, compared with each other.

The gradient is computed in three ways: by Keras's automatic differentiation, by backpropagation in the NumPy network,
and by central differences of the NumPy network's loss, which do not use the chain rule. All are in float64, with equal
weights.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from dnn_cli import seeds
from dnn_cli.config.schema import Config, Model
from dnn_cli.data import selection
from dnn_cli.data.pixels import to_unit_range
from dnn_cli.engines.keras import build as keras_build
from dnn_cli.engines.keras import tensorflow_import
from dnn_cli.engines.network_spec import NetworkSpec, network_spec
from dnn_cli.engines.numpy import build
from dnn_cli.engines.numpy.network import Activation, Dense, Network
from dnn_cli.seeds import Purpose
from dnn_cli.typing import Array

# The step of a central difference. The errors by rounding, about 1e-16 / STEP, and by the formula, about STEP^2, are
# both far below 1e-8.
STEP = 1e-5
SAMPLES = 50  # Entries of each parameter that are compared with differences.
# A gradient below this share of the loss may be nothing but rounding, as that of a bias before batch normalization is.
# Errors are relative to at least this much.
LEAST_SCALE = 1e-4


@dataclass(frozen=True)
class GradientErrors:
    """The errors between the three gradients of one parameter.

    An error is the largest absolute difference, relative to the largest entry of the gradient or to `LEAST_SCALE` of
    the loss, whichever is larger.

    Attributes:
        name: Keras's name of the parameter, with its layer: ``dense_1/kernel``.
        shape: the parameter's shape.
        numpy_keras: between backpropagation and automatic differentiation, over all entries.
        numpy_difference: between backpropagation and differences, over the sampled entries; None if there are none.
        keras_difference: between automatic differentiation and differences, over the same entries.
        sampled: the number of entries that were compared with differences.
        skipped: the number of entries that were skipped because the difference would reach across a kink.
    """

    name: str
    shape: tuple[int, ...]
    numpy_keras: float
    numpy_difference: float | None
    keras_difference: float | None
    sampled: int
    skipped: int

    @property
    def errors(self) -> list[float]:
        """The errors that are known, up to three."""
        return [each for each in (self.numpy_keras, self.numpy_difference, self.keras_difference) if each is not None]


@dataclass(frozen=True)
class LayerErrors:
    """The errors of one layer.

    Attributes:
        layer: the name of the layer in Keras.
        output: the largest difference between the outputs of Keras and NumPy, relative to the largest output.
        gradients: the errors of the gradients of its parameters.
    """

    layer: str
    output: float
    gradients: list[GradientErrors]


@dataclass(frozen=True)
class GradientCheck:
    """The result of a gradient check.

    Attributes:
        dataset: the dataset of the batch.
        images: the number of images in the batch.
        loss: the loss in NumPy, with penalties.
        loss_error: the relative difference of the loss in Keras.
        layers: the errors of each layer, in the order of the layers.
        notes: remarks on the dataset, and on what differs from a training.
    """

    dataset: str
    images: int
    loss: float
    loss_error: float
    layers: list[LayerErrors]
    notes: list[str]

    @property
    def largest(self) -> float:
        """The largest of all errors; infinite if an error is not a number."""
        outputs = [layer.output for layer in self.layers]
        errors = [error for layer in self.layers for gradient in layer.gradients for error in gradient.errors]
        return float(np.nan_to_num(np.max([self.loss_error, *outputs, *errors]), nan=np.inf))


def check(config: Config, *, samples: int = SAMPLES, verbose: bool = False) -> GradientCheck:
    """Compare Keras, backpropagation and differences on the first batch of a training.

    Args:
        config: the config of the training; the optimizer does not matter.
        samples: the number of entries of each parameter that are compared with differences.
        verbose: show TensorFlow's own messages.

    Raises:
        DataError: the dataset is missing, damaged, or has too few images.
    """
    dataset = selection.find_dataset(config.data, config.seed)
    material = selection.select_training_data(dataset, config.data, config.seed)
    split, classes = material.training, material.classes
    batch = seeds.order(len(split.labels), config.seed, 0)[: config.training.batch_size]
    images, labels = split.images[batch], split.labels[batch]
    without_dropout = _without_dropout(config)
    tensorflow_import.import_tensorflow(verbose=verbose)
    spec = network_spec(without_dropout, images.shape[1:], classes)
    theirs = _KerasGradients(without_dropout, spec, images, labels)
    network = build.build(spec, rows=len(images), dtype=np.float64)
    for parameter, value in zip(network.trained, theirs.parameters, strict=True):
        parameter.value[:] = value
    x = build.rows_of(images, np.float64)
    targets = build.targets(labels, classes, config.training.label_smoothing, np.float64)
    outputs = _outputs(network, x)
    network.backward(targets)
    loss = network.cost(targets)
    gradients = _gradients(
        network, x, targets, theirs, random=seeds.generator(config.seed, Purpose.CHECK), samples=samples
    )
    layers = [
        LayerErrors(name, _error(ours, keras_output), [next(gradients) for _ in layer.parameters])
        for name, layer, ours, keras_output in zip(theirs.layers, network.layers, outputs, theirs.outputs, strict=True)
    ]
    drops = config.model.input_dropout or any(block.dropout for block in config.model.layers)
    note = "dropout is left out, because the engines draw different random numbers" if drops else ""
    notes = [each for each in (material.dataset.note, note) if each]
    return GradientCheck(material.dataset.name, len(images), loss, abs(theirs.loss / loss - 1), layers, notes)


def difference(network: Network, x: Array, targets: Array, index: int, step: float = STEP) -> float | None:
    """Return dE/dw by a central difference, (E(w + step) - E(w - step)) / (2 step).

    Args:
        network: a network in float64; only its running means change.
        x: (n, d[0]) the images of the batch.
        targets: (n, d[L]) their targets.
        index: the index of w in `network.parameters`.
        step: the change of w in each direction.

    Returns:
        The derivative; None if there is a kink of an activation or of an L1 penalty in between.
    """
    value = network.parameters[index]
    costs, pieces = [], []
    for shifted in (value + step, value - step):
        network.parameters[index] = shifted
        network.forward(x, training=True)
        costs.append(network.cost(targets))
        pieces.append(_pieces(network))
    network.parameters[index] = value
    if any((one != other).any() for one, other in zip(*pieces, strict=True)):
        return None
    return (costs[0] - costs[1]) / (2 * step)


def _outputs(network: Network, x: Array) -> list[Array]:
    """Return the outputs of all layers in training; of the last one, the probabilities."""
    outputs = []
    for layer in network.layers:
        x = layer.forward(x, training=True)
        outputs.append(x.copy())
    return [*outputs[:-1], network.loss.forward(x).copy()]


def _pieces(network: Network) -> list[Array]:
    """Return the linear piece of the activation for each z, and the sign of each weight with an L1 penalty."""
    found = []
    for layer in network.layers:
        activation = layer.activation if isinstance(layer, Dense) else layer
        if isinstance(activation, Activation) and activation.function.kinks:
            found.append(np.searchsorted(activation.function.kinks, activation.z))
        if isinstance(layer, Dense) and layer.l1:
            found.append(np.sign(layer.weights.value))
    return found


def _gradients(
    network: Network, x: Array, targets: Array, theirs: "_KerasGradients", *, random: np.random.Generator, samples: int
) -> Iterator[GradientErrors]:
    """Yield the errors of each parameter's gradient; `backward` has just computed it."""
    start, least = 0, LEAST_SCALE * network.cost(targets)
    for parameter, name, keras in zip(network.trained, theirs.names, theirs.gradients, strict=True):
        size = parameter.value.size
        chosen = random.permutation(size)[:samples]
        estimates = {index: difference(network, x, targets, start + index) for index in chosen.tolist()}
        compared = [index for index, estimate in estimates.items() if estimate is not None]
        ours, other = parameter.gradient.ravel(), keras.ravel()
        numbers = np.array([estimates[index] for index in compared], np.float64)
        scale = max(least, np.abs(ours).max(), np.abs(other).max())
        yield GradientErrors(
            name,
            parameter.shape,
            _error(ours, other, scale),
            _error(ours[compared], numbers, scale) if compared else None,
            _error(other[compared], numbers, scale) if compared else None,
            len(compared),
            len(chosen) - len(compared),
        )
        start += size


def _error(ours: Array, theirs: Array, scale: float | None = None) -> float:
    """Return the largest difference, relative to `scale` or else to the largest absolute value of both arrays."""
    largest = max(np.abs(ours).max(), np.abs(theirs).max()) if scale is None else scale
    return float(np.abs(ours - theirs).max() / (largest or 1.0))


def _without_dropout(config: Config) -> Config:
    """Return the config with the same layers, without dropout and with initial weights."""
    layers = tuple(block.model_copy(update={"dropout": 0.0}) for block in config.model.layers)
    return config.model_copy(update={"model": Model(input_dropout=0.0, layers=layers)})


class _KerasGradients:
    """The forward and backward pass of the batch in Keras, in float64.

    Attributes:
        parameters: the values of the trainable variables.
        names: the names of the trainable variables.
        gradients: their gradients by automatic differentiation.
        layers: the names of the layers after Flatten.
        outputs: the outputs of these layers in training.
        loss: the loss with penalties.
    """

    def __init__(self, config: Config, spec: NetworkSpec, images: Array, labels: Array) -> None:
        import tensorflow as tf

        with _in_float64():
            network = keras_build.build(spec, config)
            variables = network.trainable_variables
            self.parameters = [variable.numpy() for variable in variables]
            self.names = [variable.path for variable in variables]
            smooth = config.training.label_smoothing > 0
            wanted = tf.one_hot(labels, spec.classes, dtype=tf.float64) if smooth else tf.constant(labels)
            outputs = [tf.constant(to_unit_range(images, np.float64))]
            with tf.GradientTape() as tape:
                for layer in network.layers:
                    outputs.append(layer(outputs[-1], training=True))
                loss = network.compute_loss(outputs[0], wanted, outputs[-1], training=True)
            self.gradients = [np.asarray(gradient) for gradient in tape.gradient(loss, [v.value for v in variables])]
        self.layers = [layer.name for layer in network.layers[1:]]
        self.outputs = [output.numpy() for output in outputs[2:]]
        self.loss = float(loss)


@contextmanager
def _in_float64() -> Iterator[None]:
    """Let Keras create variables and compute in float64 within this context."""
    import keras

    before = keras.config.floatx(), keras.config.dtype_policy()
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    try:
        yield
    finally:
        keras.config.set_floatx(before[0])
        keras.config.set_dtype_policy(before[1])
