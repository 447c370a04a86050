"""Compare the initial weights of each initializer with those that Keras draws from the same seed."""

from typing import get_args

import keras
import numpy as np
import pytest

from dnn_cli.config.schema import Initializer
from dnn_cli.engines.numpy import initializers

EXACT = {"glorot_uniform", "he_uniform", "lecun_uniform", "random_uniform", "identity"}


@pytest.mark.parametrize("name", initializers.INITIALIZERS)
@pytest.mark.parametrize(("shape", "seed"), [((784, 128), 0), ((3, 1), 7), ((10, 33), 2**31 - 1), ((1, 2), 2**31 - 2)])
def test_the_weights_equal_those_that_keras_draws(name: str, shape: tuple[int, int], seed: int) -> None:
    plain = keras.initializers.get(name)
    drawn = type(plain)(**{key: seed if key == "seed" else value for key, value in plain.get_config().items()})
    theirs, ours = drawn(shape).numpy(), initializers.kernel(name, shape, seed)
    assert (ours.dtype, ours.shape) == (theirs.dtype, theirs.shape)
    if name in EXACT:
        assert ours.tobytes() == theirs.tobytes()
    np.testing.assert_allclose(ours, theirs, atol=1e-5 * np.abs(theirs).max())


def test_all_initializers_but_orthogonal_are_supported() -> None:
    assert set(get_args(Initializer)) - initializers.INITIALIZERS.keys() == {"orthogonal"}


def test_the_size_of_slabs_does_not_change_the_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = [draw(1001, 5) for draw in (initializers.uniform, initializers.normal, initializers.truncated_normal)]
    monkeypatch.setattr(initializers, "SLAB", 64)
    parts = [draw(1001, 5) for draw in (initializers.uniform, initializers.normal, initializers.truncated_normal)]
    for one, other in zip(whole, parts, strict=True):
        assert one.tobytes() == other.tobytes()


def test_truncated_normal_numbers_lie_within_two_deviations() -> None:
    numbers = initializers.truncated_normal(100_000, 1)
    assert np.abs(numbers).max() < 2
    assert numbers.std() == pytest.approx(initializers.TRUNCATED_DEVIATION, abs=0.01)
