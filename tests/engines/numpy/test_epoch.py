"""An epoch in NumPy against the compiled one of Keras: same batches, same figures, every image once."""

import numpy as np
import pytest

from dnn_cli.config import loading
from dnn_cli.config.schema import Config
from dnn_cli.data.datasets import Split
from dnn_cli.engines.keras import build as keras_build
from dnn_cli.engines.keras.epoch import CompiledEpoch, Evaluation
from dnn_cli.engines.numpy import build, epoch
from dnn_cli.engines.numpy.epoch import Batches, NumpyEpoch
from dnn_cli.typing import Array


def config(text: str = "model: {layers: [32]}") -> Config:
    return loading.parse(text, "test")


def trainer(split: Split, settings: Config, size: int = 32) -> NumpyEpoch:
    network = build.build(settings, split.images.shape[1:], 10, rows=size)
    optimizer = build.optimizer(settings.optimizer)
    optimizer.build(network.parameters)
    batches = Batches(split.images, split.labels, 10, size, settings.training.label_smoothing)
    return NumpyEpoch(network, optimizer, batches, seed=7)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("model: {layers: [32]}", 32),  # 500 = 15 · 32 + 20: a ragged last batch
        ("model: {layers: [{units: 32, batch_normalization: true, use_bias: false, l2: 0.01}, 16]}", 100),
        ("model: {layers: [16]}\ntraining: {label_smoothing: 0.2}\noptimizer: {name: sgd, momentum: 0.9}", 501),
    ],
)
def test_it_trains_and_judges_as_the_compiled_epoch_does(few: Split, text: str, size: int) -> None:
    settings = config(text)
    theirs = keras_build.build(settings, (28, 28), 10)
    compiled = CompiledEpoch(theirs, few.images, few.labels, batch_size=size, seed=7, jit_compile=False)
    ours = trainer(few, settings, size)
    for number in range(2):
        assert ours.run(number) == pytest.approx(compiled.run(number), rel=1e-4)
    judged = epoch.evaluate(ours.network, ours.batches)
    assert judged == pytest.approx(Evaluation(theirs, few.images, few.labels).run(), rel=1e-3)


@pytest.mark.parametrize("size", [1, 7, 32, 101, 4096])
def test_every_image_counts_exactly_once(few: Split, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_float_images_train_as_bytes_do(few: Split) -> None:
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


def test_progress_is_told_a_few_times_a_second(few: Split, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[int, int]] = []
    logs: list[dict[str, float]] = []

    def note(first: int, stop: int, figures: dict[str, float]) -> None:
        told.append((first, stop))
        logs.append(figures)

    final = trainer(few, config()).run(0, note)
    assert told == [(0, 16)]
    assert logs == [final]
    monkeypatch.setattr(epoch, "CHUNK_SECONDS", 0)
    told.clear()
    trainer(few, config()).run(0, note)
    assert told == [(step, step + 1) for step in range(16)]


def test_what_a_listener_raises_ends_the_epoch(few: Split) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        trainer(few, config()).run(0, stop)


def test_a_loss_that_is_no_number_is_told_as_it_is(few: Split) -> None:
    logs = trainer(
        few,
        config(
            "model: {layers: [{units: 8, activation: exponential}, 8]}\noptimizer: {name: sgd, learning_rate: 1000}"
        ),
    ).run(0)
    assert not np.isfinite(logs["loss"])
