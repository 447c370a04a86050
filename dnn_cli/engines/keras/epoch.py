"""The compiled epoch: Keras's own `train_step` over images that stay resident, many steps to one XLA call.

`model.fit` crosses from Python into TensorFlow at every batch; for small networks that costs more than the arithmetic.
Here a loop inside the compiled graph gathers each batch from the resident arrays and calls `model.train_step`, so
layers, loss, metrics and optimizer are Keras's to the last operation.

An epoch is a pure function of the model's state and of (seed, epoch): the order of the images is drawn anew from them,
and so are the noise of every Dropout layer and the deformation of every image. A resumed training therefore goes on
exactly as if it had not stopped.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from dnn_cli import seeds
from dnn_cli.engines import threads
from dnn_cli.engines.keras.augmentation import Augmenter, EpochRandomness
from dnn_cli.seeds import Purpose
from dnn_cli.typing import Logs

CHUNK_SECONDS = 0.25  # about how long one call runs: how often progress moves and signals are heard
FIRST_CHUNK_STEPS = 32
EVALUATION_BATCH = 1000


class CompiledEpoch:
    """Trains a compiled Keras model on resident arrays, an epoch at a time.

    Args:
        model: compiled with a loss that takes integer labels, or with Keras's CategoricalCrossentropy, which is given
            each label as a row with a single 1.
        images: (n, \\*image_shape), uint8 in 0..255 (scaled to [0, 1] in the graph) or float32 in [0, 1].
        labels: (n,) integers.
        batch_size: images in a step; the last step of an epoch has what is left over.
        seed: what the order of the images, the noise of Dropout and the deformations are drawn from.
        deformation: what is done to every image before each step; None for nothing.
        rate_factors: the name of a layer → what the learning rate is multiplied by there, that of weight decay too.
        jit_compile: compile with XLA; where XLA refuses the model, `warn` is called once and training goes on without.
        warn: takes a sentence for the user.
    """

    def __init__(
        self,
        model: keras.Model,
        images: np.ndarray,
        labels: np.ndarray,
        *,
        batch_size: int,
        seed: int,
        deformation: Augmenter | None = None,
        rate_factors: Mapping[str, float] | None = None,
        jit_compile: bool = True,
        warn: Callable[[str], None] = print,
    ) -> None:
        self.model = model
        self.seed = seed
        self.batch_size = batch_size
        self.count = len(images)
        self.whole_steps = self.count // batch_size
        self.steps = -(-self.count // batch_size)
        self._images, self._labels = _resident(images, labels)
        self._deformation = deformation
        self._rate_factors = rate_factors or {}
        self._to_compile = jit_compile and self.whole_steps > 0
        self._warn = warn
        self._chunk = FIRST_CHUNK_STEPS
        create_state(model)
        self._loop = tf.function(self._run_steps, jit_compile=jit_compile, autograph=False)
        self._last_step = tf.function(self._step, autograph=False)

    def run(self, epoch: int, on_chunk: Callable[[int, int, Logs], None] = lambda *_: None) -> Logs:
        """Train for one epoch; every image counts exactly once.

        Args:
            epoch: its number, from 0; what is drawn in it depends on that.
            on_chunk: called with the first step, the step after the last, and the epoch's figures so far, a few times
                a second; what it raises ends the epoch.

        Returns:
            The epoch's figures by Keras's names, each the mean over all images.
        """
        permutation = tf.constant(seeds.order(self.count, self.seed, epoch))
        chance = self._deformation.chance(self.seed, epoch) if self._deformation else None
        _seed_dropout(self.model, self.seed, epoch)
        self.model.reset_metrics()
        exchange_averages(self.model)
        idle = None
        if self._to_compile:
            self._compile(permutation, chance)
            self._to_compile = False
            idle = threads.used()
        step = 0
        while step < self.whole_steps:
            stop = min(step + self._chunk, self.whole_steps)
            started = time.perf_counter()
            self._call(permutation, chance, step, stop)
            logs = figures(self.model)
            self._adapt(stop - step, time.perf_counter() - started)
            on_chunk(step, stop, logs)
            step = stop
        if idle:
            threads.spread(idle)
        if step < self.steps:
            # The last, smaller batch runs uncompiled: a second compilation would cost more than a whole epoch.
            rest = permutation[step * self.batch_size :]
            self._last_step(self._images, self._labels, rest, chance, tf.constant(step))
            on_chunk(step, self.steps, figures(self.model))
        exchange_averages(self.model)
        return figures(self.model)

    def _run_steps(
        self,
        images: tf.Tensor,
        labels: tf.Tensor,
        order: tf.Tensor,
        chance: EpochRandomness | None,
        span: tuple[tf.Tensor, tf.Tensor],
    ) -> None:
        start, stop = span

        def body(step: tf.Tensor) -> tf.Tensor:
            batch = tf.slice(order, [step * self.batch_size], [self.batch_size])
            self._step(images, labels, batch, chance, step)
            return step + 1

        tf.while_loop(lambda step: step < stop, body, [start])

    def _step(
        self, images: tf.Tensor, labels: tf.Tensor, batch: tf.Tensor, chance: EpochRandomness | None, step: tf.Tensor
    ) -> None:
        chosen = tf.gather(images, batch)
        shown = self._deformation(chosen, step, chance) if self._deformation and chance else _scaled(chosen)
        with _scaled_rates(self.model, self._rate_factors):
            self.model.train_step((shown, _targets(self.model, tf.gather(labels, batch))))

    def _call(self, permutation: tf.Tensor, chance: EpochRandomness | None, start: int, stop: int) -> None:
        self._loop(self._images, self._labels, permutation, chance, (tf.constant(start), tf.constant(stop)))

    def _compile(self, permutation: tf.Tensor, chance: EpochRandomness | None) -> None:
        """Compile by running no step at all, so that a model XLA refuses is left as it was."""
        try:
            with _threefry_dropout(self.model):
                self._call(permutation, chance, 0, 0)
        except tf.errors.OpError as error:
            reason = error.message.strip().splitlines()[0]
            self._warn(f"XLA cannot compile this model, so training goes on uncompiled and slower ({reason})")
            self._loop = tf.function(self._run_steps, autograph=False)

    def _adapt(self, steps: int, seconds: float) -> None:
        fitting = int(steps * CHUNK_SECONDS / seconds)
        self._chunk = max(1, min(fitting, 4 * self._chunk))


class Evaluation:
    """Scores a compiled Keras model on resident arrays, which are as in `CompiledEpoch`, with Keras's `test_step`."""

    def __init__(self, model: keras.Model, images: np.ndarray, labels: np.ndarray) -> None:
        self.model = model
        self._images, self._labels = _resident(images, labels)
        create_state(model)
        self._score = tf.function(self._all_steps, autograph=False)

    def run(self) -> Logs:
        """The model's figures by Keras's names, each the mean over all images."""
        self.model.reset_metrics()
        self._score(self._images, self._labels)
        logs = figures(self.model)
        self.model.reset_metrics()
        return logs

    def _all_steps(self, images: tf.Tensor, labels: tf.Tensor) -> None:
        def body(start: tf.Tensor) -> tf.Tensor:
            stop = start + EVALUATION_BATCH
            self.model.test_step((_scaled(images[start:stop]), _targets(self.model, labels[start:stop])))
            return stop

        # A slice past the end is shorter, so the last batch holds what is left.
        tf.while_loop(lambda start: start < images.shape[0], body, [tf.constant(0)])


def figures(model: keras.Model) -> Logs:
    """The model's metrics so far, as plain numbers."""
    return {name: float(value) for name, value in model.get_metrics_result().items()}


def create_state(model: keras.Model) -> None:
    """Make the variables of optimizer, loss and metrics, which a compiled function must not make itself."""
    image = tf.zeros((1, *model.input_shape[1:]))
    label = _targets(model, tf.zeros((1,), tf.int32))
    prediction = model(image, training=False)
    model.optimizer.build(model.trainable_variables)
    model.compute_loss(image, label, prediction, training=False)
    model.compute_metrics(image, label, prediction)
    model.reset_metrics()


def exchange_averages(model: keras.Model) -> None:
    """Where the optimizer keeps moving averages of the weights, exchange the two, bit for bit.

    Between epochs the averages stand in the network, so that they are what is judged and saved, as `fit` leaves them at
    its end; the weights that training goes on from are then in the averages' place in the optimizer's state.
    """
    if model.optimizer.use_ema and int(model.optimizer.iterations) > 0:  # before the first step there are none
        averages = model.optimizer._model_variables_moving_average
        for weight, average in zip(model.trainable_variables, averages, strict=True):
            value = tf.identity(weight.value)
            weight.assign(average)
            average.assign(value)


def _targets(model: keras.Model, labels: tf.Tensor) -> tf.Tensor:
    """Integer labels in the form that the model's loss takes."""
    if isinstance(model.loss, keras.losses.CategoricalCrossentropy):
        return tf.one_hot(labels, model.output_shape[-1])
    return labels


def _resident(images: np.ndarray, labels: np.ndarray) -> tuple[tf.Tensor, tf.Tensor]:
    return tf.constant(images), tf.constant(labels.astype(np.int32))


def _scaled(images: tf.Tensor) -> tf.Tensor:
    return tf.cast(images, tf.float32) / 255.0 if images.dtype == tf.uint8 else images


def _dropouts(model: keras.Model) -> list[Any]:
    return [layer for layer in model.layers if isinstance(layer, keras.layers.Dropout) and layer.rate > 0]


def _seed_dropout(model: keras.Model, seed: int, epoch: int) -> None:
    """Start each Dropout layer's counter anew, so that step s of the epoch draws from (seed, layer, epoch, s)."""
    for index, layer in enumerate(_dropouts(model)):
        layer.seed_generator.state.assign([seeds.integer(seed, Purpose.DROPOUT, index, epoch), 0])


class _ThreefryDropout(keras.layers.Dropout):  # type: ignore[misc]
    """Keras's Dropout with the generator that XLA runs fast on a CPU; its own choice takes thirty times as long."""

    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        if not training:
            return inputs
        seed = tf.cast(self.seed_generator.next(), tf.int32)
        kept = tf.random.stateless_uniform(tf.shape(inputs), seed, alg="threefry") >= self.rate
        return tf.where(kept, inputs / (1 - self.rate), 0.0)


@contextmanager
def _threefry_dropout(model: keras.Model) -> Iterator[None]:
    """While a graph is traced, let the Dropout layers draw with threefry; what is saved stays Keras's own Dropout."""
    layers = [layer for layer in _dropouts(model) if type(layer) is keras.layers.Dropout]
    for layer in layers:
        layer.__class__ = _ThreefryDropout
    try:
        yield
    finally:
        for layer in layers:
            layer.__class__ = keras.layers.Dropout


class _ScaledRates:
    """What is put before the class of a Keras optimizer, to give some variables a learning rate of their own."""

    _factors: Mapping[int, float]  # the place of a variable in the optimizer → its factor; 1 where there is none
    _decaying = 1.0  # the factor of the variable whose weight decay is under way

    @property
    def learning_rate(self) -> Any:
        return super().learning_rate * self._decaying  # type: ignore[misc]

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        super().update_step(gradient, variable, learning_rate * self._factor(variable))  # type: ignore[misc]

    def _apply_weight_decay(self, variables: list[Any]) -> None:
        for variable in variables:
            self._decaying = self._factor(variable)
            super()._apply_weight_decay([variable])  # type: ignore[misc]
        self._decaying = 1.0

    def _factor(self, variable: Any) -> float:
        return self._factors.get(self._get_variable_index(variable), 1.0)  # type: ignore[attr-defined]


@contextmanager
def _scaled_rates(model: keras.Model, factors: Mapping[str, float]) -> Iterator[None]:
    """While a step is traced, let the optimizer learn faster or slower in some layers; it is saved as Keras's own."""
    if not factors:
        yield
        return
    optimizer, kind = model.optimizer, type(model.optimizer)
    layers = [layer for layer in model.layers if layer.name in factors]
    places = {
        optimizer._get_variable_index(variable): factors[layer.name]
        for layer in layers
        for variable in layer.trainable_variables
    }
    optimizer.__class__ = type(f"Scaled{kind.__name__}", (_ScaledRates, kind), {"_factors": places})
    try:
        yield
    finally:
        optimizer.__class__ = kind
