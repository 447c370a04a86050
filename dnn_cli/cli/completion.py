"""The command `dnn completion`: print the script with which a shell completes `dnn` commands, and complete them.

The scripts are Click's, but for Bash's. They call ``dnn`` with ``_DNN_COMPLETE`` set, which imports this module.
"""

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import click
from click.shell_completion import BashComplete, CompletionItem, add_completion_class, get_completion_class

VARIABLE = "_DNN_COMPLETE"
YAML = (".yaml", ".yml")
RUN_ARGUMENTS = ("RUN", "[RUN]", "RUN...", "[RUN]...", "[RUN] IMAGE...")


@click.command
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]), metavar="SHELL")
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the script that completes commands in bash, zsh or fish.

    It completes commands, options, configs, runs, datasets, and the keys and values of --set. Put the line into the
    file that your shell reads when it starts.

    \b
    Examples:
      dnn completion bash          in ~/.bashrc: eval "$(dnn completion bash)"
      dnn completion zsh           in ~/.zshrc: eval "$(dnn completion zsh)"
      dnn completion fish          in config.fish: dnn completion fish | source
    """
    script = get_completion_class(shell)
    assert script is not None, "Click has a class for each choice"
    click.echo(script(ctx.find_root().command, {}, "dnn", VARIABLE).source())


@add_completion_class
class _Bash(BashComplete):
    """Completion for Bash, which ends words at ``=``, so that only the part behind it must be printed."""

    source_template = """\
%(complete_func)s() {
    local IFS=$'\\n' type value
    COMPREPLY=()
    while IFS=, read -r type value; do
        case $type in
            plain) COMPREPLY+=("$value") ;;
            dir) compopt -o dirnames ;;
            file) compopt -o default ;;
        esac
    done < <(env COMP_WORDS="${COMP_LINE:0:COMP_POINT}" %(complete_var)s=bash_complete "$1")
    if [[ ${COMPREPLY[0]} == *= ]]; then compopt -o nospace; fi
}

complete -o nosort -F %(complete_func)s %(prog_name)s
"""

    def get_completion_args(self) -> tuple[list[str], str]:
        """Return the words before the cursor's, and the beginning of that word."""
        line = os.environ["COMP_WORDS"]
        words = click.shell_completion.split_arg_string(line)[1:]
        self._word = "" if not words or line[-1].isspace() else words.pop()
        return words, self._word

    def format_completion(self, item: CompletionItem) -> str:
        """Return the item without what stands before the last ``=`` of the word already."""
        typed = self._word.partition("=")[2] if self._word.startswith("--") else self._word
        before = typed[: typed.rfind("=") + 1]
        return f"{item.type},{item.value.removeprefix(before)}"


class _Completed(click.types.StringParamType):
    """The type of a parameter whose values are completed by a function of the beginning of the value."""

    def __init__(self, complete: Callable[[str], Iterable[CompletionItem]]) -> None:
        self.name = "completed"
        self.complete = complete

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Return the values that begin with `incomplete`."""
        return list(self.complete(incomplete))


def prepare(command: click.Command) -> None:
    """Give each parameter of `command` that has values of ours the type that completes them."""
    for parameter in command.params:
        found = _COMPLETERS.get(parameter.metavar or str(parameter.name))
        if found is not None:
            parameter.type = _Completed(found)


def _beginning(incomplete: str, words: Iterable[str], otherwise: str) -> list[CompletionItem]:
    """Return the words that begin with `incomplete`; if none does, let the shell complete files or folders."""
    found = [CompletionItem(word) for word in words if word.startswith(incomplete)]
    return found or [CompletionItem(incomplete, type=otherwise)]


def _configs(incomplete: str) -> list[CompletionItem]:
    from dnn_cli.config import loading

    files = sorted(path.name for path in Path().iterdir() if path.suffix in YAML and path.name[0] != ".")
    return _beginning(incomplete, [*loading.SHIPPED, *files], "file")


def _runs(incomplete: str) -> list[CompletionItem]:
    from dnn_cli.runs.directory import RunDirectory
    from dnn_cli.runs.location import RUNS

    return _beginning(incomplete, sorted(str(run) for run in RunDirectory.all(RUNS)), "file")


def _datasets(incomplete: str) -> list[CompletionItem]:
    from dnn_cli.data.known_sets import KNOWN_DATASETS

    return _beginning(incomplete, KNOWN_DATASETS, "file")


def _settings(incomplete: str) -> list[CompletionItem]:
    """Return the settings that begin with `incomplete`, or the values of one if it holds a ``=``."""
    from dnn_cli.config import choices, loading

    values = choices.setting_choices() | {"data.dataset": loading.DATASETS}
    key, equals, _ = incomplete.partition("=")
    words = [f"{key}={value}" for value in values.get(key, ())] if equals else [f"{key}=" for key in values]
    return [CompletionItem(word) for word in words if word.startswith(incomplete)]


def _fixed(*words: str, otherwise: str = "plain") -> Callable[[str], list[CompletionItem]]:
    return lambda incomplete: _beginning(incomplete, words, otherwise)


_COMPLETERS: dict[str, Callable[[str], Any]] = {
    "CONFIG": _configs,
    "KEY=VALUE": _settings,
    "PATH": _datasets,
    "name": _datasets,
    "ENGINE": _fixed("keras", "numpy"),
    "WHICH": _fixed("best", "last", otherwise="file"),
    **dict.fromkeys(RUN_ARGUMENTS, _runs),
}
