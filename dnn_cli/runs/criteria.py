"""The figures that runs and configs can be ranked by, and when two of them are comparable.

Figures are only compared if they were measured on the same images. Two runs held out the same images if the data, the
number of images and the seed that selected them are the same. Two evaluations used the same images if the fingerprints
are the same.
"""

from collections.abc import Hashable, Sequence
from math import inf

from dnn_cli.runs.records import Interval
from dnn_cli.runs.status import RunStatus
from dnn_cli.stats import wilson


class Criterion:
    """A figure that runs can be ranked by.

    Attributes:
        title: the name of the figure.
        missing: the reason why runs don't have the figure, as a phrase to put before their paths.
        descending: whether higher is better.
        is_share: whether the figure lies in [0, 1].
        depends_on_seed: whether runs with different seeds are measured on different images.
    """

    title: str
    missing = ""
    descending = False
    is_share = False
    depends_on_seed = False

    def figure(self, status: RunStatus) -> float | None:
        """Return the figure of a run; None if it has none."""
        raise NotImplementedError

    def basis(self, status: RunStatus) -> Hashable:
        """Return a value that must be equal for two figures to be comparable."""
        return None

    def origin(self, status: RunStatus) -> tuple[str, str]:
        """Return how the figure was measured, and on what: ``("evaluated", "on mnist")``."""
        return "", ""

    def interval(self, status: RunStatus) -> Interval | None:
        """Return the 95 % interval of the figure, if it has one."""
        return None

    def key(self, status: RunStatus) -> tuple[float, float]:
        """Return a sort key: the best run first, of equals the smallest network; runs without the figure last."""
        figure, size = self.figure(status), status.parameters
        rank = inf if figure is None else -figure if self.descending else figure
        return rank, inf if size is None else size

    def gap(self, statuses: Sequence[RunStatus]) -> str:
        """Return a phrase that names the runs without this figure; empty if all have it."""
        lacking = [str(status.run) for status in statuses if self.figure(status) is None]
        return f"{self.missing} {', '.join(lacking)}" if lacking else ""

    def conflict(self, statuses: Sequence[RunStatus]) -> str:
        """Return the reason why the figures are not comparable, as a phrase; empty if they are."""
        having = [status for status in statuses if self.figure(status) is not None]
        for other in having[1:]:
            if self.basis(other) != self.basis(having[0]):
                (verb, one), (_, two) = self.origin(having[0]), self.origin(other)
                return f"{having[0].run} was {verb} {one}, {other.run} {OTHER_IMAGES if one == two else two}"
        return ""


class ValAccuracy(Criterion):
    """The validation accuracy of the best epoch."""

    title = "val accuracy"
    missing = "no images were held out by"
    descending = True
    is_share = True
    depends_on_seed = True

    def figure(self, status: RunStatus) -> float | None:
        return status.best.get("val_accuracy") if status.best else None

    def basis(self, status: RunStatus) -> Hashable:
        """Return everything that determines the held-out images: the data, their number, and how they are selected."""
        settings = status.config.to_dict()["data"].items()
        others = [item for item in settings if item[0] not in ("dataset", "fallback", "validation")]
        return status.data.fingerprint, status.held_out, status.config.seed, str(others)

    def origin(self, status: RunStatus) -> tuple[str, str]:
        images = f"{status.held_out:,} images of {status.data.name}"
        return "validated", f"on {images} held out by seed {status.config.seed}"

    def interval(self, status: RunStatus) -> Interval | None:
        accuracy, count = self.figure(status), status.held_out
        return None if accuracy is None else wilson(round(accuracy * count), count)


class TestAccuracy(Criterion):
    """The accuracy of the last evaluation on the test images."""

    title = "test accuracy"
    missing = "`dnn evaluate` was not run on"
    descending = True
    is_share = True

    def figure(self, status: RunStatus) -> float | None:
        return status.test.accuracy if status.test else None

    def basis(self, status: RunStatus) -> Hashable:
        return status.test and status.test.fingerprint

    def origin(self, status: RunStatus) -> tuple[str, str]:
        return "evaluated", f"on {status.test.dataset}" if status.test else ""

    def interval(self, status: RunStatus) -> Interval | None:
        return status.test.accuracy_interval if status.test else None


class Seconds(Criterion):
    """The time of all epochs, which depends on the machine."""

    title = "seconds"
    missing = "no epoch was trained by"

    def figure(self, status: RunStatus) -> float | None:
        return status.seconds if status.best else None

    def basis(self, status: RunStatus) -> Hashable:
        return status.environment and (status.environment.platform, status.environment.cpus)

    def origin(self, status: RunStatus) -> tuple[str, str]:
        machine = status.environment
        return "trained", f"on {machine.platform} with {machine.cpus} processors" if machine else ""


class Parameters(Criterion):
    """The number of parameters in the network."""

    title = "parameters"
    missing = "the number of parameters is not recorded by"

    def figure(self, status: RunStatus) -> float | None:
        return status.parameters


OTHER_IMAGES = "on other images of that name"
ACCURACIES = ("val_accuracy", "test_accuracy")  # the order in which they are tried for a ranking
CRITERIA = {
    "val_accuracy": ValAccuracy(),
    "test_accuracy": TestAccuracy(),
    "seconds": Seconds(),
    "parameters": Parameters(),
}
