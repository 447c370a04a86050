"""JAX: one compiled function per epoch, a `lax.scan` over its steps with optax's Adam."""

from typing import Any

import jax  # type: ignore[import-not-found, unused-ignore]
import jax.numpy as jnp  # type: ignore[import-not-found, unused-ignore]
import numpy as np
import optax  # type: ignore[import-not-found, unused-ignore]

from contenders import BATCH, BETA_1, BETA_2, CLASSES, EPSILON, HIDDEN, LEARNING_RATE, Tick, load


def train(epochs: int, tick: Tick) -> float:
    """Train as `contenders` describes."""
    data = load()
    images, labels = jnp.asarray(data.x_train), jnp.asarray(data.y_train, jnp.int32)
    optimizer = optax.adam(LEARNING_RATE, BETA_1, BETA_2, EPSILON)

    def logits_of(weights: Any, x: Any) -> Any:
        (w1, b1), (w2, b2) = weights
        return jax.nn.relu(x @ w1 + b1) @ w2 + b2

    def loss_of(weights: Any, x: Any, y: Any) -> Any:
        return optax.softmax_cross_entropy_with_integer_labels(logits_of(weights, x), y).mean()

    def epoch(state: Any, key: Any, images: Any, labels: Any) -> Any:
        def step(state: Any, batch: Any) -> Any:
            weights, moments = state
            loss, gradients = jax.value_and_grad(loss_of)(weights, images[batch], labels[batch])
            updates, moments = optimizer.update(gradients, moments)
            return (optax.apply_updates(weights, updates), moments), loss

        order = jax.random.permutation(key, len(images))
        steps = len(images) // BATCH
        return jax.lax.scan(step, state, order[: steps * BATCH].reshape(steps, BATCH))

    first, second, *keys = jax.random.split(jax.random.key(0), epochs + 2)
    weights = [_dense(first, 784, HIDDEN), _dense(second, HIDDEN, CLASSES)]
    state = (weights, optimizer.init(weights))
    compiled = jax.jit(epoch, donate_argnums=0)
    tick()
    for key in keys:
        state, losses = compiled(state, key, images, labels)
        losses.block_until_ready()
        tick()
    guesses = np.asarray(logits_of(state[0], jnp.asarray(data.x_test)).argmax(1))
    return float((guesses == data.y_test).mean())


def _dense(key: Any, inputs: int, units: int) -> Any:
    return jax.nn.initializers.glorot_uniform()(key, (inputs, units)), jnp.zeros(units)
