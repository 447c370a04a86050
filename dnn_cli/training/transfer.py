"""Starting from trained weights: which layers of a network take them from a `.keras` file, and which begin anew.

The layers are matched by their place, block by block. What the file holds is read from its description, so that a
network that does not fit is refused before TensorFlow is imported; the weights themselves are read by Keras.
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
from dnn_cli.engines.network_spec import Layer
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
class Source:
    """A trained network, as its file describes it.

    Attributes:
        file: the `.keras` file.
        sha256: the digest of its content.
        blocks: what each hidden block and the head hold, from the bottom up.
        run: the run it belongs to, if it was asked for by that.
    """

    file: Path
    sha256: str
    blocks: tuple[Shapes, ...]
    run: RunDirectory | None = None


@dataclass(frozen=True)
class TransferPlan(TransferRecord):
    """What a training starts from."""

    def rate_factors(self, factor: float) -> dict[str, float]:
        """The name of each layer with a learning rate of its own → what the optimizer's is multiplied by there."""
        if factor == 1:
            return {}
        return {name: factor for name, state in self.layers.items() if state == "loaded"}

    def load_into(self, network: "keras.Sequential") -> None:
        """Give `network` the weights that are to be loaded; all else of the file, its optimizer too, is left there.

        Raises:
            RunError: the file is not what it was when this was planned, or not what it says it is.
        UsageError: it is gone.
        """
        trained = build.load(self.file, compiled=False)
        if sha256(self.file) != self.sha256:
            raise RunError(f"{self.file} has changed since this training was begun; a new run can start from it")
        *hidden, head = _with_weights(network)
        *trained_hidden, trained_head = _with_weights(trained)
        # Blocks that were added on top have no counterpart.
        for layer, counterpart in [*zip(hidden, trained_hidden, strict=False), (head, trained_head)]:
            if self.layers[layer.name] != "new":
                self._copy(counterpart, layer)

    def _copy(self, trained: Any, layer: Any) -> None:
        outlines = [[(variable.name, tuple(variable.shape)) for variable in one.variables] for one in (trained, layer)]
        if outlines[0] != outlines[1]:
            raise RunError(f"{self.file} is damaged: what it holds of {layer.name} is not what it describes")
        for value, variable in zip(trained.variables, layer.variables, strict=True):
            variable.assign(value)


def read(init_from: str) -> Source:
    """What is known, without TensorFlow, of the network that `model.init_from` names.

    Args:
        init_from: a run, whose best checkpoint is taken, or a `.keras` file.

    Raises:
        UsageError: there is neither, or it is a network that no config describes.
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
    return Source(file, sha256(file), _described(file), run)


def plan(source: Source, config: Config, layers: Sequence[Layer], dataset: str) -> TransferPlan:
    """What becomes of each of `layers`, which are the blueprint of `config`, when they start from `source`.

    Hidden blocks are loaded from the bottom up; those beyond the source's are new, and so is the head above them. The
    head is loaded where its outputs mean the same: of a run that was trained on the same classes, or of a file of as
    many outputs.

    Raises:
        UsageError: a block does not fit the source's, or one is to be frozen that is new.
    """
    *hidden, head = _blocks(layers)
    *trained, trained_head = source.blocks
    if len(trained) > len(hidden):
        raise UsageError(
            f"model.init_from: {source.file} has {_count(trained)}, but model.layers has {_count(hidden)}; "
            "all of its blocks are loaded, and more may follow on top"
        )
    _check_shapes(source, hidden)
    if unknown := sorted(index for index in config.model.frozen if index >= len(trained)):
        raise UsageError(
            f"model.freeze: {source.file} has {_count(trained)}, so that model.layers[{unknown[0]}] is new: "
            "what is not trained must have been trained before"
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
    elif _other_classes(source, config, dataset):
        why = "for other classes"
    states |= dict.fromkeys((layer.name for layer in head), "new" if why else "loaded")
    return TransferPlan(source.file, source.sha256, states, why)


def _check_shapes(source: Source, hidden: Sequence[Sequence[Layer]]) -> None:
    """Raise `UsageError` with both shapes of every block that does not fit."""
    misfits = [
        f"  model.layers[{index}]: {block[0].name} has {_show(_shapes(block))}; in the file: {_show(shapes)}"
        for index, (block, shapes) in enumerate(zip(hidden, source.blocks[:-1], strict=False))
        if _shapes(block) != shapes
    ]
    if misfits:
        raise UsageError("\n".join([f"model.init_from: {source.file} does not fit model.layers", *misfits]))


def _other_classes(source: Source, config: Config, dataset: str) -> bool:
    """Whether the source's outputs are known to mean something else."""
    if source.run is None:
        return False
    before, now = source.run.config().data.classes, config.data.classes
    same = before == now if before is None or now is None else set(before) == set(now)
    return not (same and known_sets.may_share_labels(source.run.environment().dataset.name, dataset))


def _blocks(layers: Iterable[Layer]) -> list[list[Layer]]:
    """The layers that hold weights, those of a block together: a Dense and what follows it."""
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


def _described(file: Path) -> tuple[Shapes, ...]:
    """What each block of the network in `file` holds, by its own description."""
    try:
        described = keras_file.description(file)
        if described["class_name"] != "Sequential":
            raise UsageError(f"model.init_from: {file} is a {described['class_name']} model, not a Sequential one")
        blocks = _read_blocks(file, described["config"]["layers"])
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError, zipfile.BadZipFile) as error:
        raise RunError(f"{file} is damaged: its config.json describes no network ({reason(error)})") from None
    if not blocks:
        raise UsageError(f"model.init_from: {file} has no Dense layer")
    if sum(prod(shape) for block in blocks for shape in block.values()) > network_spec.MAX_PARAMETERS:
        raise UsageError(
            f"model.init_from: {file} has more than the {network_spec.MAX_PARAMETERS:,} parameters allowed"
        )
    return tuple(blocks)


def _read_blocks(file: Path, layers: Any) -> list[Shapes]:
    """The shapes that follow from what each layer is called with, from the image up."""
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
            wrong = "before the first Dense" if kind in KINDS else f"(allowed: {', '.join(KINDS)})"
            raise UsageError(f"model.init_from: {file} is not built as dnn builds networks: it has a {kind} {wrong}")
    return list(blocks)
