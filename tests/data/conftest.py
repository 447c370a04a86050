"""A small dataset that takes the place of MNIST."""

import hashlib
from dataclasses import replace

import numpy as np
import pytest

from dnn_cli.data import datasets
from dnn_cli.data.known_sets import KNOWN_DATASETS
from dnn_cli.typing import Array
from tests.files import idx


@pytest.fixture
def small_mnist(monkeypatch: pytest.MonkeyPatch) -> dict[str, Array]:
    """Return the four arrays of 80 digits, and make dnn expect their digests for MNIST."""
    sample = datasets.find("mnist-sample", split="both")
    train, test = sample.load("train"), sample.load("test")
    arrays = {
        "x_train": train.images[:60],
        "y_train": train.labels[:60].astype(np.uint8),
        "x_test": test.images[:20],
        "y_test": test.labels[:20].astype(np.uint8),
    }
    digests = {name: hashlib.md5(idx(array)).hexdigest() for name, array in arrays.items()}
    monkeypatch.setitem(KNOWN_DATASETS, "mnist", replace(KNOWN_DATASETS["mnist"], digests=digests))
    return arrays
