"""Test the `dnn` group: its table of commands, and the help of each command."""

import re
from importlib import import_module
from pathlib import Path

import click
import pytest

from dnn_cli import cli
from dnn_cli.cli import COMMANDS
from dnn_cli.config import loading
from dnn_cli.runs import environment
from tests.cli.conftest import HEAVY, Dnn, Fresh, usage
from tests.conftest import Answer

SHARED = {"__init__", "options", "run_summary", "tables"}  # modules that are no commands


def imported_commands(modules: set[str]) -> set[str]:
    """Return the commands among imported modules."""
    return {name for name in COMMANDS if f"dnn_cli.cli.{name}" in modules}


def command(name: str) -> click.Command:
    """Return a command by its name, as the group does."""
    found = cli.cli.get_command(click.Context(cli.cli), name)
    assert found is not None
    return found


def test_every_command_module_is_in_the_table() -> None:
    modules = {path.stem for path in Path(cli.__file__).parent.glob("*.py")}
    assert modules - SHARED == set(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_summary_in_the_table_is_the_short_help_of_the_command(name: str) -> None:
    assert command(name) is getattr(import_module(f"dnn_cli.cli.{name}"), name)
    assert command(name).name == name
    assert command(name).get_short_help_str(limit=100) == COMMANDS[name]


def test_an_unknown_command_is_a_usage_error(dnn: Dnn) -> None:
    answer = dnn("trian")
    assert (answer.code, answer.stdout) == (2, "")
    assert answer.stderr.splitlines()[-1].startswith("Error: No such command 'trian'.")


@pytest.mark.parametrize(
    ("option", "hint"),
    [
        ("--lr", "--set optimizer.learning_rate=VALUE"),
        ("--label-smoothing", "--set training.label_smoothing=VALUE"),
        ("--batchsize", "--batch-size"),
    ],
)
def test_an_unknown_option_suggests_the_setting_of_that_name(option: str, hint: str, dnn: Dnn) -> None:
    message = f"Error: No such option '{option}'. Did you mean '{hint}'?"
    assert usage(dnn("train", "-c", "mnist", option, "0.1")) == message


def test_help_is_a_command_too(dnn: Dnn) -> None:
    assert dnn("help") == dnn("--help")
    assert dnn("help", "train") == dnn("train", "--help")
    assert usage(dnn("help", "trian")).startswith("Error: No such command 'trian'.")


def test_help_lists_the_commands_and_imports_none(fresh: Fresh) -> None:
    answer, modules = fresh("--help")
    assert (answer.code, answer.stderr, modules & HEAVY) == (0, "", set())
    assert "  dnn train -c mnist " in answer.stdout
    listed = re.findall(r"^  (\w+)  +[A-Z].*\.$", answer.stdout.partition("Commands:")[2], re.MULTILINE)
    assert listed == list(COMMANDS)
    assert imported_commands(modules) == set()


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_a_command_has_examples_and_fits_80_columns(name: str, fresh: Fresh) -> None:
    answer, modules = fresh(name, "--help")
    assert (answer.code, answer.stderr, modules & HEAVY) == (0, "", set())
    assert imported_commands(modules) == {name}
    assert re.search(rf"Examples?:\n    dnn {name}", answer.stdout)
    assert max(map(len, answer.stdout.splitlines())) <= 80


def test_examples_use_options_that_exist() -> None:
    for name in COMMANDS:
        one = command(name)
        known = {option for parameter in one.params for option in parameter.opts} | {"--help"}
        assert one.help is not None
        for example in re.findall(r"dnn \w+.*", one.help):
            assert set(re.findall(r"(?<= )--?[a-z-]+", example)) <= known, (name, example)


def test_every_option_has_a_help_text() -> None:
    for name in COMMANDS:
        for parameter in command(name).params:
            record = parameter.to_info_dict()
            assert record["param_type_name"] == "argument" or record["help"]


def test_help_of_train_names_the_shipped_configs(dnn: Dnn) -> None:
    named = re.search(r"a shipped config: ([^.]*)\.", " ".join(dnn("train", "-h").stdout.split()))
    assert named
    assert set(named[1].split(", ")) == set(loading.SHIPPED)


def test_version(dnn: Dnn) -> None:
    assert dnn("--version") == Answer(0, f"dnn, version {environment.program_version()}\n", "")


def test_help_is_shown_without_a_command(dnn: Dnn) -> None:
    answer = dnn()
    assert answer.code == 2
    assert answer.stderr == dnn("--help").stdout
