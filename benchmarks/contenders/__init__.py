"""The programs that the benchmark measures, one per module.

Every module has a function ``train(epochs, tick)``. It trains the textbook's network in the way that its framework
recommends, calls `tick` once when training starts and once after every epoch, and returns the test accuracy.

All programs train the same network: 784 → 128 ReLU → 10 softmax, with cross-entropy and Adam with Keras's defaults.
Every epoch uses every image once, in a new random order and in batches of 32. Some programs drop the last, incomplete
batch of an epoch; MNIST's 60,000 images leave none.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

Tick = Callable[[], None]

BATCH = 32
HIDDEN = 128
CLASSES = 10
LEARNING_RATE, BETA_1, BETA_2, EPSILON = 0.001, 0.9, 0.999, 1e-7


@dataclass(frozen=True)
class Mnist:
    """MNIST as flat float32 images (n, 784) in [0, 1] and labels (n,) of type int64."""

    x_train: np.ndarray[Any, np.dtype[np.float32]]
    y_train: np.ndarray[Any, np.dtype[np.int64]]
    x_test: np.ndarray[Any, np.dtype[np.float32]]
    y_test: np.ndarray[Any, np.dtype[np.int64]]


def load() -> Mnist:
    """Load ``$DNN_DATA_DIR/mnist.npz``, which the benchmark provides."""
    with np.load(Path(os.environ["DNN_DATA_DIR"], "mnist.npz")) as arrays:
        images = [arrays[name].reshape(-1, 784).astype(np.float32) / 255 for name in ("x_train", "x_test")]
        labels = [arrays[name].astype(np.int64) for name in ("y_train", "y_test")]
    return Mnist(images[0], labels[0], images[1], labels[1])
