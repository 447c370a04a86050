"""The network in plain NumPy: derivatives written by hand, and every operation in place."""

import numpy as np

from contenders import BATCH, BETA_1, BETA_2, CLASSES, EPSILON, HIDDEN, LEARNING_RATE, Tick, load

SHAPES = (784, HIDDEN), (HIDDEN,), (HIDDEN, CLASSES), (CLASSES,)


def _views(flat: np.ndarray) -> list[np.ndarray]:
    ends = np.cumsum([np.prod(shape) for shape in SHAPES])
    return [part.reshape(shape) for part, shape in zip(np.split(flat, ends[:-1]), SHAPES, strict=True)]


def train(epochs: int, tick: Tick) -> float:
    """Train as `contenders` describes."""
    data = load()
    random = np.random.default_rng(0)
    one_hot = np.eye(CLASSES, dtype=np.float32)[data.y_train]
    values, gradient, mean, square, scratch = np.zeros((5, sum(map(np.prod, SHAPES))), np.float32)
    w1, b1, w2, b2 = _views(values)
    dw1, db1, dw2, db2 = _views(gradient)
    for w in (w1, w2):
        limit = np.sqrt(6 / sum(w.shape))  # Glorot's uniform distribution, Keras's default
        w[:] = random.uniform(-limit, limit, w.shape)
    x, hidden, back = (np.empty((BATCH, width), np.float32) for width in (784, HIDDEN, HIDDEN))
    output = np.empty((BATCH, CLASSES), np.float32)
    updates = 0
    tick()
    for _ in range(epochs):
        order = random.permutation(len(data.x_train))
        for start in range(0, len(order) - BATCH + 1, BATCH):
            batch = order[start : start + BATCH]
            np.take(data.x_train, batch, axis=0, out=x)

            np.matmul(x, w1, out=hidden)
            hidden += b1
            np.maximum(hidden, 0, out=hidden)
            np.matmul(hidden, w2, out=output)
            output += b2
            output -= output.max(axis=1, keepdims=True)
            np.exp(output, out=output)
            output /= output.sum(axis=1, keepdims=True)

            output -= one_hot[batch]
            output /= BATCH
            np.matmul(hidden.T, output, out=dw2)
            output.sum(axis=0, out=db2)
            np.matmul(output, w2.T, out=back)
            back *= hidden > 0
            np.matmul(x.T, back, out=dw1)
            back.sum(axis=0, out=db1)

            updates += 1
            rate = LEARNING_RATE * np.sqrt(1 - BETA_2**updates) / (1 - BETA_1**updates)
            np.multiply(gradient, gradient, out=scratch)
            scratch *= 1 - BETA_2
            square *= BETA_2
            square += scratch
            gradient *= 1 - BETA_1
            mean *= BETA_1
            mean += gradient
            np.sqrt(square, out=scratch)
            scratch += EPSILON
            np.divide(mean, scratch, out=scratch)
            scratch *= rate
            values -= scratch
        tick()
    guesses = (np.maximum(data.x_test @ w1 + b1, 0) @ w2 + b2).argmax(axis=1)
    return float((guesses == data.y_test).mean())
