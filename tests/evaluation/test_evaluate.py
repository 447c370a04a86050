"""Test `dnn evaluate`: figures that agree with Keras, splits, files that stock Keras wrote, and errors."""

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
import tensorflow as tf

from dnn_cli.data import datasets, selection
from dnn_cli.data.datasets import Split
from dnn_cli.engines import keras_file, network_spec
from dnn_cli.engines.keras import build as keras_build
from dnn_cli.errors import RunError
from tests.conftest import PATIENCE, Answer
from tests.files import write_idx, write_npz
from tests.shared_runs import SharedRuns, forget_digests

Dnn = Callable[..., Answer]
HEAD = ("run", "checkpoint", "epoch", "split", "dataset", "note", "selected_classes", "fingerprint")
FIGURES = (
    "images",
    "loss",
    "accuracy",
    "accuracy_interval",
    "errors",
    "calibration_error",
    "calibration",
    "calibrated",
    "balanced_accuracy",
    "macro_f1",
    "weighted_f1",
    "top_5_accuracy",
    "classes",
    "confusion",
)


@pytest.fixture(autouse=True)
def _only_the_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DNN_DATA_DIR", raising=False)


@pytest.fixture(scope="module")
def trained(shared_runs: SharedRuns, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a run of two epochs with held-out images; tests write only to its evaluation/."""
    folder = tmp_path_factory.mktemp("trained")
    return shared_runs.copy(folder / "run", "smoke", "--set", "data.validation=0.1", "--epochs", 2)


@pytest.fixture
def own_run(trained: Path, tmp_path: Path) -> Path:
    """Return a copy of the run, for tests that change it."""
    return Path(shutil.copytree(trained, tmp_path / "own"))


@pytest.fixture(scope="session")
def tests() -> Split:
    """Return the 1,000 test digits of the sample."""
    return datasets.find("mnist-sample", split="test").load("test")


def best(run: Path) -> Path:
    return run / "checkpoints" / "best.keras"


def figures(answer: Answer) -> Any:
    assert answer.code == 0, answer.stderr
    return json.loads(answer.stdout)


def refusal(answer: Answer, code: int = 1) -> str:
    assert (answer.code, answer.stdout) == (code, "")
    assert answer.stderr.startswith("error: ")
    return answer.stderr.removeprefix("error: ").rstrip()


def network(*layers: Any, image: tuple[int | None, ...] = (28, 28)) -> keras.Sequential:
    return keras.Sequential([keras.Input(image), *layers])


def classifier(*, image: tuple[int, ...] = (28, 28), activation: str | None = "softmax") -> keras.Sequential:
    return network(
        keras.layers.Flatten(name="pixels"), keras.layers.Dense(10, activation=activation, name="guess"), image=image
    )


def saved(network: keras.Model, path: Path) -> Path:
    network.save(path)
    return path


# The figures


def test_evaluate_agrees_with_keras(trained: Path, tests: Split, dnn: Dnn) -> None:
    found = figures(dnn("evaluate", trained, "--json"))
    loss, accuracy = keras.models.load_model(best(trained)).evaluate(tests.images / 255, tests.labels, verbose=0)
    assert found["loss"] == pytest.approx(loss, abs=1e-5)
    assert found["accuracy"] == pytest.approx(accuracy, abs=1e-6)


def test_evaluate_agrees_with_keras_if_the_network_is_far_too_confident(
    trained: Path, tests: Split, tmp_path: Path, dnn: Dnn
) -> None:
    overconfident = keras.models.load_model(best(trained))
    output = overconfident.layers[-1]
    output.set_weights([4 * weight for weight in output.get_weights()])
    loss, _ = overconfident.evaluate(tests.images / 255, tests.labels, verbose=0)
    found = figures(dnn("evaluate", saved(overconfident, tmp_path / "x.keras"), "--data", "mnist-sample", "--json"))
    assert found["loss"] == pytest.approx(loss, rel=1e-5)


def test_every_image_is_evaluated_if_the_number_of_images_is_odd(
    sample: Split, tmp_path: Path, trained: Path, dnn: Dnn
) -> None:
    images, labels = sample.images[:2345], sample.labels[:2345]
    path = write_npz(tmp_path / "odd.npz", x_test=images, y_test=labels)
    found = figures(dnn("evaluate", trained, "--data", path, "--json"))
    assert found["images"] == 2345
    assert [figure["support"] for figure in found["classes"]] == np.bincount(labels).tolist()
    guesses = keras.models.load_model(best(trained)).predict(images / 255, verbose=0).argmax(axis=1)
    assert found["errors"] == int((guesses != labels).sum())


def test_large_images_are_predicted_in_smaller_batches(monkeypatch: pytest.MonkeyPatch, tests: Split) -> None:
    stock = classifier()
    whole = keras_build.predict(stock, tests.images)
    monkeypatch.setattr(network_spec, "PREDICTION_PIXELS", 784 * 7)
    np.testing.assert_allclose(keras_build.predict(stock, tests.images), whole, rtol=1e-5)


def test_stock_keras_without_this_package_computes_the_same_figures(
    trained: Path, tests: Split, tmp_path: Path, dnn: Dnn
) -> None:
    found = figures(dnn("evaluate", trained, "--json"))
    np.savez(tmp_path / "arrays.npz", images=tests.images / np.float32(255), labels=tests.labels)
    # -S leaves out what an editable installation adds to the path.
    code = f"""
import json, sys
sys.path.append({str(Path(tf.__file__).parent.parent)!r})
try:
    import dnn_cli.errors
except ImportError:
    pass
else:
    sys.exit("dnn_cli can be imported: this shows nothing")
import tensorflow as tf, numpy as np
arrays = np.load("arrays.npz")
network = tf.keras.models.load_model({str(best(trained))!r})
print(json.dumps(network.evaluate(arrays["images"], arrays["labels"], verbose=0)))
"""
    command = [sys.executable, "-I", "-S", "-c", code]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=PATIENCE)
    assert done.returncode == 0, done.stderr
    loss, accuracy = json.loads(done.stdout)
    assert round(accuracy * 1000) / 1000 == found["accuracy"]
    assert loss == pytest.approx(found["loss"], abs=1e-5)


# What is printed and saved


def test_json_output_is_complete_and_equals_the_saved_evaluation(trained: Path, tests: Split, dnn: Dnn) -> None:
    answer = dnn("evaluate", trained, "--json")
    found = figures(answer)
    assert tuple(found) == HEAD + FIGURES
    assert (answer.stderr, found["note"], found["split"]) == ("", "", "test")
    assert (found["run"], found["checkpoint"]) == (str(trained), str(best(trained)))
    assert found["epoch"] in (1, 2)
    assert (found["dataset"], found["images"], found["fingerprint"]) == ("mnist-sample", 1000, tests.fingerprint())
    assert found["errors"] == round(1000 * (1 - found["accuracy"]))
    assert found["accuracy_interval"][0] < found["accuracy"] < found["accuracy_interval"][1]
    assert json.loads((trained / "evaluation" / "test.json").read_text()) == found


def test_the_table_shows_the_figures_of_the_json_output(trained: Path, dnn: Dnn) -> None:
    found = figures(dnn("evaluate", trained, "--json"))
    lines = dnn("evaluate", trained).stdout.splitlines()
    (low, high), after = found["accuracy_interval"], found["calibrated"]
    assert lines[0].split() == ["class", "precision", "recall", "F1", "images"]
    zero = found["classes"][0]
    assert lines[1].split() == ["0", *(f"{zero[name]:.4f}" for name in ("precision", "recall", "f1")), "100"]
    matrix = lines.index("actual ╲ predicted" + lines[12].removeprefix("actual ╲ predicted"))
    assert lines[matrix + 1].split() == ["0", *(str(count or "·") for count in found["confusion"][0])]
    assert lines[-9:] == [
        f"checkpoint         {best(trained)} (epoch {found['epoch']})",
        "data               mnist-sample, test split, 1,000 images",
        f"loss               {found['loss']:.4f}",
        f"test accuracy      {found['accuracy']:.4f}, 95 % interval {low:.4f} to {high:.4f}",
        f"errors             {found['errors']}",
        f"balanced accuracy  {found['balanced_accuracy']:.4f}",
        f"macro F1           {found['macro_f1']:.4f}",
        f"weighted F1        {found['weighted_f1']:.4f}",
        f"calibration error  {found['calibration_error']:.4f}, calibrated {after['calibration_error']:.4f} "
        f"(temperature {after['temperature']:.4g})",
    ]


def test_undefined_figures_are_shown_as_dashes(tests: Split, tmp_path: Path, trained: Path, dnn: Dnn) -> None:
    ones = tests.labels == 1
    path = write_npz(tmp_path / "ones.npz", x_test=tests.images[ones], y_test=tests.labels[ones])
    lines = dnn("evaluate", trained, "--data", path).stdout.splitlines()
    assert any(line.split() in (["8", "–", "–", "–", "0"], ["8", "0.0000", "–", "0.0000", "0"]) for line in lines)
    assert lines[2].startswith("1         1.0000  ")


def test_with_many_classes_only_the_most_frequent_errors_are_shown(tests: Split, tmp_path: Path, dnn: Dnn) -> None:
    stock = network(keras.layers.Flatten(), keras.layers.Dense(40, "softmax", kernel_initializer="zeros"))
    lines = dnn("evaluate", saved(stock, tmp_path / "a.keras"), "--data", "mnist-sample").stdout.splitlines()
    start = lines.index("most frequent errors:")
    assert lines[start + 1 : start + 3] == ["actual  predicted  images", "1               0     100"]
    assert lines[start + 11] == ""  # there are no other errors


def test_an_evaluation_that_cannot_be_written_leaves_the_saved_one_unchanged(
    own_run: Path, dnn: Dnn, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = own_run / "evaluation" / "test.json"
    figures(dnn("evaluate", own_run, "--json"))
    before = kept.read_bytes()

    def broken(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", broken)
    answer = dnn("evaluate", own_run, "--json", "--checkpoint", "last")
    assert figures(answer)["epoch"] == 2
    assert answer.stderr == (
        f"warning: the result was not saved: {own_run} cannot be written: No space left on device\n"
    )
    assert kept.read_bytes() == before


def test_min_accuracy_sets_the_exit_code(trained: Path, dnn: Dnn) -> None:
    accuracy = figures(dnn("evaluate", trained, "--json"))["accuracy"]
    assert dnn("evaluate", trained, "--json", "--min-accuracy", accuracy).code == 0
    answer = dnn("evaluate", trained, "--json", "--min-accuracy", "0.999")
    assert answer.code == 3
    assert answer.stderr == f"error: accuracy {accuracy:g} is below --min-accuracy 0.999\n"
    assert json.loads(answer.stdout)["accuracy"] == accuracy
    assert dnn("evaluate", trained, "--min-accuracy", "nan").code == 3
    assert dnn("evaluate", trained, "--min-accuracy", "97").code == 2


# Which split, which data


def test_the_train_and_validation_splits_are_those_of_the_training(trained: Path, sample: Split, dnn: Dnn) -> None:
    rest, held = selection.hold_out(sample, 0.1, 0)
    assert held is not None
    for split, part in (("train", rest), ("validation", held)):
        found = figures(dnn("evaluate", trained, "--json", "--split", split))
        assert (found["split"], found["images"]) == (split, len(part.labels))
        assert found["fingerprint"] == part.fingerprint()
        assert json.loads((trained / "evaluation" / f"{split}.json").read_text()) == found


def test_the_validation_loss_equals_the_one_recorded_by_the_training(trained: Path, dnn: Dnn) -> None:
    state = json.loads((trained / "state.json").read_text())["last"]["best"]
    found = figures(dnn("evaluate", trained, "--json", "--split", "validation"))
    assert (found["epoch"], state["monitor"]) == (state["epoch"], "val_loss")
    assert found["loss"] == pytest.approx(state["value"], abs=1e-5)


def test_the_validation_split_needs_a_run_that_held_images_out(own_run: Path, dnn: Dnn) -> None:
    said = "--split validation needs a RUN and no --data: these images are held out of the run's own data"
    assert refusal(dnn("evaluate", own_run, "--split", "validation", "--data", "mnist-sample"), 2) == said
    assert refusal(dnn("evaluate", best(own_run), "--split", "validation"), 2) == said
    forget_digests(own_run)
    config = own_run / "config.yaml"
    config.write_text(config.read_text().replace("validation: 0.1", "validation: 0"))
    assert refusal(dnn("evaluate", own_run, "--split", "validation"), 2) == (
        f"{own_run} has no validation images: data.validation is 0"
    )


def test_splits_of_changed_data_are_rejected(sample: Split, tmp_path: Path, dnn: Dnn) -> None:
    few = {"x_train": sample.images[:200], "y_train": sample.labels[:200]}
    path, run = write_npz(tmp_path / "own.npz", **few), tmp_path / "run"
    (tmp_path / "own.yaml").write_text(f"data: {{dataset: {path}, validation: 50}}\ntraining: {{epochs: 1}}\n")
    assert dnn("train", "-c", tmp_path / "own.yaml", "-q", "--run-dir", run).code == 0
    assert figures(dnn("evaluate", run, "--split", "validation", "--json"))["images"] == 50
    write_npz(path, x_train=few["x_train"][::-1], y_train=few["y_train"][::-1])
    assert refusal(dnn("evaluate", run, "--split", "validation")) == (
        f"{path} has changed since {run} was trained on it, so its splits cannot be selected again; "
        "restore it, or use --split test"
    )
    assert refusal(dnn("evaluate", run)).startswith(
        f"{path}: there is no array x_test in this file (found: x_train, y_train); "
    )


@pytest.mark.parametrize("form", ["npz", "idx", "idx.gz", "float", "channel"])
def test_user_data_of_every_format_can_be_evaluated(
    form: str, tests: Split, trained: Path, tmp_path: Path, dnn: Dnn
) -> None:
    images, labels = tests.images[:100], tests.labels[:100]
    if form.startswith("idx"):
        path = write_idx(tmp_path / "mine", {"x_test": images, "y_test": labels}, gzipped=form == "idx.gz")
    else:
        stored = {"npz": images, "float": images / np.float32(255), "channel": images[..., None]}[form]
        path = write_npz(tmp_path / "mine.npz", x_test=stored, y_test=labels)
    found = figures(dnn("evaluate", trained, "--data", path, "--json"))
    assert (found["images"], found["dataset"]) == (100, str(path))
    guesses = keras.models.load_model(best(trained)).predict(images / 255, verbose=0).argmax(axis=1)
    assert found["accuracy"] == pytest.approx((guesses == labels).mean())
    assert json.loads((trained / "evaluation" / "mine-test.json").read_text()) == found


def test_data_that_do_not_fit_the_network_are_rejected(tests: Split, trained: Path, tmp_path: Path, dnn: Dnn) -> None:
    small = write_npz(tmp_path / "small.npz", x_test=tests.images[:, ::2, ::2], y_test=tests.labels)
    assert (
        refusal(dnn("evaluate", trained, "--data", small)) == f"the images are 14×14, but {best(trained)} needs 28×28"
    )
    colour = write_npz(tmp_path / "colour.npz", x_test=np.zeros((3, 28, 28, 3), "u1"), y_test=np.arange(3))
    assert refusal(dnn("evaluate", trained, "--data", colour)) == (
        f"the images are 28×28×3, but {best(trained)} needs 28×28"
    )
    eleven = write_npz(tmp_path / "eleven.npz", x_test=tests.images[:11], y_test=np.arange(11))
    assert refusal(dnn("evaluate", trained, "--data", eleven)) == (
        f"the labels go up to 10, but {best(trained)} predicts only the labels 0 to 9"
    )
    assert refusal(dnn("evaluate", trained, "--data", tmp_path / "none.npz")).startswith("there is no dataset '")


def test_the_fallback_dataset_is_named_in_every_output(tmp_path: Path, dnn: Dnn) -> None:
    run = tmp_path / "run"
    assert dnn("train", "-c", "mnist", "--epochs", 1, "-q", "--run-dir", run).code == 0
    answer = dnn("evaluate", run, "--json")
    found = figures(answer)
    assert (found["dataset"], found["images"]) == ("mnist-sample", 1000)
    assert found["note"].startswith("MNIST was neither found nor downloaded (")
    assert found["note"].endswith("the results are not results on MNIST")
    assert answer.stderr == f"warning: {found['note']}\n"
    table = dnn("evaluate", run)
    assert table.stdout.splitlines()[-1] == f"warning            {found['note']}"
    assert table.stderr == answer.stderr


# Which run, which file


def test_a_checkpoint_of_a_run_can_be_selected(trained: Path, dnn: Dnn) -> None:
    last = trained / "checkpoints" / "last.keras"
    found = figures(dnn("evaluate", trained, "--json", "--checkpoint", "last"))
    assert (found["checkpoint"], found["epoch"]) == (str(last), 2)
    by_path = figures(dnn("evaluate", trained, "--json", "--checkpoint", last))
    assert (by_path["checkpoint"], by_path["epoch"], by_path["loss"]) == (str(last), None, found["loss"])


def test_a_keras_file_can_be_evaluated_instead_of_a_run(trained: Path, tmp_path: Path, dnn: Dnn) -> None:
    of_run = figures(dnn("evaluate", trained, "--json"))
    file = Path(shutil.copyfile(best(trained), tmp_path / "plain.keras"))
    found = figures(dnn("evaluate", file, "--json", "--data", "mnist-sample"))
    assert found.pop("calibrated") is None  # the calibration is the run's
    assert {name: found.get(name) for name in FIGURES} == {name: of_run[name] for name in FIGURES} | {
        "calibrated": None
    }
    assert [found[name] for name in HEAD[:3]] == [None, str(file), None]
    everything = figures(dnn("evaluate", file, "--json", "--data", "mnist-sample", "--split", "train"))
    assert everything["images"] == 4000
    assert refusal(dnn("evaluate", file, "--checkpoint", "last"), 2) == (
        f"--checkpoint selects a checkpoint of a run, but {file} is a single file"
    )
    assert refusal(dnn("evaluate", file)).startswith("MNIST was not found\n")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["plain.keras"]


class Own(keras.losses.Loss):  # type: ignore[misc]
    """A loss class that cannot be imported where the file is loaded."""

    def call(self, y_true: Any, y_pred: Any) -> Any:
        return tf.reduce_sum(y_pred, axis=-1)


@pytest.mark.parametrize("kind", ["uncompiled", "own loss", "channel", "row", "functional", "no input", "logits"])
def test_files_written_by_stock_keras_can_be_evaluated(kind: str, tests: Split, tmp_path: Path, dnn: Dnn) -> None:
    shape = {"channel": (28, 28, 1), "row": (784,)}.get(kind, (28, 28))
    stock = classifier(image=shape, activation=None if kind == "logits" else "softmax")
    if kind == "functional":
        images = keras.Input((28, 28), name="picture")
        stock = keras.Model(images, keras.layers.Dense(10, "softmax")(keras.layers.Flatten()(images)))
    elif kind == "no input":
        stock = keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(10, activation="softmax")])
        stock.compile("sgd", "sparse_categorical_crossentropy")
        stock.fit(tests.images[:64] / 255, tests.labels[:64], verbose=0)
    elif kind == "own loss":
        stock.compile("adam", Own())
    answer = dnn("evaluate", saved(stock, tmp_path / "stock.keras"), "--data", "mnist-sample", "--json")
    found = figures(answer)
    guesses = stock.predict(tests.images.reshape(-1, *shape) / 255, verbose=0).argmax(axis=1)
    assert found["images"] == 1000
    assert found["accuracy"] == pytest.approx((guesses == tests.labels).mean())
    note = f"note: {tmp_path}/stock.keras ends without a softmax; its outputs are treated as logits\n"
    assert answer.stderr == (note if kind == "logits" else "")
    assert 1 < found["loss"] < 10


def lambda_layer() -> keras.Model:
    return network(keras.layers.Flatten(), keras.layers.Lambda(lambda x: x * 2), keras.layers.Dense(10, "softmax"))


def two_inputs() -> keras.Model:
    pair = [keras.Input((28, 28)), keras.Input((28, 28))]
    return keras.Model(pair, keras.layers.Dense(10)(keras.layers.Flatten()(keras.layers.Add()(pair))))


def not_finite() -> keras.Model:
    broken = classifier()
    broken.layers[-1].set_weights([np.full((784, 10), np.nan), np.zeros(10)])
    return broken


@pytest.mark.filterwarnings("ignore:The `Lambda` layer:UserWarning")
@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda_layer, " cannot be loaded by Keras: "),
        (lambda: network(keras.layers.Flatten(), keras.layers.Dense(1)), "it maps (None, 28, 28) to (None, 1)"),
        (lambda: network(keras.layers.Dense(3)), "it maps (None, 28, 28) to (None, 28, 3)"),
        (
            lambda: network(keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(9), image=(None, None, 1)),
            "it maps (None, None, None, 1) to (None, 9)",
        ),
        (two_inputs, " is not an image classifier: it maps [(None, 28, 28), (None, 28, 28)] to (None, 10)"),
        (not_finite, " outputs numbers that are not finite"),
        (lambda: classifier(activation="sigmoid"), " does not output probabilities: its outputs do not sum to one"),
    ],
)
def test_networks_that_are_not_image_classifiers_are_rejected(
    build: Callable[[], keras.Model], words: str, tmp_path: Path, dnn: Dnn
) -> None:
    file = saved(build(), tmp_path / "odd.keras")
    said = refusal(dnn("evaluate", file, "--data", "mnist-sample"))
    assert said.startswith(f"{file} ")
    assert words in said
    assert "\n" not in said


def test_files_that_are_not_keras_models_are_rejected(trained: Path, tmp_path: Path, dnn: Dnn) -> None:
    whole = best(trained).read_bytes()
    text, foreign, short = tmp_path / "text.keras", tmp_path / "foreign.keras", tmp_path / "short.keras"
    text.write_text("weights: 1\n")
    with zipfile.ZipFile(foreign, "w") as archive:
        archive.writestr("holiday.txt", "sun")
    short.write_bytes(whole[: len(whole) // 2])
    for file, words in (
        (text, "is damaged or not a Keras model: File is not a zip file"),
        (foreign, "is not a Keras model: it is an archive of other files"),
        (short, "is damaged or not a Keras model: File is not a zip file"),
    ):
        assert refusal(dnn("evaluate", file, "--data", "mnist-sample")) == f"{file} {words}"
        assert refusal(dnn("evaluate", trained, "--checkpoint", file)) == f"{file} {words}"
    missing = tmp_path / "missing.keras"
    assert refusal(dnn("evaluate", trained, "--checkpoint", missing), 2) == f"there is no file {missing}"
    assert refusal(dnn("evaluate", missing), 2) == f"there is no run or .keras file {missing}"
    assert refusal(dnn("evaluate", trained, "--checkpoint", tmp_path)) == (
        f"{tmp_path} is damaged or not a Keras model: Is a directory"
    )


def test_a_flipped_bit_in_the_weights_is_detected(trained: Path, tmp_path: Path, dnn: Dnn) -> None:
    whole, file = best(trained).read_bytes(), tmp_path / "flipped.keras"
    random = np.random.default_rng(0)
    with zipfile.ZipFile(best(trained)) as archive:
        first = archive.getinfo("model.weights.h5").header_offset + 100
    for place in (first, first + 5000, *random.integers(0, len(whole), 200)):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << int(random.integers(8))
        file.write_bytes(damaged)
        try:
            keras_file.check_file(file)
        except RunError as error:
            assert str(error).startswith(f"{file} is ")  # noqa: PT017 (the bit may be in an unused part of the file)
        else:
            assert whole[first : first + 100_000] == damaged[first : first + 100_000]
    damaged = bytearray(whole)
    damaged[first] ^= 1
    file.write_bytes(damaged)
    said = refusal(dnn("evaluate", file, "--data", "mnist-sample"))
    assert said == f"{file} is damaged: model.weights.h5 in it does not match its checksum"


def test_a_file_that_decompresses_to_too_many_bytes_is_rejected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dnn: Dnn
) -> None:
    monkeypatch.setattr(keras_file, "MAX_FILE_BYTES", 2**20)
    with zipfile.ZipFile(tmp_path / "bomb.keras", "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("config.json", "metadata.json"):
            archive.writestr(name, "{}")
        archive.writestr("model.weights.h5", bytes(2**21))
    said = refusal(dnn("evaluate", tmp_path / "bomb.keras", "--data", "mnist-sample"))
    assert said.startswith(f"{tmp_path}/bomb.keras is larger than the ")


def test_a_run_whose_checkpoints_are_all_damaged_is_rejected(own_run: Path, dnn: Dnn) -> None:
    for file in (own_run / "checkpoints").glob("*.keras"):
        content = bytearray(file.read_bytes())
        content[len(content) // 2] ^= 1
        file.write_bytes(content)
    assert refusal(dnn("evaluate", own_run)) == (
        f"{best(own_run)} is damaged: its checksum is not the one in state.json"
    )


def test_without_an_argument_the_newest_run_is_evaluated(trained: Path, tmp_path: Path, dnn: Dnn) -> None:
    assert refusal(dnn("evaluate"), 2) == "there is no run in runs/ yet; `dnn train -c mnist` makes one"
    for name in ("b-1", "a-1"):
        shutil.copytree(trained, tmp_path / "runs" / name)
        (tmp_path / "runs" / name / "config.yaml").touch()
    assert figures(dnn("evaluate", "--json"))["run"] == "runs/a-1"


def test_folders_without_a_checkpoint_are_rejected(own_run: Path, tmp_path: Path, dnn: Dnn) -> None:
    (tmp_path / "empty").mkdir()
    assert refusal(dnn("evaluate", "empty"), 2) == "empty is not a run: it has no config.yaml"
    assert refusal(dnn("evaluate", "nothing"), 2) == "there is no run or .keras file nothing"
    (own_run / "state.json").unlink()
    shutil.rmtree(own_run / "checkpoints")
    assert refusal(dnn("evaluate", own_run)) == (
        f"{own_run} has no checkpoint yet; `dnn train --resume {own_run}` trains it"
    )


# A run on some of the classes


def test_only_images_of_the_selected_classes_are_evaluated_in_every_split(dnn: Dnn, tests: Split) -> None:
    chosen = ("data.classes=[9, 5]", "data.images_per_class=40", "data.validation=10", "model.layers=[8]")
    options = [option for setting in chosen for option in ("--set", setting)]
    assert dnn("train", "-c", "smoke", *options, "--run-dir", "run", "--epochs", 2).code == 0
    for split, each in (("test", 100), ("validation", 5), ("train", 35)):
        found = figures(dnn("evaluate", "run", "--split", split, "--json"))
        assert found["selected_classes"] == [9, 5]
        supports = {one["label"]: one["support"] for one in found["classes"]}
        assert supports == dict.fromkeys(range(10), 0) | {5: each, 9: each}
        assert json.loads(Path(f"run/evaluation/{split}.json").read_text()) == found
    of_both = np.isin(tests.labels, [5, 9])
    shown = figures(dnn("evaluate", "run", "--json"))
    assert shown["fingerprint"] == Split(tests.images[of_both], tests.labels[of_both]).fingerprint()
    assert "mnist-sample, test split, classes 9 5, 200 images\n" in dnn("evaluate", "run").stdout

    write_npz(Path("mine.npz"), x_test=tests.images, y_test=tests.labels)
    assert figures(dnn("evaluate", "run", "--data", "mine.npz", "--json"))["images"] == 200
    write_npz(Path("none.npz"), x_test=tests.images[:20], y_test=np.full(20, 3))
    place = Path("none.npz").absolute()
    assert refusal(dnn("evaluate", "run", "--data", "none.npz")) == (
        f"{place} has no images of the classes that run was trained on (data.classes)"
    )
    file = figures(dnn("evaluate", best(Path("run")), "--data", "mnist-sample", "--json"))
    assert (file["selected_classes"], file["images"]) == (None, 1000)
