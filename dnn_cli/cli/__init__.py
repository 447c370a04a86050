"""The `dnn` command group and the table of its commands.

A command is a module of the same name in this package, and the function of that name in it. The table has what
``dnn --help`` prints, so that the help imports no command, and running a command imports no other.
"""

from importlib import import_module

import click

import dnn_cli

COMMANDS = {
    "train": "Train the network that a config describes.",
    "evaluate": "Score a trained network on the test images, or on others.",
    "runs": "List the runs: running, done, interrupted or damaged.",
    "show": "Print one run: settings, environment, history, figures, files.",
    "predict": "Say which digit image files show.",
    "explain": "Show why an image is taken for what it is.",
    "compare": "Compare runs: what differs, and what they reached.",
    "report": "Show what a run learned on one HTML page; compare several.",
    "data": "List the datasets; fetch and verify one; show its augmentation.",
    "gradcheck": "Compare Keras's gradients with backpropagation and differences.",
    "trace": "Print one training step, number by number, with every formula.",
    "schema": "Print the JSON Schema of config files.",
}


class LazyGroup(click.Group):
    """A group whose commands are imported one by one, each when it is first asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order in which a new user needs the commands."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command `cmd_name`; return None if there is none of that name."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = getattr(import_module(f"{__name__}.{cmd_name}"), cmd_name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the table of commands into the help."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(dnn_cli.__version__, prog_name="dnn")
def cli() -> None:
    """A YAML file in, a trained and evaluated digit classifier out.

    \b
    Start here:
      dnn train -c mnist        train the textbook network
      dnn evaluate              score the newest run on the test images
      dnn runs                  list the runs, and how to go on with each
      dnn train --help          what else a command can do

    \b
    Exit codes: 0 done, 1 failed while running, 2 bad usage or config,
    3 --min-accuracy or --tolerance not met, 130 and 143 stopped by SIGINT and SIGTERM.
    """
