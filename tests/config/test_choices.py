"""Test the list of settings and of their possible values."""

from typing import get_args

from dnn_cli.config import loading, schema
from dnn_cli.config.choices import setting_choices


def test_every_setting_is_listed_with_its_values() -> None:
    found = setting_choices()
    assert set(loading.setting_paths().values()) <= found.keys()
    assert found["engine"] == ("keras", "numpy")
    assert found["model.layers[0].activation"] == get_args(schema.Activation)
    assert found["training.jit_compile"] == ("true", "false")
    assert found["training.early_stopping.monitor"] == get_args(schema.Monitor)
    assert found["seed"] == ()


def test_a_setting_with_several_sections_has_the_names_and_settings_of_all() -> None:
    found = setting_choices()
    assert {"sgd", "adam", "muon"} < set(found["optimizer"])
    assert found["optimizer"] == found["optimizer.name"]
    assert {"optimizer.momentum", "optimizer.beta_1", "optimizer.learning_rate.decay_rate"} < found.keys()
