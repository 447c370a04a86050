"""Test `dnn explain`: the numbers of an explanation, and its messages."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dnn_cli.data.datasets import Split
from dnn_cli.engines.numpy import build, keras_format
from dnn_cli.explanation import attribution
from dnn_cli.explanation.attribution import rank_correlation
from dnn_cli.runs.directory import RunDirectory
from tests.conftest import Answer
from tests.files import write_npz
from tests.shared_runs import SharedRuns

Dnn = Callable[..., Answer]


@pytest.fixture
def run(shared_runs: SharedRuns) -> str:
    shared_runs.copy("run", "smoke", "--engine", "numpy")
    return "run"


def test_integrated_gradients_add_up_to_the_difference_of_logits(run: str, dnn: Dnn) -> None:
    for index in (0, 17):
        found = json.loads(dnn("explain", run, "--index", index, "--split", "train", "--json").stdout)
        first, second, difference = found["attributions"]
        probabilities = found["probabilities"]
        assert np.argsort(probabilities)[::-1][:2].tolist() == [found["prediction"], found["runner_up"]]
        ratio = np.log(probabilities[found["prediction"]] / probabilities[found["runner_up"]])
        assert difference["value"] == pytest.approx(first["value"] - second["value"]) == pytest.approx(ratio, rel=1e-3)
        for each in found["attributions"]:
            total = np.sum(each["integrated_gradients"])
            assert total == pytest.approx(each["value"] - each["baseline"], rel=0.01)
            assert np.shape(each["saliency"]) == np.shape(each["occlusion"]) == (28, 28)
        assert first["agreement"]["integrated_gradients"] > 0.5
        assert len(found["units"]) == 8


def test_the_maps_of_a_randomised_network_differ(run: str, sample: Split) -> None:
    """A map that stayed the same would not depend on what the network learned (Adebayo et al. 2018)."""
    loaded = keras_format.load(RunDirectory.open(Path(run)).checkpoint("best")[0])
    images = build.rows_of(sample.images[:20]).reshape(-1, 28, 28)

    def maps() -> list[Any]:
        targets = np.eye(10)
        found = [attribution.attribute(loaded.network, image, targets, 1000) for image in images]
        return [each[label] for each, label in zip(found, sample.labels, strict=False)]

    trained = maps()
    for parameter in loaded.network.trained:
        np.random.default_rng(5).shuffle(parameter.value.reshape(-1))
    for name in ("integrated_gradients", "saliency"):
        correlations = []
        for one, other, image in zip(trained, maps(), images, strict=True):
            drawn = image > 0
            correlations.append(rank_correlation(getattr(one, name)[drawn], getattr(other, name)[drawn]))
        assert abs(np.mean(np.array(correlations, float))) < 0.2


def test_an_image_file(run: str, dnn: Dnn, sample: Split) -> None:
    Image.fromarray(255 - sample.images[3]).resize((200, 200)).save("digit.png")
    found = json.loads(dnn("explain", run, "digit.png", "--json").stdout)
    assert (found["image"], found["label"], found["note"]) == ("digit.png", None, "")
    predicted = json.loads(dnn("predict", run, "digit.png", "--json").stdout)
    assert found["prediction"] == predicted["images"][0]["digit"]


def test_one_digit_of_several_is_explained(run: str, dnn: Dnn, sample: Split) -> None:
    digits = np.concatenate([255 - sample.images[3], 255 - sample.images[4]], axis=1)
    Image.fromarray(digits).resize((400, 200)).save("two.png")
    answer = dnn("explain", run, "two.png")
    assert (answer.code, answer.stdout) == (2, "")
    assert answer.stderr == "error: two.png shows 2 digits: choose one with --digit 1 to --digit 2\n"
    assert dnn("explain", run, "two.png", "--digit", 3).stderr == "error: --digit 3: two.png shows 2 digits\n"
    found = json.loads(dnn("explain", run, "two.png", "--digit", 2, "--json").stdout)
    predicted = json.loads(dnn("predict", run, "two.png", "--json").stdout)["images"]
    assert (found["image"], found["prediction"]) == ("digit 2 of two.png", predicted[1]["most_probable"])


def test_only_selected_classes_are_predicted(dnn: Dnn) -> None:
    chosen = ("--set", "data.classes=[3, 8]")
    assert dnn("train", "-c", "smoke", "--epochs", 1, "--engine", "numpy", "--run-dir", "run", "-q", *chosen).code == 0
    found = json.loads(dnn("explain", "--index", 0, "run", "--json").stdout)
    assert {found["prediction"], found["runner_up"]} == {3, 8}
    assert found["label"] in (3, 8)
    assert found["selected_classes"] == [3, 8]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["run"], 2, "nothing to explain: give RUN and IMAGE, or --index N"),
        (["run", "a.png", "--index", 1], 2, "nothing to explain: give RUN and IMAGE, or --index N"),
        (["run", "--index", 1000], 2, "error: --index 1000: the test split of mnist-sample has images 0 to 999\n"),
        (["run", "--index", -1], 2, "error: --index -1: the test split of mnist-sample has images 0 to 999\n"),
        (["none", "--index", 1], 2, "error: there is no run or .keras file none\n"),
        (["run", "none.png"], 1, "error: none.png: cannot be read: No such file or directory\n"),
    ],
)
def test_invalid_arguments_are_rejected(arguments: list[Any], code: int, message: str, run: str, dnn: Dnn) -> None:
    answer = dnn("explain", *arguments)
    assert (answer.code, answer.stdout) == (code, "")
    assert message in answer.stderr
    assert not Path("run/explanations").exists()


def test_a_black_image_and_no_hidden_layer(dnn: Dnn, sample: Split) -> None:
    training = {"x_train": sample.images[:200], "y_train": sample.labels[:200]}
    write_npz(Path("own.npz"), **training, x_test=np.zeros((2, 28, 28), np.uint8), y_test=np.array([1, 2]))
    plain = ("--set", "data.dataset=own.npz", "--set", "model.layers=[]", "--set", "training.epochs=1")
    assert dnn("train", "-c", "smoke", "--engine", "numpy", "--run-dir", "run", "-q", *plain).code == 0
    answer = dnn("explain", "run", "--index", 1, "--json")
    assert (answer.code, answer.stderr) == (0, "")
    found = json.loads(answer.stdout)
    assert found["units"] == []
    assert not np.any(found["attributions"][0]["occlusion"])
    assert found["attributions"][0]["residual"] == 0


def test_a_network_with_an_unsupported_layer(dnn: Dnn, sample: Split) -> None:
    import keras
    from keras import layers

    stack = [keras.Input((28, 28)), layers.Flatten(), layers.LayerNormalization(), layers.Dense(10, "softmax")]
    keras.Sequential(stack).save("other.keras")
    answer = dnn("explain", "other.keras", "--index", 0, "--data", "mnist-sample")
    message = "error: other.keras holds a network that NumPy cannot run: it has a LayerNormalization layer\n"
    assert answer == Answer(1, "", message)
