"""scikit-learn's `MLPClassifier`; one call of `partial_fit` with all images is one epoch."""

import numpy as np
from sklearn.neural_network import MLPClassifier  # type: ignore[import-not-found, import-untyped, unused-ignore]

from contenders import BATCH, BETA_1, BETA_2, CLASSES, EPSILON, HIDDEN, LEARNING_RATE, Tick, load


def train(epochs: int, tick: Tick) -> float:
    """Train as `contenders` describes."""
    data = load()
    model = MLPClassifier(
        hidden_layer_sizes=(HIDDEN,),
        activation="relu",
        solver="adam",
        learning_rate_init=LEARNING_RATE,
        beta_1=BETA_1,
        beta_2=BETA_2,
        epsilon=EPSILON,
        alpha=0.0,  # no penalty on the weights, as in the textbook
        batch_size=BATCH,
        early_stopping=False,
    )
    tick()
    for _ in range(epochs):
        model.partial_fit(data.x_train, data.y_train, classes=np.arange(CLASSES))
        tick()
    return float(model.score(data.x_test, data.y_test))
