"""Test the exit code and the message of each expected error."""

import pytest

from dnn_cli.errors import (
    ConfigError,
    DataError,
    DnnError,
    GateError,
    InterruptedTrainingError,
    Problem,
    RunError,
    TrainingError,
    UsageError,
    reason,
    together,
)


@pytest.mark.parametrize(
    ("error", "exit_code"),
    [
        (DnnError("x"), 1),
        (DataError("x"), 1),
        (RunError("x"), 1),
        (TrainingError("x"), 1),
        (UsageError("x"), 2),
        (ConfigError("a.yaml", [Problem("a.yaml", "", "x")]), 2),
        (GateError("x"), 3),
        (InterruptedTrainingError("x"), 130),
        (InterruptedTrainingError("x", 15), 143),
    ],
)
def test_each_error_has_its_exit_code(error: DnnError, exit_code: int) -> None:
    assert isinstance(error, DnnError)
    assert error.exit_code == exit_code


def test_an_interruption_keeps_its_message() -> None:
    assert str(InterruptedTrainingError("saved after epoch 3", 2)) == "saved after epoch 3"


def test_a_single_problem_is_counted_in_the_singular() -> None:
    error = ConfigError("a.yaml", [Problem("a.yaml:1:7", "seed", "must be a whole number, got 'x'")])
    assert str(error) == "a.yaml has 1 problem\n  a.yaml:1:7  seed: must be a whole number, got 'x'"


def test_several_problems_are_listed_in_two_columns() -> None:
    problems = [
        Problem("a.yaml:7:7", "model.layers[0].activaton", "unknown key"),
        Problem("a.yaml:12:30", "optimizer.learning_rate", "must be greater than 0, got -0.1"),
        Problem("a.yaml", "", "not valid YAML"),
    ]
    error = ConfigError("a.yaml", problems)
    assert str(error).splitlines() == [
        "a.yaml has 3 problems",
        "  a.yaml:7:7    model.layers[0].activaton: unknown key",
        "  a.yaml:12:30  optimizer.learning_rate: must be greater than 0, got -0.1",
        "  a.yaml        not valid YAML",
    ]
    assert error.problems == tuple(problems)


def test_combined_errors_have_no_repeated_messages() -> None:
    twice = together([DataError("x"), RunError("y"), DataError("x")])
    assert (str(twice), type(twice)) == ("x\ny", DnnError)
    assert type(together([DataError("x"), UsageError("y")])) is UsageError


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (OSError(28, "No space left on device"), "No space left on device"),
        (ValueError("first line\nsecond line"), "first line"),
        (ValueError(" "), "ValueError"),
    ],
)
def test_the_reason_for_an_error_is_one_line_and_never_empty(error: Exception, text: str) -> None:
    assert reason(error) == text
