"""Changes of a config that should help against a problem of a training, as lines of YAML that the config accepts."""

import shlex
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from dnn_cli.config import loading, schema, yaml_document
from dnn_cli.config.loading import Override
from dnn_cli.config.schedules import ALL, Schedule
from dnn_cli.config.schema import Block, Config
from dnn_cli.errors import ConfigError

Change = tuple[str, Any]  # the key of a setting, such as ``training.epochs``, and its new value

SCHEDULE_RATES = ("initial_learning_rate", "warmup_target", "end_learning_rate", "values")  # arguments of schedules
MAX_RATE_RATIO = 3  # Up to this many times its default learning rate, every optimizer is known to work.
DROPOUT = 0.2
STRONG_DROPOUT = 0.5  # Srivastava et al. (2014) use this much between layers; more is rarely useful.
L2 = 0.0003
AUGMENTATION = {"rotation": 10, "translation": 1.5, "scale": 0.1, "shear": 8, "elastic": {"strength": 2}}


def first(config: Config, changes: Iterable[Change]) -> tuple[str, str]:
    """Return the first of `changes` that is valid in `config` and changes it.

    Returns:
        The change as YAML, ``training: {epochs: 20}``, and as an option, ``--set training.epochs=20``; both "" if no
        change is possible.
    """
    for key, value in changes:
        try:
            changed = loading.parse(config.to_yaml(), "config", [Override(key, value, key)])
        except ConfigError:  # it contradicts another setting, or engine: numpy does not support it
            continue
        if changed != config:
            section, _, name = key.partition(".")
            text = yaml_document.dump_line(value)
            return f"{section}: {{{name}: {text}}}", f"--set {shlex.quote(f'{key}={text}')}"
    return "", ""


def default_rate(config: Config) -> float:
    """Return Keras's default learning rate of the optimizer."""
    return float(type(config.optimizer).model_fields["learning_rate"].default)


def is_fast(config: Config) -> bool:
    """Return whether the learning rate is constant and above the optimizer's default."""
    rate = config.optimizer.learning_rate
    return not isinstance(rate, Schedule) and rate > default_rate(config)


def lower_rate(config: Config) -> list[Change]:
    """Lower the learning rate, or all rates of a schedule, to a tenth.

    A constant rate above the optimizer's default is lowered to between the default and `MAX_RATE_RATIO` times that.
    """
    rate, default = config.optimizer.learning_rate, default_rate(config)
    if not isinstance(rate, Schedule):
        tenth = _tenth(rate)
        return [
            ("optimizer.learning_rate", min(max(tenth, default), MAX_RATE_RATIO * default) if rate > default else tenth)
        ]
    arguments = {key: value for key, value in rate.model_dump(mode="json").items() if value is not None}
    return [("optimizer.learning_rate", {k: _tenth(v) if k in SCHEDULE_RATES else v for k, v in arguments.items()})]


def raised_rate(config: Config) -> list[Change]:
    """Use the optimizer's default learning rate if the rate is constant and less than half of it."""
    rate, default = config.optimizer.learning_rate, default_rate(config)
    return [("optimizer.learning_rate", default)] if not isinstance(rate, Schedule) and rate < default / 2 else []


def falling_rate(config: Config) -> list[Change]:
    """Let a constant learning rate fall along half a cosine until the last epoch."""
    rate = config.optimizer.learning_rate
    if isinstance(rate, Schedule):
        return []
    schedule = {"name": "cosine_decay", "initial_learning_rate": rate, "decay_epochs": ALL}
    return [("optimizer.learning_rate", schedule)]


def longer(config: Config) -> list[Change]:
    """Double the number of epochs."""
    return [("training.epochs", 2 * config.training.epochs)]


def stopping(config: Config) -> list[Change]:
    """Turn on early stopping if it is off."""
    if config.training.early_stopping:
        return []
    monitor = {} if config.data.validation else {"monitor": "loss"}
    return [("training.early_stopping", {**monitor, "patience": 5})]


def augmenting(config: Config) -> list[Change]:
    """Turn on mild augmentation if it is off."""
    return [] if config.training.augmentation.is_on else [("training.augmentation", AUGMENTATION)]


def against_overfitting(config: Config) -> list[Change]:
    """Turn on augmentation, or else dropout, or else an L2 penalty, or else early stopping."""
    dropout = _layers(config, lambda block: {"dropout": block.dropout or DROPOUT})
    penalty = _layers(config, lambda block: {"l2": block.l2 or L2})
    return [*augmenting(config), dropout, penalty, *stopping(config)]


def lighter(config: Config) -> list[Change]:
    """Weaken dropout and penalties if they are strong."""
    is_strong = any(block.dropout > STRONG_DROPOUT or block.l1 or block.l2 for block in config.model.layers)
    weaker = _layers(
        config, lambda block: {"dropout": block.dropout / 2, "l1": _tenth(block.l1), "l2": _tenth(block.l2)}
    )
    return [weaker] if is_strong else []


def stronger(config: Config) -> list[Change]:
    """Raise the capacity of the network.

    If several layers have sigmoids, through which the gradient vanishes, they get ReLUs; otherwise the layers get more
    units, unless their weights are loaded from a file.
    """
    if sum(block.activation in ("sigmoid", "hard_sigmoid", "tanh") for block in config.model.layers) > 1:
        return [activation(config, range(len(config.model.layers)), "relu")]
    if config.model.init_from:
        return []
    if not config.model.layers:
        return [("model.layers", [128])]
    return [_layers(config, lambda block: {"units": max(2 * block.units, 32)})]


def activation(config: Config, places: Iterable[int], name: str) -> Change:
    """Return the change to another activation in the layers at `places`."""
    blocks = list(config.model.layers)
    for place in places:
        blocks[place] = blocks[place].model_copy(update={"activation": name})
    return "model.layers", _short(blocks)


def smoothing(config: Config, excess: float) -> list[Change]:
    """Smooth the labels more if the mean confidence is too high by `excess`; not at all if it is too low.

    Smoothing by the complete excess would be too much, because it lowers the probabilities of hard images far more than
    those of easy ones. In eight trainings on MNIST and its sample, a quarter of the excess lowered the calibration
    error of all eight, the complete excess that of three.
    """
    if excess < 0:
        return [("training.label_smoothing", 0.0)]
    return [("training.label_smoothing", float(f"{config.training.label_smoothing + excess / 4:.2g}"))]


def normalizing(config: Config) -> list[Change]:
    """Add batch normalization to every layer."""
    return [_layers(config, lambda _: {"batch_normalization": schema.BatchNormalization()})]


def _layers(config: Config, change: Callable[[Block], Mapping[str, Any]]) -> Change:
    """Return the change of every hidden layer by the settings that `change` returns for it."""
    return "model.layers", _short(block.model_copy(update=change(block)) for block in config.model.layers)


def _short(blocks: Iterable[Block]) -> list[Any]:
    """Return layers as in a config file: without defaults, and as a bare number of units where that is all."""
    explicit = [block.model_dump(mode="json", exclude_defaults=True) for block in blocks]
    return [block if len(block) > 1 else block["units"] for block in explicit]


def _tenth(value: Any) -> Any:
    """Divide a number, or each number of a list, by ten; round away the error of binary fractions."""
    return [_tenth(each) for each in value] if isinstance(value, list) else float(f"{value / 10:.6g}")
