"""Plan a training: its data, its network's layers and the weights it starts from."""

from dataclasses import dataclass
from pathlib import Path

from dnn_cli.config import difference
from dnn_cli.config.schema import Config
from dnn_cli.data import datasets, known_sets, selection
from dnn_cli.data.datasets import Dataset
from dnn_cli.data.selection import TrainingData
from dnn_cli.engines import threads
from dnn_cli.engines.keras import tensorflow_import
from dnn_cli.engines.network_spec import Layer, count_parameters, network_spec
from dnn_cli.errors import DataError, UsageError, require_extra
from dnn_cli.runs import directory
from dnn_cli.runs.directory import RunDirectory
from dnn_cli.runs.records import DatasetRecord
from dnn_cli.training import transfer
from dnn_cli.training.transfer import Source, TransferPlan


@dataclass(frozen=True)
class Preview:
    """What a config would train: its layers, a sentence about the data, and the weights it would start from."""

    config: Config
    layers: list[Layer]
    data: str
    origin: TransferPlan | None = None

    @property
    def parameters(self) -> int:
        """How many numbers the network would hold."""
        return count_parameters(self.layers)


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
    )


def preview(config: Config, *, folder: Path | None = None, run: RunDirectory | None = None) -> Preview:
    """What `config` would train, into a new run at `folder` or going on with `run`.

    Downloads nothing, writes nothing and imports no TensorFlow.

    Raises:
        DnnError: what `start` or `resume` would refuse.
    """
    check_extras(config)
    if folder is not None:
        directory.check_free(folder)
    config = resolve_threads(config, run)
    source = transfer_source(config) if run is None else None
    name = config.data.dataset
    if name in known_sets.KNOWN_DATASETS:
        place = "which is here" if is_present(name) else "which is not here: training would download it"
        layers, origin = design_for_known(config, source)
        return Preview(config, layers, f"data: {name}, {place}", origin)
    material = read_training_data(config, datasets.find(name))
    layers, origin = design(config, material, source)
    seen = f"data: {material.dataset.path}, {len(material.training.labels):,} training images"
    return Preview(config, layers, seen, origin)


def check(config: Config, dataset: Dataset) -> None:
    """Raise the `DnnError` with which a training of `config` on `dataset` would refuse to begin."""
    check_extras(config)
    resolve_threads(config)
    design(config, read_training_data(config, dataset), transfer_source(config))


def resolve_threads(config: Config, run: RunDirectory | None = None) -> Config:
    """Return `config` with its number of threads, which is that of `run` where one is resumed and records it.

    Raises:
        UsageError: `run` has another config, or TensorFlow runs with another number of threads in this process.
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


def check_extras(config: Config) -> None:
    """Raise `UsageError` if something that `config` asks for is not installed."""
    if config.training.tensorboard:
        require_extra("tensorboard", "tensorboard", purpose="training.tensorboard")


def transfer_source(config: Config) -> Source | None:
    """Return the trained weights that `config` starts from, or None."""
    return transfer.read(config.model.init_from) if config.model.init_from is not None else None


def design(config: Config, material: TrainingData, source: Source | None) -> tuple[list[Layer], TransferPlan | None]:
    """The network's layers and what each starts from; raises `UsageError` where that cannot be."""
    layers = network_spec(config, material.image_shape, material.classes)
    return layers, transfer.plan(source, config, layers, material.dataset.name) if source else None


def design_for_known(config: Config, source: Source | None) -> tuple[list[Layer], TransferPlan | None]:
    """`design` for one of `data.KNOWN`, of which enough is known before it is read."""
    selection.check_classes(config.data.classes, range(known_sets.CLASSES))
    layers = network_spec(config, known_sets.IMAGE_SHAPE, known_sets.CLASSES)
    return layers, transfer.plan(source, config, layers, config.data.dataset) if source else None


def check_same_config(run: RunDirectory, config: Config) -> None:
    """Raise `UsageError` if `config` differs from the run's in more than the number of epochs."""
    recorded = run.config().with_epochs(config.training.epochs)
    if recorded.training.threads == "auto":  # a run of an older version
        recorded = recorded.with_threads(config.training.threads)
    changes = difference.difference(recorded, config)
    if changes:
        lines = "\n  ".join(changes)
        raise UsageError(
            f"{run} cannot go on with another config; only training.epochs may change\n  {lines}\n"
            "a new run can train what differs"
        )


def is_present(name: str) -> bool:
    """Return whether the dataset `name` is on this machine; nothing is downloaded or verified."""
    try:
        datasets.find(name, split=None)
    except DataError:
        return False
    return True


def read_training_data(config: Config, dataset: Dataset) -> TrainingData:
    """The training images that `config` asks for; raises `DataError` where there are not enough."""
    return selection.select_training_data(dataset, config.data, config.seed)
