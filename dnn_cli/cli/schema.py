"""The command `dnn schema`: print the JSON Schema of config files."""

import click

from dnn_cli.cli.tables import print_json


@click.command
def schema() -> None:
    """Print the JSON Schema of config files.

    Editors use it to complete and check config files while you type.

    \b
    Example:
      dnn schema > config.schema.json
    """
    from dnn_cli.config import schema as config_schema

    print_json(config_schema.json_schema())
