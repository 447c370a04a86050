"""Test where datasets are searched on this machine, and which names and paths are accepted."""

from pathlib import Path

import numpy as np
import pytest

from dnn_cli.data import datasets
from dnn_cli.data.sources import recognition
from dnn_cli.errors import UsageError
from dnn_cli.typing import Array
from tests.files import refusal, user, write_idx, write_npz


@pytest.mark.parametrize("gzipped", [False, True])
@pytest.mark.parametrize(
    "place", ["own/mnist.npz", "own/mnist", "own", "keras/datasets/mnist.npz", "keras/datasets/mnist"]
)
def test_mnist_is_found_in_every_searched_place(
    place: str, gzipped: bool, small_mnist: dict[str, Array], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DNN_DATA_DIR", str(tmp_path / "own"))
    (tmp_path / "own").mkdir()
    path = tmp_path / place
    if path.suffix:
        write_npz(path, **small_mnist)
    else:
        write_idx(path, small_mnist, gzipped=gzipped)
    dataset = datasets.find("mnist", split="both")
    assert dataset.path == path
    np.testing.assert_array_equal(dataset.load("train").images, small_mnist["x_train"])
    np.testing.assert_array_equal(dataset.load("test").labels, small_mnist["y_test"])


def test_the_users_folder_is_searched_before_the_cache(
    small_mnist: dict[str, Array], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DNN_DATA_DIR", str(tmp_path / "own"))
    (tmp_path / "own").mkdir()
    write_npz(tmp_path / "keras/datasets/mnist.npz", **small_mnist)
    assert datasets.find("mnist").path == tmp_path / "keras/datasets/mnist.npz"
    write_npz(tmp_path / "own/mnist.npz", **small_mnist)
    assert datasets.find("mnist").path == tmp_path / "own/mnist.npz"


@pytest.mark.parametrize("fallback", [None, "mnist-sample"])
@pytest.mark.parametrize("name", ["missing", "a file"])
def test_a_data_folder_that_is_none_is_an_error(
    name: str, fallback: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a file").touch()
    monkeypatch.setenv("DNN_DATA_DIR", name)
    with pytest.raises(UsageError) as caught:
        datasets.find("mnist", fallback)
    assert str(caught.value) == f"DNN_DATA_DIR is {name}, which is not a folder; correct or unset it"
    assert datasets.find("mnist-sample").name == "mnist-sample"


def test_without_keras_home_the_cache_is_in_the_home_folder(
    small_mnist: dict[str, Array], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("KERAS_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    write_npz(tmp_path / ".keras/datasets/mnist.npz", **small_mnist)
    assert datasets.find("mnist").path == tmp_path / ".keras/datasets/mnist.npz"


def test_an_unknown_name_suggests_the_most_similar_known_name() -> None:
    assert refusal("MNITS") == (
        "there is no dataset 'MNITS' (did you mean 'mnist'?); known: mnist, fashion_mnist, mnist-sample, "
        "kmnist, emnist-balanced, emnist-letters, emnist-digits, usps, or the path of a file or folder"
    )
    assert "(did you mean 'fashion_mnist'?)" in refusal("fashion-mnist")
    assert "did you mean" not in refusal("/nowhere/at/all")


@pytest.mark.parametrize("name", ["a\0b", "x" * 5000, "~nobody-of-that-name/data"])
def test_names_that_cannot_be_paths_are_rejected(name: str) -> None:
    assert refusal(name).startswith((f"{name!r} cannot be read: ", f"there is no dataset {name!r}"))


def test_a_relative_path_becomes_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    user(tmp_path)
    monkeypatch.chdir(tmp_path)
    dataset = datasets.find("own.npz")
    assert (dataset.name, dataset.requested) == (str(tmp_path / "own.npz"), "own.npz")


def test_a_folder_of_unknown_files_is_rejected(tmp_path: Path) -> None:
    assert refusal(tmp_path) == (f"{tmp_path}: nothing in this folder is known; a dataset is {recognition.FORMS}")
