"""The `dnn` command group and the table of its commands.

Each command is a module of this package and a function in it, both named after the command. The table holds what
``dnn --help`` prints: printing the help imports no command module, and running a command imports no other.
"""

import os
from importlib import import_module
from typing import Any

import click

COMMANDS = {
    "train": "Train the network that a config describes.",
    "evaluate": "Evaluate a trained network on the test images or on others.",
    "runs": "List the runs with their state, metrics and age.",
    "show": "Print one run: settings, environment, history, metrics, files.",
    "predict": "Classify the digits in image files.",
    "explain": "Show which pixels and hidden units decided a prediction.",
    "compare": "Compare the settings and the metrics of runs.",
    "diff": "Compare two runs bit by bit: settings, history, weights.",
    "reproduce": "Train a run again, and say whether every bit is the same.",
    "report": "Write an HTML report of one run, or of several runs compared.",
    "export": "Write a network for ONNX, LiteRT, TensorFlow, JavaScript, NumPy.",
    "serve": "Serve trained networks by HTTP, with a page to draw on.",
    "data": "List datasets; fetch and verify one; describe your own.",
    "init": "Write a config for your own data, which trains at once.",
    "gradcheck": "Compare the gradients of Keras, NumPy and finite differences.",
    "trace": "Print one training step with every formula and its numbers.",
    "schema": "Print the JSON Schema of config files.",
    "completion": "Print the script that completes commands in bash, zsh or fish.",
}


def is_completing() -> bool:
    """Return whether a shell runs this process to complete a command line."""
    return "_DNN_COMPLETE" in os.environ


class LazyGroup(click.Group):
    """Group of commands that imports a command when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of the commands in the order of the table: the usual first steps come first."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return the command `cmd_name`, or return None if it does not exist."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = getattr(import_module(f"{__name__}.{cmd_name}"), cmd_name)
        if is_completing():
            from dnn_cli.cli import completion

            completion.prepare(command)
        return command

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Run a command line, or complete one, for which our completion for Bash takes the place of Click's."""
        if is_completing():
            from dnn_cli.cli import completion  # noqa: F401 (this registers it)
        return super().main(*args, **kwargs)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read ``help COMMAND`` as ``COMMAND --help``."""
        return super().parse_args(ctx, [*args[1:], "--help"] if args[:1] == ["help"] else args)

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; for an unknown option that is the name of a setting, name the ``--set`` that sets it."""
        try:
            return super().invoke(ctx)
        except click.NoSuchOption as error:
            command = error.ctx and error.ctx.command
            if command and any("--set" in parameter.opts for parameter in command.params):
                from dnn_cli.config import loading, messages

                name = error.option_name.lstrip("-").replace("-", "_")
                path = messages.nearest_setting(name, loading.setting_paths())
                option = f"--{path.rpartition('.')[2].replace('_', '-')}" if path else ""
                if path and option not in (error.possibilities or ()):
                    message = f"{error.message} Did you mean '--set {path}=VALUE'?"
                    raise click.NoSuchOption(error.option_name, message, ctx=error.ctx) from None
            raise

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the names and the summaries of the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


def _print_version(ctx: click.Context, parameter: click.Parameter, asked: bool) -> None:
    if asked and not ctx.resilient_parsing:
        from dnn_cli.runs import environment

        click.echo(f"dnn, version {environment.program_version()}")
        raise click.exceptions.Exit


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_version,
    help="Show the version and exit.",
)
def cli() -> None:
    """Train, evaluate and explain an image classifier that a YAML file describes.

    \b
    First steps:
      dnn train -c mnist        train the textbook's network
      dnn evaluate              evaluate the newest run on the test images
      dnn report                write an HTML report of it
      dnn runs                  list the runs and the commands that resume them
      dnn help train            show the options of a command

    \b
    Exit codes:
      0    success
      1    a failure at run time, for example a damaged file
      2    wrong usage, or a config with problems
      3    --min-accuracy or --tolerance not met
      130  stopped by SIGINT (Ctrl-C); 143 by SIGTERM
    """
