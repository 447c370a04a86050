"""The command `dnn init`: write a first config for a user's own data."""

from pathlib import Path

import click

from dnn_cli.cli import options
from dnn_cli.cli.tables import print_next, warn


@click.command
@click.argument("path", type=click.Path(path_type=Path), metavar="PATH")
@click.option(
    "--out", type=click.Path(path_type=Path), metavar="FILE.yaml", help="The config to write.  [default: PATH's name]"
)
@click.option("--force", is_flag=True, help="Replace FILE.yaml if it exists.")
@options.settings
def init(path: Path, out: Path | None, force: bool, settings: tuple[str, ...]) -> None:
    """Write a config for your own data, which trains at once.

    PATH is what data.dataset can be: a folder of class folders with pictures, a CSV or Parquet file, or arrays. The
    images are looked at to choose their size, what is held out, and a network and a batch size that suit them.

    \b
    Examples:
      dnn init photos
      dnn init train.csv --out digits.yaml
      dnn init arrays.npz --set data.image_shape=[28,28]
    """
    from dnn_cli import files
    from dnn_cli.config import loading
    from dnn_cli.data import describe
    from dnn_cli.data.reading import Reading
    from dnn_cli.errors import UsageError
    from dnn_cli.training import starter

    file = out or Path(f"{path.resolve().name.split('.')[0]}.yaml")
    files.check_output(file, suffixes=(".yaml", ".yml"))
    if file.exists() and not force:
        raise UsageError(f"{file} exists already; --force replaces it, --out names another file")
    config = loading.from_values({}, options.overrides(settings))
    found = describe.describe(str(path), Reading.of(config.data, config.seed))
    for warning in found.warnings():
        warn(f"warning: {warning}")
    files.write_output(file, starter.starter_config(found, str(path)))
    click.echo(file)
    print_next("train", "-c", file)
