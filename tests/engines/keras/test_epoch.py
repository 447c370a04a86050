"""Compare the compiled epoch with stock Keras: same numbers, each image once, the same bits in each repetition."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from dnn_cli import seeds
from dnn_cli.config import loading
from dnn_cli.config.schema import Config
from dnn_cli.data.datasets import Split
from dnn_cli.engines.keras import build as keras_build
from dnn_cli.engines.keras import epoch
from dnn_cli.engines.keras.epoch import CompiledEpoch, Evaluation
from dnn_cli.engines.network_spec import network_spec
from dnn_cli.errors import TrainingError
from tests.conftest import assert_same_bits


def config(text: str = "") -> Config:
    return loading.parse(text or "model: {layers: [32]}", "test")


def trainer(split: Split, network: keras.Model, batch_size: int = 32, **options: Any) -> CompiledEpoch:
    return CompiledEpoch(network, split.images, split.labels, batch_size=batch_size, seed=7, **options)


def build(settings: Config) -> keras.Sequential:
    return keras_build.build(network_spec(settings, (28, 28), 10), settings)


@pytest.mark.parametrize(
    ("text", "batch_size", "jit_compile"),
    [
        ("model: {layers: [32]}", 32, True),  # 500 = 15 · 32 + 20: a smaller last batch
        ("model: {layers: [32]}", 32, False),
        ("model: {layers: [32]}", 100, False),
        ("model: {layers: [32]}", 501, True),  # only one smaller batch
        # No bias: before a BatchNormalization its gradient is only rounding error, which Adam would amplify.
        ("model: {layers: [{units: 32, batch_normalization: true, use_bias: false, l2: 0.01}, 16]}", 32, True),
        ("model: {layers: [{units: 32, max_norm: 0.5}]}", 64, False),
        ("optimizer: {name: sgd, momentum: 0.9, nesterov: true}", 64, False),
        (
            "optimizer: {name: adamw, learning_rate: {name: cosine_decay, initial_learning_rate: 0.1, decay_steps: 9}}",
            50,
            True,
        ),
    ],
)
def test_training_agrees_with_fit(few: Split, text: str, batch_size: int, jit_compile: bool) -> None:
    settings = config(text)
    ours, theirs = build(settings), build(settings)
    compiled = trainer(few, ours, batch_size, jit_compile=jit_compile)
    images = few.images.astype("float32") / 255
    for number in range(2):
        order = seeds.order(len(images), 7, number)
        fitted = theirs.fit(images[order], few.labels[order], batch_size=batch_size, shuffle=False, verbose=0)
        logs = compiled.run(number)
        assert logs == pytest.approx({name: values[0] for name, values in fitted.history.items()}, rel=1e-4)
    for mine, stock in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(mine, stock, rtol=1e-3, atol=2e-5)
    assert int(ours.optimizer.iterations) == int(theirs.optimizer.iterations)


@pytest.mark.parametrize("text", ["model: {layers: [{units: 16, l2: 0.01}]}", "training: {label_smoothing: 0.1}"])
def test_class_weights_agree_with_fit(few: Split, text: str) -> None:
    ours, theirs = build(config(text)), build(config(text))
    weights = np.linspace(0, 3, 10, dtype=np.float32)
    logs = trainer(few, ours, class_weights=weights, jit_compile=False).run(0)
    order = seeds.order(len(few.labels), 7, 0)
    images, labels = few.images[order].astype("float32") / 255, few.labels[order]
    fitted = theirs.fit(
        images,
        np.eye(10)[labels] if "smoothing" in text else labels,
        class_weight=dict(enumerate(weights.tolist())),
        batch_size=32,
        shuffle=False,
        verbose=0,
    )
    assert logs == pytest.approx({name: values[0] for name, values in fitted.history.items()}, rel=1e-4)
    for mine, stock in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(mine, stock, rtol=1e-3, atol=2e-5)


@pytest.mark.parametrize("batch_size", [1, 7, 32, 250, 500, 4096])
def test_every_image_is_used_exactly_once(few: Split, batch_size: int) -> None:
    few = Split(few.images[:101], few.labels[:101])
    network = build(config())
    network.compile(keras.optimizers.SGD(0.0), "sparse_categorical_crossentropy", metrics=["accuracy"])
    # With a learning rate of zero, the epoch's means are those of the untrained network over the whole set.
    expected = Evaluation(network, few.images, few.labels).run()
    compiled = trainer(few, network, batch_size, jit_compile=batch_size == 32)
    assert compiled.run(0) == pytest.approx(expected, rel=1e-5)


def test_evaluation_agrees_with_keras_and_uses_every_image(sample: Split) -> None:
    network = build(config())
    images, labels = sample.images[:2345], sample.labels[:2345]
    loss, accuracy = network.evaluate(images.astype("float32") / 255, labels, verbose=0)
    assert Evaluation(network, images, labels).run() == pytest.approx({"loss": loss, "accuracy": accuracy}, rel=1e-5)


def test_no_column_of_a_kernel_exceeds_its_max_norm(few: Split, tmp_path: Path) -> None:
    def lengths(network: keras.Model) -> np.ndarray[Any, Any]:
        return np.asarray(np.linalg.norm(network.layers[1].kernel.numpy(), axis=0))

    free, bound = (config(f"model: {{layers: [{{units: 32, max_norm: {limit}}}]}}") for limit in ("null", 1.3))
    assert lengths(build(free)).max() > 1.4
    networks = build(free), build(bound)
    for network in networks:
        trainer(few, network, jit_compile=False).run(0)
    assert lengths(networks[0]).max() > 1.4
    assert lengths(networks[1]).max() <= 1.3 + 1e-5
    assert np.isclose(lengths(networks[1]), 1.3, atol=1e-4).any()
    networks[1].save(tmp_path / "bound.keras")
    again = keras_build.load(tmp_path / "bound.keras")
    trainer(few, again, jit_compile=False).run(1)
    assert lengths(again).max() <= 1.3 + 1e-5


def test_label_smoothing_agrees_with_keras_and_lowers_confidence(few: Split, tmp_path: Path) -> None:
    fast = "optimizer: {name: adam, learning_rate: 0.02}"
    sharp, smooth = (config(f"{fast}\ntraining: {{label_smoothing: {share}}}") for share in (0, 0.3))
    images, rows = few.images.astype("float32") / 255, np.eye(10)[few.labels]
    ours, theirs = build(smooth), build(smooth)
    compiled = trainer(few, ours, 50, jit_compile=False)
    logs = compiled.run(0)
    ours.save(tmp_path / "one.keras")
    order = seeds.order(len(images), 7, 0)
    fitted = theirs.fit(images[order], rows[order], batch_size=50, shuffle=False, verbose=0)
    assert logs == pytest.approx({name: values[0] for name, values in fitted.history.items()}, rel=1e-4)
    for mine, stock in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(mine, stock, rtol=1e-3, atol=2e-5)
    loss, accuracy = theirs.evaluate(images, rows, verbose=0)
    scores = Evaluation(ours, few.images, few.labels).run()
    assert scores == pytest.approx({"loss": loss, "accuracy": accuracy}, rel=1e-4)

    again = keras_build.load(tmp_path / "one.keras")
    resumed = trainer(few, again, 50, jit_compile=False)
    plain = build(sharp)
    unsmoothed = trainer(few, plain, 50, jit_compile=False)
    unsmoothed.run(0)
    for number in range(1, 12):
        for one in (compiled, resumed, unsmoothed):
            one.run(number)
    for mine, same in zip(ours.get_weights(), again.get_weights(), strict=True):
        assert mine.tobytes() == same.tobytes()
    smooth_confidence, sharp_confidence = (
        keras_build.predict(network, few.images).max(axis=1).mean() for network in (ours, plain)
    )
    assert smooth_confidence < 0.73 < sharp_confidence  # the target is 1 - 0.3 + 0.3 / 10


def test_input_dropout_increases_the_training_loss(few: Split) -> None:
    losses = []
    for share in (0, 0.5):
        network = build(config(f"model: {{input_dropout: {share}, layers: [32]}}"))
        compiled = trainer(few, network, 50, jit_compile=False)
        for number in range(10):
            compiled.run(number)
        losses.append(Evaluation(network, few.images, few.labels).run()["loss"])
    assert losses[1] > 1.2 * losses[0]


def test_float_images_give_the_same_metrics_as_bytes(few: Split) -> None:
    as_floats = Split((few.images / np.float32(255)).astype(np.float32), few.labels)
    one, other = build(config()), build(config())
    bytes_, floats = (trainer(split, made, jit_compile=False) for split, made in ((few, one), (as_floats, other)))
    assert bytes_.run(0) == pytest.approx(floats.run(0), rel=1e-5)


NOISY = "model: {input_dropout: 0.1, layers: [{units: 32, dropout: 0.3, batch_normalization: true}, {units: 16, dropout: 0.2}]}"  # noqa: E501


def test_chunks_of_any_size_give_the_same_bits(few: Split, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = []
    for seconds in (1e-9, 1e9):
        monkeypatch.setattr(epoch, "CHUNK_SECONDS", seconds)
        network, stops = build(config(NOISY)), list[int]()
        compiled = trainer(few, network)
        for number in range(2):
            compiled.run(number, lambda _, stop, __, stops=stops: stops.append(stop))  # type: ignore[misc]
        files.append(tmp_path / f"{len(stops)}.keras")
        network.save(files[-1])
    assert files[0].name == "18.keras"  # the first epoch has 1 chunk, the second 15, and each a last smaller step
    assert_same_bits(*files)


def test_an_epoch_after_loading_gives_the_same_bits_as_without(few: Split, tmp_path: Path) -> None:
    network = build(config(NOISY))
    compiled = trainer(few, network)
    compiled.run(0)
    network.save(tmp_path / "one.keras")
    compiled.run(1)
    network.save(tmp_path / "straight.keras")

    again = keras_build.load(tmp_path / "one.keras")
    trainer(few, again).run(1)
    again.save(tmp_path / "resumed.keras")
    assert_same_bits(tmp_path / "straight.keras", tmp_path / "resumed.keras")


def test_dropout_drops_its_share_and_scales_the_rest() -> None:
    layer = epoch._ThreefryDropout(0.3, seed=1, name="dropout")
    draw = tf.function(lambda: layer(tf.ones((1000, 100)), training=True), jit_compile=True)
    first, second = draw().numpy(), draw().numpy()
    assert (first == 0).mean() == pytest.approx(0.3, abs=0.01)
    assert first.max() == pytest.approx(1 / 0.7)
    assert (first != second).any()
    assert (layer(tf.ones((2, 2)), training=False).numpy() == 1).all()


def test_saved_networks_contain_keras_own_dropout(few: Split, tmp_path: Path) -> None:
    network = build(config(NOISY))
    trainer(few, network).run(0)
    network.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert [type(layer).__module__ for layer in loaded.layers] == [type(layer).__module__ for layer in network.layers]
    assert [type(layer) for layer in network.layers].count(keras.layers.Dropout) == 3


def test_the_graph_is_traced_once_for_all_chunks_and_epochs(few: Split, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(epoch, "CHUNK_SECONDS", 1e-9)
    compiled = trainer(few, build(config(NOISY)))
    for number in range(3):
        compiled.run(number)
    assert compiled._loop.experimental_get_tracing_count() == 1
    assert compiled._last_step.experimental_get_tracing_count() == 1


class UnsupportedByXla(keras.layers.Layer):  # type: ignore[misc]
    """A layer for which XLA has no kernel."""

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        same = tf.strings.to_number(tf.strings.as_string(inputs))
        return inputs + tf.stop_gradient(same - inputs)


def test_a_model_that_xla_rejects_is_trained_uncompiled_with_one_warning(few: Split) -> None:
    def network() -> keras.Sequential:
        keras.utils.set_random_seed(1)
        stack = [keras.Input((28, 28)), keras.layers.Flatten(), UnsupportedByXla(), keras.layers.Dense(10, "softmax")]
        made = keras.Sequential(stack)
        made.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
        return made

    warnings: list[str] = []
    compiled = trainer(few, network(), warn=warnings.append)
    logs = [compiled.run(number) for number in range(2)]
    assert len(warnings) == 1
    assert not compiled.compiled
    assert warnings[0].startswith("XLA cannot compile this model; training runs uncompiled and slower (")
    assert "unsupported operations" in warnings[0]
    plain = trainer(few, network(), jit_compile=False)
    assert logs == [pytest.approx(plain.run(number)) for number in range(2)]


def test_the_uncompiled_path_draws_the_same_dropout_as_the_compiled_one(few: Split) -> None:
    # BatchNormalization is left out: the gradient of a bias before it is only rounding error, which Adam would amplify.
    text = "model: {input_dropout: 0.1, layers: [{units: 32, dropout: 0.3}, {units: 15, dropout: 0.2}]}"
    networks = build(config(text)), build(config(text))
    for network, jit_compile in zip(networks, (True, False), strict=True):
        trained = trainer(few, network, 45, jit_compile=jit_compile)
        trained.run(0)
        assert trained.compiled is jit_compile
    for one, other in zip(*(network.get_weights() for network in networks), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-5)


def test_an_epoch_without_a_full_step_is_never_compiled(few: Split) -> None:
    small = trainer(few, build(config()), 501)
    assert not small.compiled
    small.run(0)
    assert not small.compiled


@pytest.mark.parametrize(
    "error", [tf.errors.InternalError, tf.errors.UnavailableError, tf.errors.PermissionDeniedError]
)
def test_a_failure_of_xla_is_no_rejection_and_changes_nothing(
    few: Split, error: type[tf.errors.OpError], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise error(None, None, "the disk said no\nat length")

    warnings: list[str] = []
    network = build(config())
    compiled, before = trainer(few, network, warn=warnings.append), network.get_weights()
    with monkeypatch.context() as broken:
        broken.setattr(compiled, "_loop", fail)
        with pytest.raises(TrainingError) as raised:
            compiled.run(0)
    assert str(raised.value) == (
        "XLA failed to compile the training: the disk said no; "
        "try again, or train uncompiled and slower with training.jit_compile: false"
    )
    assert warnings == []
    for one, other in zip(before, network.get_weights(), strict=True):
        assert one.tobytes() == other.tobytes()
    compiled.run(0)  # the next attempt compiles
    assert compiled.compiled


def test_an_exception_in_the_chunk_callback_ends_the_epoch(few: Split) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        trainer(few, build(config()), jit_compile=False).run(0, stop)


def test_only_a_few_arrays_are_passed_from_python_in_an_epoch(few: Split, monkeypatch: pytest.MonkeyPatch) -> None:
    stops: list[int] = []
    compiled = trainer(few, build(config(NOISY)))
    compiled.run(0)
    arrays: list[int] = []
    constant = tf.constant

    def counted(value: Any, *more: Any) -> Any:
        arrays.append(np.size(value))
        return constant(value, *more)

    monkeypatch.setattr(tf, "constant", counted)
    compiled.run(1, lambda _, stop, __: stops.append(stop))
    calls = len(stops) - 1  # the last smaller step slices the order, which exists already, and transfers its number
    assert calls <= 2
    assert arrays == [500] + [1, 1] * calls + [1]


# Learning rates of single layers

SLOWED = {"dense_1": 0.25, "output": 1.0}


def moved(few: Split, optimizer: str, factors: dict[str, float], batch_size: int = 500) -> list[Any]:
    """Return the change of each kernel in one epoch, which is a single step by default."""
    network = build(config(f"model: {{layers: [8, 8]}}\noptimizer: {optimizer}"))
    before = [layer.kernel.numpy() for layer in network.layers[1:]]
    trainer(few, network, batch_size, jit_compile=False, rate_factors=factors).run(0)
    assert type(network.optimizer).__module__.startswith("keras.")
    return [layer.kernel.numpy() - old for layer, old in zip(network.layers[1:], before, strict=True)]


@pytest.mark.parametrize("batch_size", [500, 501])  # a full step, and a smaller one
@pytest.mark.parametrize(
    "optimizer",
    [
        "{name: sgd, learning_rate: 0.5}",
        "{name: sgd, learning_rate: 0.5, momentum: 0.9, nesterov: true}",
        "{name: sgd, learning_rate: {name: cosine_decay, initial_learning_rate: 0.5, decay_steps: 3}}",
        "{name: adamw, learning_rate: 0.5, weight_decay: 0.5}",
    ],
)
def test_a_rate_factor_scales_the_steps_of_its_layer_only(few: Split, optimizer: str, batch_size: int) -> None:
    plain, slowed = (moved(few, optimizer, factors, batch_size) for factors in ({}, SLOWED))
    np.testing.assert_allclose(slowed[0], plain[0] / 4, rtol=1e-5, atol=1e-6)
    for index in (1, 2):
        np.testing.assert_allclose(slowed[index], plain[index], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "name",
    [
        "rmsprop",
        "adagrad",
        "adadelta",
        "adam",
        "adamax",
        "nadam",
        "lamb",
        "schedulefreeadamw",
        "lion",
        "adafactor",
        "muon",
    ],
)  # the first step of ftrl is not proportional to its learning rate
def test_the_steps_of_every_optimizer_are_proportional_to_the_factor(few: Split, name: str) -> None:
    optimizer = f"{{name: {name}, learning_rate: 0.01}}"
    plain, slowed = (moved(few, optimizer, factors) for factors in ({}, SLOWED))
    assert np.abs(plain[0]).max() > 1e-6
    np.testing.assert_allclose(slowed[0], plain[0] / 4, rtol=1e-2, atol=2e-8)


@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_adam_with_a_rate_factor_agrees_with_adam_by_hand(few: Split, decay: float) -> None:
    rate, factors = 0.01, {"dense_1": 0.3}
    text = f"model: {{layers: [16]}}\noptimizer: {{name: adamw, learning_rate: {rate}, weight_decay: {decay}}}"
    ours, theirs = build(config(text)), build(config(text))
    trainer(few, ours, 150, jit_compile=False, rate_factors=factors).run(0)  # three full steps and a smaller one

    images = few.images.astype("float32") / 255
    moments = [(np.zeros(weight.shape), np.zeros(weight.shape)) for weight in theirs.trainable_variables]
    loss = keras.losses.SparseCategoricalCrossentropy()
    for step, batch in enumerate(np.split(seeds.order(500, 7, 0), [150, 300, 450]), start=1):
        with tf.GradientTape() as tape:
            value = loss(few.labels[batch], theirs(images[batch], training=True))
        gradients = tape.gradient(value, [weight.value for weight in theirs.trainable_variables])
        for number, (weight, gradient) in enumerate(zip(theirs.trainable_variables, gradients, strict=True)):
            mean, square = moments[number]
            mean = 0.9 * mean + 0.1 * gradient.numpy()
            square = 0.999 * square + 0.001 * gradient.numpy() ** 2
            moments[number] = mean, square
            layer_rate = rate * factors.get(weight.path.split("/")[-2], 1.0)
            size = layer_rate * np.sqrt(1 - 0.999**step) / (1 - 0.9**step)
            decayed = weight.numpy() * (1 - decay * layer_rate)
            weight.assign(decayed - size * mean / (np.sqrt(square) + 1e-7))
    for mine, by_hand in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(mine, by_hand, rtol=1e-3, atol=2e-5)


def test_an_optimizer_with_rate_factors_is_saved_as_keras_own_and_resumes(few: Split, tmp_path: Path) -> None:
    text = "model: {layers: [16]}\noptimizer: {name: adamw, use_ema: true, gradient_accumulation_steps: 2}"
    network = build(config(text))
    compiled = trainer(few, network, 48, jit_compile=False, rate_factors={"dense_1": 0.3})
    compiled.run(0)
    network.save(tmp_path / "one.keras")
    compiled.run(1)
    network.save(tmp_path / "straight.keras")
    again = keras.models.load_model(tmp_path / "one.keras")
    assert type(again.optimizer) is keras.optimizers.AdamW
    trainer(few, again, 48, jit_compile=False, rate_factors={"dense_1": 0.3}).run(1)
    again.save(tmp_path / "resumed.keras")
    assert_same_bits(tmp_path / "straight.keras", tmp_path / "resumed.keras")
