"""What the NumPy network can and cannot do of what a config may ask; said before anything is trained."""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from dnn_cli.config.optimizers import Common
from dnn_cli.config.schedules import Schedule
from dnn_cli.config.section import Section
from dnn_cli.config.yaml_document import format_path
from dnn_cli.errors import UsageError

if TYPE_CHECKING:
    from dnn_cli.config.schema import Config

UnsupportedSetting = tuple[tuple[str | int, ...], str]  # the setting's path in the config, and what is wrong with it

# The settings that NumPy heeds, or that mean nothing to it; all others have to stay at their defaults.
MODEL = {"input_dropout", "layers"}
BLOCK = {"units", "activation", "use_bias", "initializer", "batch_normalization", "dropout", "l1", "l2"}
TRAINING = {"epochs", "batch_size", "label_smoothing", "early_stopping", "jit_compile", "threads", "tensorboard"}
OPTIMIZER = {"name", "learning_rate", "weight_decay"}
OPTIMIZERS = {
    "sgd": {"momentum", "nesterov"},
    "rmsprop": {"rho", "momentum", "epsilon"},
    "adam": {"beta_1", "beta_2", "epsilon"},
    "adamw": {"beta_1", "beta_2", "epsilon"},
}


def check(refusals: Iterable[UnsupportedSetting]) -> None:
    """Raise `UsageError` if there are any, with a line for each."""
    if lines := [f"{format_path(path)}: {message}" for path, message in refusals]:
        raise UsageError("\n".join(lines))


def of_training(config: "Config") -> Iterator[UnsupportedSetting]:
    """What of a whole training the NumPy engine cannot do."""
    yield from _unheeded(config.model, MODEL, ("model",))
    for index, block in enumerate(config.model.layers):
        path = ("model", "layers", index)
        if block.initializer == "orthogonal":
            yield (*path, "initializer"), "the NumPy network has no orthogonal"
        yield from _unheeded(block, BLOCK, path)
    yield from _of_optimizer(config.optimizer)
    yield from _unheeded(config.training, TRAINING, ("training",))
    if config.training.threads not in ("auto", 1):
        yield ("training", "threads"), "the NumPy network works on 1 thread"


def _of_optimizer(section: Common) -> Iterator[UnsupportedSetting]:
    if section.name not in OPTIMIZERS:
        yield ("optimizer", "name"), f"the NumPy network has no {section.name}; it has {', '.join(OPTIMIZERS)}"
        return
    if isinstance(section.learning_rate, Schedule):
        yield ("optimizer", "learning_rate"), "a schedule needs engine: keras; engine: numpy takes a number"
    yield from _unheeded(section, OPTIMIZER | OPTIMIZERS[section.name], ("optimizer",))


def _unheeded(section: Section, heeded: set[str], path: tuple[str | int, ...]) -> Iterator[UnsupportedSetting]:
    for key, field in type(section).model_fields.items():
        if key not in heeded and getattr(section, key) != field.get_default(call_default_factory=True):
            yield (*path, key), "needs engine: keras"
