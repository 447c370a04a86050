"""One batch through a config's network in Keras and in NumPy: do activations, loss and gradients agree?

Three ways to the gradient: Keras's automatic differentiation, the reference network's backpropagation, and central
differences of the reference network's loss, which know nothing of the chain rule. All in float64, with equal weights.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from dnn_cli import seeds
from dnn_cli.config.schema import Config, Model
from dnn_cli.data import datasets
from dnn_cli.data.pixels import to_unit_range
from dnn_cli.engines.keras import build as keras_build
from dnn_cli.engines.keras import tensorflow_import
from dnn_cli.engines.network_spec import NetworkSpec, network_spec
from dnn_cli.engines.numpy import build
from dnn_cli.engines.numpy.network import Activation, Dense, Network
from dnn_cli.seeds import Purpose
from dnn_cli.training import plan
from dnn_cli.typing import Array

STEP = 1e-5  # the errors of float64, about 1e-16 / STEP, and of the formula, about STEP^2, are both far below 1e-8
SAMPLES = 50
LEAST_SCALE = 1e-4  # of the loss: what is smaller, as the gradient of a bias before a normalization, may be rounding


@dataclass(frozen=True)
class Gradient:
    """How far the three gradients of one parameter are apart, relative to its largest entry.

    That is taken to be no less than `LEAST_SCALE` of the loss.

    Attributes:
        name: as Keras has it, with its layer's: ``dense_1/kernel``.
        shape: of the parameter.
        numpy_keras: backpropagation and automatic differentiation, over all entries.
        numpy_difference: backpropagation and differences, over the sampled entries; None where none could be judged.
        keras_difference: automatic differentiation and differences, over the same.
        sampled: how many entries were compared with differences.
        skipped: how many more were left out because the differences would have reached across a kink.
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
        """Those of the three that are known."""
        return [each for each in (self.numpy_keras, self.numpy_difference, self.keras_difference) if each is not None]


@dataclass(frozen=True)
class Step:
    """One layer: how far its outputs in Keras and in NumPy are apart, relative to the largest, and its gradients."""

    layer: str
    output: float
    gradients: list[Gradient]


@dataclass(frozen=True)
class Check:
    """What the comparison found.

    Attributes:
        dataset: where the batch is from.
        images: how many are in it.
        loss: by NumPy, penalties included.
        loss_error: how far Keras's is from it, relative to it.
        layers: in order.
        notes: what was done otherwise than in a training.
    """

    dataset: str
    images: int
    loss: float
    loss_error: float
    layers: list[Step]
    notes: list[str]

    @property
    def largest(self) -> float:
        """The largest error of all; infinite where one is no number."""
        outputs = [step.output for step in self.layers]
        errors = [error for step in self.layers for gradient in step.gradients for error in gradient.errors]
        return float(np.nan_to_num(np.max([self.loss_error, *outputs, *errors]), nan=np.inf))


def check(config: Config, *, samples: int = SAMPLES, verbose: bool = False) -> Check:
    """Compare Keras, backpropagation and differences on the first batch that a training of `config` would take.

    Args:
        config: what to check.
        samples: how many entries of each parameter are compared with differences.
        verbose: let TensorFlow's own messages through.

    Raises:
        DataError: there are no images to take.
    """
    material = plan.read_training_data(config, datasets.find(config.data.dataset, config.data.fallback))
    split, classes = material.training, material.classes
    batch = seeds.order(len(split.labels), config.seed, 0)[: config.training.batch_size]
    images, labels = split.images[batch], split.labels[batch]
    still = _plain(config)
    tensorflow_import.import_tensorflow(verbose=verbose)
    spec = network_spec(still, images.shape[1:], classes)
    theirs = _Keras(still, spec, images, labels)
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
        Step(name, _apart(ours, keras_output), [next(gradients) for _ in layer.parameters])
        for name, layer, ours, keras_output in zip(theirs.layers, network.layers, outputs, theirs.outputs, strict=True)
    ]
    drops = config.model.input_dropout or any(block.dropout for block in config.model.layers)
    note = "dropout is left out: no two engines draw it alike" if drops else ""
    notes = [each for each in (material.dataset.note, note) if each]
    return Check(material.dataset.name, len(images), loss, abs(theirs.loss / loss - 1), layers, notes)


def difference(network: Network, x: Array, targets: Array, index: int, step: float = STEP) -> float | None:
    """dE/dw by a central difference, (E(w + step) - E(w - step)) / (2 step); None where a kink lies in between.

    Args:
        network: of float64; it is left as it was, but for running means.
        x: (n, d[0]) the batch.
        targets: (n, d[L]).
        index: of w in `network.parameters`.
        step: how far to go either way.
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
    """What each layer gives for the batch in training; of the last one, the probabilities."""
    outputs = []
    for layer in network.layers:
        x = layer.forward(x, training=True)
        outputs.append(x.copy())
    return [*outputs[:-1], network.loss.forward(x).copy()]


def _pieces(network: Network) -> list[Array]:
    """In which piece of its activation each z lies, and of which sign each weight is that an L1 penalty is on."""
    found = []
    for layer in network.layers:
        activation = layer.activation if isinstance(layer, Dense) else layer
        if isinstance(activation, Activation) and activation.function.kinks:
            found.append(np.searchsorted(activation.function.kinks, activation.z))
        if isinstance(layer, Dense) and layer.l1:
            found.append(np.sign(layer.weights.value))
    return found


def _gradients(
    network: Network, x: Array, targets: Array, theirs: "_Keras", *, random: np.random.Generator, samples: int
) -> Iterator[Gradient]:
    """The comparison of each parameter's gradients, which `backward` has just filled."""
    start, least = 0, LEAST_SCALE * network.cost(targets)
    for parameter, name, keras in zip(network.trained, theirs.names, theirs.gradients, strict=True):
        size = parameter.value.size
        chosen = random.permutation(size)[:samples]
        estimates = {index: difference(network, x, targets, start + index) for index in chosen.tolist()}
        judged = [index for index, estimate in estimates.items() if estimate is not None]
        ours, other = parameter.gradient.ravel(), keras.ravel()
        numbers = np.array([estimates[index] for index in judged], np.float64)
        scale = max(least, np.abs(ours).max(), np.abs(other).max())
        yield Gradient(
            name,
            parameter.shape,
            _apart(ours, other, scale),
            _apart(ours[judged], numbers, scale) if judged else None,
            _apart(other[judged], numbers, scale) if judged else None,
            len(judged),
            len(chosen) - len(judged),
        )
        start += size


def _apart(ours: Array, theirs: Array, scale: float | None = None) -> float:
    """The largest difference, relative to `scale` or else to the largest number of both."""
    largest = max(np.abs(ours).max(), np.abs(theirs).max()) if scale is None else scale
    return float(np.abs(ours - theirs).max() / (largest or 1.0))


def _plain(config: Config) -> Config:
    """The same layers without dropout, at their initial weights."""
    layers = tuple(block.model_copy(update={"dropout": 0.0}) for block in config.model.layers)
    return config.model_copy(update={"model": Model(input_dropout=0.0, layers=layers)})


class _Keras:
    """The batch through Keras's network in float64, forward and backward.

    Attributes:
        parameters: the values of everything trained.
        names: of these.
        gradients: dE/dparameters by automatic differentiation.
        layers: names of the layers after Flatten.
        outputs: theirs, in training.
        loss: penalties included.
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
    """Have Keras make what it makes of float64."""
    import keras

    before = keras.config.floatx(), keras.config.dtype_policy()
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    try:
        yield
    finally:
        keras.config.set_floatx(before[0])
        keras.config.set_dtype_policy(before[1])
