"""Attribution of a network's logits to pixels and hidden units: gradients, integrated gradients and occlusion.

All functions are about a single image, and about the network as it predicts: batch normalization is then a fixed scale
and shift, and dropout does nothing. The layers' own `backward` is for training, so its gradients would differ. Logits
and their differences are attributed, not probabilities, because a probability near 1 hardly changes.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dnn_cli.engines.numpy.network import Activation, Dense, Layer, Network
from dnn_cli.engines.numpy.regularization import BatchNormalization, Dropout
from dnn_cli.typing import Array

# Smallest and largest number of steps of integrated gradients; it is doubled until the error is small enough.
MIN_STEPS, MAX_STEPS = 64, 8192
MAX_RESIDUAL = 0.005  # A relative error of integrated gradients up to this is small enough.
PATCHES_PER_SIDE = 7  # This many occlusion patches, side by side, cover the shorter side of the image.


@dataclass(frozen=True)
class Attribution:
    """The contributions of the pixels to a logit, or to a weighted sum of logits; channels are added up.

    Attributes:
        value: the sum of logits for the image.
        baseline: the sum of logits for a black image.
        steps: the number of gradients that are averaged for the integrated gradients.
        integrated_gradients: (height, width) with a black image as the baseline (Sundararajan et al. 2017). They add up
            to `value` - `baseline`, up to the relative error `residual`.
        saliency: (height, width) the gradient with its sign (Simonyan et al. 2014).
        occlusion: (height, width) the drop of the sum of logits if a black patch covers the pixel (Zeiler & Fergus
            2014). The drop by a patch is divided evenly among its pixels that were not black before and that influence
            the logits; a pixel gets the mean over all patches that cover it.
        agreement: for the maps ``integrated_gradients`` and ``saliency``, the rank correlation between the drop by each
            patch and the sum of the map under it, over all patches that change the image; None if all drops or all
            sums are equal.
    """

    value: float
    baseline: float
    steps: int
    integrated_gradients: Array
    saliency: Array
    occlusion: Array
    agreement: dict[str, float | None]

    @property
    def residual(self) -> float:
        """The error of the integrated gradients' sum, relative to `value` - `baseline`; 0 if both are zero."""
        change = self.value - self.baseline
        error = abs(float(self.integrated_gradients.sum()) - change)
        return error / abs(change) if change else float(error > 0)


@dataclass(frozen=True)
class Unit:
    """A unit of the last hidden layer, and its contribution to the difference between two logits.

    Attributes:
        index: its number in the layer, from 0.
        activation: its output.
        weight: its weight to the first class, minus its weight to the second.
        picture: (height, width) the gradient of its weighted input, at this image, channels added up. In the first
            hidden layer these are the unit's weights.
    """

    index: int
    activation: float
    weight: float
    picture: Array

    @property
    def contribution(self) -> float:
        """The activation times the weight.

        The contributions of all units and the difference of the biases add up to the difference of the logits.
        """
        return self.activation * self.weight


def attribute(network: Network, image: Array, targets: Array, batch: int) -> list[Attribution]:
    """Attribute sums of logits to the pixels of an image.

    Args:
        network: a network whose last layer returns logits.
        image: (height, width[, channels]) floats in [0, 1].
        targets: (k, classes) the weights of the logits in each of k sums.
        batch: the number of images that the network takes at once.

    Returns:
        One attribution for each of the sums.
    """
    row = image.reshape(1, -1)
    patches = _patches(image.shape)
    ends = logits(network, np.concatenate([row, np.zeros_like(row)])).astype(np.float64) @ targets.T
    saliency = np.stack([map_[0] for map_ in gradients(network, row, targets)])
    integrated, steps = _integrate(network, row, targets, ends[0] - ends[1], batch)
    drops = _drops(network, row, targets, patches, batch)
    changed = patches & (row != 0) & influences_logits(network)
    shares = drops / np.maximum(changed.sum(axis=1), 1)
    occlusion = shares @ changed / patches.sum(axis=0)
    is_effective = changed.any(axis=1)

    def agreement(map_: Array, drop: Array) -> float | None:
        return rank_correlation((patches @ map_)[is_effective], drop[is_effective])

    return [
        Attribution(
            value=float(ends[0, k]),
            baseline=float(ends[1, k]),
            steps=steps,
            integrated_gradients=_as_map(integrated[k], image.shape),
            saliency=_as_map(saliency[k], image.shape),
            occlusion=_as_map(occlusion[k], image.shape),
            agreement={
                "integrated_gradients": agreement(integrated[k], drops[k]),
                "saliency": agreement(saliency[k], drops[k]),
            },
        )
        for k in range(len(targets))
    ]


def integrated_gradients(network: Network, image: Array, target: Array, batch: int) -> Array:
    """Return the integrated gradients, (height, width), that `attribute` returns for one sum of logits.

    Args:
        network: a network whose last layer returns logits.
        image: (height, width[, channels]) floats in [0, 1].
        target: (classes,) the weights of the logits in the sum.
        batch: the number of images that the network takes at once.
    """
    row = image.reshape(1, -1)
    value, baseline = logits(network, np.concatenate([row, np.zeros_like(row)])).astype(np.float64) @ target[:, None]
    found, _ = _integrate(network, row, target[None], value - baseline, batch)
    return _as_map(found[0], image.shape)


def units(network: Network, image: Array, chosen: int, other: int, count: int) -> list[Unit]:
    """Return the units of the last hidden layer that contribute most to the difference between two logits.

    Args:
        network: a network whose last layer returns logits.
        image: (height, width[, channels]) floats in [0, 1].
        chosen: the first class.
        other: the second class.
        count: the largest number of units to return.

    Returns:
        The units with the largest absolute contributions, in descending order; none without a hidden layer.
    """
    *hidden, _ = network.layers
    below = _steps(hidden)
    while below and not isinstance(below.pop(), Activation):
        pass
    if not below:
        return []
    logits(network, image.reshape(1, -1))
    head = network.layers[-1]
    assert isinstance(head, Dense)
    activations, kernel = head.x[0].copy(), head.weights.value
    weights = kernel[:, chosen] - kernel[:, other]
    first = np.argsort(-np.abs(activations * weights), kind="stable")[:count]
    pictures = _back(below, np.eye(len(weights), dtype=kernel.dtype)[first])
    return [
        Unit(int(unit), float(activations[unit]), float(weights[unit]), _as_map(picture, image.shape))
        for unit, picture in zip(first, pictures, strict=True)
    ]


def logits(network: Network, rows: Array) -> Array:
    """Return the logits (n, classes) of a prediction for rows (n, pixels); the next call overwrites them."""
    for layer in network.layers:
        rows = layer.forward(rows, training=False)
    return rows


def gradients(network: Network, rows: Array, targets: Array) -> list[Array]:
    """Return the gradients of sums of logits with respect to `rows`, (n, pixels) for each of `targets` (k, classes)."""
    logits(network, rows)
    steps = _steps(network.layers)
    return [_back(steps, target[None].astype(rows.dtype)) for target in targets]


def influences_logits(network: Network) -> Array:
    """Return (pixels,) bool: True where a path of non-zero weights leads from the pixel to a logit."""
    found = np.ones(1, bool)
    for step in reversed(_steps(network.layers)):
        match step:
            case Dense():
                found = ((step.weights.value != 0) & found).any(axis=1)
            case BatchNormalization():
                found = found & (step.gamma.value != 0)
    return found


def rank_correlation(one: Array, other: Array) -> float | None:
    """Return Spearman's rank correlation of two arrays (n,), with mean ranks for ties; None if either is constant."""
    ranks: list[Array] = []
    for numbers in (one, other):
        _, places, counts = np.unique(numbers, return_inverse=True, return_counts=True)
        if len(counts) < 2:
            return None
        ranks.append((np.cumsum(counts) - (counts - 1) / 2)[places])
    first, second = (each - each.mean() for each in ranks)
    return float(first @ second / np.sqrt((first @ first) * (second @ second)))


def _steps(layers: Sequence[Layer]) -> list[Layer]:
    """Return the layers without dropout, and with the activation of each Dense layer as a separate step."""
    split = ((layer, layer.activation) if isinstance(layer, Dense) else (layer,) for layer in layers)
    return [step for parts in split for step in parts if not isinstance(step, Dropout)]


def _back(steps: Sequence[Layer], error: Array) -> Array:
    """Return the gradient with respect to the input of `steps`, at their last forward pass.

    Args:
        steps: steps as `_steps` returns them; a Dense layer is only the product with its weights.
        error: the gradient with respect to the output: (n, units) for the n rows of the forward pass, (1, units) for
            all rows alike, or (m, units) for m gradients at a single row.
    """
    for step in reversed(steps):
        match step:
            case Activation():
                slope = np.empty_like(step.z)
                step.function.slope(step.z, step.a, slope)
                error = error * slope
            case Dense():
                error = error @ step.weights.value.T
            case BatchNormalization():
                error = error * (step.gamma.value / np.sqrt(step.moving_variance + step.epsilon))
    return error


def _integrate(network: Network, row: Array, targets: Array, changes: Array, batch: int) -> tuple[Array, int]:
    """Return the integrated gradients (k, pixels) from black to `row`, and the number of steps.

    The path is divided into equal steps, and the gradient is taken in the middle of each. The number of steps is
    doubled until the integrated gradients add up to the k `changes` of the sums of logits, with relative errors of at
    most `MAX_RESIDUAL`.
    """
    steps = MIN_STEPS
    while True:
        total = np.zeros((len(targets), row.size))
        midpoints = ((np.arange(steps) + 0.5) / steps).astype(row.dtype)[:, None]
        for start in range(0, steps, batch):
            parts = gradients(network, midpoints[start : start + batch] * row, targets)
            total += [part.sum(axis=0, dtype=np.float64) for part in parts]
        found = total / steps * row
        if (np.abs(found.sum(axis=1) - changes) <= MAX_RESIDUAL * np.abs(changes)).all() or steps >= MAX_STEPS:
            return found, steps
        steps *= 2


def _patches(shape: tuple[int, ...]) -> Array:
    """Return (patches, pixels) bool: True in each of the square patches that slide over an image of `shape`."""
    height, width = shape[:2]
    side = max(1, min(height, width) // PATCHES_PER_SIDE)
    stride = max(1, side // 4)
    tops, lefts = (sorted({*range(0, length - side, stride), length - side}) for length in (height, width))
    patches = np.zeros((len(tops), len(lefts), *shape), bool)
    for i, top in enumerate(tops):
        for j, left in enumerate(lefts):
            patches[i, j, top : top + side, left : left + side] = True
    return patches.reshape(len(tops) * len(lefts), -1)


def _drops(network: Network, row: Array, targets: Array, patches: Array, batch: int) -> Array:
    """Return (k, patches): the drop of each sum of logits if a patch of the image is black."""
    original = logits(network, row).astype(np.float64)
    starts = range(0, len(patches), batch)
    covered = [logits(network, row * ~patches[start : start + batch]).astype(np.float64) for start in starts]
    drops: Array = targets @ (original - np.concatenate(covered)).T
    return drops


def _as_map(row: Array, shape: tuple[int, ...]) -> Array:
    """Return a row of pixels as (height, width), with channels added up."""
    picture: Array = row.astype(np.float64).reshape(*shape[:2], -1).sum(axis=-1)
    return picture
