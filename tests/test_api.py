"""Test the Python API as a program or a notebook uses it, on real digits."""

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import dnn_cli as dnn
from dnn_cli.data import datasets
from dnn_cli.data.datasets import Split
from tests.conftest import PATIENCE, ROOT, assert_same_bits
from tests.pictures import coverage, encoded, painted, written
from tests.shared_runs import SharedRuns

FLOATS = "must have floats from 0 to 1"
TYPES = "must be uint8 from 0 to 255 or floats from 0 to 1"
NUMPY = {"data": {"dataset": "mnist-sample"}, "engine": "numpy", "model": {"layers": (np.int64(16),)}}


@pytest.fixture(scope="session")
def digits() -> Split:
    """Return the 1,000 test digits of the sample."""
    return datasets.find("mnist-sample").load("test")


@pytest.fixture
def run(shared_runs: SharedRuns) -> dnn.Run:
    """Return a run of one epoch that nobody changes."""
    return dnn.load(shared_runs.path("smoke", "--epochs", 1))


@pytest.fixture
def copy(shared_runs: SharedRuns) -> dnn.Run:
    """Return a run of one epoch that the test may change."""
    return dnn.load(shared_runs.copy("runs/copy-1", "smoke", "--epochs", 1))


def failure(kind: type[dnn.DnnError], act: Callable[[], Any]) -> str:
    """Return the message of the error that `act` raises, which is exactly of this kind."""
    with pytest.raises(kind) as caught:
        act()
    assert type(caught.value) is kind
    return str(caught.value)


# The package


def python(code: str) -> str:
    """Return what a fresh interpreter prints."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        timeout=PATIENCE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    return done.stdout


def test_importing_the_package_imports_none_of_its_modules() -> None:
    assert python("import sys, dnn_cli; print(*(m for m in sys.modules if m.startswith('dnn_cli')))") == "dnn_cli\n"


def test_loading_a_run_imports_no_framework(run: dnn.Run) -> None:
    code = f"import sys, dnn_cli as dnn; print(dnn.load({str(run.path)!r}).config.seed); print(*sys.modules)"
    seed, modules = python(code).splitlines()
    assert seed == "0"
    assert not {"tensorflow", "keras", "matplotlib", "PIL"} & set(modules.split())


def test_every_public_name_is_found_and_listed() -> None:
    assert {name: getattr(dnn, name) for name in dnn.__all__}.keys() <= set(dir(dnn))
    assert set(dnn.__all__) >= {
        "train",
        "resume",
        "load",
        "evaluate",
        "predict",
        "compare",
        "report",
        "Run",
        "DnnError",
    }
    with pytest.raises(AttributeError, match="^module 'dnn_cli' has no attribute 'trian'$"):
        getattr(dnn, "trian")  # noqa: B009 (a type checker knows that it is not there)


def test_a_public_name_survives_the_import_of_every_package() -> None:
    code = """
import importlib, pkgutil, dnn_cli
for module in pkgutil.iter_modules(dnn_cli.__path__):
    if module.name != "__main__":
        importlib.import_module("dnn_cli." + module.name)
assert all(callable(getattr(dnn_cli, name)) for name in dnn_cli.__all__)
print("done")
"""
    assert python(code) == "done\n"


@pytest.mark.slow
def test_a_type_checker_knows_the_api(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text("""
import dnn_cli as dnn

run = dnn.train("smoke", epochs=2, settings={"optimizer.learning_rate": 0.01})
losses: list[float] = [row["loss"] for row in run.history]
accuracy: float = dnn.evaluate(run).accuracy
digits: list[int] = [one.digit for one in dnn.predict(run, ["a.png"])]
try:
    dnn.resume(run, 3)
except dnn.RunError as error:
    print(error)
reveal_type(run)
dnn.trian("smoke")
dnn.train("smoke", epochs="three")
""")
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "mypy",
            "--strict",
            "--cache-dir",
            str(tmp_path / "cache"),
            "--config-file=",
            str(script),
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
        env={**os.environ, "MYPYPATH": str(ROOT)},
    )
    found = [line.split("script.py:")[1] for line in done.stdout.splitlines() if "script.py:" in line]
    assert found == [
        '12: note: Revealed type is "dnn_cli.api.Run"',
        '13: error: Module has no attribute "trian"; maybe "train"?  [attr-defined]',
        '14: error: Argument "epochs" to "train" has incompatible type "str"; expected "int | None"  [arg-type]',
    ], done.stdout


# Training


def test_a_shipped_config_is_trained_as_the_command_trains_it(run: dnn.Run, capsys: pytest.CaptureFixture[str]) -> None:
    trained = dnn.train("smoke", epochs=1)
    assert trained.path == Path("runs/smoke-1")
    assert capsys.readouterr().err.startswith("epoch 1/1  loss ")
    assert_same_bits(trained / "checkpoints/last.keras", run / "checkpoints/last.keras")
    assert (trained.metrics and trained.metrics.final["loss"]) == run.history[0]["loss"]


def test_a_mapping_a_file_and_a_config_mean_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    from_mapping = dnn.train(NUMPY, settings={"training.epochs": np.int64(2)}, quiet=True)
    Path("mine.yaml").write_text(from_mapping.config.to_yaml())
    from_file = dnn.train(Path("mine.yaml"), run_dir="elsewhere", quiet=True)
    from_config = dnn.train(from_file.config, quiet=True)
    assert [one.path for one in (from_mapping, from_file, from_config)] == [
        Path("runs/run-1"),
        Path("elsewhere"),
        Path("runs/run-2"),
    ]
    for one in (from_file, from_config):
        assert_same_bits(from_mapping / "checkpoints/last.keras", one / "checkpoints/last.keras")
        assert one.config == from_mapping.config
    assert capsys.readouterr() == ("", "")


def test_settings_are_replaced_by_short_names_and_by_paths() -> None:
    more: dict[str, Any] = {"optimizer.learning_rate": 0.5, "model": {"layers": [8]}}
    run = dnn.train(
        NUMPY,
        epochs=1,
        batch_size=50,
        seed=3,
        settings={"training.epochs": 7, "optimizer": "sgd"},
        quiet=True,
        **more,
    )
    config = run.config
    assert (config.seed, config.training.epochs, config.training.batch_size) == (3, 1, 50)
    assert (config.optimizer.name, config.optimizer.learning_rate) == ("sgd", 0.5)
    assert [block.units for block in config.model.layers] == [8]


def test_all_problems_of_a_config_are_reported_before_anything_is_written() -> None:
    message = failure(dnn.ConfigError, lambda: dnn.train("smoke", epochs=0, settings={"optimizer.learning_rte": 1}))
    assert message.splitlines()[0] == "the function call has 2 problems"
    assert message.splitlines()[1:] == [
        "  optimizer.learning_rte=1  optimizer.learning_rte: unknown key (did you mean 'learning_rate'?)",
        "  epochs=0                  training.epochs: must be at least 1, got 0",
    ]
    assert failure(dnn.ConfigError, lambda: dnn.train({"training": {"epoch": 3}}, epoch=3)) == (
        "config and the function call have 2 problems\n"
        "  config   training.epoch: unknown key (did you mean 'epochs'?)\n"
        "  epoch=3  epoch: unknown key (did you mean 'training.epochs'?)"
    )
    assert not Path("runs").exists()


def test_what_cannot_be_trained_is_rejected(copy: dnn.Run) -> None:
    assert failure(dnn.UsageError, lambda: dnn.train("smok")).startswith(
        "there is no config file smok (did you mean 'smoke'?); shipped configs: "
    )
    unsuitable: Any = 3
    assert failure(dnn.UsageError, lambda: dnn.train(unsuitable)) == (
        "config must be a name, a path, a mapping or a Config, got int"
    )
    assert failure(dnn.UsageError, lambda: dnn.train(NUMPY, callbacks=[unsuitable])) == (
        "callbacks are Keras's: they need engine: keras"
    )
    assert failure(dnn.UsageError, lambda: dnn.train(NUMPY, run_dir=copy)).startswith("runs/copy-1 exists already; ")
    assert failure(dnn.DataError, lambda: dnn.train(NUMPY, settings={"data.images_per_class": 100_000})).startswith(
        "data.images_per_class: 100,000 images of each class are wanted; "
    )


def test_callbacks_are_notified() -> None:
    import keras

    class Stop(keras.callbacks.Callback):  # type: ignore[misc]
        def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
            self.model.stop_training = True

    run = dnn.train("smoke", callbacks=[Stop()], quiet=True)
    assert len(run.history) == 1
    assert run.metrics
    assert run.metrics.stopped_early


def test_the_fallback_is_a_python_warning_at_the_users_line() -> None:
    values = {**NUMPY, "data": {"dataset": "mnist", "fallback": "mnist-sample"}}
    with pytest.warns(dnn.DnnWarning, match="mnist-sample") as caught:
        run = dnn.train(values, epochs=1, quiet=True)
    assert [warning.filename for warning in caught] == [__file__]
    assert repr(run).startswith("<Run runs/run-1: done; data mnist-sample, not mnist; epochs 1; accuracy 0.")


def test_a_training_runs_in_any_thread(run: dnn.Run) -> None:
    trained = list[dnn.Run]()
    thread = threading.Thread(target=lambda: trained.append(dnn.train("smoke", epochs=1, quiet=True)))
    thread.start()
    thread.join()
    assert_same_bits(trained[0] / "checkpoints/last.keras", run / "checkpoints/last.keras")


# Interrupting and resuming


def test_an_interrupted_training_is_resumed_with_the_same_result(monkeypatch: pytest.MonkeyPatch) -> None:
    from dnn_cli.progress import QuietProgress

    straight = dnn.train(NUMPY, epochs=3, quiet=True)
    told = list[str]()

    def interrupt(*_: object) -> None:
        if not told:
            signal.raise_signal(signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr(QuietProgress, "say", lambda _, text: told.append(text))
        patch.setattr(QuietProgress, "step", interrupt)
        message = failure(dnn.InterruptedTrainingError, lambda: dnn.train(NUMPY, epochs=3, run_dir="it's", quiet=True))
    assert told == ["SIGINT: saving; a second SIGINT stops at once and loses the steps since the last checkpoint"]
    saved, hint = message.splitlines()
    assert saved == "interrupted; epoch 1 is saved in it's"
    assert hint == """resume with: dnn.resume("it's")"""
    run = dnn.load("it's")
    assert repr(run).startswith("<Run it's: interrupted; data mnist-sample; epochs 1 of 3; accuracy 0.")
    assert (len(run.history), run.metrics) == (1, None)
    assert dnn.resume(run, quiet=True) == run
    assert_same_bits(run / "checkpoints/last.keras", straight / "checkpoints/last.keras")
    assert run.config == straight.config


def test_a_finished_run_is_trained_for_more_epochs(copy: dnn.Run) -> None:
    dnn.resume(str(copy.path), 2, quiet=True)
    assert [row["epoch"] for row in copy.history] == [1, 2]
    assert copy.config.training.epochs == 2
    message = failure(dnn.ConfigError, lambda: dnn.resume(copy, 0))
    assert message.splitlines()[1] == "  epochs=0  training.epochs: must be at least 1, got 0"
    assert failure(dnn.UsageError, lambda: dnn.resume(copy, 1)).startswith("runs/copy-1 has trained 2 epochs already; ")
    assert failure(dnn.UsageError, lambda: dnn.resume("nowhere")) == "there is no run nowhere"


# A run


def test_the_newest_run_is_loaded(copy: dnn.Run) -> None:
    assert dnn.load().path == Path("runs/copy-1")
    assert {dnn.load(), dnn.load("runs/copy-1"), dnn.load(copy)} == {copy}
    assert copy != "runs/copy-1"


@pytest.mark.parametrize("path", [None, "nowhere"])
def test_a_run_that_is_not_there_cannot_be_loaded(path: str | None) -> None:
    assert failure(dnn.UsageError, lambda: dnn.load(path)).startswith("there is no run ")


def test_a_run_is_a_path(run: dnn.Run) -> None:
    assert Path(run) == run.path
    assert (run / "config.yaml").read_text().startswith("seed: 0\n")
    assert os.listdir(run) == os.listdir(run.path)  # noqa: PTH208 (which takes a path-like object)


def test_the_history_is_rows_of_numbers(run: dnn.Run) -> None:
    (row,) = run.history
    assert {name: type(value) for name, value in row.items()} == {
        "epoch": int, "loss": float, "accuracy": float, "learning_rate": float, "seconds": float,
    }  # fmt: skip


def test_the_model_is_a_plain_keras_model(run: dnn.Run, digits: Split) -> None:
    import keras

    model = run.model()
    assert type(model) is keras.Sequential
    images = digits.images / np.float32(255)
    predicted = np.asarray(model(images)).argmax(axis=1)
    assert predicted.tolist() == [one.digit for one in dnn.predict(run, digits.images)]
    assert model.optimizer.name == "adam"
    assert failure(dnn.UsageError, lambda: run.model("no.keras")) == "there is no file no.keras"


def test_a_run_describes_itself_in_text_and_html(copy: dnn.Run) -> None:
    (row,) = copy.history
    text = f"<Run runs/copy-1: done; data mnist-sample; epochs 1; accuracy {row['accuracy']:.4f}"
    assert repr(copy) == f"{text}>"
    found = dnn.evaluate(copy)
    assert repr(copy) == f"{text}; test accuracy {found.accuracy:.4f}>"
    cells = re.findall(r"<t[hd] style=\"text-align: left\">(.*?)</t[hd]>", copy._repr_html_())
    low, high = found.accuracy_interval
    assert dict(zip(cells[::2], cells[1::2], strict=True)) == {
        "run": "runs/copy-1",
        "state": "done",
        "data": "mnist-sample",
        "epochs": "1",
        "best epoch": "1",
        "loss": f"{row['loss']:.4f}",
        "accuracy": f"{row['accuracy']:.4f}",
        "test accuracy": f"{found.accuracy:.4f}",
        "95 % interval": f"{low:.4f} to {high:.4f}",
    }


def test_the_html_of_a_run_is_escaped(copy: dnn.Run) -> None:
    moved = copy.path.rename("<b>&")
    html = dnn.load(moved)._repr_html_()
    assert "&lt;b&gt;&amp;" in html
    assert "<b>" not in html


def test_a_damaged_or_deleted_run_describes_itself(copy: dnn.Run) -> None:
    (copy / "state.json").write_text("{")
    assert repr(copy).startswith("<Run runs/copy-1: damaged; problem runs/copy-1/state.json is damaged: ")
    assert "<td" in copy._repr_html_()
    copy.path.rename("moved")
    assert repr(copy).startswith("<Run runs/copy-1: damaged; problem runs/copy-1 has no environment.json")


# Evaluating


def test_a_run_is_evaluated_as_the_command_evaluates_it(copy: dnn.Run) -> None:
    found = dnn.evaluate(copy)
    assert copy.evaluations == {"test": found}
    assert (found.images, found.split, found.dataset) == (1000, "test", "mnist-sample")
    low, high = found.accuracy_interval
    assert repr(found) == (
        f"<Evaluation of runs/copy-1: mnist-sample, test split, 1,000 images; accuracy {found.accuracy:.4f}, "
        f"95 % interval {low:.4f} to {high:.4f}; loss {found.loss:.4f}>"
    )
    assert dnn.evaluate(copy / "checkpoints/best.keras", data="mnist-sample").confusion == found.confusion
    assert dnn.evaluate(copy, split="train", checkpoint="last").images == 4000


def test_what_cannot_be_evaluated_is_rejected(run: dnn.Run) -> None:
    split: Any = "tset"
    assert failure(dnn.UsageError, lambda: dnn.evaluate(run, split=split)) == (
        "there is no split 'tset' (did you mean 'test'?); the splits are test, validation, train"
    )
    assert failure(dnn.UsageError, lambda: dnn.evaluate("nowhere")) == "there is no run or .keras file nowhere"
    message = failure(dnn.UsageError, lambda: dnn.evaluate(run, split="validation"))
    assert message.endswith("has no validation images: data.validation is 0")


# Predicting


def test_arrays_of_any_accepted_form_are_predicted_alike(run: dnn.Run, digits: Split) -> None:
    images = digits.images[:20]
    expected = dnn.predict(run, images)
    assert np.mean([one.digit for one in expected] == digits.labels[:20]) > 0.6
    for form in (images[..., None], list(images), images / 255, (images / 255).astype(np.float32), iter(images)):
        found = dnn.predict(run, form)
        assert [one.digit for one in found] == [one.digit for one in expected]
        np.testing.assert_allclose([f.probabilities for f in found], [e.probabilities for e in expected], atol=1e-6)
    (single,) = dnn.predict(run, images[3])
    np.testing.assert_allclose(single.probabilities, expected[3].probabilities, atol=1e-6)
    assert (single.image == images[3]).all()
    assert (single.file, dnn.predict(run, images[:0]), dnn.predict(run, [])) == ("", [], [])
    first, second = single.probabilities[single.digit], single.probabilities[single.runner_up]
    assert repr(single) == (
        f"<Prediction: {single.digit}, probability {first:.4f}; runner-up {single.runner_up}, {second:.4f}>"
    )


def test_pictures_are_prepared_as_the_command_prepares_files(run: dnn.Run, digits: Split) -> None:
    pixels = painted(coverage(digits.images[1], at=(0.2, 0.9)))
    path = written(Path("scans/three.png"), encoded(pixels))
    picture = Image.open(path)
    mixed = [picture, path, str(path), digits.images[1], "scans", "scans/*.png"]
    found = dnn.predict(run, mixed)
    assert [one.file for one in found] == ["", *["scans/three.png"] * 2, "", *["scans/three.png"] * 2]
    assert all((one.image == found[0].image).all() for one in (found[1], found[2], found[4], found[5]))
    assert picture.size == (200, 200)
    assert [one.digit for one in dnn.predict(run, path)] == [found[1].digit]
    assert [one.digit for one in dnn.predict(run, picture)] == [found[0].digit]


def test_a_turned_photograph_is_turned_upright(run: dnn.Run, digits: Split) -> None:
    upright = Image.fromarray(painted(coverage(digits.images[1])))
    turned = upright.transpose(Image.Transpose.ROTATE_90)
    turned.getexif()[0x0112] = 6  # to be turned clockwise
    (first,), (second,) = dnn.predict(run, upright), dnn.predict(run, turned)
    assert (first.image == second.image).all()


@pytest.mark.parametrize(
    ("images", "expected"),
    [
        (np.zeros((2, 3)), "the array is 2×3, but {file} needs images of 28×28"),
        (np.float32(1), "the array is a number, but {file} needs images of 28×28"),
        ([np.zeros((1, 28, 28))] * 2, "image 0 is 1×28×28, but {file} needs images of 28×28"),
        (np.full((28, 28), 255.0), f"the array {FLOATS}, got 255 to 255; divide them by white's value"),
        (np.full((28, 28), np.nan), f"the array {FLOATS}, got nan to nan; divide them by white's value"),
        (np.zeros((28, 28), int), f"the array {TYPES}, got int64"),
        ([np.zeros((28, 28)), np.zeros((28, 28), complex)], f"image 1 {TYPES}, got complex128"),
        ("no.png", "no.png: cannot be read: No such file or directory"),
        (["-"], "-: cannot be read: No such file or directory"),
        ("*.png", "*.png: no file matches this pattern"),
        ([Image.new("RGB", (9, 9))], "image 0: no digit found: the picture is a single colour"),
        (
            Image.new("1", (2**13, 2**13 + 1)),
            "the image: too large: 8,192×8,193 pixels; at most 67,108,864 are supported",
        ),
    ],
)
def test_images_that_cannot_be_used_are_named(run: dnn.Run, images: Any, expected: str) -> None:
    file = run / "checkpoints/best.keras"
    assert failure(dnn.DataError, lambda: dnn.predict(run, images)) == expected.format(file=file)


def test_a_damaged_file_is_named(run: dnn.Run, digits: Split) -> None:
    content = encoded(painted(coverage(digits.images[0])))
    path = written(Path("cut.png"), content[: len(content) // 2])
    assert failure(dnn.DataError, lambda: dnn.predict(run, [digits.images[0], path])).startswith(
        "cut.png: damaged image: "
    )
    with Image.open(path) as picture:
        assert failure(dnn.DataError, lambda: dnn.predict(run, picture)).startswith("the image: damaged image: ")


@pytest.mark.parametrize(
    ("images", "expected"),
    [
        (3, "images must be arrays, Pillow images or paths, got int"),
        ([[0.5]], "image 0 must be an array, a Pillow image or a path, got list"),
    ],
)
def test_what_is_no_image_is_rejected(run: dnn.Run, images: Any, expected: str) -> None:
    assert failure(dnn.UsageError, lambda: dnn.predict(run, images)) == expected


# Comparing and reporting


def test_runs_are_compared(run: dnn.Run, copy: dnn.Run) -> None:
    found = dnn.compare(run, str(copy.path), sort="parameters")
    assert [status.run.path for status in found.candidates] == [run.path, copy.path]
    assert repr(found) == f"<Comparison of {run.path}, runs/copy-1, ranked by parameters>"
    assert failure(dnn.UsageError, dnn.compare) == "nothing to compare: name a run"
    sort: Any = "accuracy"
    assert failure(dnn.UsageError, lambda: dnn.compare(run, copy, sort=sort)) == (
        "there is no figure 'accuracy' (did you mean 'val_accuracy'?); "
        "choose one of val_accuracy, test_accuracy, seconds, parameters"
    )
    (copy / "environment.json").unlink()
    assert failure(dnn.RunError, lambda: dnn.compare(run, copy)) == "runs/copy-1 has no environment.json"


@pytest.mark.slow
def test_a_report_is_written(copy: dnn.Run) -> None:
    assert dnn.report() == copy / "report.html"
    assert dnn.report(copy, out="page.html") == Path("page.html")
    assert Path("page.html").read_text(encoding="utf-8").lower().startswith("<!doctype html>")
    assert (
        failure(dnn.UsageError, lambda: dnn.report(copy, out="no/page.html"))
        == "--out no/page.html: there is no folder no"
    )
