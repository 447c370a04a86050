"""Test the deformations: their geometry, their ranges, and that they depend on (seed, epoch, step) alone."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from dnn_cli import seeds
from dnn_cli.config import loading
from dnn_cli.config.schema import Augmentation
from dnn_cli.data.datasets import Split
from dnn_cli.engines.keras import augmentation, epoch
from dnn_cli.engines.keras import build as keras_build
from dnn_cli.engines.keras.augmentation import Augmenter
from dnn_cli.engines.keras.epoch import CompiledEpoch, Evaluation
from dnn_cli.engines.network_spec import network_spec
from dnn_cli.errors import ConfigError
from tests.conftest import assert_same_bits

ALL = "{rotation: 15, translation: 2, scale: 0.2, shear: 10, elastic: {strength: 3}, noise: 0.1}"


def settings(text: str) -> Augmentation:
    return loading.parse(f"training: {{augmentation: {text}}}", "a.yaml").training.augmentation


def deform(images: Any, text: str = ALL, *, seed: int = 1, number: int = 0, step: int = 0, jit: bool = False) -> Any:
    augmenter = Augmenter(settings(text), images.shape[1:])
    call = tf.function(augmenter, jit_compile=jit, autograph=False)
    return call(tf.constant(images), tf.constant(step), augmenter.randomness(seed, number)).numpy()


def fixed(images: Any, *, angle: float = 0, shear: float = 0, scale: Any = (1, 1), shift: Any = (0, 0)) -> Any:
    """Return the images deformed by known amounts."""
    a, s, *rest = (tf.fill((len(images),), float(value)) for value in (angle, shear, *scale, *shift))
    y, x = augmentation.source_coordinates(images.shape[1:], a, s, (rest[0], rest[1]), (rest[2], rest[3]))
    return augmentation.sample_bilinear(tf.constant(images), y, x).numpy()


def noise(*shape: int) -> Any:
    return np.random.default_rng(0).integers(0, 256, shape, np.uint8)


@pytest.mark.parametrize(
    ("key", "counter", "words"),
    [
        ((0, 0), (0, 0), (0x6B200159, 0x99BA4EFE)),
        ((0xFFFFFFFF, 0xFFFFFFFF), (0xFFFFFFFF, 0xFFFFFFFF), (0x1CB996FC, 0xBB002BE7)),
        ((0x13198A2E, 0x03707344), (0x243F6A88, 0x85A308D3), (0xC4923A9C, 0x483DF7A0)),
    ],
)
@pytest.mark.parametrize("jit", [False, True])
def test_threefry_gives_the_reference_numbers_of_its_authors(key: Any, counter: Any, words: Any, jit: bool) -> None:
    encrypt = tf.function(augmentation.threefry_block, jit_compile=jit)
    found = encrypt(tf.constant(key, tf.uint32), *(tf.constant([word], tf.uint32) for word in counter))
    assert [int(word[0]) for word in found] == list(words)


def test_numbers_are_uniformly_distributed() -> None:
    numbers = augmentation.uniform(tf.constant([1, 2], tf.uint32), tf.constant(3, tf.uint32), (100_001,)).numpy()
    assert -1 <= numbers.min() < -0.999
    assert 0.999 < numbers.max() < 1
    counts = np.histogram(numbers, 10, (-1, 1))[0]
    assert np.abs(counts - 10_000).max() < 400
    assert abs(np.corrcoef(numbers[:-1], numbers[1:])[0, 1]) < 0.02


@pytest.mark.parametrize("shape", [(4,), (5,), (6, 7), (7, 6), (3, 5), (5, 3), (5, 5), (1, 1), (3, 28, 27), (7, 9, 5)])
def test_unit_uniform_gives_the_numbers_that_xla_draws(shape: tuple[int, ...]) -> None:
    seed = tf.constant([-123456789, 7])
    drawn = tf.function(lambda: tf.random.stateless_uniform(shape, seed, alg="threefry"), jit_compile=True)
    assert augmentation.unit_uniform(seed, shape).numpy().tobytes() == drawn().numpy().tobytes()


@pytest.mark.parametrize("shape", [(3, 6, 6), (3, 7, 5), (2, 5, 5, 3)])
def test_no_deformation_is_the_identity(shape: tuple[int, ...]) -> None:
    images = noise(*shape)
    assert (fixed(images) == images).all()
    np.testing.assert_allclose(deform(images, "{}"), images / np.float32(255), rtol=1e-6)
    floats = (images / np.float32(255)).astype(np.float32)
    assert (deform(floats, "{}") == floats).all()


@pytest.mark.parametrize("shape", [(2, 6, 6), (2, 7, 7, 3)])
@pytest.mark.parametrize("quarters", [1, 2, -1])
def test_a_rotation_by_90_degrees_equals_rot90_anticlockwise(shape: tuple[int, ...], quarters: int) -> None:
    images = noise(*shape)
    turned = fixed(images, angle=quarters * np.pi / 2)
    np.testing.assert_allclose(turned, np.rot90(images, quarters, (1, 2)), atol=1e-3)


def test_a_shift_by_whole_pixels_fills_with_zeros() -> None:
    images = noise(2, 6, 5)
    moved = fixed(images, shift=(2, -1))
    assert (moved[:, 2:, :-1] == images[:, :-2, 1:]).all()
    assert (moved[:, :2] == 0).all()
    assert (moved[:, :, -1] == 0).all()
    assert (fixed(images, shift=(100, 0)) == 0).all()


def test_a_shift_by_half_a_pixel_is_the_mean_of_two_pixels() -> None:
    images = noise(1, 4, 4)
    expected = (images[:, :, 1:].astype("f4") + images[:, :, :-1]) / 2
    moved = fixed(images, shift=(0, 0.5))
    np.testing.assert_allclose(moved[:, :, 1:], expected)
    np.testing.assert_allclose(moved[:, :, 0], images[:, :, 0] / 2)


def test_scaling_by_two_keeps_the_original_at_every_second_pixel() -> None:
    images = noise(1, 7, 7)
    assert (fixed(images, scale=(2, 1))[:, 1::2] == images[:, 2:5]).all()
    assert (fixed(images, scale=(1, 2))[:, :, 1::2] == images[:, :, 2:5]).all()


def test_a_shear_of_45_degrees_shifts_each_row_by_one_pixel_more() -> None:
    image = np.zeros((1, 7, 7), np.uint8)
    image[0, :, 3] = 200
    np.testing.assert_allclose(fixed(image, shear=np.pi / 4)[0], 200 * np.eye(7), atol=1e-3)


@pytest.mark.parametrize(("length", "spacing"), [(28, 7.0), (5, 1.0), (1, 3.0), (28, 1000.0), (31, 2.5)])
def test_spline_weights_sum_to_one_and_reproduce_a_line(length: int, spacing: float) -> None:
    weights = augmentation.spline_weights(length, spacing)
    assert (weights >= 0).all()
    np.testing.assert_allclose(weights.sum(1), 1, rtol=1e-6)
    line = weights @ (np.arange(weights.shape[1]) * spacing)  # control points on a line give a line
    np.testing.assert_allclose(np.diff(line), 1, rtol=2e-3)


def ramps(count: int, size: int = 41) -> Any:
    """Return images whose pixels are their own coordinates: the row in one channel, the column in the other."""
    places = np.stack(np.meshgrid(np.arange(size), np.arange(size), indexing="ij"), -1).astype(np.float32)
    return np.broadcast_to(places, (count, size, size, 2))


@pytest.mark.parametrize(
    ("text", "read", "limit"),
    [
        ("{rotation: 20}", lambda d: np.degrees(np.arcsin((d[:, 21, 20, 1] - d[:, 20, 20, 1]) / 1)), 20),
        ("{translation: 5}", lambda d: d[:, 20, 20, 0] - 20, 5),
        ("{translation: 5}", lambda d: d[:, 20, 20, 1] - 20, 5),
        ("{scale: 0.3}", lambda d: 1 / (d[:, 21, 20, 0] - d[:, 20, 20, 0]) - 1, 0.3),
        ("{scale: 0.3}", lambda d: 1 / (d[:, 20, 21, 1] - d[:, 20, 20, 1]) - 1, 0.3),
        ("{shear: 30}", lambda d: np.degrees(np.arctan(d[:, 21, 20, 1] - d[:, 20, 20, 1])), 30),
    ],
)
def test_each_deformation_is_uniform_in_its_range(text: str, read: Any, limit: float) -> None:
    values = read(deform(ramps(2000), text)) / limit
    assert np.abs(values).max() <= 1.001
    assert np.abs(np.histogram(values, 4, (-1, 1))[0] - 500).max() < 100
    assert values.mean() == pytest.approx(0, abs=0.05)


def test_elastic_deformation_is_smooth_and_at_most_as_large_as_its_strength() -> None:
    bent = (deform(ramps(300), "{elastic: {strength: 4, smoothness: 8}}") - ramps(300))[:, 8:-8, 8:-8]
    assert 2 < np.abs(bent).max() <= 4
    assert np.abs(bent.mean()) < 0.1
    assert np.abs(np.diff(bent, axis=1)).max() < 1  # neighbouring pixels stay neighbours
    assert (bent.std(axis=(1, 2)) > 0.1).all()  # more than a translation
    rough = (deform(ramps(300), "{elastic: {strength: 4, smoothness: 2}}") - ramps(300))[:, 8:-8, 8:-8]
    assert np.diff(rough, axis=1).std() > 2 * np.diff(bent, axis=1).std()


def test_noise_has_its_standard_deviation_and_mean_zero() -> None:
    added = deform(np.full((500, 20, 20), 0.5, np.float32), "{noise: 0.2}") - 0.5
    assert added.std() == pytest.approx(0.2, rel=0.02)
    assert added.mean() == pytest.approx(0, abs=0.003)
    assert np.abs(np.corrcoef(added[:100].reshape(100, -1)) - np.eye(100)).max() < 0.3


@pytest.mark.parametrize("shape", [(4, 28, 28), (4, 12, 9), (4, 10, 10, 3)])
def test_bytes_floats_and_colours_are_deformed_equally_compiled_or_not(shape: tuple[int, ...]) -> None:
    images = noise(*shape)
    expected = deform(images)
    assert (expected.shape, expected.dtype) == (shape, np.float32)
    np.testing.assert_allclose(deform((images / np.float32(255)).astype(np.float32)), expected, atol=1e-5)
    np.testing.assert_allclose(deform(images, jit=True), expected, atol=1e-3)
    if len(shape) > 3:
        mild = ALL.replace("noise: 0.1", "noise: 0")
        for channel in range(3):
            alone = deform(images[..., channel], mild)
            np.testing.assert_allclose(deform(images, mild)[..., channel], alone, atol=1e-6)


def test_random_numbers_depend_on_seed_epoch_step_and_position() -> None:
    images = np.repeat(noise(1, 12, 12), 3, axis=0)
    first = deform(images)
    assert (first == deform(images)).all()
    assert (deform(images, jit=True) == deform(images, jit=True)).all()
    others = [deform(images, seed=2), deform(images, number=1), deform(images, step=1), first[[1, 2, 0]]]
    for other in others:
        assert all(np.abs(mine - its).max() > 0.05 for mine, its in zip(first, other, strict=True))


CONFIG = "model: {layers: [{units: 32, dropout: 0.2}]}"


def trainer(split: Split, network: keras.Model, text: str = ALL, **options: Any) -> CompiledEpoch:
    augmenter = Augmenter(settings(text), split.images.shape[1:])
    return CompiledEpoch(network, split.images, split.labels, batch_size=48, seed=7, augmenter=augmenter, **options)


def built(text: str) -> keras.Sequential:
    config = loading.parse(text, "test")
    return keras_build.build(network_spec(config, (28, 28), 10), config)


def build() -> keras.Sequential:
    return built(CONFIG)


def test_chunks_and_resuming_do_not_change_the_bits(
    few: Split, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    straight = build()
    compiled = trainer(few, straight)
    for number in range(2):
        compiled.run(number)
    assert compiled._loop.experimental_get_tracing_count() == 1
    assert compiled._last_step.experimental_get_tracing_count() == 1
    straight.save(tmp_path / "straight.keras")
    monkeypatch.setattr(epoch, "CHUNK_SECONDS", 1e-9)
    begun = build()
    trainer(few, begun).run(0)
    begun.save(tmp_path / "begun.keras")
    resumed = keras_build.load(tmp_path / "begun.keras")
    trainer(few, resumed).run(1)
    resumed.save(tmp_path / "resumed.keras")
    assert_same_bits(tmp_path / "straight.keras", tmp_path / "resumed.keras")


def test_every_image_is_deformed_including_the_last_smaller_batch(few: Split) -> None:
    network = build()
    network.compile(keras.optimizers.SGD(0.0), "sparse_categorical_crossentropy", metrics=["accuracy"])
    network.layers[2].rate = 0.0
    augmenter = Augmenter(settings(ALL), (28, 28))
    randomness, order = augmenter.randomness(7, 0), seeds.order(500, 7, 0)
    deformed, labels = [], []
    for step in range(11):  # 10 full batches of 48, and one of 20
        batch = order[48 * step : 48 * (step + 1)]
        deformed.append(augmenter(tf.constant(few.images[batch]), tf.constant(step), randomness).numpy())
        labels.append(few.labels[batch])
    assert len(deformed[-1]) == 20
    expected = Evaluation(network, np.concatenate(deformed), np.concatenate(labels)).run()
    plain = Evaluation(network, few.images, few.labels).run()
    assert trainer(few, network).run(0)["loss"] == pytest.approx(expected["loss"], rel=1e-4)
    assert expected["loss"] != pytest.approx(plain["loss"], rel=1e-3)
    assert trainer(few, network, jit_compile=False).run(0)["loss"] == pytest.approx(expected["loss"], rel=1e-4)


def test_augmentation_reduces_the_error_with_few_images(sample: Split) -> None:
    few = Split(sample.images[:300], sample.labels[:300])
    unseen = sample.images[1000:], sample.labels[1000:]
    errors: dict[bool, list[float]] = {True: [], False: []}
    for seed in range(2):
        for deformed, found in errors.items():
            text = f"seed: {seed}\nmodel: {{layers: [128]}}"
            network = built(text)
            mild = settings("{rotation: 10, translation: 1.5, scale: 0.1, elastic: {strength: 2}}")
            compiled = CompiledEpoch(
                network,
                few.images,
                few.labels,
                batch_size=32,
                seed=seed,
                augmenter=Augmenter(mild, (28, 28)) if deformed else None,
            )
            for number in range(60):
                compiled.run(number)
            found.append(1 - Evaluation(network, *unseen).run()["accuracy"])
    assert np.mean(errors[True]) < 0.85 * np.mean(errors[False]), errors


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{rotation: 181}", "augmentation.rotation: must be at most 180, got 181"),
        ("{rotation: -1}", "augmentation.rotation: must be at least 0, got -1"),
        ("{translation: -1}", "augmentation.translation: must be at least 0, got -1"),
        ("{scale: 0.91}", "augmentation.scale: must be at most 0.9, got 0.91"),
        ("{shear: 61}", "augmentation.shear: must be at most 60, got 61"),
        ("{noise: 2}", "augmentation.noise: must be at most 1, got 2"),
        ("{elastic: {smoothness: 0.5}}", "augmentation.elastic.smoothness: must be at least 1, got 0.5"),
        ("{elastic: {strenght: 3}}", "augmentation.elastic.strenght: unknown key (did you mean 'strength'?)"),
        ("{elastic: 3}", "augmentation.elastic: must be a mapping of settings, got 3"),
        ("{rotate: 3}", "augmentation.rotate: unknown key (did you mean 'rotation'?)"),
    ],
)
def test_invalid_strengths_are_rejected(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        settings(text)
    assert [f"{problem.key}: {problem.message}" for problem in caught.value.problems] == [f"training.{message}"]


@pytest.mark.parametrize("key", ["rotation", "translation", "scale", "shear", "noise", "elastic"])
def test_any_single_strength_turns_augmentation_on(key: str) -> None:
    assert not settings("{elastic: {smoothness: 3}}").is_on
    assert settings(f"{{{key}: {'{strength: 0.5}' if key == 'elastic' else 0.5}}}").is_on
