"""Options that several commands share, and the config settings that options replace."""

from functools import partial
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from dnn_cli.config.loading import Override

as_json = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON instead of tables.")
quiet = click.option("-q", "--quiet", is_flag=True, help="Print no progress, only warnings.")
verbose = click.option("-v", "--verbose", is_flag=True, help="Show TensorFlow's own messages.")
checkpoint = click.option(
    "--checkpoint",
    metavar="WHICH",
    default="best",
    help="Weights to use: best (those of the best epoch), last or a .keras file.  [default: best]",
)
split = partial(
    click.option, "--split", type=click.Choice(["test", "validation", "train"]), metavar="SPLIT", default="test"
)
settings = click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="KEY=VALUE",
    help="Replace one setting of the config, for example optimizer=adam. May be repeated.",
)


def overrides(
    settings: tuple[str, ...],
    *,
    epochs: int | None = None,
    batch_size: int | None = None,
    seed: int | None = None,
    engine: str | None = None,
) -> "list[Override]":
    """Return the config settings that the command line replaces, those of ``--set`` first.

    Args:
        settings: the values of ``--set``, each of the form ``key.path=value``.
        epochs: the value of ``--epochs``, or None if the option was not given. The same for the others.
        batch_size: the value of ``--batch-size``.
        seed: the value of ``--seed``.
        engine: the value of ``--engine``.

    Raises:
        UsageError: a value of ``--set`` does not have the form ``key.path=value``.
    """
    from dnn_cli.config.loading import SHORT_NAMES, Override

    short = {"epochs": epochs, "batch_size": batch_size, "seed": seed, "engine": engine}
    given = [
        Override(SHORT_NAMES[name], value, f"--{name.replace('_', '-')} {value}")
        for name, value in short.items()
        if value is not None
    ]
    return [*map(Override.parse, settings), *given]
