"""`dnn explain`: why an image is taken for what it is, in numbers and in pictures."""

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dnn_cli.data.datasets import Split
from dnn_cli.engines.numpy import build, keras_format
from dnn_cli.evaluation import evaluate
from dnn_cli.explanation import attribution
from dnn_cli.explanation.attribution import rank_correlation
from dnn_cli.runs.directory import RunDirectory
from tests.conftest import Answer
from tests.files import write_npz

Dnn = Callable[..., Answer]


@pytest.fixture
def run(dnn: Dnn) -> str:
    assert dnn("train", "-c", "smoke", "--engine", "numpy", "--run-dir", "run", "-q").code == 0
    return "run"


def test_it_writes_a_picture_and_a_page(run: str, dnn: Dnn) -> None:
    answer = dnn("explain", run, "--index", 8)
    assert (answer.code, answer.stderr) == (0, "")
    assert answer.stdout.endswith("\nrun/explanations/test-8.png\nrun/explanations/test-8.html\n")
    assert "image 8 of the test split of mnist-sample, labelled" in answer.stdout
    with Image.open("run/explanations/test-8.png") as picture:
        assert picture.size[0] > 1000
    page = Path("run/explanations/test-8.html").read_text(encoding="utf-8")
    assert len(page) < 2_000_000
    assert "<script" not in page
    assert not re.search(r"(?:src|srcset|href)=\"(?!data:)", page)
    assert "default-src 'none'" in page


def test_the_numbers_hold_the_axiom(run: str, dnn: Dnn) -> None:
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


def test_a_randomised_network_gives_another_map(run: str, sample: Split) -> None:
    """Adebayo et al. 2018: a map that stayed the same would not be about what was learned."""
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
        alike = []
        for one, other, image in zip(trained, maps(), images, strict=True):
            ink = image > 0
            alike.append(rank_correlation(getattr(one, name)[ink], getattr(other, name)[ink]))
        assert abs(np.mean(np.array(alike, float))) < 0.2


def test_an_image_file(run: str, dnn: Dnn, sample: Split) -> None:
    Image.fromarray(255 - sample.images[3]).resize((200, 200)).save("a <b>.png")
    answer = dnn("explain", run, "a <b>.png", "--json")
    assert (answer.code, answer.stderr) == (0, "")
    found = json.loads(answer.stdout)
    assert found["files"] == ["run/explanations/a_b_.png", "run/explanations/a_b_.html"]
    page = Path("run/explanations/a_b_.html").read_text(encoding="utf-8")
    assert "a &lt;b&gt;.png" in page
    assert "<b>" not in page
    checkpoint = found["checkpoint"]
    assert json.loads(dnn("explain", checkpoint, "a <b>.png", "--json").stdout)["files"] == [
        "explanation-a_b_.png",
        "explanation-a_b_.html",
    ]
    assert dnn("explain", run, "a <b>.png", "--out", "b.html").stdout.endswith("\nb.html\n")
    assert not Path("b.png").exists()
    refused = dnn("explain", run, "a <b>.png", "--out", "a <b>.png")
    assert refused == Answer(2, "", "error: --out a <b>.png is the image itself\n")


def test_only_the_classes_that_count(dnn: Dnn) -> None:
    chosen = ("--set", "data.classes=[3, 8]")
    assert dnn("train", "-c", "smoke", "--epochs", 1, "--engine", "numpy", "--run-dir", "run", "-q", *chosen).code == 0
    found = json.loads(dnn("explain", "--index", 0, "run", "--json").stdout)
    assert {found["prediction"], found["runner_up"]} == {3, 8}
    assert found["label"] in (3, 8)
    assert found["selected_classes"] == [3, 8]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["run"], 2, "say what to explain: RUN and an IMAGE, or --index N"),
        (["run", "a.png", "--index", 1], 2, "say what to explain: RUN and an IMAGE, or --index N"),
        (["run", "--index", 1000], 2, "error: --index 1000: the test split of mnist-sample has images 0 to 999\n"),
        (["run", "--index", -1], 2, "error: --index -1: the test split of mnist-sample has images 0 to 999\n"),
        (["run", "--index", 1, "--out", "a.jpg"], 2, "error: --out a.jpg: the name must end in .png or .html\n"),
        (["run", "--index", 1, "--out", "no/a.png"], 2, "error: --out no/a.png: there is no folder no\n"),
        (["none", "--index", 1], 2, "error: there is no run or .keras file none\n"),
        (["run", "none.png"], 1, "error: none.png: it cannot be read: No such file or directory\n"),
    ],
)
def test_refusals(arguments: list[Any], code: int, message: str, run: str, dnn: Dnn) -> None:
    answer = dnn("explain", *arguments)
    assert (answer.code, answer.stdout) == (code, "")
    assert message in answer.stderr
    assert not Path("run/explanations").exists()


def test_without_matplotlib_the_extra_is_named(dnn: Dnn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setattr(evaluate, "material", lambda *_: pytest.fail("work was done"))
    answer = dnn("explain", "--index", 0)
    message = "error: dnn explain draws with matplotlib, which is not here: pip install 'dnn-cli[report]'\n"
    assert answer == Answer(2, "", message)


def test_no_hidden_layer_and_a_black_image(dnn: Dnn, sample: Split) -> None:
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


def test_a_network_that_numpy_does_not_know(dnn: Dnn, sample: Split) -> None:
    import keras
    from keras import layers

    stack = [keras.Input((28, 28)), layers.Flatten(), layers.LayerNormalization(), layers.Dense(10, "softmax")]
    keras.Sequential(stack).save("other.keras")
    answer = dnn("explain", "other.keras", "--index", 0, "--data", "mnist-sample")
    message = "error: other.keras holds a network that NumPy cannot run: it has a LayerNormalization layer\n"
    assert answer == Answer(1, "", message)
