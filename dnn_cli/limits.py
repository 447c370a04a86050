"""What the NumPy network can and cannot do of what a config may ask; said before anything is trained."""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from dnn_cli.document import format_path
from dnn_cli.errors import UsageError
from dnn_cli.optimizers import Common, Schedule

if TYPE_CHECKING:
    from dnn_cli.config import Config, Model

Refusal = tuple[tuple[str | int, ...], str]  # the setting's path in the config, and what is wrong with it

ACTIVATIONS = (
    *("relu", "sigmoid", "tanh", "elu", "leaky_relu", "relu6", "exponential", "softplus", "softsign"),
    *("hard_sigmoid", "hard_tanh", "linear"),
)
OPTIMIZERS = {
    "sgd": {"momentum", "nesterov"},
    "rmsprop": {"rho", "momentum", "epsilon"},
    "adam": {"beta_1", "beta_2", "epsilon"},
    "adamw": {"beta_1", "beta_2", "epsilon"},
}
SETTINGS = {"name", "learning_rate", "weight_decay"}  # of each of them


def check(refusals: Iterable[Refusal]) -> None:
    """Raise `UsageError` if there are any, with a line for each."""
    if lines := [f"{format_path(path)}: {message}" for path, message in refusals]:
        raise UsageError("\n".join(lines))


def of_network(model: "Model") -> Iterator[Refusal]:
    """What of the network NumPy has no derivative for."""
    for index, block in enumerate(model.layers):
        if block.activation not in ACTIVATIONS:
            path = ("model", "layers", index, "activation")
            yield path, f"the NumPy network has no {block.activation}; it has {', '.join(ACTIVATIONS)}"


def of_training(config: "Config") -> Iterator[Refusal]:
    """What of a whole training the NumPy engine cannot do."""
    yield from of_network(config.model)
    for index, block in enumerate(config.model.layers):
        if block.initializer == "orthogonal":
            yield ("model", "layers", index, "initializer"), "the NumPy network has no orthogonal"
        if block.max_norm is not None:
            yield ("model", "layers", index, "max_norm"), "needs engine: keras"
    yield from _of_optimizer(config.optimizer)
    if config.training.augmentation.is_on:
        yield ("training", "augmentation"), "needs engine: keras"


def _of_optimizer(section: Common) -> Iterator[Refusal]:
    if section.name not in OPTIMIZERS:
        yield ("optimizer", "name"), f"the NumPy network has no {section.name}; it has {', '.join(OPTIMIZERS)}"
        return
    if isinstance(section.learning_rate, Schedule):
        yield ("optimizer", "learning_rate"), "a schedule needs engine: keras; engine: numpy takes a number"
    for key, field in type(section).model_fields.items():
        if key not in SETTINGS | OPTIMIZERS[section.name] and getattr(section, key) != field.default:
            yield ("optimizer", key), "needs engine: keras"
