"""Read configs and list their problems, and the names that the messages list."""

import re

import pytest

from dnn_cli.config import loading
from dnn_cli.config.loading import Override
from dnn_cli.config.schema import Config
from dnn_cli.errors import ConfigError

OPTIMIZERS = (
    "sgd, rmsprop, adagrad, adadelta, adam, adamw, adamax, nadam, lamb, schedulefreeadamw, lion, ftrl, adafactor, muon"
)


SCHEDULES = (
    "exponential_decay, inverse_time_decay, polynomial_decay, piecewise_constant_decay, cosine_decay,"
    " cosine_decay_restarts, linear_warmup"
)


COMMON_ARGUMENTS = (
    "weight_decay, clipnorm, clipvalue, global_clipnorm, use_ema, ema_momentum, ema_overwrite_frequency,"
    " gradient_accumulation_steps"
)


def parse(text: str, *overrides: str) -> Config:
    """Return the config in `text` with ``key.path=value`` overrides."""
    return loading.parse(text, "a.yaml", [Override.parse(override) for override in overrides])


def problems(text: str, *overrides: str) -> list[str]:
    """Return the problems of the config in `text` with overrides, one line each: place, key and message."""
    with pytest.raises(ConfigError) as caught:
        parse(text, *overrides)
    first, *lines = str(caught.value).splitlines()
    of_options = [line.startswith("  --") for line in lines]
    sources = ["the command line"] * any(of_options) + ["a.yaml"] * (not all(of_options))
    verb = "has" if len(sources) == 1 else "have"
    assert first == f"{' and '.join(sources)} {verb} {len(lines)} problem{'s' * (len(lines) > 1)}"
    return [re.sub(r"^  (\S+( \S+=\S*)?) +", r"\1 ", line) for line in lines]
