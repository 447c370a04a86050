"""Test the options that replace settings of a config."""

import json
from pathlib import Path

import pytest

from tests.cli.conftest import FRAMEWORKS, Dnn, Fresh
from tests.conftest import Answer


def test_settings_are_replaced_in_order(dnn: Dnn) -> None:
    answer = dnn(
        "train", "-c", "smoke", "--dry-run", "--json", "--set", "seed=3", "--set", "optimizer.learning_rate=1e-4",
        "--set", "model.layers=[7]", "--set", "model.layers[0].dropout=0.5", "--batch-size", "9", "--seed", "4",
    )  # fmt: skip
    chosen = json.loads(answer.stdout)["config"]
    assert (chosen["seed"], chosen["training"]["batch_size"], chosen["optimizer"]["learning_rate"]) == (4, 9, 1e-4)
    assert [(block["units"], block["dropout"]) for block in chosen["model"]["layers"]] == [(7, 0.5)]


def test_invalid_settings_are_reported_together(dnn: Dnn) -> None:
    answer = dnn("train", "-c", "smoke", "--set", "optimizer.rat=1", "--set", "seed=none", "--dry-run")
    assert (answer.code, answer.stdout) == (2, "")
    first, *rest = answer.stderr.splitlines()
    assert first == "error: the command line has 2 problems"
    assert sorted(rest) == [
        "  --set optimizer.rat=1  optimizer.rat: unknown key "
        "(allowed: name, learning_rate, weight_decay, clipnorm, clipvalue, global_clipnorm, use_ema, ema_momentum, "
        "ema_overwrite_frequency, gradient_accumulation_steps, beta_1, beta_2, epsilon, amsgrad)",
        "  --set seed=none        seed: must be a whole number, got 'none'",
    ]


@pytest.mark.parametrize("command", ["train", "gradcheck", "trace", "data --preview mnist.png"])
def test_a_wrong_config_is_reported_before_numpy_is_imported(command: str, fresh: Fresh) -> None:
    Path("bad.yaml").write_text("seed: -1\n")
    answer, modules = fresh(*command.split(), "-c", "bad.yaml")
    message = "error: bad.yaml has 1 problem\n  bad.yaml:1:7  seed: must be at least 0, got -1\n"
    assert answer == Answer(2, "", message)
    assert not modules & (FRAMEWORKS | {"numpy", "rich"})
