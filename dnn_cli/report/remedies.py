"""Changes of a config that answer what went wrong in a training, as lines of YAML that the config is sure to take."""

import shlex
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from dnn_cli.config import loading, schema, yaml_document
from dnn_cli.config.loading import Override
from dnn_cli.config.schedules import Schedule
from dnn_cli.config.schema import Block, Config
from dnn_cli.errors import ConfigError

Change = tuple[str, Any]  # a setting's key, ``training.epochs``, and its value

RATES = ("initial_learning_rate", "warmup_target", "end_learning_rate", "values")  # the rates of schedules
NEAR = 3  # times the default learning rate: about the highest that every optimizer is known to take
DROPOUT, HEAVY_DROPOUT = (
    0.2,
    0.5,
)  # the latter is what Srivastava et al. (2014) use between layers; more is rarely of use
SLIGHT_L2 = 0.0003
AUGMENTATION = {"rotation": 10, "translation": 1.5, "scale": 0.1, "shear": 8, "elastic": {"strength": 2}}


def first(config: Config, changes: Iterable[Change]) -> tuple[str, str]:
    """The first of `changes` that `config` takes and is changed by: as YAML and as an option; both "" if there is none.

    Such are ``training: {epochs: 20}`` and ``--set training.epochs=20``.
    """
    for key, value in changes:
        try:
            changed = loading.parse(config.to_yaml(), "config", [Override(key, value, key)])
        except ConfigError:  # it contradicts the rest, or engine: numpy has not got it
            continue
        if changed != config:
            section, _, name = key.partition(".")
            text = yaml_document.dump_line(value)
            return f"{section}: {{{name}: {text}}}", f"--set {shlex.quote(f'{key}={text}')}"
    return "", ""


def default_rate(config: Config) -> float:
    """Keras's learning rate for the optimizer."""
    return float(type(config.optimizer).model_fields["learning_rate"].default)


def is_fast(config: Config) -> bool:
    """Whether the learning rate is a number above the optimizer's default."""
    rate = config.optimizer.learning_rate
    return not isinstance(rate, Schedule) and rate > default_rate(config)


def lower_rate(config: Config) -> list[Change]:
    """A tenth of the learning rate, of each that a schedule has; of one above the optimizer's default, near that."""
    rate, default = config.optimizer.learning_rate, default_rate(config)
    if not isinstance(rate, Schedule):
        tenth = _tenth(rate)
        return [("optimizer.learning_rate", min(max(tenth, default), NEAR * default) if rate > default else tenth)]
    arguments = {key: value for key, value in rate.model_dump(mode="json").items() if value is not None}
    return [("optimizer.learning_rate", {k: _tenth(v) if k in RATES else v for k, v in arguments.items()})]


def raised_rate(config: Config) -> list[Change]:
    """The optimizer's default, if the learning rate is a number well below it."""
    rate, default = config.optimizer.learning_rate, default_rate(config)
    return [("optimizer.learning_rate", default)] if not isinstance(rate, Schedule) and rate < default / 2 else []


def falling_rate(config: Config) -> list[Change]:
    """A rate that falls along half a cosine to the last epoch, if it is constant."""
    rate = config.optimizer.learning_rate
    if isinstance(rate, Schedule):
        return []
    schedule = {"name": "cosine_decay", "initial_learning_rate": rate, "decay_epochs": config.training.epochs}
    return [("optimizer.learning_rate", schedule)]


def longer(config: Config) -> list[Change]:
    """Twice the epochs."""
    return [("training.epochs", 2 * config.training.epochs)]


def stopping(config: Config) -> list[Change]:
    """Early stopping, if there is none."""
    if config.training.early_stopping:
        return []
    monitor = {} if config.data.validation else {"monitor": "loss"}
    return [("training.early_stopping", {**monitor, "patience": 5})]


def augmenting(config: Config) -> list[Change]:
    """Mild deformations, if there are none."""
    return [] if config.training.augmentation.is_on else [("training.augmentation", AUGMENTATION)]


def against_overfitting(config: Config) -> list[Change]:
    """More data of what there is; else dropout or a penalty where there is none; else no epoch too many."""
    dropout = _layers(config, lambda block: {"dropout": block.dropout or DROPOUT})
    penalty = _layers(config, lambda block: {"l2": block.l2 or SLIGHT_L2})
    return [*augmenting(config), dropout, penalty, *stopping(config)]


def lighter(config: Config) -> list[Change]:
    """Less of what keeps the blocks from learning by heart, if there is much of it."""
    held_back = any(block.dropout > HEAVY_DROPOUT or block.l1 or block.l2 for block in config.model.layers)
    less = _layers(config, lambda block: {"dropout": block.dropout / 2, "l1": _tenth(block.l1), "l2": _tenth(block.l2)})
    return [less] if held_back else []


def stronger(config: Config) -> list[Change]:
    """ReLUs where sigmoids follow one another, which lose the gradient; else more units, unless weights are loaded."""
    if sum(block.activation in ("sigmoid", "hard_sigmoid", "tanh") for block in config.model.layers) > 1:
        return [activation(config, range(len(config.model.layers)), "relu")]
    if config.model.init_from:
        return []
    if not config.model.layers:
        return [("model.layers", [128])]
    return [_layers(config, lambda block: {"units": max(2 * block.units, 32)})]


def activation(config: Config, places: Iterable[int], name: str) -> Change:
    """Another activation for the blocks at `places`."""
    blocks = list(config.model.layers)
    for place in places:
        blocks[place] = blocks[place].model_copy(update={"activation": name})
    return "model.layers", _short(blocks)


def smoothing(config: Config, excess: float) -> list[Change]:
    """Smoothed labels where the highest probability is too high by `excess` on average; none where it is too low.

    They should not make up for all of it: smoothing takes far more from what is said of hard images than of easy ones.
    A quarter lowered the calibration error of each of eight trainings of MNIST and its sample, all of it that of three.
    """
    if excess < 0:
        return [("training.label_smoothing", 0.0)]
    return [("training.label_smoothing", float(f"{config.training.label_smoothing + excess / 4:.2g}"))]


def normalizing(config: Config) -> list[Change]:
    """Batch normalization in every block."""
    return [_layers(config, lambda _: {"batch_normalization": schema.BatchNormalization()})]


def _layers(config: Config, change: Callable[[Block], Mapping[str, Any]]) -> Change:
    return "model.layers", _short(block.model_copy(update=change(block)) for block in config.model.layers)


def _short(blocks: Iterable[Block]) -> list[Any]:
    """Blocks as a file would have them: what is not at its default, and a bare number where that is all."""
    explicit = [block.model_dump(mode="json", exclude_defaults=True) for block in blocks]
    return [block if len(block) > 1 else block["units"] for block in explicit]


def _tenth(value: Any) -> Any:
    """Without the digits that binary fractions add."""
    return [_tenth(each) for each in value] if isinstance(value, list) else float(f"{value / 10:.6g}")
