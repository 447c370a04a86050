"""Test the start from trained weights: which layers are loaded, frozen or new, and what is rejected."""

import json
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from dnn_cli.config import loading
from dnn_cli.config.schema import Config
from dnn_cli.data.datasets import Split
from dnn_cli.engines.keras import build as keras_build
from dnn_cli.engines.network_spec import network_spec
from dnn_cli.errors import RunError, UsageError
from dnn_cli.training import transfer
from dnn_cli.training.transfer import TransferPlan
from tests.conftest import Answer, assert_same_bits
from tests.shared_runs import SharedRuns

Dnn = Callable[..., Answer]

BLOCKS = "[{units: 16, batch_normalization: true, dropout: 0.1}, 8]"
LAYERS = ("dense_1", "batch_normalization_1", "dense_2")


@pytest.fixture
def donor(shared_runs: SharedRuns) -> Path:
    """Return a run of two epochs on the digits 0 to 4, which tests must not change."""
    settings = (f"model.layers={BLOCKS}", "data.classes=[0, 1, 2, 3, 4]", "training.epochs=2")
    options = [option for setting in settings for option in ("--set", setting)]
    return shared_runs.path("smoke", *options)


@pytest.fixture
def few_digits(donor: Path, tmp_path: Path) -> Path:
    """Write a config that starts from the run, with 12 images of each of 5 to 9 and all that could break resumption."""
    path = tmp_path / "few.yaml"
    path.write_text(f"""
seed: 3
data: {{dataset: mnist-sample, classes: [5, 6, 7, 8, 9], images_per_class: 12, validation: 10}}
model: {{layers: {BLOCKS}, init_from: {donor}, freeze: [0], learning_rate_factor: 0.3}}
optimizer: {{name: adamw, learning_rate: 0.01, weight_decay: 0.1, use_ema: true}}
training: {{epochs: 3, batch_size: 16, jit_compile: false}}
""")
    return path


def best(run: str | Path) -> Path:
    return Path(run, "checkpoints/best.keras")


def last(run: str | Path) -> Path:
    return Path(run, "checkpoints/last.keras")


def layer_weights(file: Path) -> dict[str, list[Any]]:
    """Return the weights of each layer of a `.keras` file."""
    return {layer.name: layer.get_weights() for layer in keras.models.load_model(file, compile=False).layers}


def same(one: list[Any], other: list[Any]) -> bool:
    return all(mine.tobytes() == its.tobytes() for mine, its in zip(one, other, strict=True))


def environment(run: str | Path) -> Any:
    return json.loads(Path(run, "environment.json").read_text())


def saved(path: Path, *layers: Any, image: tuple[int, ...] = (28, 28)) -> Path:
    keras.Sequential([keras.Input(image), keras.layers.Flatten(), *layers]).save(path)
    return path


def planned(text: str, dataset: str = "mnist-sample") -> TransferPlan:
    """Return the transfer plan of the config `text`."""
    config = loading.parse(text, "test")
    assert config.model.init_from
    source = transfer.read_source(config.model.init_from)
    return transfer.plan_transfer(source, config, network_spec(config, (28, 28), 10), dataset)


def build(config: Config) -> keras.Sequential:
    return keras_build.build(network_spec(config, (28, 28), 10), config)


def rejection(text: str) -> str:
    with pytest.raises(UsageError) as caught:
        planned(text)
    return str(caught.value)


# Loaded, frozen and new layers


def test_the_transfer_is_printed_and_recorded(dnn: Dnn, donor: Path, few_digits: Path) -> None:
    answer = dnn("train", "-c", few_digits, "--run-dir", "run")
    assert answer.code == 0
    first, *epochs = answer.stderr.splitlines()
    assert first == (
        f"started from {best(donor)}: frozen dense_1, batch_normalization_1; loaded dense_2; "
        "new output (for other classes)"
    )
    assert len(epochs) == 3
    assert "mnist-sample, classes 5 6 7 8 9, 50 training images\n" in answer.stdout
    recorded = environment("run")
    assert recorded["transfer"] == {
        "file": str(best(donor)),
        "sha256": json.loads((donor / "state.json").read_text())["last"]["best"]["sha256"],
        "layers": {"dense_1": "frozen", "batch_normalization_1": "frozen", "dense_2": "loaded", "output": "new"},
        "reason": "for other classes",
    }
    whole = environment(donor)["dataset"]
    assert recorded["dataset"]["fingerprint"] == whole["fingerprint"]
    assert (recorded["dataset"]["training_images"], recorded["dataset"]["validation_images"]) == (50, 10)
    assert recorded["dataset"]["selected_classes"] == [5, 6, 7, 8, 9]
    assert (whole["training_images"], environment(donor)["transfer"]) == (2000, None)


@pytest.mark.parametrize(
    "changes",
    [
        (),
        (
            "model.layers=[{units: 16, batch_normalization: true, max_norm: 0.1, l1: 0.1}, {units: 8, l2: 1}]",
            "optimizer={name: sgd, learning_rate: 0.1, momentum: 0.9, weight_decay: 0.5, use_ema: true}",
            "training.batch_size=50",
            "model.learning_rate_factor=1",
        ),
    ],
)
def test_frozen_layers_keep_every_bit_and_the_others_are_trained(
    changes: tuple[str, ...], dnn: Dnn, donor: Path, few_digits: Path
) -> None:
    options = [option for change in ("model.freeze=[0]", *changes) for option in ("--set", change)]
    answer = dnn("train", "-c", few_digits, "--run-dir", "run", "-q", *options)
    assert (answer.code, answer.stderr) == (0, "")
    before, after = layer_weights(best(donor)), layer_weights(last("run"))
    for name in ("dense_1", "batch_normalization_1"):
        assert same(before[name], after[name])
    for name in ("dense_2", "output"):
        assert not same(before[name], after[name])
    assert not keras.models.load_model(last("run"), compile=False).get_layer("dense_1").trainable


def test_loaded_layers_start_with_the_weights_of_the_file_and_new_ones_from_the_seed(
    donor: Path, few_digits: Path
) -> None:
    config = loading.load(str(few_digits))
    network, fresh = (build(config) for _ in range(2))
    planned(few_digits.read_text()).load_into(network)
    before = layer_weights(best(donor))
    for name in LAYERS:
        assert same(network.get_layer(name).get_weights(), before[name])
    assert same(network.get_layer("output").get_weights(), fresh.get_layer("output").get_weights())
    assert int(network.optimizer.iterations) == 0


@pytest.mark.parametrize(
    ("settings", "dataset", "head", "reason"),
    [
        ("data: {classes: [4, 3, 2, 1, 0]}", "mnist-sample", "loaded", ""),
        ("data: {classes: [0, 1, 2, 3, 4]}", "mnist", "loaded", ""),
        ("data: {classes: [0, 1, 2, 3, 4]}", "/mine.npz", "loaded", ""),
        ("data: {classes: [0, 1, 2, 3, 4]}", "fashion_mnist", "new", "for other classes"),
        ("data: {classes: [0, 1, 2, 3]}", "mnist-sample", "new", "for other classes"),
        ("", "mnist-sample", "new", "for other classes"),
    ],
)
def test_the_head_of_a_run_is_loaded_if_its_outputs_have_the_same_meaning(
    settings: str, dataset: str, head: str, reason: str, donor: Path
) -> None:
    plan = planned(f"{settings}\nmodel: {{layers: {BLOCKS}, init_from: {donor}}}", dataset)
    assert (plan.layers["output"], plan.reason) == (head, reason)
    assert {plan.layers[name] for name in LAYERS} == {"loaded"}
    with_head = {"output": 0.5} if head == "loaded" else {}
    assert plan.rate_factors(0.5) == dict.fromkeys(LAYERS, 0.5) | with_head
    assert plan.rate_factors(1) == {}


def test_the_head_of_a_file_is_loaded_if_its_number_of_outputs_fits(donor: Path, tmp_path: Path) -> None:
    plan = planned(f"model: {{layers: {BLOCKS}, init_from: {best(donor)}, freeze: all-but-head}}")
    assert plan.layers == dict.fromkeys(LAYERS, "frozen") | {"output": "loaded"}
    other = saved(tmp_path / "three.keras", keras.layers.Dense(4, "relu"), keras.layers.Dense(3, "softmax"))
    plan = planned(f"model: {{layers: [4], init_from: {other}}}")
    assert (plan.layers, plan.reason) == ({"dense_1": "loaded", "output": "new"}, "of another shape")
    assert plan.describe() == f"started from {other}: loaded dense_1; new output (of another shape)"


def test_additional_blocks_are_new_and_so_is_the_head(dnn: Dnn, donor: Path) -> None:
    more = BLOCKS.replace("]", ", 8]")
    text = f"model: {{layers: {more}, init_from: {best(donor)}, freeze: [1]}}"
    plan = planned(text)
    new = {"dense_3": "new", "output": "new"}
    assert plan.layers == dict.fromkeys(LAYERS, "loaded") | {"dense_2": "frozen"} | new
    assert plan.reason == "on top of new blocks"
    network = build(loading.parse(text, "test"))
    fresh = network.get_layer("dense_3").get_weights()
    plan.load_into(network)
    assert same(network.get_layer("dense_3").get_weights(), fresh)
    assert same(network.get_layer("dense_2").get_weights(), layer_weights(best(donor))["dense_2"])


def test_training_can_start_from_a_file_that_keras_saved(few: Split, tmp_path: Path) -> None:
    layers = keras.layers
    network = [layers.Dropout(0.2), layers.Dense(8), layers.Activation("relu"), layers.Dense(10, "softmax", name="a")]
    file = saved(tmp_path / "stock.keras", *network)
    text = f"model: {{layers: [8], init_from: {file}}}"
    ours = build(loading.parse(text, "test"))
    planned(text).load_into(ours)
    stock = keras.models.load_model(file)
    np.testing.assert_allclose(
        keras_build.predict(ours, few.images), keras_build.predict(stock, few.images), rtol=1e-4, atol=1e-6
    )


def test_a_dry_run_shows_the_transfer_without_tensorflow(dnn: Dnn, donor: Path, few_digits: Path) -> None:
    code = (
        "import sys; from dnn_cli.__main__ import run; code = run(sys.argv[1:]);"
        "print({'tensorflow', 'keras'} & set(sys.modules)); sys.exit(code)"
    )
    command = [sys.executable, "-c", code, "train", "-c", str(few_digits), "--dry-run"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    *_, plan, loaded = done.stdout.splitlines()
    assert plan == planned(few_digits.read_text()).describe()
    assert loaded == "set()"
    shown = json.loads(dnn("train", "-c", few_digits, "--dry-run", "--json").stdout)
    assert shown["transfer"] == planned(few_digits.read_text()).to_dict()
    assert json.loads(dnn("train", "-c", "smoke", "--dry-run", "--json").stdout)["transfer"] is None


# Resumption and repetition


def test_a_transfer_resumes_bit_for_bit_even_if_its_source_was_deleted(
    dnn: Dnn, process: Dnn, donor: Path, few_digits: Path
) -> None:
    shutil.copytree(donor, "moved")
    here = ("--set", "model.init_from=moved", "--set", "training.jit_compile=true")
    dnn("train", "-c", few_digits, *here, "--run-dir", "straight", "--epochs", 4)
    dnn("train", "-c", few_digits, *here, "--run-dir", "begun", "--epochs", 2)
    assert dnn("train", "-c", "begun/config.yaml", "--run-dir", "again").code == 0
    assert_same_bits(last("begun"), last("again"))

    shutil.rmtree("moved")
    answer = process("train", "--resume", "begun", "--epochs", 4)
    assert answer.code == 0, answer
    assert [line[:9] for line in answer.stderr.splitlines()] == ["epoch 3/4", "epoch 4/4"]
    assert_same_bits(last("straight"), last("begun"))
    assert_same_bits(best("straight"), best("begun"))
    origin = Path("moved").absolute()
    assert dnn("train", "-c", "begun/config.yaml") == Answer(
        2, "", f"error: model.init_from: there is no run or .keras file {origin}\n"
    )


def test_a_run_stopped_before_its_first_epoch_needs_the_unchanged_source(
    dnn: Dnn, donor: Path, few_digits: Path
) -> None:
    shutil.copytree(donor, "moved")
    here = ("--set", "model.init_from=moved")
    dnn("train", "-c", few_digits, *here, "--run-dir", "straight")
    for name in ("early", "changed"):
        Path(name, "checkpoints").mkdir(parents=True)
        for file in ("config.yaml", "environment.json"):
            shutil.copy(Path("straight", file), name)
    assert dnn("train", "--resume", "early").code == 0
    assert_same_bits(last("straight"), last("early"))

    shutil.copyfile(last("straight"), best("moved"))
    answer = dnn("train", "--resume", "changed")
    origin = best(Path("moved").absolute())
    assert answer == Answer(
        1, "", f"error: {origin} has changed since this run was started; restore it, or start a new run from it\n"
    )


def test_a_damaged_record_of_a_transfer_is_reported(dnn: Dnn, few_digits: Path) -> None:
    dnn("train", "-c", few_digits, "--run-dir", "run", "--epochs", 1)
    recorded = environment("run")
    for damaged, problem in (
        ("x", "transfer: should be a JSON object"),
        ({"file": "x"}, "transfer.sha256: field required"),
        (recorded["transfer"] | {"layers": []}, "transfer.layers: should be a valid dictionary"),
    ):
        Path("run/environment.json").write_text(json.dumps(recorded | {"transfer": damaged}))
        answer = dnn("train", "--resume", "run")
        assert answer == Answer(1, "", f"error: run/environment.json is damaged: {problem}\n")


def test_the_learning_rate_factor_applies_to_loaded_layers_only(dnn: Dnn, donor: Path, few_digits: Path) -> None:
    """Compare one step of plain SGD, in which the gradients do not depend on the factor."""
    once = ("optimizer={name: sgd, learning_rate: 0.5}", "training={epochs: 1, batch_size: 50}", "model.freeze=[]")
    options = [option for setting in once for option in ("--set", setting)]
    after = {}
    for factor in (1, 0.25):
        run = f"run-{factor}"
        settings = ("--set", f"model.learning_rate_factor={factor}", "--set", f"model.layers={BLOCKS}")
        assert dnn("train", "-c", few_digits, "--run-dir", run, *options, *settings).code == 0
        after[factor] = layer_weights(last(run))
    before = layer_weights(best(donor))
    for name in ("dense_1", "dense_2"):
        far, near = (after[factor][name][0] - before[name][0] for factor in (1, 0.25))
        np.testing.assert_allclose(near, far / 4, rtol=1e-3, atol=1e-6)
    np.testing.assert_allclose(after[1]["output"][0], after[0.25]["output"][0], rtol=1e-5, atol=1e-6)


# Rejected sources


def test_blocks_that_do_not_fit_are_reported_with_both_shapes(donor: Path) -> None:
    assert rejection(f"model: {{layers: [32, {{units: 9, use_bias: false}}], init_from: {donor}}}").splitlines() == [
        f"model.init_from: {best(donor)} does not fit model.layers",
        "  model.layers[0]: dense_1 has kernel 784×32, bias 32; in the file: "
        "kernel 784×16, bias 16, gamma 16, beta 16, moving_mean 16, moving_variance 16",
        "  model.layers[1]: dense_2 has kernel 32×9; in the file: kernel 16×8, bias 8",
    ]


def test_omitted_blocks_and_frozen_new_blocks_are_rejected(donor: Path) -> None:
    assert rejection(f"model: {{layers: [16], init_from: {donor}}}") == (
        f"model.init_from: {best(donor)} has 2 hidden blocks, but model.layers has 1 hidden block; "
        "model.layers must start with all blocks of the file, and may add more"
    )
    for freeze in ("[0, 2]", "all-but-head"):
        more = BLOCKS.replace("]", ", 8]")
        assert rejection(f"model: {{layers: {more}, init_from: {donor}, freeze: {freeze}}}") == (
            f"model.freeze: {best(donor)} has 2 hidden blocks, so model.layers[2] is new; "
            "only layers with trained weights can be frozen"
        )


def test_networks_of_another_kind_are_rejected(tmp_path: Path) -> None:
    layers = keras.layers
    conv = keras.Sequential([keras.Input((8, 8, 1)), layers.Conv2D(2, 3), layers.Flatten(), layers.Dense(10)])
    conv.save(tmp_path / "conv.keras")
    image = keras.Input((8, 8))
    keras.Model(image, layers.Dense(10)(layers.Flatten()(image))).save(tmp_path / "functional.keras")
    saved(tmp_path / "normal.keras", layers.BatchNormalization(), layers.Dense(10))
    saved(tmp_path / "flat.keras")
    unsupported = "has an unsupported layer:"
    for name, expected in (
        ("conv", f"{unsupported} Conv2D (supported: Flatten, Dense, BatchNormalization, Activation, Dropout)"),
        ("normal", f"{unsupported} BatchNormalization before the first Dense"),
        ("functional", "is a Functional model, not a Sequential one"),
        ("flat", "has no Dense layer"),
    ):
        file = tmp_path / f"{name}.keras"
        assert rejection(f"model: {{init_from: {file}}}") == f"model.init_from: {file} {expected}"


def rewritten(file: Path, change: Callable[[Any], Any], target: Path) -> Path:
    """Write a copy of `file` with another description."""
    with zipfile.ZipFile(file) as archive, zipfile.ZipFile(target, "w") as copy:
        for name in archive.namelist():
            content = archive.read(name)
            copy.writestr(name, change(content) if name == "config.json" else content)
    return target


def test_wrong_and_invalid_descriptions_are_rejected(tmp_path: Path) -> None:
    file = saved(tmp_path / "one.keras", keras.layers.Dense(8), keras.layers.Dense(10))
    text = "model: {layers: [LENGTH], init_from: lying.keras}"
    rewritten(file, lambda content: content.replace(b'"units": 8', b'"units": 9'), tmp_path / "lying.keras")
    config = loading.parse(text.replace("LENGTH", "9"), "test")
    with pytest.raises(RunError, match=r"lying\.keras cannot be loaded by Keras: "):
        planned(text.replace("LENGTH", "9")).load_into(build(config))

    rewritten(file, lambda content: content.replace(b'"units": 10', b'"units": 99999999'), tmp_path / "huge.keras")
    assert rejection("model: {layers: [8], init_from: huge.keras}") == (
        f"model.init_from: {tmp_path}/huge.keras has more than the 200,000,000 parameters allowed"
    )
    for number, content in enumerate((b"", b"[]", b"{}", b"[" * 100_000, b'{"class_name": "Sequential", "config": 1}')):
        other = rewritten(file, lambda _, content=content: content, tmp_path / f"{number}.keras")  # type: ignore[misc]
        with pytest.raises(
            RunError, match=rf"{number}\.keras is damaged: its config\.json does not describe a network \("
        ):
            transfer.read_source(str(other))


def test_missing_and_damaged_sources_are_rejected(dnn: Dnn, donor: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken.keras").write_bytes(best(donor).read_bytes()[:5000])
    for name, code, expected in (
        ("nowhere", 2, f"model.init_from: there is no run or .keras file {tmp_path}/nowhere"),
        ("empty", 2, f"{tmp_path}/empty is not a run: it has no config.yaml"),
        ("broken.keras", 1, f"{tmp_path}/broken.keras is damaged or not a Keras model: File is not a zip file"),
        ("x" * 300, 2, f"model.init_from: {tmp_path}/{'x' * 300} cannot be read: File name too long"),
    ):
        for dry in ((), ("--dry-run",)):
            answer = dnn("train", "-c", "smoke", "--set", f"model.init_from={name}", *dry)
            assert answer == Answer(code, "", f"error: {expected}\n")
    assert not Path("runs").exists()


def test_no_training_of_a_series_starts_if_one_source_does_not_fit(dnn: Dnn, few_digits: Path) -> None:
    answer = dnn("train", "-c", "smoke", "-c", few_digits, "--set", "model.layers=[16]")
    assert answer.code == 2
    assert answer.stderr.startswith(f"error: {few_digits}: model.init_from: ")
    assert not Path("runs").exists()


def test_missing_classes_are_rejected(dnn: Dnn) -> None:
    wrong = ("--set", "data.classes=[3, 12]")
    expected = "error: data.classes: there are no training images of 12; the labels are 0, 1, 2, 3, 4, 5, 6, 7, 8, 9\n"
    for dry in ((), ("--dry-run",)):
        assert dnn("train", "-c", "smoke", *wrong, *dry) == Answer(1, "", expected)
    answer = dnn("train", "-c", "smoke", "--set", "data.images_per_class=401")
    counts = ", ".join(f"400 of {label}" for label in range(10))
    assert answer == Answer(
        1, "", f"error: data.images_per_class: 401 images of each class are wanted; there are {counts}\n"
    )


# The shipped configs


@pytest.mark.long
def test_transfer_between_the_shipped_configs_improves_accuracy(dnn: Dnn, mnist_folder: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("DNN_DATA_DIR", str(mnist_folder))
    assert dnn("train", "-c", "zero-to-four", "--epochs", 5).code == 0
    scratch = ("--set", "model.init_from=null", "--set", "model.learning_rate_factor=1")
    seeds = [word for seed in (0, 1, 2) for word in ("--seed", seed)]
    means = []
    for options in ((), scratch):
        trained = json.loads(dnn("train", "-c", "five-to-nine", "--quiet", "--json", *seeds, *options).stdout)
        scores = [json.loads(dnn("evaluate", run["run"], "--json").stdout) for run in trained]
        means.append(np.mean([metrics["accuracy"] for metrics in scores]))
    transferred, alone = means
    assert transferred > alone + 0.01, means
