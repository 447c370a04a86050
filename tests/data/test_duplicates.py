"""Test which images count as the same, exactly or nearly."""

import numpy as np
import pytest

from dnn_cli.data import duplicates
from dnn_cli.data.datasets import Split


def test_exact_duplicates_are_counted_within_and_between_the_parts(few: Split) -> None:
    images, labels = few.images[:10], few.labels[:10]
    found = duplicates.find(
        {
            "train": (images[[0, 1, 2, 1, 1]], labels[[0, 1, 2, 1, 1]]),
            "test": (images[[2, 3, 0]], np.array([labels[2] + 1, labels[3], labels[0]])),
        }
    )
    assert found.within == {"train": 2, "test": 0}
    assert found.between == {("train", "test"): 2}
    assert found.other_labels == 1
    assert found.near == []


@pytest.mark.parametrize("side", [28, 12, 40])
def test_nearly_equal_images_are_found_and_different_ones_are_not(side: int) -> None:
    random = np.random.default_rng(0)
    images = np.kron(random.integers(0, 200, (6, 4, 4), np.uint8), np.ones((side // 4, side // 4), np.uint8))
    images = np.concatenate([images, images[2:3] + random.integers(0, 3, (1, *images.shape[1:]), np.uint8)])
    found = duplicates.find({"train": (images[:6], np.arange(6)), "test": (images[6:], np.arange(1))})
    assert found.near == [(("train", 2), ("test", 0))]


def test_the_digits_of_mnist_are_different(sample: Split) -> None:
    found = duplicates.find({"train": (sample.images, sample.labels)})
    assert found.within == {"train": 0}
    assert len(found.near) < 20
