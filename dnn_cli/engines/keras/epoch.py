"""The compiled epoch: Keras's own `train_step` over images that stay in memory, with many steps in one XLA call.

`model.fit` crosses from Python into TensorFlow at every batch. For small networks that costs more than the arithmetic.
Here a loop inside the compiled graph gathers each batch from the images in memory and calls `model.train_step`, so
layers, loss, metrics and optimizer are exactly Keras's.

An epoch is a pure function of the model's state and of (seed, epoch): they determine the order of the images, the noise
of every Dropout layer and the deformation of every image. So a resumed training continues exactly as an uninterrupted
one.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from dnn_cli import seeds
from dnn_cli.engines.keras import xla_cache
from dnn_cli.engines.keras.augmentation import Augmenter, EpochRandomness, unit_uniform
from dnn_cli.engines.keras.pixels import to_unit_range
from dnn_cli.errors import TrainingError, reason
from dnn_cli.seeds import Purpose
from dnn_cli.typing import ChunkCallback, Logs

CHUNK_SECONDS = 0.25  # target time of one call; between calls, progress is reported and signals are handled
FIRST_CHUNK_STEPS = 32
EVALUATION_BATCH = 1000

# With these errors XLA rejects a model: an operation that it lacks, or a shape that is not known before the run. Any
# other error is a failure.
XLA_REJECTIONS = (tf.errors.InvalidArgumentError, tf.errors.UnimplementedError)


class CompiledEpoch:
    """Trains a compiled Keras model on images in memory, one epoch at a time.

    Args:
        model: compiled with a loss that takes integer labels, or with Keras's CategoricalCrossentropy, for which
            labels are one-hot encoded.
        images: (n, height, width[, channels]), uint8 in 0..255 (scaled to [0, 1] in the graph) or float32 in [0, 1].
        labels: (n,) integers.
        batch_size: images in a step; the last step of an epoch takes the remaining images.
        seed: seed of the order of the images, the noise of Dropout and the deformations.
        augmenter: deforms every image before each step; None for no augmentation.
        class_weights: (classes,) float32, the factor on the loss of each class; None for no factors.
        rate_factors: name of a layer → factor of its learning rate, which scales its weight decay too.
        jit_compile: compile with XLA. If XLA rejects the model, `warn` is called once and training runs uncompiled:
            with the same random numbers, but other rounding, so that the weights differ in their last bits.
        warn: is called with a message for the user.

    Attributes:
        count: images in an epoch.
        full_steps: steps in an epoch that have `batch_size` images.
        steps: all steps in an epoch.
        compiled: whether XLA compiled the steps; known after `prepare`. False without a step of `batch_size` images,
            because the smaller step is never compiled.
    """

    def __init__(
        self,
        model: keras.Model,
        images: np.ndarray,
        labels: np.ndarray,
        *,
        batch_size: int,
        seed: int,
        augmenter: Augmenter | None = None,
        class_weights: np.ndarray | None = None,
        rate_factors: Mapping[str, float] | None = None,
        jit_compile: bool = True,
        warn: Callable[[str], None] = print,
    ) -> None:
        self.model = model
        self.seed = seed
        self.batch_size = batch_size
        self.count = len(images)
        self.full_steps = self.count // batch_size
        self.steps = -(-self.count // batch_size)
        self._images, self._labels = _in_memory(images, labels)
        self._augmenter = augmenter
        self._class_weights = class_weights
        self._rate_factors = rate_factors or {}
        self.compiled = jit_compile and self.full_steps > 0
        self._is_prepared = self.full_steps == 0
        self._warn = warn
        self._chunk = FIRST_CHUNK_STEPS
        create_state(model)
        self._loop = tf.function(self._run_steps, jit_compile=jit_compile, autograph=False)
        self._last_step = tf.function(self._step, autograph=False)

    def prepare(self) -> None:
        """Trace the steps and compile them, unless that is done. `run` calls this; call it before to know `compiled`.

        Raises:
            TrainingError: XLA failed, for another reason than the model.
        """
        if self._is_prepared:
            return
        if self.compiled:
            try:
                with xla_cache.programs(self._warn):
                    self._trace()
            except XLA_REJECTIONS as error:
                self._warn(
                    f"XLA cannot compile this model; training runs uncompiled and slower ({reason(error.message)})"
                )
                self.compiled = False
                self._loop = tf.function(self._run_steps, autograph=False)
            except tf.errors.ResourceExhaustedError:
                raise
            except tf.errors.OpError as error:
                raise TrainingError(
                    f"XLA failed to compile the training: {reason(error.message)}; try again, or train uncompiled and "
                    "slower with training.jit_compile: false"
                ) from None
        if not self.compiled:
            self._trace()
        self._is_prepared = True

    def run(
        self,
        epoch: int,
        on_chunk: ChunkCallback = lambda *_: None,
        *,
        done: int = 0,
        metric_sums: Sequence[float] = (),
    ) -> Logs:
        """Train for one epoch, which uses every image exactly once, or for the rest of one.

        Args:
            epoch: number of the epoch, from 0; it determines the epoch's random numbers.
            on_chunk: is called a few times a second with the first step, the step after the last, and the metrics of
                the epoch so far. An exception that it raises ends the epoch.
            done: steps of this epoch that the model was trained for already.
            metric_sums: what `metric_sums` returned after those steps.

        Returns:
            The epoch's metrics by Keras's names, each the mean over all images.
        """
        self.prepare()
        permutation, randomness = self._random(epoch)
        self._begin(epoch, done, metric_sums)
        step = done
        while step < self.full_steps:
            stop = min(step + self._chunk, self.full_steps)
            started = time.perf_counter()
            self._call(permutation, randomness, step, stop)
            logs = current_metrics(self.model)
            self._adapt(stop - step, time.perf_counter() - started)
            on_chunk(step, stop, logs)
            step = stop
        if step < self.steps:
            # The last, smaller batch runs uncompiled: compiling it would take longer than an epoch.
            rest = permutation[step * self.batch_size :]
            self._last_step(self._images, self._labels, rest, randomness, tf.constant(step))
            on_chunk(step, self.steps, current_metrics(self.model))
        swap_ema_weights(self.model)
        return current_metrics(self.model)

    def metric_sums(self) -> tuple[float, ...]:
        """Return the sums from which Keras computes the metrics of the epoch under way, for `run`."""
        return tuple(float(variable) for variable in self.model.metrics_variables)

    def _begin(self, epoch: int, done: int, metric_sums: Sequence[float]) -> None:
        """Prepare random numbers, metrics and weights for the step after the `done` first ones."""
        _seed_dropout(self.model, self.seed, epoch, done)
        self.model.reset_metrics()
        if done:  # within an epoch, the network contains the weights themselves
            for variable, value in zip(self.model.metrics_variables, metric_sums, strict=True):
                variable.assign(value)
        else:
            swap_ema_weights(self.model)

    def _run_steps(
        self,
        images: tf.Tensor,
        labels: tf.Tensor,
        order: tf.Tensor,
        randomness: EpochRandomness | None,
        span: tuple[tf.Tensor, tf.Tensor],
    ) -> None:
        start, stop = span

        def body(step: tf.Tensor) -> tf.Tensor:
            batch = tf.slice(order, [step * self.batch_size], [self.batch_size])
            self._step(images, labels, batch, randomness, step)
            return step + 1

        tf.while_loop(lambda step: step < stop, body, [start])

    def _step(
        self,
        images: tf.Tensor,
        labels: tf.Tensor,
        batch: tf.Tensor,
        randomness: EpochRandomness | None,
        step: tf.Tensor,
    ) -> None:
        chosen = tf.gather(images, batch)
        inputs = self._augmenter(chosen, step, randomness) if self._augmenter and randomness else to_unit_range(chosen)
        of_batch = tf.gather(labels, batch)
        # As `fit` does with its argument `class_weight`.
        weights = () if self._class_weights is None else (tf.gather(self._class_weights, of_batch),)
        with _scaled_rates(self.model, self._rate_factors):
            self.model.train_step((inputs, _targets(self.model, of_batch), *weights))

    def _call(self, permutation: tf.Tensor, randomness: EpochRandomness | None, start: int, stop: int) -> None:
        self._loop(self._images, self._labels, permutation, randomness, (tf.constant(start), tf.constant(stop)))

    def _random(self, epoch: int) -> tuple[tf.Tensor, EpochRandomness | None]:
        """Return the order of the images in an epoch, and the random numbers of its augmentation."""
        randomness = self._augmenter.randomness(self.seed, epoch) if self._augmenter else None
        return tf.constant(seeds.order(self.count, self.seed, epoch)), randomness

    def _trace(self) -> None:
        """Trace and compile by running zero steps, which change nothing, even if XLA rejects the model."""
        with _threefry_dropout(self.model, compiled=self.compiled):
            self._call(*self._random(0), 0, 0)

    def _adapt(self, steps: int, seconds: float) -> None:
        fitting = int(steps * CHUNK_SECONDS / seconds)
        self._chunk = max(1, min(fitting, 4 * self._chunk))


class Evaluation:
    """Evaluates a compiled Keras model on arrays as in `CompiledEpoch`, with Keras's `test_step`."""

    def __init__(self, model: keras.Model, images: np.ndarray, labels: np.ndarray) -> None:
        self.model = model
        self._images, self._labels = _in_memory(images, labels)
        create_state(model)
        self._score = tf.function(self._all_steps, autograph=False)

    def run(self) -> Logs:
        """Return the model's metrics by Keras's names, each the mean over all images."""
        self.model.reset_metrics()
        self._score(self._images, self._labels)
        logs = current_metrics(self.model)
        self.model.reset_metrics()
        return logs

    def _all_steps(self, images: tf.Tensor, labels: tf.Tensor) -> None:
        def body(start: tf.Tensor) -> tf.Tensor:
            stop = start + EVALUATION_BATCH
            self.model.test_step((to_unit_range(images[start:stop]), _targets(self.model, labels[start:stop])))
            return stop

        # A slice past the end is shorter, so the last batch takes the remaining images.
        tf.while_loop(lambda start: start < images.shape[0], body, [tf.constant(0)])


def current_metrics(model: keras.Model) -> Logs:
    """Return the model's metrics so far as plain numbers."""
    return {name: float(value) for name, value in model.get_metrics_result().items()}


def create_state(model: keras.Model) -> None:
    """Create the variables of optimizer, loss and metrics, which a compiled function cannot create."""
    image = tf.zeros((1, *model.input_shape[1:]))
    label = _targets(model, tf.zeros((1,), tf.int32))
    prediction = model(image, training=False)
    model.optimizer.build(model.trainable_variables)
    model.compute_loss(image, label, prediction, training=False)
    model.compute_metrics(image, label, prediction)
    model.reset_metrics()


def swap_ema_weights(model: keras.Model) -> None:
    """Swap the weights with their exponential moving averages, bit for bit, if the optimizer keeps them.

    Between epochs the network contains the averages, so that they are evaluated and saved, as after `fit`. The weights
    with which training continues are then in the place of the averages in the optimizer's state.
    """
    if model.optimizer.use_ema and int(model.optimizer.iterations) > 0:  # before the first step there are no averages
        averages = model.optimizer._model_variables_moving_average
        for weight, average in zip(model.trainable_variables, averages, strict=True):
            value = tf.identity(weight.value)
            weight.assign(average)
            average.assign(value)


def _targets(model: keras.Model, labels: tf.Tensor) -> tf.Tensor:
    """Return integer labels in the form that the model's loss takes."""
    if isinstance(model.loss, keras.losses.CategoricalCrossentropy):
        return tf.one_hot(labels, model.output_shape[-1])
    return labels


def _in_memory(images: np.ndarray, labels: np.ndarray) -> tuple[tf.Tensor, tf.Tensor]:
    return tf.constant(images), tf.constant(labels.astype(np.int32))


def _dropouts(model: keras.Model) -> list[Any]:
    return [layer for layer in model.layers if isinstance(layer, keras.layers.Dropout) and layer.rate > 0]


def _seed_dropout(model: keras.Model, seed: int, epoch: int, step: int) -> None:
    """Set each Dropout layer's counter, so that step s of the epoch draws from (seed, layer, epoch, s)."""
    for index, layer in enumerate(_dropouts(model)):
        layer.seed_generator.state.assign([seeds.integer(seed, Purpose.DROPOUT, index, epoch), step])


class _ThreefryDropout(keras.layers.Dropout):  # type: ignore[misc]
    """Keras's Dropout with the generator that is fast in XLA on a CPU; Keras's own takes thirty times as long."""

    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        if not training:
            return inputs
        seed = tf.cast(self.seed_generator.next(), tf.int32)
        return tf.where(self._uniform(inputs.shape, seed) >= self.rate, inputs / (1 - self.rate), 0.0)

    def _uniform(self, shape: tf.TensorShape, seed: tf.Tensor) -> tf.Tensor:
        return tf.random.stateless_uniform(shape, seed, alg="threefry")


class _UncompiledThreefryDropout(_ThreefryDropout):
    """The same, with the same numbers, for graphs that XLA does not compile: TensorFlow has no Threefry for them."""

    def _uniform(self, shape: tf.TensorShape, seed: tf.Tensor) -> tf.Tensor:
        return unit_uniform(seed, tuple(shape))


@contextmanager
def _threefry_dropout(model: keras.Model, *, compiled: bool) -> Iterator[None]:
    """Let the Dropout layers use Threefry while a graph is traced; saved models keep Keras's own Dropout."""
    layers = [layer for layer in _dropouts(model) if type(layer) is keras.layers.Dropout]
    for layer in layers:
        layer.__class__ = _ThreefryDropout if compiled else _UncompiledThreefryDropout
    try:
        yield
    finally:
        for layer in layers:
            layer.__class__ = keras.layers.Dropout


class _ScaledRates:
    """Mixin for Keras optimizers that scales the learning rate of some variables."""

    _factors: Mapping[int, float]  # index of a variable in the optimizer → its factor, 1 by default
    _decay_factor = 1.0  # factor of the variable whose weight decay is being applied

    @property
    def learning_rate(self) -> Any:
        return super().learning_rate * self._decay_factor  # type: ignore[misc]

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        super().update_step(gradient, variable, learning_rate * self._factor(variable))  # type: ignore[misc]

    def _apply_weight_decay(self, variables: list[Any]) -> None:
        for variable in variables:
            self._decay_factor = self._factor(variable)
            super()._apply_weight_decay([variable])  # type: ignore[misc]
        self._decay_factor = 1.0

    def _factor(self, variable: Any) -> float:
        return self._factors.get(self._get_variable_index(variable), 1.0)  # type: ignore[attr-defined]


@contextmanager
def _scaled_rates(model: keras.Model, factors: Mapping[str, float]) -> Iterator[None]:
    """Scale the learning rate of some layers while a step is traced; saved models keep Keras's own optimizer."""
    if not factors:
        yield
        return
    optimizer, kind = model.optimizer, type(model.optimizer)
    layers = [layer for layer in model.layers if layer.name in factors]
    indices = {
        optimizer._get_variable_index(variable): factors[layer.name]
        for layer in layers
        for variable in layer.trainable_variables
    }
    optimizer.__class__ = type(f"Scaled{kind.__name__}", (_ScaledRates, kind), {"_factors": indices})
    try:
        yield
    finally:
        optimizer.__class__ = kind
