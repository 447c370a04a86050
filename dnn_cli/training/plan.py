"""Plan a training: its images, its network and the weights it starts from. Nothing is written here."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dnn_cli.config import difference
from dnn_cli.config.schema import Config
from dnn_cli.data import class_names, datasets, known_sets, selection
from dnn_cli.data.datasets import Dataset
from dnn_cli.data.reading import Reading
from dnn_cli.data.selection import TrainingData
from dnn_cli.engines import threads
from dnn_cli.engines.keras import tensorflow_import
from dnn_cli.engines.network_spec import Layer, NetworkSpec, network_spec
from dnn_cli.errors import DataError, UsageError, require_extra
from dnn_cli.runs import location
from dnn_cli.runs.directory import RunDirectory
from dnn_cli.runs.records import DatasetRecord
from dnn_cli.training import transfer
from dnn_cli.training.class_weights import class_weights
from dnn_cli.training.transfer import TransferPlan, TransferSource
from dnn_cli.typing import Array

SHOWN_LABELS = 10  # a warning lists no more labels one by one


@dataclass(frozen=True)
class TrainingPlan:
    """Everything that is decided before a training writes its first file.

    Attributes:
        config: the settings.
        spec: the network.
        data: the images to train on, and those held out.
        transfer: the weights that a new network starts from; None for weights drawn from the seed.
        class_weights: (classes,) float32, the factor on the loss of each class; None for no factors.
    """

    config: Config
    spec: NetworkSpec
    data: TrainingData
    transfer: TransferPlan | None = None
    class_weights: Array | None = None


@dataclass(frozen=True)
class Draft:
    """The part of a plan that is decided before the images are read.

    Attributes:
        config: the settings; what is relative to the training or the machine is resolved.
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
        transfer = _plan_transfer(self.source, self.config, spec, data.dataset.name, data.class_names)
        setting = self.config.training.class_weight
        weights = class_weights(setting, data.training.labels, data.classes, data.class_names)
        return TrainingPlan(self.config, spec, data, transfer, weights)


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
        location.check_free(folder)
    config = config.with_absolute_schedule(run.config() if run else None)
    config = resolve_threads(config, run)
    source = None if run or config.model.init_from is None else transfer.read_source(config.model.init_from)
    if dataset is not None:
        # The images are read again for the training: a series would need too much memory to keep all selections.
        plan = Draft(config, source).complete(selection.select_training_data(dataset, config.data, config.seed))
        return Draft(config, source, plan.spec, plan.transfer, dataset)
    if config.data.dataset not in known_sets.KNOWN_DATASETS:
        return Draft(config, source)
    known = known_sets.KNOWN_DATASETS[config.data.dataset]
    names = class_names.given(Reading.of(config.data, 0), known.class_names, "data")
    selected = class_names.resolve(config.data.classes, names)
    selection.check_classes(selected, range(known.classes))
    spec = network_spec(config, known.image_shape, known.classes)
    return Draft(config, source, spec, _plan_transfer(source, config, spec, config.data.dataset, names))


def preview(config: Config, *, folder: Path | None = None, run: RunDirectory | None = None) -> Preview:
    """Return what `config` would train, in a new run at `folder` or by resuming `run`.

    Downloads nothing, writes nothing and does not import TensorFlow.

    Raises:
        DnnError: the training could not start.
    """
    drafted = draft(config, folder=folder, run=run)
    if drafted.spec is not None:
        name = config.data.dataset
        place = "on this machine" if is_present(name) else "not on this machine; training will download it"
        return Preview(drafted.config, drafted.spec, f"data: {name} ({place})", drafted.transfer)
    plan = drafted.complete(
        selection.select_training_data(selection.find_dataset(config.data, config.seed), config.data, config.seed)
    )
    warning = unused_labels(plan.data)
    sentence = f"data: {plan.data.dataset.path}, {len(plan.data.training.labels):,} training images"
    sentence += f"\nwarning: {warning}" if warning else ""
    return Preview(plan.config, plan.spec, sentence, plan.transfer)


def unused_labels(data: TrainingData) -> str:
    """Return a warning if labels below the largest have no training images; empty if there are none, or on request."""
    parts = [data.training, *([data.held_out] if data.held_out else [])]
    used = sorted(set[int]().union(*(np.unique(part.labels).tolist() for part in parts)))
    if data.selected is not None or len(used) == data.classes:
        return ""
    shown = ", ".join(map(str, used)) if len(used) <= SHOWN_LABELS else f"{used[0]} to {used[-1]}"
    return (
        f"{data.dataset.path}: only {len(used)} of the labels 0 to {data.classes - 1} have training images ({shown}); "
        f"the network gets {data.classes} outputs all the same; number the classes from 0 without gaps"
    )


def check_extras(config: Config) -> None:
    """Raise `UsageError` if something that `config` asks for is not installed."""
    if config.training.tensorboard:
        require_extra("tensorboard", "tensorboard", purpose="training.tensorboard")


def resolve_threads(config: Config, run: RunDirectory | None = None) -> Config:
    """Return `config` with its number of threads; a run that is resumed keeps the number that it recorded.

    Raises:
        UsageError: the config differs from the run's, or TensorFlow runs with another number in this process.
    """
    asked = config.training.threads
    if run is not None and asked == "auto":
        asked = run.config().training.threads
    number = threads.resolve(asked, config.engine, tensorflow_import.running())
    config = config.with_threads(number)
    if run is not None:
        check_same_config(run, config)
    if config.engine == "keras":
        tensorflow_import.check(number)
    return config


def check_same_config(run: RunDirectory, config: Config) -> None:
    """Raise `UsageError` if `config` differs from the run's in more than the number of epochs and `jit_compile`."""
    recorded = run.config().with_epochs(config.training.epochs).with_jit_compile(config.training.jit_compile)
    if recorded.training.threads == "auto":  # a run of an older version
        recorded = recorded.with_threads(config.training.threads)
    changes = difference.difference(recorded, config)
    if changes:
        lines = "\n  ".join(changes)
        raise UsageError(
            f"{run} cannot be resumed with different settings; only training.epochs may change\n  {lines}\n"
            "start a new run to train with them"
        )


def dataset_record(data: TrainingData) -> DatasetRecord:
    """Return the record of the data that `environment.json` keeps."""
    return DatasetRecord(
        name=data.dataset.name,
        requested=data.dataset.requested,
        note=data.dataset.note,
        path=str(data.dataset.path),
        fingerprint=data.fingerprint,
        training_images=len(data.training.labels),
        validation_images=len(data.held_out.labels) if data.held_out else 0,
        classes=data.classes,
        selected_classes=data.selected,
        image_shape=data.image_shape,
        class_names=data.class_names,
        resize=data.dataset.reading.resize if data.dataset.source.has_pictures else None,
    )


def _plan_transfer(
    source: TransferSource | None, config: Config, spec: NetworkSpec, dataset: str, names: Sequence[str] | None
) -> TransferPlan | None:
    return transfer.plan_transfer(source, config, spec, dataset, names) if source else None


def is_present(name: str) -> bool:
    """Return whether the dataset `name` is on this machine; nothing is downloaded or verified."""
    try:
        datasets.find(name, split=None)
    except DataError:
        return False
    return True
