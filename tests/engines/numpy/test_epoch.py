"""Compare the epoch in NumPy with the compiled one of Keras: same batches, same metrics, each image once."""

import numpy as np
import pytest

from dnn_cli.config import loading
from dnn_cli.config.schema import Config
from dnn_cli.data.datasets import Split
from dnn_cli.engines.keras import build as keras_build
from dnn_cli.engines.keras.epoch import CompiledEpoch, Evaluation
from dnn_cli.engines.network_spec import network_spec
from dnn_cli.engines.numpy import build, epoch
from dnn_cli.engines.numpy.epoch import Batches, NumpyEpoch
from dnn_cli.typing import Array


def config(text: str = "model: {layers: [32]}") -> Config:
    return loading.parse(text, "test")


def trainer(split: Split, settings: Config, size: int = 32) -> NumpyEpoch:
    network = build.build(network_spec(settings, split.images.shape[1:], 10), rows=size)
    optimizer = build.optimizer(settings.optimizer)
    optimizer.build(network.parameters)
    batches = Batches(split.images, split.labels, 10, size, settings.training.label_smoothing)
    return NumpyEpoch(network, optimizer, batches, seed=7)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("model: {layers: [32]}", 32),  # 500 = 15 · 32 + 20: a smaller last batch
        ("model: {layers: [{units: 32, batch_normalization: true, use_bias: false, l2: 0.01}, 16]}", 100),
        ("model: {layers: [16]}\ntraining: {label_smoothing: 0.2}\noptimizer: {name: sgd, momentum: 0.9}", 501),
    ],
)
def test_training_and_evaluation_agree_with_the_compiled_epoch(few: Split, text: str, size: int) -> None:
    settings = config(text)
    theirs = keras_build.build(network_spec(settings, (28, 28), 10), settings)
    compiled = CompiledEpoch(theirs, few.images, few.labels, batch_size=size, seed=7, jit_compile=False)
    ours = trainer(few, settings, size)
    for number in range(2):
        assert ours.run(number) == pytest.approx(compiled.run(number), rel=1e-4)
    scores = epoch.evaluate(ours.network, ours.batches)
    assert scores == pytest.approx(Evaluation(theirs, few.images, few.labels).run(), rel=1e-3)


@pytest.mark.parametrize("size", [1, 7, 32, 101, 4096])
def test_every_image_is_used_exactly_once(few: Split, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    few = Split(few.images[:101], few.labels[:101])
    ours = trainer(few, config("optimizer: {name: sgd, learning_rate: 1e-30}"), size)
    seen: list[int] = []
    take = ours.batches.take

    def noting(chosen: Array) -> tuple[Array, Array, Array]:
        seen.extend(chosen.tolist())
        return take(chosen)

    monkeypatch.setattr(ours.batches, "take", noting)
    logs = ours.run(0)
    assert sorted(seen) == list(range(101))
    assert ours.steps == -(-101 // size)
    assert logs == pytest.approx(epoch.evaluate(ours.network, ours.batches), rel=1e-5)


def test_float_images_give_the_same_metrics_as_bytes(few: Split) -> None:
    as_floats = Split((few.images / np.float32(255)).astype(np.float32), few.labels)
    assert trainer(few, config()).run(0) == pytest.approx(trainer(as_floats, config()).run(0), rel=1e-6)


NOISY = "model: {input_dropout: 0.1, layers: [{units: 32, dropout: 0.3}, {units: 16, dropout: 0.2}]}"


def test_dropout_depends_on_seed_layer_and_epoch_alone(few: Split) -> None:
    one, other = trainer(few, config(NOISY)), trainer(few, config(NOISY))
    assert one.run(0) == other.run(0)
    other.network.layers[0].random.random(5)  # type: ignore[attr-defined]
    assert one.run(1) == other.run(1)
    assert one.network.parameters.tobytes() == other.network.parameters.tobytes()
    plain = trainer(few, config("model: {layers: [32, 16]}"))
    assert plain.run(0)["loss"] < one.run(2)["loss"] + 1


def test_progress_is_reported_a_few_times_a_second(few: Split, monkeypatch: pytest.MonkeyPatch) -> None:
    reported: list[tuple[int, int]] = []
    logs: list[dict[str, float]] = []

    def report(first: int, stop: int, metrics: dict[str, float]) -> None:
        reported.append((first, stop))
        logs.append(metrics)

    final = trainer(few, config()).run(0, report)
    assert reported == [(0, 16)]
    assert logs == [final]
    monkeypatch.setattr(epoch, "CHUNK_SECONDS", 0)
    reported.clear()
    trainer(few, config()).run(0, report)
    assert reported == [(step, step + 1) for step in range(16)]


def test_an_exception_in_the_chunk_callback_ends_the_epoch(few: Split) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        trainer(few, config()).run(0, stop)


def test_a_loss_that_is_not_finite_is_returned(few: Split) -> None:
    logs = trainer(
        few,
        config(
            "model: {layers: [{units: 8, activation: exponential}, 8]}\noptimizer: {name: sgd, learning_rate: 1000}"
        ),
    ).run(0)
    assert not np.isfinite(logs["loss"])
