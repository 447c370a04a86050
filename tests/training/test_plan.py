"""Test that a plan is made once, before anything is written, and passed to the engines."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dnn_cli import progress
from dnn_cli.config import loading
from dnn_cli.config.data_section import Data
from dnn_cli.config.schema import Config
from dnn_cli.data import datasets, selection
from dnn_cli.data.datasets import Split
from dnn_cli.engines.keras import tensorflow_import
from dnn_cli.errors import UsageError
from dnn_cli.training import loop, plan
from dnn_cli.training.engine import ENGINES
from tests.conftest import Answer

Dnn = Callable[..., Answer]


def config(text: str = "data: {dataset: mnist-sample}\nmodel: {layers: [8]}") -> Config:
    return loading.parse(text, "test")


def calls(name: str, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Return a list that receives the result of each further call of a function of `plan`."""
    results: list[Any] = []
    function = getattr(plan, name)

    def counted(*arguments: Any, **options: Any) -> Any:
        results.append(function(*arguments, **options))
        return results[-1]

    monkeypatch.setattr(plan, name, counted)
    return results


@pytest.mark.parametrize("engine", ["keras", "numpy"])
def test_the_network_spec_is_made_once_for_a_training_and_once_to_resume(
    engine: str, dnn: Dnn, monkeypatch: pytest.MonkeyPatch
) -> None:
    specs = calls("network_spec", monkeypatch)
    options = ("--engine", engine, "--run-dir", "run")
    assert dnn("train", "-c", "smoke", "--epochs", 1, *options).code == 0
    assert len(specs) == 1
    assert dnn("train", "--resume", "run", "--epochs", 2).code == 0
    assert len(specs) == 2


def test_a_series_checks_each_config_once(dnn: Dnn, monkeypatch: pytest.MonkeyPatch) -> None:
    specs, drafts = calls("network_spec", monkeypatch), calls("draft", monkeypatch)
    assert dnn("train", "-c", "smoke", "--engine", "numpy", "--epochs", 1, "--seed", 1, "--seed", 2).code == 0
    assert (len(specs), len(drafts)) == (2, 2)
    assert [draft.config.seed for draft in drafts] == [1, 2]


def test_a_draft_of_a_known_dataset_has_the_spec_of_its_plan() -> None:
    draft = plan.draft(config())
    data = selection.select_training_data(datasets.find("mnist-sample"), draft.config.data, draft.config.seed)
    assert draft.spec is not None
    assert draft.complete(data).spec is draft.spec


def test_a_draft_of_other_images_gets_its_spec_from_them(tmp_path: Path) -> None:
    file = tmp_path / "images.npz"
    np.savez(file, x_train=np.zeros((6, 3, 4), np.uint8), y_train=np.array([0, 1, 2, 0, 1, 2]))
    draft = plan.draft(config(f"data: {{dataset: {file}, validation: 0}}\nmodel: {{layers: [8]}}"))
    assert draft.spec is None
    spec = draft.complete(
        selection.select_training_data(datasets.find(str(file)), draft.config.data, draft.config.seed)
    ).spec
    assert (spec.image_shape, spec.classes) == ((3, 4), 3)


def test_a_network_that_is_too_large_is_rejected_before_images_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[object] = []
    monkeypatch.setattr(selection, "select_training_data", lambda *arguments: read.append(arguments))
    with pytest.raises(UsageError, match="model.layers makes a network of"):
        plan.draft(config("data: {dataset: mnist}\nmodel: {layers: [16384, 16384]}"))
    assert read == []


@pytest.mark.parametrize("engine", ENGINES)
def test_both_engines_are_made_from_the_same_arguments(engine: str) -> None:
    settings = config(f"engine: {engine}\ndata: {{dataset: mnist-sample, validation: 100}}\nmodel: {{layers: [8]}}")
    data = selection.select_training_data(datasets.find("mnist-sample"), settings.data, settings.seed)
    made = ENGINES[engine](plan.draft(settings).complete(data), checkpoint=None, callbacks=(), warn=print)
    assert (made.count, made.steps, made.stop_requested) == (3900, 122, False)
    assert made.validate().keys() == {"loss", "accuracy"}
    assert made.learning_rate == 0.001


def test_the_record_of_the_data_contains_what_was_selected_and_held_out(sample: Split) -> None:
    dataset = replace(datasets.find("mnist-sample"), requested="mnist", note="a fallback")
    data = selection.select_training_data(dataset, Data(classes=(3, 8), images_per_class=50, validation=0.2), 7)
    assert plan.dataset_record(data).to_dict() == {
        "name": "mnist-sample",
        "requested": "mnist",
        "note": "a fallback",
        "path": str(dataset.path),
        "fingerprint": sample.fingerprint(),
        "training_images": 80,
        "validation_images": 20,
        "classes": 10,
        "selected_classes": [3, 8],
        "image_shape": [28, 28],
        "class_names": None,
        "resize": None,
    }
    everything = selection.select_training_data(datasets.find("mnist-sample"), Data(), 0)
    assert plan.dataset_record(everything).validation_images == 0


@pytest.mark.parametrize(
    ("factor", "start", "said"),
    [
        (1, 1, "only 10 of the labels 0 to 10 have training images (1, 2, 3, 4, 5, 6, 7, 8, 9, 10); "),
        (27, 1, "only 10 of the labels 0 to 244 have training images (1, 28, 55, 82, 109, 136, 163, 190, 217, 244); "),
        (1, 0, ""),
    ],
)  # fmt: skip
def test_labels_with_gaps_are_warned_about(
    factor: int, start: int, said: str, few: Split, dnn: Callable[..., Answer]
) -> None:
    np.savez("own.npz", x_train=few.images, y_train=few.labels * factor + start)
    options = ("--set", "data.dataset=own.npz", "--epochs", 1, "--engine", "numpy")
    expected = f"warning: {Path('own.npz').absolute()}: {said}"
    assert (expected in dnn("train", "-c", "smoke", *options, "--dry-run").stdout) == bool(said)
    answer = dnn("train", "-c", "smoke", *options)
    assert answer.code == 0
    assert (expected in answer.stderr) == bool(said)
    assert ("have training images" in answer.stderr) == bool(said)


def test_the_display_says_that_tensorflow_is_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    said = list[str]()

    class Recorder(progress.QuietProgress):
        @contextmanager
        def waiting(self, text: str) -> Iterator[None]:
            said.append(text)
            yield

    def unavailable(*_: Any, **__: Any) -> None:
        assert said == ["loading TensorFlow"]
        raise UsageError("stop here")

    monkeypatch.setattr(tensorflow_import, "import_tensorflow", unavailable)
    with pytest.raises(UsageError, match="stop here"):
        loop.start(config(), "a", Recorder())
