"""Test exports: every network that dnn builds, in every format, is run by the program that will read it."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from dnn_cli.config import loading
from dnn_cli.config.schema import Config
from dnn_cli.data.pixels import to_unit_range
from dnn_cli.engines.keras import build as keras_build
from dnn_cli.engines.network_spec import network_spec
from dnn_cli.engines.numpy import build
from dnn_cli.engines.numpy.activations import FUNCTIONS
from dnn_cli.engines.numpy.keras_format import NumpyCheckpointWriter
from dnn_cli.engines.numpy.regularization import BatchNormalization
from dnn_cli.errors import UsageError
from dnn_cli.evaluation import model_source
from dnn_cli.exporting import javascript, litert, onnx_file, plain_network
from dnn_cli.exporting.contract import Contract, Input
from dnn_cli.exporting.formats import FORMATS, FormatName
from tests.conftest import PATIENCE, ROOT, Answer
from tests.shared_runs import SharedRuns

Dnn = Callable[..., Answer]
NODE = shutil.which("node")
CONFIG = """
engine: numpy
data: {dataset: mnist-sample, validation: 500}
model: {layers: [8]}
training: {epochs: 2, batch_size: 100}
"""
NAMES = sorted(FUNCTIONS)


# Three activations in a network, one of them behind batch normalization.
def described(names: list[str]) -> str:
    """Return hidden layers with these activations as YAML."""
    blocks = (
        f"{{units: {5 + place}, activation: {name}, batch_normalization: {str(place == 1).lower()}}}"
        for place, name in enumerate(names)
    )
    return f"[{', '.join(blocks)}]"


LAYERS = {"+".join(NAMES[start : start + 3]): described(NAMES[start : start + 3]) for start in range(0, len(NAMES), 3)}
LAYERS |= {
    "none": "[]",
    "no bias": "[{units: 7, use_bias: false, dropout: 0.5}, {units: 6, use_bias: false, batch_normalization: true}]",
}
SHAPES: dict[str, tuple[tuple[int, ...], int]] = {
    "grey": ((5, 4), 3),
    "rgb": ((4, 3, 3), 3),
    "two classes": ((5, 4), 2),
    "1,000 classes": ((5, 4), 1000),
}
CASES = [(layers, "grey") for layers in LAYERS] + [("none", shape) for shape in SHAPES if shape != "grey"]


def saved(config: Config, shape: tuple[int, ...], classes: int, path: Path, engine: str = "numpy") -> Path:
    """Write a network with random weights, biases and running statistics, as one of the engines saves it."""
    config = config.model_copy(update={"optimizer": Config().optimizer})  # a schedule would need a number of steps
    spec = network_spec(config, shape, classes)
    random = np.random.default_rng(7)
    if engine == "keras":
        model = keras_build.build(spec, config)
        for weights in model.weights:
            weights.assign(np.abs(weights.numpy()) + random.uniform(0.1, 0.5, weights.shape))
        model.save(path)
        return path
    network = build.build(spec, rows=1)
    network.parameters += random.normal(0, 0.3, network.parameters.shape).astype(np.float32)
    for layer in network.layers:
        if isinstance(layer, BatchNormalization):
            layer.moving_mean[:] = random.normal(0, 1, layer.moving_mean.shape)
            layer.moving_variance[:] = random.uniform(0.2, 3, layer.moving_variance.shape)
    optimizer = build.optimizer(config.optimizer)
    optimizer.build(network.parameters)
    writer = NumpyCheckpointWriter(config, spec, network, optimizer)
    writer.write(writer.snapshot(), path)
    return path


def contract(network: plain_network.PlainNetwork, kind: Input = "uint8") -> Contract:
    classes = tuple(f"class {number}" for number in range(network.classes))
    return Contract("net", "0", "digest", kind, network.image_shape, classes, "data", 1.0)


def deviation(name: FormatName, file: Path, folder: Path, kind: Input) -> float:
    """Export a network and return the largest difference of a probability, for random images."""
    network = plain_network.load(file)
    folder.mkdir()
    FORMATS[name].writer()(network, contract(network, kind), folder)
    images = np.random.default_rng(3).integers(0, 256, (9, *network.image_shape), dtype=np.uint8)
    expected = model_source.probabilities(file, images)
    given = images if kind == "uint8" else to_unit_range(images)
    runtime = FORMATS[name].open(folder)
    found = runtime.predict(given)
    assert found.shape == (9, network.classes)
    np.testing.assert_array_equal(runtime.predict(given[:1]).argmax(), found[0].argmax())  # any size of a batch
    return float(np.abs(found - expected).max())


@pytest.mark.parametrize("name", FORMATS)
def test_every_network_that_dnn_builds_answers_the_same(name: FormatName, tmp_path: Path) -> None:
    if name == "javascript" and NODE is None:
        pytest.skip("needs Node")
    for number, (layers, shape) in enumerate(CASES):
        config = loading.parse(f"engine: numpy\nmodel: {{layers: {LAYERS[layers]}}}", "test")
        file = saved(config, *SHAPES[shape], tmp_path / f"{number}.keras")
        kind: Input = "float" if number % 3 == 1 else "uint8"
        assert deviation(name, file, tmp_path / str(number), kind) < 5e-6, (layers, shape)


@pytest.mark.parametrize("name", FORMATS)
def test_the_files_of_keras_are_exported_too(name: FormatName, tmp_path: Path) -> None:
    if name == "javascript" and NODE is None:
        pytest.skip("needs Node")
    layers = "[{units: 6, batch_normalization: true, activation: tanh, dropout: 0.1}, {units: 5, use_bias: false}]"
    config = loading.parse(f"model: {{input_dropout: 0.1, layers: {layers}}}", "test")
    file = saved(config, (5, 4), 3, tmp_path / "net.keras", "keras")
    assert deviation(name, file, tmp_path / "out", "uint8") < 5e-6


def test_every_shipped_config_is_exported(tmp_path: Path) -> None:
    for name in loading.SHIPPED:
        config = loading.load(name)
        engine = "numpy" if config.engine == "numpy" else "keras"
        file = saved(config, (28, 28), 10, tmp_path / f"{name}.keras", engine)
        assert deviation("onnx", file, tmp_path / name, "uint8") < 1e-5, name


@pytest.mark.parametrize("quantization", ["float16", "dynamic", "int8"])
def test_quantized_networks_are_smaller_and_nearly_equal(quantization: Any, tmp_path: Path, sample: Any) -> None:
    config = loading.parse("engine: numpy\nmodel: {layers: [64]}", "test")
    network = plain_network.load(saved(config, (28, 28), 10, tmp_path / "net.keras"))
    images, sizes, answers = sample.images[:200], [], []
    for each in ("none", quantization):
        folder = tmp_path / each
        folder.mkdir()
        litert.write(network, contract(network), folder, each, images)
        sizes.append((folder / litert.FILE).stat().st_size)
        answers.append(litert.Runtime(folder).predict(images))
    assert sizes[1] < sizes[0] * (0.55 if quantization == "float16" else 0.35)
    assert np.abs(answers[0] - answers[1]).max() < {"float16": 5e-3, "dynamic": 0.05, "int8": 0.25}[quantization]
    assert answers[1].dtype == np.float32


def test_calibrated_probabilities_are_exported(tmp_path: Path) -> None:
    file = saved(loading.parse("engine: numpy", "test"), (5, 4), 3, tmp_path / "net.keras")
    network = plain_network.load(file, temperature=2.0)
    onnx_file.write(network, contract(network), tmp_path)
    images = np.random.default_rng(3).integers(0, 256, (9, 5, 4), dtype=np.uint8)
    own = model_source.probabilities(file, images).astype(np.float64)
    expected = np.sqrt(own) / np.sqrt(own).sum(axis=1, keepdims=True)  # half of the logits
    np.testing.assert_allclose(onnx_file.Runtime(tmp_path).predict(images), expected, atol=1e-6)


def test_a_class_name_cannot_leave_the_script_of_a_page(tmp_path: Path) -> None:
    network = plain_network.load(saved(loading.parse("engine: numpy", "test"), (5, 4), 2, tmp_path / "net.keras"))
    hostile = Contract("</script><script>x", "0", "digest", "uint8", (5, 4), ("</script>", "a\u2028b"), "data", 1.0)
    text = javascript.source(network, hostile)
    assert "</" not in text
    assert text.isascii()
    (tmp_path / javascript.FILE).write_text(text)
    if NODE is not None:
        program = f"console.log(JSON.stringify(require({json.dumps(str(tmp_path / javascript.FILE))}).classes))"
        done = subprocess.run([NODE, "-e", program], capture_output=True, text=True, check=True)
        assert json.loads(done.stdout) == ["</script>", "a\u2028b"]


# The command


@pytest.fixture
def run(shared_runs: SharedRuns) -> Path:
    """Copy a run of two epochs."""
    return shared_runs.copy("runs/net-1", CONFIG)


def front_matter(card: str) -> Any:
    return yaml.safe_load(card.split("---\n")[1])


def test_an_export_is_proved_and_recorded(run: Path, dnn: Dnn) -> None:
    answer = dnn("export", "--to", "onnx", "--license", "mit")
    assert (answer.code, answer.stderr) == (0, "")
    lines = dict(line.split("  ", 1) for line in answer.stdout.splitlines())
    assert lines["export"].strip() == "runs/net-1/exports/onnx"
    assert lines["run by"].strip() == "onnxruntime, 1,000 test images"
    assert lines["changed answers"].strip() == "0"
    folder = run / "exports/onnx"
    assert {path.name for path in folder.iterdir()} == {"model.onnx", "export.json", "README.md"}
    record = json.loads((folder / "export.json").read_text())
    assert record["proof"]["largest_difference"] < record["tolerance"] == 1e-5
    assert record["files"] == {"model.onnx": (folder / "model.onnx").stat().st_size}
    import onnx

    properties = {each.key: each.value for each in onnx.load(folder / "model.onnx").metadata_props}
    assert properties["checkpoint"] == json.loads((run / "state.json").read_text())["last"]["best"]["sha256"]
    assert json.loads(properties["classes"]) == list("0123456789")
    card = (folder / "README.md").read_text()
    matter = front_matter(card)
    assert (matter["license"], matter["datasets"]) == ("mit", ["mnist-sample"])
    assert matter["model-index"][0]["results"][0]["metrics"][0]["value"] == record["proof"]["accuracy_before"]
    assert "session = onnxruntime.InferenceSession" in card
    assert "is taken for" in card


def test_the_metadata_of_every_format_names_the_checkpoint(run: Path, dnn: Dnn) -> None:
    formats = [name for name in FORMATS if name != "javascript" or NODE]
    answer = dnn("export", run, *(word for name in formats for word in ("--to", name)), "--json")
    assert answer.code == 0, answer.stderr
    digest = json.loads((run / "state.json").read_text())["last"]["best"]["sha256"].encode()
    for found in json.loads(answer.stdout):
        folder = Path(found["folder"])
        files = [path for path in folder.rglob("*") if path.is_file() and path.name not in ("export.json", "README.md")]
        if found["format"] in ("npz", "keras"):  # compressed, or in an archive
            with np.load(folder / "model.npz") if found["format"] == "npz" else _archive(folder) as file:
                stored = str(file["contract"]).encode() if found["format"] == "npz" else file.read("metadata.json")
            assert digest in stored
        else:
            assert any(digest in path.read_bytes() for path in files), found["format"]


def _archive(folder: Path) -> Any:
    import zipfile

    return zipfile.ZipFile(folder / "model.keras")


def test_the_keras_file_and_the_saved_model_need_nothing_of_ours(run: Path, dnn: Dnn, sample: Any) -> None:
    assert dnn("export", run, "--to", "keras", "--to", "saved_model").code == 0
    np.save("images.npy", sample.images[:20])
    code = """
import sys
sys.modules["dnn_cli"] = None
import keras, numpy, tensorflow
images = numpy.load("images.npy")
one = keras.models.load_model("runs/net-1/exports/keras/model.keras").predict(images, verbose=0)
serve = tensorflow.saved_model.load("runs/net-1/exports/saved_model/1").signatures["serving_default"]
two = serve(images=tensorflow.constant(images))["probabilities"].numpy()
assert abs(one - two).max() < 1e-6
print(one.argmax(axis=1).tolist())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    file = run / "checkpoints/best.keras"
    assert json.loads(done.stdout) == model_source.probabilities(file, sample.images[:20]).argmax(axis=1).tolist()


def test_an_exported_keras_file_is_evaluated_like_the_run(run: Path, dnn: Dnn) -> None:
    assert dnn("export", run, "--to", "keras", "--out", "out").code == 0
    whole = json.loads(dnn("evaluate", run, "--json").stdout)
    exported = json.loads(dnn("evaluate", "out/model.keras", "--data", "mnist-sample", "--json").stdout)
    assert exported["accuracy"] == whole["accuracy"]
    assert exported["loss"] == pytest.approx(
        whole["calibrated"]["loss"] if whole["calibrated"] else whole["loss"], rel=1e-4
    )


def test_a_deviation_above_the_tolerance_deletes_the_export(run: Path, dnn: Dnn) -> None:
    answer = dnn("export", "--to", "onnx", "--tolerance", "0")
    assert answer.code == 3
    assert answer.stdout == ""
    assert answer.stderr.startswith("error: onnxruntime answers otherwise than the trained network: a probability ")
    assert answer.stderr.endswith("more than the tolerance of 0; the export was deleted\n")
    assert not list((run / "exports").iterdir())


def test_a_wrong_file_never_passes(run: Path, dnn: Dnn, monkeypatch: pytest.MonkeyPatch) -> None:
    build_model = onnx_file.build

    def wrong(network: Any, described: Any) -> Any:
        model = build_model(network, described)
        del model.graph.node[1]  # the division by 255
        model.graph.node[1].input[0] = model.graph.node[0].output[0]
        return model

    with monkeypatch.context() as patch:
        patch.setattr(onnx_file, "build", wrong)
        assert dnn("export", "--to", "onnx").code == 3
    with monkeypatch.context() as patch:
        patch.setattr(onnx_file.Runtime, "predict", lambda _, images: np.full((len(images), 10), np.nan, np.float32))
        assert dnn("export", "--to", "onnx").code == 3
    assert not list((run / "exports").iterdir())


def test_an_export_replaces_an_export_and_nothing_else(run: Path, dnn: Dnn) -> None:
    assert dnn("export", "--to", "npz").code == 0
    assert dnn("export", "--to", "npz", "--input", "float").code == 0
    assert json.loads((run / "exports/npz/export.json").read_text())["contract"]["input"] == "float"
    Path("mine").mkdir()
    Path("mine/precious").write_text("kept")
    for taken in ("mine", "mine/precious"):
        assert dnn("export", "--to", "npz", "--out", taken) == Answer(
            2, "", f"error: {taken} exists and is no export of dnn; choose another --out\n"
        )
    assert Path("mine/precious").read_text() == "kept"
    assert dnn("export", "--to", "onnx", "--out", "elsewhere").code == 0
    assert Path("elsewhere/model.onnx").is_file()
    assert [path.name for path in (run / "exports/onnx").iterdir()] == ["export.json"]


def test_what_cannot_be_exported_is_an_error(run: Path, dnn: Dnn, monkeypatch: pytest.MonkeyPatch) -> None:
    assert dnn("export", "--to", "onnx", "--quantize", "int8") == Answer(
        2, "", "error: --quantize works with --to litert, not with onnx\n"
    )
    assert dnn("export", "--to", "onnx", "--to", "npz", "--out", "x") == Answer(
        2, "", "error: --out needs a single --to\n"
    )
    assert dnn("export", "nowhere", "--to", "npz").stderr == "error: there is no run or .keras file nowhere\n"
    (run / "checkpoints/best.keras").write_bytes(b"damaged")
    (run / "checkpoints/last.keras").write_bytes(b"damaged")
    assert dnn("export", "--to", "npz").code == 1
    assert not (run / "exports").exists()
    for file in (run / "checkpoints").iterdir():
        file.unlink()
    (run / "state.json").unlink()
    assert "has no checkpoint yet" in dnn("export", "--to", "npz").stderr


@pytest.mark.parametrize(
    ("name", "missing", "message"),
    [
        ("onnx", "onnx", "--to onnx needs onnx, which is not installed: pip install 'dnn-cli[onnx]'"),
        (
            "litert",
            "ai_edge_litert",
            "--to litert without --no-verify needs ai-edge-litert, which is not installed: "
            "pip install 'dnn-cli[litert]'",
        ),
    ],
)
def test_a_missing_package_is_named_with_its_extra(
    name: str, missing: str, message: str, run: Path, dnn: Dnn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dnn_cli.errors.find_spec", lambda name: None if name == missing else find_spec(name))
    assert dnn("export", run, "--to", name) == Answer(2, "", f"error: {message}\n")
    if name == "litert":
        answer = dnn("export", run, "--to", name, "--no-verify")
        assert answer.code == 0
        assert "warning  it was not run, so it may not answer as the trained network" in answer.stdout
        assert "This file was not checked with its runtime." in (run / "exports/litert/README.md").read_text()


def test_a_killed_export_leaves_nothing_half_done(run: Path, dnn: Dnn) -> None:
    """Kill the process while the new export is complete but not in its place; the one before is still there."""
    assert dnn("export", run, "--to", "npz").code == 0
    before = (run / "exports/npz/model.npz").read_bytes()
    code = f"""
import os, signal, sys
sys.path.insert(0, {str(ROOT)!r})
from dnn_cli.exporting import location
location.flush = lambda path: os.kill(os.getpid(), signal.SIGKILL)
from dnn_cli.__main__ import run
run(["export", "runs/net-1", "--to", "npz", "--input", "float"])
"""
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, timeout=PATIENCE)
    assert done.returncode == -signal.SIGKILL
    assert (run / "exports/npz/model.npz").read_bytes() == before
    leftovers = [path for path in (run / "exports").iterdir() if path.name != "npz"]
    assert len(leftovers) == 1
    # Killed between the two renames: the one before was moved away.
    os.rename(run / "exports/npz", run / f"exports/.npz.{_dead_process()}.old")  # noqa: PTH104
    assert dnn("export", run, "--to", "npz").code == 0
    assert [path.name for path in (run / "exports").iterdir()] == ["npz"]


def _dead_process() -> int:
    done = subprocess.Popen([sys.executable, "-c", ""])
    done.wait()
    return done.pid


def test_npz_onnx_and_javascript_need_no_tensorflow(run: Path) -> None:
    formats = ["--to", "npz", "--to", "onnx", *(["--to", "javascript"] if NODE else [])]
    code = f"import sys; from dnn_cli.__main__ import run; code = run(['export', *{formats}]); assert not code"
    code += "; assert not {'tensorflow', 'keras'} & set(sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_file_without_a_run_is_exported_beside_it(run: Path, dnn: Dnn, tmp_path: Path) -> None:
    shutil.copy(run / "checkpoints/best.keras", "alone.keras")
    answer = dnn("export", "alone.keras", "--to", "npz", "--data", "mnist-sample")
    assert answer.code == 0, answer.stderr
    assert Path("alone-npz/model.npz").is_file()
    missing = dnn("export", "alone.keras", "--to", "onnx", "--data", "nowhere.npz")
    assert missing.code == 1
    assert missing.stderr.startswith("error: the export cannot be checked: ")
    assert missing.stderr.endswith("--no-verify exports it nevertheless\n")


def test_python_exports_as_the_command_does(run: Path) -> None:
    import dnn_cli as dnn

    assert dnn.export(run, "npz") == run / "exports/npz"
    with pytest.raises(dnn.GateError):
        dnn.export("runs/net-1", "onnx", tolerance=0)
    with pytest.raises(UsageError):
        dnn.export(run, "npz", quantize="int8")
