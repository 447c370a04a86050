"""Options that several commands share, and the settings of a config that options replace."""

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from dnn_cli.config.loading import Override

as_json = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
quiet = click.option("-q", "--quiet", is_flag=True, help="Tell nothing on the way but warnings.")
verbose = click.option("-v", "--verbose", is_flag=True, help="Let TensorFlow's own messages through.")
checkpoint = click.option(
    "--checkpoint", metavar="WHICH", default="best", help="best, last or a .keras file.  [default: best]"
)
settings = click.option(
    "--set", "settings", multiple=True, metavar="KEY=VALUE", help="Replace one setting; may be repeated."
)


def overrides(
    settings: tuple[str, ...],
    *,
    epochs: int | None = None,
    batch_size: int | None = None,
    seed: int | None = None,
    engine: str | None = None,
) -> "list[Override]":
    """Return what ``--set`` and the short options replace in a config.

    Args:
        settings: the values of ``--set``, ``key.path=value`` each.
        epochs: the value of ``--epochs``, None if it was not given; likewise the others.
        batch_size: the value of ``--batch-size``.
        seed: the value of ``--seed``.
        engine: the value of ``--engine``.

    Raises:
        UsageError: a setting is not of the form ``key.path=value``.
    """
    from dnn_cli.config.loading import Override

    short = (
        ("training.epochs", "--epochs", epochs),
        ("training.batch_size", "--batch-size", batch_size),
        ("seed", "--seed", seed),
        ("engine", "--engine", engine),
    )
    given = [Override(key, value, f"{option} {value}") for key, option, value in short if value is not None]
    return [*map(Override.parse, settings), *given]
