"""Start from trained weights: which layers take them from a `.keras` file, and which start from the seed.

Layers are matched by position, block by block. The contents of the file are read from its description, so that a
network that does not fit is rejected before TensorFlow is imported; Keras reads the weights themselves.
"""

import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dnn_cli.config.schema import Config
from dnn_cli.data import known_sets
from dnn_cli.engines import keras_file, network_spec
from dnn_cli.engines.keras import build
from dnn_cli.engines.network_spec import Layer, NetworkSpec
from dnn_cli.errors import RunError, UsageError, reason
from dnn_cli.files import sha256
from dnn_cli.runs.directory import RunDirectory
from dnn_cli.runs.records import LayerOrigin, TransferRecord

if TYPE_CHECKING:
    import keras

Shapes = Mapping[str, tuple[int, ...]]

WITHOUT_WEIGHTS = ("Activation", "Dropout")
KINDS = ("Flatten", "Dense", "BatchNormalization", *WITHOUT_WEIGHTS)


@dataclass(frozen=True)
class TransferSource:
    """A trained network, as its file describes it.

    Attributes:
        file: the `.keras` file.
        sha256: digest of its content.
        blocks: shapes of the variables of each hidden block and of the head, in order.
        run: the run that the file belongs to, if `model.init_from` names a run.
    """

    file: Path
    sha256: str
    blocks: tuple[Shapes, ...]
    run: RunDirectory | None = None


@dataclass(frozen=True)
class TransferPlan(TransferRecord):
    """The layers of a new network that start from trained weights."""

    def rate_factors(self, factor: float) -> dict[str, float]:
        """Return the factor of the learning rate by name of the layer, for the layers that have one."""
        if factor == 1:
            return {}
        return {name: factor for name, state in self.layers.items() if state == "loaded"}

    def load_into(self, network: "keras.Sequential") -> None:
        """Set the loaded and frozen layers of `network` to the weights in the file; nothing else is read from it.

        Raises:
            RunError: the file has changed since it was planned, or its weights do not match its description.
            UsageError: the file does not exist any more.
        """
        trained = build.load(self.file, compiled=False)
        if sha256(self.file) != self.sha256:
            raise RunError(
                f"{self.file} has changed since this run was started; restore it, or start a new run from it"
            )
        *hidden, head = _with_weights(network)
        *trained_hidden, trained_head = _with_weights(trained)
        # Blocks beyond those of the file have no counterpart.
        for layer, counterpart in [*zip(hidden, trained_hidden, strict=False), (head, trained_head)]:
            if self.layers[layer.name] != "new":
                self._copy(counterpart, layer)

    def _copy(self, trained: Any, layer: Any) -> None:
        outlines = [[(variable.name, tuple(variable.shape)) for variable in one.variables] for one in (trained, layer)]
        if outlines[0] != outlines[1]:
            raise RunError(
                f"{self.file} is damaged: its weights of {layer.name} do not have the shapes that it describes"
            )
        for value, variable in zip(trained.variables, layer.variables, strict=True):
            variable.assign(value)


def read_source(init_from: str) -> TransferSource:
    """Return the description of the network that `model.init_from` names, read without TensorFlow.

    Args:
        init_from: a run, of which the best checkpoint is used, or a `.keras` file.

    Raises:
        UsageError: it does not exist, or no config can describe its network.
        RunError: it is damaged.
    """
    path = Path(init_from)
    try:
        is_folder, exists = path.is_dir(), path.exists()
    except OSError as error:
        raise UsageError(f"model.init_from: {path} cannot be read: {reason(error)}") from None
    if not exists:
        raise UsageError(f"model.init_from: there is no run or .keras file {path}")
    run = RunDirectory.open(path) if is_folder else None
    file = run.checkpoint("best")[0] if run else path
    keras_file.check_file(file)
    return TransferSource(file, sha256(file), _described_blocks(file), run)


def plan_transfer(
    source: TransferSource, config: Config, spec: NetworkSpec, dataset: str, names: Sequence[str] | None = None
) -> TransferPlan:
    """Decide which layers of the network of `config` are loaded from `source`.

    Hidden blocks are loaded in order. Blocks beyond those of the source are new, and so is the head above them.
    Otherwise the head is loaded if its outputs have the same meaning: the classes have the same names, as far as they
    have names; and if the source is a run, it was trained on the same classes; if it is a file, it has the same number
    of outputs.

    Args:
        source: the trained network.
        config: settings of the new network.
        spec: the new network.
        dataset: name of the dataset to train on.
        names: the names of its classes in the order of the labels; None if they have none, or are not known yet.

    Raises:
        UsageError: a block does not fit the source's, or a new block would be frozen.
    """
    *hidden, head = _blocks(spec.layers)
    *trained, trained_head = source.blocks
    if len(trained) > len(hidden):
        raise UsageError(
            f"model.init_from: {source.file} has {_count(trained)}, but model.layers has {_count(hidden)}; "
            "model.layers must start with all blocks of the file, and may add more"
        )
    _check_shapes(source, hidden)
    if unknown := sorted(index for index in config.model.frozen if index >= len(trained)):
        raise UsageError(
            f"model.freeze: {source.file} has {_count(trained)}, so model.layers[{unknown[0]}] is new; "
            "only layers with trained weights can be frozen"
        )
    states: dict[str, LayerOrigin] = {}
    for index, block in enumerate(hidden):
        state: LayerOrigin = "new" if index >= len(trained) else "frozen" if index in config.model.frozen else "loaded"
        states |= dict.fromkeys((layer.name for layer in block), state)
    why = ""
    if len(hidden) > len(trained):
        why = "on top of new blocks"
    elif _shapes(head) != trained_head:
        why = "of another shape"
    elif _other_classes(source, config, dataset, names):
        why = "for other classes"
    states |= dict.fromkeys((layer.name for layer in head), "new" if why else "loaded")
    return TransferPlan(source.file, source.sha256, states, why)


def _check_shapes(source: TransferSource, hidden: Sequence[Sequence[Layer]]) -> None:
    """Raise `UsageError` with the shapes of every block that does not fit."""
    misfits = [
        f"  model.layers[{index}]: {block[0].name} has {_show(_shapes(block))}; in the file: {_show(shapes)}"
        for index, (block, shapes) in enumerate(zip(hidden, source.blocks[:-1], strict=False))
        if _shapes(block) != shapes
    ]
    if misfits:
        raise UsageError("\n".join([f"model.init_from: {source.file} does not fit model.layers", *misfits]))


def _other_classes(source: TransferSource, config: Config, dataset: str, names: Sequence[str] | None) -> bool:
    """Return whether the source's outputs are known to have another meaning."""
    trained = keras_file.class_names(source.file)
    if trained and names and tuple(trained) != tuple(names):
        return True
    if source.run is None:
        return False
    before, now = source.run.config().data.classes, config.data.classes
    same = before == now if before is None or now is None else set(before) == set(now)
    return not (same and known_sets.may_share_labels(source.run.environment().dataset.name, dataset))


def _blocks(layers: Iterable[Layer]) -> list[list[Layer]]:
    """Return the layers with weights, grouped into blocks: a Dense layer and those that follow it."""
    blocks: list[list[Layer]] = []
    for layer in layers:
        if layer.kind == "Dense":
            blocks.append([])
        if layer.shapes:
            blocks[-1].append(layer)
    return blocks


def _shapes(block: Iterable[Layer]) -> Shapes:
    return {name: shape for layer in block for name, shape in layer.shapes.items()}


def _show(shapes: Shapes) -> str:
    return ", ".join(f"{name} {'×'.join(map(str, shape))}" for name, shape in shapes.items())


def _count(blocks: Sequence[object]) -> str:
    return "1 hidden block" if len(blocks) == 1 else f"{len(blocks) or 'no'} hidden blocks"


def _with_weights(network: "keras.Sequential") -> list[Any]:
    import keras

    return [
        layer for layer in network.layers if isinstance(layer, keras.layers.Dense | keras.layers.BatchNormalization)
    ]


def _described_blocks(file: Path) -> tuple[Shapes, ...]:
    """Return the shapes of the variables of each block in `file`, as its description states them."""
    try:
        described = keras_file.description(file)
        if described["class_name"] != "Sequential":
            raise UsageError(f"model.init_from: {file} is a {described['class_name']} model, not a Sequential one")
        blocks = _read_blocks(file, described["config"]["layers"])
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError, zipfile.BadZipFile) as error:
        raise RunError(
            f"{file} is damaged: its {keras_file.CONFIG} does not describe a network ({reason(error)})"
        ) from None
    if not blocks:
        raise UsageError(f"model.init_from: {file} has no Dense layer")
    if sum(prod(shape) for block in blocks for shape in block.values()) > network_spec.MAX_PARAMETERS:
        raise UsageError(
            f"model.init_from: {file} has more than the {network_spec.MAX_PARAMETERS:,} parameters allowed"
        )
    return tuple(blocks)


def _read_blocks(file: Path, layers: Any) -> list[Shapes]:
    """Return the shapes that follow from the arguments of each layer, in order."""
    first, *rest = layers
    shape = [int(length) for length in first["config"]["batch_shape"][1:]]
    blocks: list[dict[str, tuple[int, ...]]] = []
    for layer in rest:
        kind, arguments = layer["class_name"], layer["config"]
        if kind == "Flatten":
            shape = [prod(shape)]
        elif kind == "Dense":
            units = int(arguments["units"])
            blocks.append({"kernel": (shape[-1], units)} | ({"bias": (units,)} if arguments["use_bias"] else {}))
            shape[-1] = units
        elif kind == "BatchNormalization" and blocks:
            optional = {"gamma": arguments["scale"], "beta": arguments["center"]}
            held = [name for name, is_there in optional.items() if is_there]
            blocks[-1] |= dict.fromkeys([*held, "moving_mean", "moving_variance"], (shape[-1],))
        elif kind not in WITHOUT_WEIGHTS:
            wrong = "before the first Dense" if kind in KINDS else f"(supported: {', '.join(KINDS)})"
            raise UsageError(f"model.init_from: {file} has an unsupported layer: {kind} {wrong}")
    return list(blocks)
