"""Test finding and reading config files, overrides from the command line, and the shipped configs."""

import dataclasses
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from dnn_cli.config import loading, yaml_document
from dnn_cli.config.loading import Override
from dnn_cli.data.known_sets import KNOWN_DATASETS
from dnn_cli.errors import ConfigError, UsageError
from tests.config.helpers import COMMON_ARGUMENTS, parse, problems

ROOT = Path(__file__).parents[2]
SHIPPED = ROOT / "configs"


def printed(code: str, stdin: str = "") -> str:
    """Return the output of Python code that runs in a separate process."""
    command = [sys.executable, "-c", code]
    return subprocess.run(command, input=stdin, stdout=subprocess.PIPE, cwd=ROOT, text=True, check=True).stdout


# Overrides


@pytest.mark.parametrize("text", ["", "=", "=5", "epochs", "a..b=1", ".a=1", "a.=1", "[0]=1"])
def test_an_override_without_a_key_or_an_equals_sign_is_rejected(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        Override.parse(text)
    assert str(caught.value) == f"--set {text}: expected key.path=value, for example --set training.epochs=5"
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a={", "not valid YAML: expected the node content, but found '<stream end>'"),
        ("a=[1", "not valid YAML: expected ',' or ']', but got '<stream end>'"),
        ("a={b: 1, b: 2}", "given twice, first in line 1"),
        ("a=!!python/name:os.system", "the tag !!python/name:os.system is not allowed here"),
        ("a=\0", "not valid YAML: the character '\\x00' is not allowed"),
        ("a=" + "9" * 5000, f"cannot be read as a number: '{'9' * 37}...'"),
    ],
)
def test_an_override_whose_value_is_not_yaml_is_rejected(text: str, expected: str) -> None:
    with pytest.raises(UsageError) as caught:
        Override.parse(text)
    assert str(caught.value) == f"--set {text}: {expected}"


@pytest.mark.parametrize(
    ("settings", "key", "expected"),
    [
        (["training.epochs=3"], "training.epochs", 3),
        (["training.epochs=3", "training.epochs=4"], "training.epochs", 4),
        (["optimizer.learning_rate=1e-4"], "optimizer.learning_rate", 1e-4),
        (["data.dataset=a=b"], "data.dataset", "a=b"),
        (["data.dataset='1'"], "data.dataset", "1"),
        (['data.dataset="~"'], "data.dataset", "~"),
        (["data.fallback=null"], "data.fallback", None),
        (["data.fallback="], "data.fallback", None),
        (["training.early_stopping.monitor=loss"], "training.early_stopping.monitor", "loss"),
        (["training.early_stopping={monitor: loss}", "training.early_stopping=null"], "training.early_stopping", None),
        (["model.layers[0]=64"], "model.layers.0.units", 64),
        (["model.layers.0.dropout=0.5"], "model.layers.0.dropout", 0.5),
        (["model.layers.0.dropout=0.5"], "model.layers.0.units", 128),
        (["model.layers[2]={units: 16}"], "model.layers.2.units", 16),
        (["model.layers[2].units=16", "model.layers[2].dropout=0.5"], "model.layers.2.dropout", 0.5),
        (["model.layers=[8]"], "model.layers", [{"units": 8}]),
        (["optimizer.momentum=0.9"], "optimizer.momentum", 0.9),
        (["optimizer=adam", "optimizer.beta_1=0.5"], "optimizer.beta_1", 0.5),
    ],
)
def test_an_override_replaces_the_setting_that_it_names(settings: list[str], key: str, expected: Any) -> None:
    text = "data: {fallback: mnist-sample}\nmodel: {layers: [128, {units: 32}]}\noptimizer: sgd"
    values: Any = parse(text, *settings).to_dict()
    for part in yaml_document.parse_path(key):
        values = values[part]
    if isinstance(expected, list):
        values = [{name: value[name] for name in only} for value, only in zip(values, expected, strict=True)]
    assert values == expected


def test_an_override_creates_missing_sections() -> None:
    overrides = ("training.epochs=3", "model.layers[0]=64", "data.dataset=mnist-sample")
    assert parse("{}", *overrides) == parse(
        "data: {dataset: mnist-sample}\nmodel: {layers: [64]}\ntraining: {epochs: 3}"
    )


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ("training.epoch=3", "training.epoch: unknown key (did you mean 'epochs'?)"),
        ("epochs=3", "epochs: unknown key (did you mean 'training.epochs'?)"),
        ("lr=3", "lr: unknown key (did you mean 'optimizer.learning_rate'?)"),
        ("optimizer.lr=3", "optimizer.lr: unknown key (did you mean 'learning_rate'?)"),
        ("training.epochs=ten", "training.epochs: must be a whole number, got 'ten'"),
        ("training.epochs=", "training.epochs: must be a whole number, got nothing"),
        ("seed.x=1", "seed: must be a whole number, got a mapping"),
        ("model.layers[3]=1", "model.layers[3]: model.layers has no entry [1] yet; add that one first"),
        ("model.layers[-1]=1", "model.layers[-1]: unknown key (did you mean 'layers'?)"),
        ("model.layers.units=1", "model.layers.units: model.layers is a list, not a mapping"),
        ("model.layers[0].unit=1", "model.layers[0].unit: unknown key (did you mean 'units'?)"),
        ("optimizer.nesterov=true", "optimizer.nesterov: unknown key"
         f" (allowed: name, learning_rate, {COMMON_ARGUMENTS}, beta_1, beta_2, epsilon, amsgrad)"),
        ("optimizer[0]=1", "optimizer.0: unknown key"
         f" (allowed: name, learning_rate, {COMMON_ARGUMENTS}, beta_1, beta_2, epsilon, amsgrad)"),
    ],
)  # fmt: skip
def test_a_problem_in_an_override_has_the_override_as_its_place(setting: str, expected: str) -> None:
    assert problems("seed: 0\nmodel: {layers: [128]}\noptimizer: adam", setting) == [f"--set {setting} {expected}"]


def test_problems_of_overrides_and_of_the_file_are_listed_together() -> None:
    assert problems("seed: x\nmodel: {layers: [1]}", "model.layers[5]=1", "training.epochs=0") == [
        "--set model.layers[5]=1 model.layers[5]: model.layers has no entry [1] yet; add that one first",
        "--set training.epochs=0 training.epochs: must be at least 1, got 0",
        "a.yaml:1:7 seed: must be a whole number, got 'x'",
    ]


def test_a_short_form_that_an_override_expands_keeps_its_place_in_the_file() -> None:
    assert problems("model: {layers: [0]}", "model.layers[0].dropout=0.1") == [
        "a.yaml:1:18 model.layers[0].units: must be at least 1, got 0"
    ]


def test_an_override_can_correct_a_problem_of_the_file() -> None:
    assert parse("training: {epochs: 0}", "training.epochs=1").training.epochs == 1


@pytest.mark.parametrize("text", ["hello", "[1]"])
def test_an_override_of_a_file_that_is_not_a_mapping_is_reported_beside_it(text: str) -> None:
    found = problems(text, "training.epochs=1")
    assert len(found) == 2
    assert found[1].startswith("a.yaml:1:1 must be a mapping of settings, got ")


def test_a_problem_names_the_option_that_the_user_typed() -> None:
    with pytest.raises(ConfigError) as caught:
        loading.parse("training: {epochs: 5}", "a.yaml", [Override("training.epochs", 0, "--epochs 0")])
    assert (
        str(caught.value) == "the command line has 1 problem\n  --epochs 0  training.epochs: must be at least 1, got 0"
    )


def test_an_override_is_not_changed_by_its_use() -> None:
    overrides = [Override.parse("optimizer={name: sgd}"), Override.parse("optimizer.momentum=0.5")]
    assert loading.parse("{}", "a.yaml", overrides) == loading.parse("{}", "b.yaml", overrides)
    assert overrides[0].value == {"name": "sgd"}
    with pytest.raises(dataclasses.FrozenInstanceError):
        overrides[0].key = "other"  # type: ignore[misc]


# Files


def refusal(name: str) -> str:
    """Return the message with which a config is rejected."""
    with pytest.raises(UsageError) as caught:
        loading.load(name)
    return str(caught.value)


def test_a_file_that_is_not_utf_8_is_rejected(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    for content in (b"seed: \xff", "seed: 1".encode("utf-16"), b"\x80" * 2_000_000):
        path.write_bytes(content)
        assert refusal(str(path)) == f"{path} cannot be read: it is not UTF-8 text"


def test_a_binary_file_is_rejected(tmp_path: Path) -> None:
    path = tmp_path / "model.keras"
    path.write_bytes(b"PK\x03\x04\x00\x00")
    expected = f"  {path}:1:3  not valid YAML: the character '\\x03' is not allowed"
    assert refusal(str(path)) == f"{path} has 1 problem\n{expected}"


def test_a_file_that_is_too_long_is_rejected(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("seed: 1\n" * 250_000)
    assert refusal(str(path)) == f"{path} has 1 problem\n  {path}  longer than 100,000 characters"


def test_a_file_without_read_permission_is_rejected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> Any:
        raise PermissionError(13, "Permission denied")

    path = tmp_path / "a.yaml"
    path.touch()
    monkeypatch.setattr(Path, "open", refuse)
    assert refusal(str(path)) == f"{path} cannot be read: Permission denied"


def test_an_empty_file_is_rejected_even_with_overrides(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("# cut off\n")
    with pytest.raises(ConfigError) as caught:
        loading.load(str(path), [Override.parse("training.epochs=3")])
    message = "there are no settings; if all defaults are meant, write {}"
    assert str(caught.value) == f"{path} has 1 problem\n  {path}  {message}"


@pytest.mark.parametrize(
    ("name", "hint"), [("mnits", " (did you mean 'mnist'?)"), ("MNIST", " (did you mean 'mnist'?)"), ("zebra", "")]
)
def test_an_unknown_dataset_is_rejected_with_its_place(name: str, hint: str, tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(f"seed: 1\ndata:\n  dataset: {name}\n")
    known = ", ".join(loading.DATASETS)
    message = f"data.dataset: must be one of {known}, or a path, got '{name}'{hint}"
    assert refusal(str(path)) == f"{path} has 1 problem\n  {path}:3:12  {message}"
    with pytest.raises(ConfigError, match="^config has 1 problem\n  config  data.dataset: must be one of "):
        loading.from_values({"data": {"dataset": name}})
    assert loading.load(str(path), of_run=True).data.dataset == name


@pytest.mark.parametrize("name", [*loading.DATASETS, "mine.npz", "~/mine", "some/where", "folder"])
def test_a_dataset_may_be_a_known_name_a_path_or_something_that_exists(name: str, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    assert loading.from_values({"data": {"dataset": name}}).data.dataset == name


def test_the_names_of_datasets_are_those_that_the_data_package_knows() -> None:
    assert tuple(KNOWN_DATASETS) == loading.DATASETS


def test_a_name_that_is_too_long_for_a_file_is_rejected() -> None:
    assert refusal("x" * 5000) == f"{'x' * 5000} cannot be read: File name too long"


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("nowhere/there.yaml", ""),
        ("smok", " (did you mean 'smoke'?)"),
        ("mnist.yaml", " (did you mean 'mnist'?)"),
        ("nowhere/mnst.yaml", " (did you mean 'mnist'?)"),
        ("MNIST", " (did you mean 'mnist'?)"),
        ("a\0b", ""),
    ],
)
def test_a_missing_file_is_reported_with_a_suggestion_and_the_shipped_configs(
    name: str, hint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert refusal(name) == f"there is no config file {name}{hint}; shipped configs: " + ", ".join(loading.SHIPPED)


def test_a_folder_is_rejected(tmp_path: Path) -> None:
    assert refusal(str(tmp_path)) == f"{tmp_path} is a folder, not a config file"


def test_a_file_has_priority_over_a_shipped_name_and_that_over_a_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert loading.find("mnist") == loading.shipped_folder() / "mnist.yaml"
    (tmp_path / "mnist").mkdir()
    assert loading.find("mnist") == loading.shipped_folder() / "mnist.yaml"
    (tmp_path / "smoke").write_text("seed: 9")
    assert loading.load("smoke").seed == 9


@pytest.mark.skipif(os.name != "posix", reason="needs /dev/stdin")
def test_a_config_can_be_read_from_a_pipe() -> None:
    code = "import sys; from dnn_cli.config import loading; print(loading.load('/dev/stdin').seed)"
    assert printed(code, "seed: 9") == "9\n"


def test_overrides_apply_to_a_loaded_file(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("training: {epochs: 5}")
    assert loading.load(str(path), [Override.parse("seed=3")]) == parse("seed: 3\ntraining: {epochs: 5}")


def test_reading_a_config_imports_nothing_heavy() -> None:
    code = (
        "import sys; from dnn_cli.config import loading, schema; loading.load('mnist'); schema.json_schema();"
        "heavy = {'tensorflow', 'keras', 'numpy', 'matplotlib', 'click', 'rich'};"
        "print(sorted(heavy & {name.split('.')[0] for name in sys.modules}))"
    )
    assert printed(code) == "[]\n"


# Shipped configs


def test_the_list_of_shipped_configs_is_complete() -> None:
    assert loading.shipped_folder() == SHIPPED
    assert sorted(path.stem for path in SHIPPED.glob("*.yaml")) == sorted(loading.SHIPPED)


@pytest.mark.parametrize("name", loading.SHIPPED)
def test_a_shipped_config_is_valid_and_begins_with_a_comment(name: str) -> None:
    assert loading.load(name) == loading.load(str(SHIPPED / f"{name}.yaml"))
    assert (SHIPPED / f"{name}.yaml").read_text().startswith("# ")


def test_mnist_is_the_textbook_network() -> None:
    read = loading.load("mnist")
    assert read == parse("data: {fallback: mnist-sample}\nmodel: {layers: [128]}")
