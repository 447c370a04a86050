"""Plan a training: its images, its network and the weights it starts from. Nothing is written here."""

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from dnn_cli.config import difference
from dnn_cli.config.schema import Config
from dnn_cli.data import datasets, selection
from dnn_cli.data.datasets import Dataset, Split
from dnn_cli.engines.network_spec import Layer, NetworkSpec, network_spec
from dnn_cli.errors import DataError, UsageError
from dnn_cli.runs import directory
from dnn_cli.runs.directory import RunDirectory
from dnn_cli.training import transfer
from dnn_cli.training.transfer import TransferPlan, TransferSource


@dataclass(frozen=True)
class TrainingData:
    """What there is to train on, and to judge by if anything is held out."""

    dataset: Dataset
    training: Split
    held_out: Split | None
    classes: int
    selected: tuple[int, ...] | None
    fingerprint: str

    @property
    def image_shape(self) -> tuple[int, ...]:
        """Height, width and, if there are any, channels."""
        return tuple(self.training.images.shape[1:])

    def describe(self) -> dict[str, Any]:
        """What `environment.json` says of it."""
        return {
            "name": self.dataset.name,
            "requested": self.dataset.requested,
            "note": self.dataset.note,
            "path": str(self.dataset.path),
            "fingerprint": self.fingerprint,
            "training_images": len(self.training.labels),
            "validation_images": len(self.held_out.labels) if self.held_out else 0,
            "classes": self.classes,
            "selected_classes": self.selected,
            "image_shape": list(self.image_shape),
        }


@dataclass(frozen=True)
class TrainingPlan:
    """Everything that is decided before a training writes its first file.

    Attributes:
        config: the settings.
        spec: the network.
        data: the images to train on, and those held out.
        transfer: the weights that a new network starts from; None for weights drawn from the seed.
    """

    config: Config
    spec: NetworkSpec
    data: TrainingData
    transfer: TransferPlan | None = None


@dataclass(frozen=True)
class Draft:
    """The part of a plan that is decided before the images are read.

    Attributes:
        config: the settings.
        source: the trained network that the new one starts from, if any.
        spec: the network; None if the shape of the images is not known yet.
        transfer: the weights that the new network starts from, where `spec` is known.
        dataset: the dataset that `config` names, if it was looked up already.
    """

    config: Config
    source: TransferSource | None = None
    spec: NetworkSpec | None = None
    transfer: TransferPlan | None = None
    dataset: Dataset | None = None

    def complete(self, data: TrainingData) -> TrainingPlan:
        """Return the plan for these images; raises `UsageError` if it is impossible."""
        spec = self.spec
        if spec is None or (spec.image_shape, spec.classes) != (data.image_shape, data.classes):
            spec = network_spec(self.config, data.image_shape, data.classes)
        return TrainingPlan(self.config, spec, data, _plan_transfer(self.source, self.config, spec, data.dataset.name))


@dataclass(frozen=True)
class Preview:
    """A training as a dry run shows it.

    Attributes:
        config: the settings.
        spec: the network.
        data: a sentence about the images.
        transfer: the weights that the new network would start from.
    """

    config: Config
    spec: NetworkSpec
    data: str
    transfer: TransferPlan | None = None

    @property
    def layers(self) -> tuple[Layer, ...]:
        """Layers of the network."""
        return self.spec.layers

    @property
    def parameters(self) -> int:
        """Number of values in the network's variables."""
        return self.spec.parameters


def draft(
    config: Config, *, folder: Path | None = None, run: RunDirectory | None = None, dataset: Dataset | None = None
) -> Draft:
    """Check what can be checked before images are read, downloaded or written, and TensorFlow is imported.

    Args:
        config: the settings.
        folder: the directory of the new run; None for the next one in ``runs/``.
        run: the run to resume, if any, which starts from its own weights.
        dataset: the dataset that `config` names, if it was looked up already; then its images are checked too.

    Raises:
        DnnError: the training cannot start.
    """
    check_extras(config)
    if folder is not None:
        directory.check_free(folder)
    if run is not None:
        check_same_config(run, config)
    source = None if run or config.model.init_from is None else transfer.read_source(config.model.init_from)
    if dataset is not None:
        # The images are read again for the training: a series would need too much memory to keep all selections.
        plan = Draft(config, source).complete(read_training_data(config, dataset))
        return Draft(config, source, plan.spec, plan.transfer, dataset)
    if config.data.dataset not in datasets.KNOWN:
        return Draft(config, source)
    selection.check_classes(config.data.classes, range(datasets.KNOWN_CLASSES))
    spec = network_spec(config, datasets.KNOWN_SHAPE, datasets.KNOWN_CLASSES)
    return Draft(config, source, spec, _plan_transfer(source, config, spec, config.data.dataset))


def preview(config: Config, *, folder: Path | None = None, run: RunDirectory | None = None) -> Preview:
    """Return what `config` would train, in a new run at `folder` or by resuming `run`.

    Downloads nothing, writes nothing and does not import TensorFlow.

    Raises:
        DnnError: the training could not start.
    """
    drafted = draft(config, folder=folder, run=run)
    if drafted.spec is not None:
        name = config.data.dataset
        place = "on this machine" if is_present(name) else "not on this machine; training downloads it"
        return Preview(config, drafted.spec, f"data: {name} ({place})", drafted.transfer)
    plan = drafted.complete(read_training_data(config, datasets.find(config.data.dataset)))
    sentence = f"data: {plan.data.dataset.path}, {len(plan.data.training.labels):,} training images"
    return Preview(config, plan.spec, sentence, plan.transfer)


def check_extras(config: Config) -> None:
    """Raise `UsageError` if something that `config` asks for is not installed."""
    if config.training.tensorboard and find_spec("tensorboard") is None:
        raise UsageError("training.tensorboard: TensorBoard is not installed: pip install 'dnn-cli[tensorboard]'")


def check_same_config(run: RunDirectory, config: Config) -> None:
    """Raise `UsageError` if `config` differs from the run's in more than the number of epochs."""
    changes = difference.difference(run.config().with_epochs(config.training.epochs), config)
    if changes:
        lines = "\n  ".join(changes)
        raise UsageError(
            f"{run} cannot be resumed with different settings; only training.epochs may change\n  {lines}\n"
            "start a new run to train with them"
        )


def _plan_transfer(
    source: TransferSource | None, config: Config, spec: NetworkSpec, dataset: str
) -> TransferPlan | None:
    return transfer.plan_transfer(source, config, spec, dataset) if source else None


def is_present(name: str) -> bool:
    """Return whether the dataset `name` is on this machine; nothing is downloaded or verified."""
    try:
        datasets.find(name, split=None)
    except DataError:
        return False
    return True


def read_training_data(config: Config, dataset: Dataset) -> TrainingData:
    """The training images that `config` asks for; raises `DataError` where there are not enough."""
    everything = dataset.load("train")
    chosen = config.data
    selected = selection.select(everything, chosen.classes, chosen.images_per_class, config.seed)
    training, held_out = selection.hold_out(selected, chosen.validation, config.seed)
    return TrainingData(dataset, training, held_out, everything.classes, chosen.classes, everything.fingerprint())
