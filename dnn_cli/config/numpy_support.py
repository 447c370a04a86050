"""List the settings of a config that the NumPy engine does not support, before anything is trained."""

from collections.abc import Iterator

from dnn_cli.config.optimizers import OptimizerSection
from dnn_cli.config.schedules import Schedule
from dnn_cli.config.schema import Config
from dnn_cli.config.section import Contradiction, Section
from dnn_cli.config.yaml_document import KeyPath, format_path
from dnn_cli.errors import UsageError

# The settings that NumPy uses, or that do not concern it. All others must have their default values.
MODEL = {"input_dropout", "layers"}
BLOCK = {"units", "activation", "use_bias", "initializer", "batch_normalization", "dropout", "l1", "l2"}
TRAINING = {
    "epochs",
    "batch_size",
    "label_smoothing",
    "class_weight",
    "monitor",
    "early_stopping",
    "jit_compile",
    "checkpoint_seconds",
    "threads",
    "tensorboard",
}
OPTIMIZER = {"name", "learning_rate", "weight_decay"}
OPTIMIZERS = {
    "sgd": {"momentum", "nesterov"},
    "rmsprop": {"rho", "momentum", "epsilon"},
    "adam": {"beta_1", "beta_2", "epsilon"},
    "adamw": {"beta_1", "beta_2", "epsilon"},
}


def check(config: Config) -> None:
    """Raise `UsageError`, with a line for each setting that the NumPy engine does not support, if there is one."""
    if lines := [f"{format_path(path)}: {message}" for path, message in unsupported_settings(config)]:
        raise UsageError("\n".join(lines))


def unsupported_settings(config: Config) -> Iterator[Contradiction]:
    """Yield the path of every setting that the NumPy engine does not support, and a message."""
    yield from _not_at_default(config.model, MODEL, ("model",))
    for index, block in enumerate(config.model.layers):
        path = ("model", "layers", index)
        if block.initializer == "orthogonal":
            yield (*path, "initializer"), "the NumPy engine does not support orthogonal"
        yield from _not_at_default(block, BLOCK, path)
    yield from _of_optimizer(config.optimizer)
    yield from _not_at_default(config.training, TRAINING, ("training",))
    if config.training.threads not in ("auto", 1):
        yield ("training", "threads"), "the NumPy engine uses 1 thread"


def _of_optimizer(section: OptimizerSection) -> Iterator[Contradiction]:
    if section.name not in OPTIMIZERS:
        supported = ", ".join(OPTIMIZERS)
        yield ("optimizer", "name"), f"the NumPy engine does not support {section.name} (supported: {supported})"
        return
    if isinstance(section.learning_rate, Schedule):
        yield ("optimizer", "learning_rate"), "a schedule needs engine: keras; engine: numpy takes a number"
    yield from _not_at_default(section, OPTIMIZER | OPTIMIZERS[section.name], ("optimizer",))


def _not_at_default(section: Section, supported: set[str], path: KeyPath) -> Iterator[Contradiction]:
    for key, field in type(section).model_fields.items():
        if key not in supported and getattr(section, key) != field.get_default(call_default_factory=True):
            yield (*path, key), "needs engine: keras"
