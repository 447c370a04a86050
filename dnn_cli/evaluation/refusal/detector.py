"""A small network that tells digits from everything else, trained on a run's digits and on made-up pictures.

It is an ordinary network with a class for each digit and a last one for what is none. Its last bias is shifted so that
this class is the answer to a given share of digits that it was not trained on.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from threadpoolctl import threadpool_limits

from dnn_cli import seeds
from dnn_cli.config.schema import Config
from dnn_cli.engines import network_spec
from dnn_cli.engines.numpy import build, keras_format
from dnn_cli.engines.numpy.epoch import Batches, NumpyEpoch
from dnn_cli.engines.numpy.network import Network
from dnn_cli.engines.numpy.optimizers import SGD
from dnn_cli.errors import RunError
from dnn_cli.evaluation.refusal import edges, made_up
from dnn_cli.seeds import Purpose
from dnn_cli.typing import Array

REFUSED_DIGITS = 0.018  # share of the digits unseen in its training that are refused: below 2 % of test digits
UNSEEN = 0.2  # share of the digits that decide what is refused
LEARNED_DIGITS = 20_000  # at most
PICTURES_PER_DIGIT = 2  # made-up pictures for each digit learned
DRAWN_DIGITS = 0.3  # digits drawn like the made-up letters, for each digit learned
EPOCHS = 6
CONFIG: dict[str, Any] = {
    "model": {"input_dropout": 0.1, "layers": [{"units": 256, "dropout": 0.3}, 64]},
    "optimizer": {"name": "adam", "learning_rate": 0.001},
    "training": {"batch_size": 128},
}
SMALLEST = 1e-30  # a smaller probability counts as this one: it has a logarithm


@dataclass(frozen=True)
class Detector:
    """A trained network for images (n, 28, 28) uint8.

    Attributes:
        network: takes the edges of images, see `edges.describe`; its last class is for what is no digit.
        classes: number of its classes.
        batch: largest number of images in a batch.
    """

    network: Network
    classes: int
    batch: int

    @classmethod
    def fit(cls, digits: Array, labels: Array, seed: int) -> Self:
        """Train a detector; the same arguments give the same network.

        Args:
            digits: (n, 28, 28) uint8 of two classes at least.
            labels: (n,) the digits that they show.
            seed: the config's seed.
        """
        random = seeds.generator(seed, Purpose.REFUSAL)
        unseen, learned = np.split(random.permutation(len(digits)), [round(UNSEEN * len(digits))])
        learned = learned[:LEARNED_DIGITS]
        others = made_up.pictures(PICTURES_PER_DIGIT * len(learned), digits[learned], labels[learned], random)
        drawn, shown = made_up.digits(round(DRAWN_DIGITS * len(learned)), random)
        drawn, shown = drawn[known := np.isin(shown, labels)], shown[known]
        images = np.concatenate([edges.describe(each) for each in (digits[learned], drawn, others)])
        none = np.full(len(others), labels.max() + 1)
        classes = np.concatenate([labels[learned], shown, none]).astype(np.int32)
        with threadpool_limits(1, user_api="blas"):  # the last bits would depend on the number of threads
            detector = cls._train(images, classes, seed)
            detector._refuse(digits[unseen])
        return detector

    @classmethod
    def _train(cls, images: Array, labels: Array, seed: int) -> Self:
        config, classes = _config(seed), int(labels.max()) + 1
        batch, highest = config.training.batch_size, float(CONFIG["optimizer"]["learning_rate"])
        network = build.build(network_spec.network_spec(config, edges.SHAPE, classes), rows=batch)
        optimizer = build.optimizer(config.optimizer)
        optimizer.build(network.parameters)
        epochs = NumpyEpoch(network, optimizer, Batches(images, labels, classes, batch), seed=seed)
        for epoch in range(EPOCHS):
            optimizer.learning_rate = highest * 0.5 * (1 + np.cos(np.pi * epoch / EPOCHS))
            epochs.run(epoch)
        return cls(network, classes, batch)

    def _refuse(self, digits: Array) -> None:
        """Shift the last bias so that `REFUSED_DIGITS` of these digits are refused."""
        bias = self.network.layers[-1].parameters[-1].value
        bias[-1] -= np.quantile(self.scores(digits), 1 - REFUSED_DIGITS)

    @classmethod
    def read(cls, file: Path) -> Self:
        """Read a detector; raises `RunError` if the file is damaged or holds another network."""
        loaded = keras_format.load(file)
        if loaded.image_shape != edges.SHAPE:
            raise RunError(f"{file} does not hold a network that tells digits from other pictures")
        return cls(loaded.network, loaded.classes, loaded.batch)

    def write(self, file: Path) -> None:
        """Write a new detector as a `.keras` file without the state of its optimizer; raises `OSError` on failure."""
        config, nothing = _config(0), SGD()
        nothing.build(self.network.parameters)
        spec = network_spec.network_spec(config, edges.SHAPE, self.classes)
        writer = keras_format.NumpyCheckpointWriter(config, spec, self.network, nothing)
        writer.write(writer.snapshot(), file)

    def scores(self, images: Array) -> Array:
        """Return how surely each image (n, 28, 28) uint8 shows no digit, (n,): the logarithm of the odds.

        An image with more than 0 is refused.
        """
        shares = build.predict(self.network, edges.describe(images), self.batch)
        logits = np.log(np.maximum(shares.astype(np.float64), SMALLEST))
        scores: Array = logits[:, -1] - np.logaddexp.reduce(logits[:, :-1], axis=1)
        return scores


def _config(seed: int) -> Config:
    return Config.model_validate({**CONFIG, "seed": seed})
