"""Test the datasets that have a name: the shipped sample, and MNIST itself where the machine has it."""

from pathlib import Path

import numpy as np
import pytest

from dnn_cli.data import datasets, known_sets
from dnn_cli.data.known_sets import KNOWN_DATASETS
from dnn_cli.data.locations import ARRAY_NAMES


@pytest.mark.parametrize("name", KNOWN_DATASETS)
def test_every_known_dataset_has_digests_and_a_source(name: str) -> None:
    known = KNOWN_DATASETS[name]
    if known.published:
        assert known.published.hosts
        assert all(len(bytes.fromhex(digest)) == 16 for digest in known.published.files.values())
        return
    assert tuple(known.digests) == ARRAY_NAMES
    assert all(len(bytes.fromhex(digest)) == 16 for digest in known.digests.values())
    assert known.is_shipped != bool(known.idx_hosts)


def test_the_sample_ships_with_the_package_complete_and_verified() -> None:
    dataset = datasets.find("mnist-sample", split="both")
    train, test = dataset.load("train"), dataset.load("test")
    assert (train.images.shape, train.images.dtype.name) == ((4000, 28, 28), "uint8")
    assert (test.images.shape, test.labels.dtype.name) == ((1000, 28, 28), "int32")
    assert np.bincount(train.labels).tolist() == [400] * 10
    assert np.bincount(test.labels).tolist() == [100] * 10
    assert (dataset.name, dataset.requested, dataset.note) == ("mnist-sample", "mnist-sample", "")
    assert len({image.tobytes() for image in (*train.images, *test.images)}) == 5000


def test_the_sample_is_part_of_mnists_training_set(mnist_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DNN_DATA_DIR", str(mnist_folder))
    mnist, sample = datasets.find("mnist", split="both"), datasets.find("mnist-sample", split="both")
    train = mnist.load("train")
    label_of = {image.tobytes(): label for image, label in zip(train.images, train.labels, strict=True)}
    tests = {image.tobytes() for image in mnist.load("test").images}
    for split in (sample.load("train"), sample.load("test")):
        for image, label in zip(split.images, split.labels, strict=True):
            assert label_of[image.tobytes()] == label
            assert image.tobytes() not in tests


def test_mnist_is_found_and_each_array_verified(mnist_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DNN_DATA_DIR", str(mnist_folder))
    dataset = datasets.find("mnist")
    assert dataset.load("train").images.shape == (60000, 28, 28)
    assert dataset.load("train").classes == 10
    assert [(part.name, part.state, part.shape, part.dtype, part.digest) for part in datasets.verify(dataset)] == [
        ("x_train", "ok", (60000, 28, 28), "uint8", "md5:6bbc9ace898e44ae57da46a324031adb"),
        ("y_train", "ok", (60000,), "int32", "md5:a25bea736e30d166cdddb491f175f624"),
        ("x_test", "ok", (10000, 28, 28), "uint8", "md5:2646ac647ad5339dbf082846283269ea"),
        ("y_test", "ok", (10000,), "int32", "md5:27ae3e4e09519cfbb04c329615203637"),
    ]


def test_labels_of_digits_and_of_clothes_have_different_meanings() -> None:
    assert known_sets.may_share_labels("mnist", "mnist-sample")
    assert not known_sets.may_share_labels("mnist", "fashion_mnist")
    assert known_sets.may_share_labels("/mine.npz", "fashion_mnist")
