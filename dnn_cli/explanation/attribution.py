"""What a network's logits owe to each pixel and to each hidden unit: gradients, integrated gradients, occlusion.

All of it is about one image, and about the network as it predicts: batch normalization is then a fixed scale and shift,
and dropout does nothing, so that the layers' own `backward`, which is for training, would say something else. What is
explained are logits and their differences, which come before the softmax: a probability near one hardly moves any more.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dnn_cli.engines.numpy.network import Activation, Dense, Layer, Network
from dnn_cli.engines.numpy.regularization import BatchNormalization, Dropout
from dnn_cli.typing import Array

FIRST_STEPS, MOST_STEPS = 64, 8192  # of the path from black to the image
COMPLETE = 0.005  # the share of a difference that its integrated gradients may miss before the steps are doubled
PATCHES = 7  # side by side, they would cover the image


@dataclass(frozen=True)
class Attribution:
    """What one logit, or a weighted sum of logits, owes to each pixel; channels are added up.

    Attributes:
        value: of the sum, for the image.
        baseline: its value for a black image.
        steps: how many gradients the integrated ones are the mean of.
        integrated_gradients: (height, width) Sundararajan et al. 2017, with a black image as the baseline; they add up
            to `value` - `baseline`, but for what `residual` says.
        saliency: (height, width) the gradient (Simonyan et al. 2014), with its sign.
        occlusion: (height, width) how much is lost where a black patch lies on the image (Zeiler & Fergus 2014). Each
            patch's loss is shared evenly by the pixels that it blackened and from which there is a path to the logits;
            a pixel has the mean of what the patches over it give it.
        agreement: of the maps with the patches, by the maps' names: the rank correlation between what is lost by a
            patch and the sum of the map under it, over all patches that blackened something; None where all are alike.
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
        """The share of `value` - `baseline` by which the integrated gradients miss it; 0 where both are nothing."""
        change = self.value - self.baseline
        missed = abs(float(self.integrated_gradients.sum()) - change)
        return missed / abs(change) if change else float(missed > 0)


@dataclass(frozen=True)
class Unit:
    """What a unit of the last hidden layer says for one class and against another.

    Attributes:
        index: from 0.
        activation: what it gives to the output layer.
        weight: its weight to the one class less that to the other.
        picture: (height, width) how its sum of inputs changes with each pixel, at this image, channels added up: in the
            first hidden layer its weights, and in a higher one what the layers below make of theirs.
    """

    index: int
    activation: float
    weight: float
    picture: Array

    @property
    def contribution(self) -> float:
        """activation * weight; with the difference of the biases, all units' add up to the difference of the logits."""
        return self.activation * self.weight


def attribute(network: Network, image: Array, targets: Array, batch: int) -> list[Attribution]:
    """What each of several sums of logits owes to the image's pixels.

    Args:
        network: one that ends with its logits.
        image: (height, width[, channels]) floats in [0, 1].
        targets: (k, classes) the weights of the logits in each sum.
        batch: how many images the network may be given at once.
    """
    row = image.reshape(1, -1)
    patches = _patches(image.shape)
    ends = logits(network, np.concatenate([row, np.zeros_like(row)])).astype(np.float64) @ targets.T
    saliency = np.stack([map_[0] for map_ in gradients(network, row, targets)])
    integrated, steps = _integrate(network, row, targets, ends[0] - ends[1], batch)
    losses = _losses(network, row, targets, patches, batch)
    felt = patches & (row != 0) & reached(network)
    shares = losses / np.maximum(felt.sum(axis=1), 1)
    occlusion = shares @ felt / patches.sum(axis=0)
    telling = felt.any(axis=1)

    def agreement(map_: Array, lost: Array) -> float | None:
        return rank_correlation((patches @ map_)[telling], lost[telling])

    return [
        Attribution(
            value=float(ends[0, k]),
            baseline=float(ends[1, k]),
            steps=steps,
            integrated_gradients=_as_map(integrated[k], image.shape),
            saliency=_as_map(saliency[k], image.shape),
            occlusion=_as_map(occlusion[k], image.shape),
            agreement={
                "integrated_gradients": agreement(integrated[k], losses[k]),
                "saliency": agreement(saliency[k], losses[k]),
            },
        )
        for k in range(len(targets))
    ]


def units(network: Network, image: Array, chosen: int, other: int, count: int) -> list[Unit]:
    """The `count` units of the last hidden layer that say most for one class against another, or the reverse.

    Returns:
        Those of the largest contributions, whichever their sign; none where the network has no hidden layer.
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
    """The logits (n, classes) for rows (n, pixels) as the network predicts, overwritten by its next call."""
    for layer in network.layers:
        rows = layer.forward(rows, training=False)
    return rows


def gradients(network: Network, rows: Array, targets: Array) -> list[Array]:
    """For each sum of logits in `targets` (k, classes), how it changes with each number of `rows`: (n, pixels)."""
    logits(network, rows)
    steps = _steps(network.layers)
    return [_back(steps, target[None].astype(rows.dtype)) for target in targets]


def reached(network: Network) -> Array:
    """(pixels,) bool: from which pixels a path of weights that are not zero leads to a logit."""
    ends = np.ones(1, bool)
    for step in reversed(_steps(network.layers)):
        match step:
            case Dense():
                ends = ((step.weights.value != 0) & ends).any(axis=1)
            case BatchNormalization():
                ends = ends & (step.gamma.value != 0)
    return ends


def rank_correlation(one: Array, other: Array) -> float | None:
    """Spearman's, of two arrays (n,), equal numbers sharing their mean rank; None where either is constant."""
    ranks: list[Array] = []
    for numbers in (one, other):
        _, places, counts = np.unique(numbers, return_inverse=True, return_counts=True)
        if len(counts) < 2:
            return None
        ranks.append((np.cumsum(counts) - (counts - 1) / 2)[places])
    first, second = (each - each.mean() for each in ranks)
    return float(first @ second / np.sqrt((first @ first) * (second @ second)))


def _steps(layers: Sequence[Layer]) -> list[Layer]:
    """The layers with each Dense parted from its activation, and without dropout."""
    parted = ((layer, layer.activation) if isinstance(layer, Dense) else (layer,) for layer in layers)
    return [step for parts in parted for step in parts if not isinstance(step, Dropout)]


def _back(steps: Sequence[Layer], error: Array) -> Array:
    """From how E changes with the output of `steps` at their last forward to how it changes with their input.

    Args:
        steps: as `_steps` gives them; of a Dense, only the product with its weights is meant.
        error: (n, units) for the n rows of that forward, or (1, units) for all of them, or (m, units) where n is 1.
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
    """The integrated gradients (k, pixels) from black to `row`, and their steps: doubled until they are complete.

    The path is parted into equal steps, in the middle of each of which the gradient is taken.
    """
    steps = FIRST_STEPS
    while True:
        total = np.zeros((len(targets), row.size))
        middles = ((np.arange(steps) + 0.5) / steps).astype(row.dtype)[:, None]
        for start in range(0, steps, batch):
            parts = gradients(network, middles[start : start + batch] * row, targets)
            total += [part.sum(axis=0, dtype=np.float64) for part in parts]
        found = total / steps * row
        if (np.abs(found.sum(axis=1) - changes) <= COMPLETE * np.abs(changes)).all() or steps >= MOST_STEPS:
            return found, steps
        steps *= 2


def _patches(shape: tuple[int, ...]) -> Array:
    """(patches, pixels) bool: where each of the square patches lies that slide over an image of `shape`."""
    height, width = shape[:2]
    side = max(1, min(height, width) // PATCHES)
    stride = max(1, side // 4)
    tops, lefts = (sorted({*range(0, length - side, stride), length - side}) for length in (height, width))
    patches = np.zeros((len(tops), len(lefts), *shape), bool)
    for i, top in enumerate(tops):
        for j, left in enumerate(lefts):
            patches[i, j, top : top + side, left : left + side] = True
    return patches.reshape(len(tops) * len(lefts), -1)


def _losses(network: Network, row: Array, targets: Array, patches: Array, batch: int) -> Array:
    """(k, patches): how much of each sum of logits is lost where a patch of the image is black."""
    whole = logits(network, row).astype(np.float64)
    starts = range(0, len(patches), batch)
    left = [logits(network, row * ~patches[start : start + batch]).astype(np.float64) for start in starts]
    losses: Array = targets @ (whole - np.concatenate(left)).T
    return losses


def _as_map(row: Array, shape: tuple[int, ...]) -> Array:
    """A row of pixels as (height, width), their channels added up."""
    picture: Array = row.astype(np.float64).reshape(*shape[:2], -1).sum(axis=-1)
    return picture
