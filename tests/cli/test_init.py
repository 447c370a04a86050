"""Test `dnn init` and what `dnn data` says about a user's own data."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dnn_cli.config import loading
from dnn_cli.data import datasets
from tests.cli.conftest import Dnn
from tests.files import user, write_npz


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Return pictures of two sizes in two unequal classes, and one of them twice."""
    random = np.random.default_rng(0)
    for number in range(24):
        file = tmp_path / f"photos/{'cat' if number < 4 else 'dog'}/{number}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        side = 20 if number % 2 else 24
        Image.fromarray(random.integers(0, 255, (side, side, 3), np.uint8)).save(file)
    (tmp_path / "photos/dog/copy.png").write_bytes((tmp_path / "photos/dog/5.png").read_bytes())
    (tmp_path / "photos/dog/bad.png").write_bytes(b"bad")
    return tmp_path / "photos"


def test_data_describes_a_folder_before_it_is_trained(dnn: Dnn, photos: Path) -> None:
    answer = dnn("data", photos, "--preview", "sheet.png")
    assert answer.code == 0, answer.stderr
    lines = answer.stdout.splitlines()
    assert lines[:4] == [
        f"data    {photos}",
        "kind    class folders",
        "images  20×20×3, uint8, 0 to 254",
        "test    5 images held out (data.test, seed)",
    ]
    assert lines[5].split() == ["class", "name", "train", "images", "test", "images"]
    assert lines[6].split() == ["0", "cat", "3", "1"]
    warnings = [line for line in lines if line.startswith("warning: ")]
    assert any("1 broken picture is left out: dog/bad.png" in warning for warning in warnings)
    assert any("set the size that all of them get, for example data.image_size: [20, 20]" in line for line in warnings)
    assert any("exactly" in line or "too: figures on them say too much" in line for line in warnings)
    with Image.open("sheet.png") as sheet:
        assert sheet.width > 300
    found = json.loads(dnn("data", photos, "--json").stdout)
    assert (found["kind"], found["proposed_size"], found["image_shape"]) == ("class folders", [20, 20], [20, 20, 3])
    assert found["classes"][0] == {"class": 0, "name": "cat", "train": 3, "test": 1}


def test_settings_apply_to_the_description(dnn: Dnn, photos: Path) -> None:
    found = json.loads(
        dnn("data", photos, "--set", "data.image_size=[8, 9]", "--set", "data.color=grey", "--json").stdout
    )
    assert (found["image_shape"], found["proposed_size"]) == ([8, 9], None)


def test_the_cache_is_cleared(dnn: Dnn, photos: Path) -> None:
    dnn("data", photos)
    answer = dnn("data", "--clear-cache")
    assert answer.stdout.startswith(f"{photos.parent}/cache/dnn/datasets: ")
    assert dnn("data", "--clear-cache").stdout.endswith(": 0 bytes deleted\n")


def test_init_writes_a_config_that_trains_at_once(dnn: Dnn, photos: Path) -> None:
    answer = dnn("init", photos)
    assert (answer.code, answer.stdout.splitlines()[0]) == (0, "photos.yaml")
    assert "next: " in answer.stdout
    config = loading.load("photos.yaml")
    assert (config.data.image_size, config.data.test, config.data.validation) == ((20, 20), 0.2, 0.1)
    assert (config.training.class_weight, config.training.monitor) == ("balanced", "val_macro_f1")
    refused = dnn("init", photos)
    assert (refused.code, refused.stderr) == (
        2,
        "error: photos.yaml exists already; --force replaces it, --out names another file\n",
    )
    trained = dnn(
        "train", "-c", "photos.yaml", "--set", "data.on_broken=skip", "--engine", "numpy", "--epochs", 1, "--quiet"
    )
    assert trained.code == 0, trained.stderr


def test_on_arrays_like_those_of_mnist_it_has_the_network_of_small(dnn: Dnn, tmp_path: Path) -> None:
    sample = datasets.find("mnist-sample", split="both")
    train, test = sample.load("train"), sample.load("test")
    images, labels = {"x_train": train.images, "x_test": test.images}, {"y_train": train.labels, "y_test": test.labels}
    write_npz(tmp_path / "arrays.npz", **images, **labels)
    assert dnn("init", "arrays.npz").code == 0
    made, small = loading.load("arrays.yaml"), loading.load("small")
    assert made.model == small.model
    assert made.optimizer == small.optimizer
    assert made.data.validation == small.data.validation
    assert made.training.model_copy(update={"batch_size": small.training.batch_size}) == small.training


def test_what_cannot_be_read_is_reported_and_nothing_is_written(dnn: Dnn, tmp_path: Path) -> None:
    path = user(tmp_path, y_train=None)
    answer = dnn("init", path)
    assert answer.code == 1
    assert answer.stderr.startswith(f"error: {path}: there is no array y_train in this file")
    assert not list(tmp_path.glob("*.yaml"))
