"""The textbook's Keras program, the baseline of the benchmark.

It is written from the book's description and has the same network, hyperparameters and calls. `python textbook.py`
trains it and prints the test accuracy. MNIST is read from ``$DNN_DATA_DIR/mnist.npz``; if that variable is not set,
Keras downloads it.
"""

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras.layers import Dense, Flatten
from keras.models import Sequential
from keras.utils import to_categorical


def load_mnist() -> tuple[tuple[Any, Any], tuple[Any, Any]]:
    """Return the training and test images (n, 28, 28), each with labels (n,); all are uint8."""
    folder = os.environ.get("DNN_DATA_DIR")
    if folder is None:
        loaded: tuple[tuple[Any, Any], tuple[Any, Any]] = keras.datasets.mnist.load_data()
        return loaded
    with np.load(Path(folder, "mnist.npz")) as arrays:
        return (arrays["x_train"], arrays["y_train"]), (arrays["x_test"], arrays["y_test"])


def main(epochs: int = 10, callbacks: Sequence[keras.callbacks.Callback] = ()) -> float:
    """Train the textbook's network, then print and return its test accuracy."""
    (x_train, y_train), (x_test, y_test) = load_mnist()
    x_train, x_test = x_train / 255.0, x_test / 255.0
    y_train, y_test = to_categorical(y_train, 10), to_categorical(y_test, 10)

    model = Sequential([Flatten(input_shape=(28, 28)), Dense(128, activation="relu"), Dense(10, activation="softmax")])
    model.compile(optimizer="adam", loss="categorical_crossentropy", metrics=["accuracy"])
    model.fit(x_train, y_train, epochs=epochs, batch_size=32, callbacks=list(callbacks))

    _, accuracy = model.evaluate(x_test, y_test)
    print(f"Test accuracy: {accuracy:.4f}")
    return float(accuracy)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="The textbook's Keras program.")
    parser.add_argument("--epochs", type=int, default=10)
    main(parser.parse_args().epochs)
