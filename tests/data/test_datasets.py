"""Test which datasets are found, which files are rejected, and the messages."""

import hashlib
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dnn_cli.data import datasets, locations
from dnn_cli.data.datasets import Split
from dnn_cli.data.known_sets import KNOWN_DATASETS
from dnn_cli.errors import DataError
from dnn_cli.typing import Array
from tests.files import IDX, digits, idx, refusal, user, write_idx, write_npz

# Known datasets


def test_a_place_with_a_damaged_file_is_skipped(
    small_mnist: dict[str, Array], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DNN_DATA_DIR", str(tmp_path / "own"))
    whole = write_npz(tmp_path / "keras/datasets/mnist.npz", **small_mnist)
    (tmp_path / "own").mkdir()
    (tmp_path / "own/mnist.npz").write_bytes(whole.read_bytes()[:-3000])
    assert datasets.find("mnist").path == whole


def test_the_message_names_every_place_if_none_can_be_used(
    small_mnist: dict[str, Array], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own, cache = tmp_path / "own", tmp_path / "keras/datasets"
    monkeypatch.setenv("DNN_DATA_DIR", str(own))
    wrong = small_mnist["x_train"].copy()
    wrong[5, 14, 14] ^= 1
    write_npz(own / "mnist.npz", **{**small_mnist, "x_train": wrong})
    found, published = hashlib.md5(idx(wrong)).hexdigest(), hashlib.md5(idx(small_mnist["x_train"])).hexdigest()
    assert refusal("mnist") == "\n".join(
        [
            "MNIST was not found",
            f"  {own}/mnist: does not exist",
            f"  {own}: no IDX files in this folder",
            f"  {cache}/mnist.npz: does not exist",
            f"  {cache}/mnist: does not exist",
            f"  {own}/mnist.npz: x_train: differs from MNIST (MD5 {found}, expected MD5 {published})",
            "  downloads are switched off by DNN_OFFLINE",
            f"put mnist.npz or the folder mnist of IDX files into {cache} or $DNN_DATA_DIR",
            "or use the 5,000 digits that ship with dnn: set data.dataset or data.fallback to mnist-sample",
        ]
    )


def test_labels_that_differ_from_the_published_ones_are_rejected(small_mnist: dict[str, Array], tmp_path: Path) -> None:
    write_npz(tmp_path / "keras/datasets/mnist.npz", **{**small_mnist, "y_train": small_mnist["y_train"][::-1]})
    assert "mnist.npz: y_train: differs from MNIST (MD5 " in refusal("mnist")


def test_scaled_pixels_are_rejected_as_not_the_published_ones(small_mnist: dict[str, Array], tmp_path: Path) -> None:
    write_npz(tmp_path / "keras/datasets/mnist.npz", **{**small_mnist, "x_train": small_mnist["x_train"] / 255})
    assert "x_train: differs from MNIST (values are not bytes, expected MD5 " in refusal("mnist")


def test_only_the_requested_split_has_to_be_valid(small_mnist: dict[str, Array], tmp_path: Path) -> None:
    write_npz(tmp_path / "keras/datasets/mnist.npz", **{**small_mnist, "x_test": small_mnist["x_test"][::-1]})
    dataset = datasets.find("mnist", split="train")
    assert dataset.load("train").images.shape == (60, 28, 28)
    with pytest.raises(DataError, match="x_test: differs from MNIST"):
        dataset.load("test")
    assert "x_test: differs from MNIST" in refusal("mnist", split="test")
    assert "x_test: differs from MNIST" in refusal("mnist", split="both")


def test_training_never_reads_the_test_arrays(
    small_mnist: dict[str, Array], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_npz(tmp_path / "keras/datasets/mnist.npz", **small_mnist)
    opened: list[str] = []
    true_open = zipfile.ZipFile.open

    def noting(self: zipfile.ZipFile, name: str, *rest: Any) -> Any:
        opened.append(name)
        return true_open(self, name, *rest)

    monkeypatch.setattr(zipfile.ZipFile, "open", noting)
    datasets.find("mnist").load("train")
    assert opened == ["x_train.npy", "y_train.npy"]


def test_split_none_finds_a_dataset_without_reading_it(small_mnist: dict[str, Array], tmp_path: Path) -> None:
    (tmp_path / "keras/datasets").mkdir(parents=True)
    (tmp_path / "keras/datasets/mnist.npz").write_bytes(b"not an archive")
    assert datasets.find("mnist", split=None).path == tmp_path / "keras/datasets/mnist.npz"


def test_the_fallback_note_names_the_reason_and_the_dataset_used() -> None:
    dataset = datasets.find("mnist", "mnist-sample")
    assert (dataset.name, dataset.requested) == ("mnist-sample", "mnist")
    assert dataset.note == (
        "MNIST was neither found nor downloaded (downloads are switched off by DNN_OFFLINE): using mnist-sample "
        "instead, 4,000 training and 1,000 test digits, all from MNIST's training set; the results are not results on "
        "MNIST"
    )
    assert len(dataset.load("train").labels) == 4000


def test_the_fallback_note_names_the_folder_of_the_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DNN_DATA_DIR", str(tmp_path))
    note = datasets.find("mnist", "mnist-sample").note
    assert note.startswith(f"MNIST was neither found in {tmp_path} (DNN_DATA_DIR) nor downloaded (")


def test_the_fallback_note_names_a_damaged_file(tmp_path: Path) -> None:
    (tmp_path / "keras/datasets").mkdir(parents=True)
    (tmp_path / "keras/datasets/mnist.npz").write_bytes(b"not an archive")
    assert (
        f"MNIST was neither found nor downloaded ({tmp_path}/keras/datasets/mnist.npz: "
        "damaged, or not an .npz file: File is not a zip file, and 1 more): using"
        in datasets.find("mnist", "mnist-sample").note
    )


def test_only_mnist_has_a_fallback() -> None:
    assert refusal("fashion_mnist", fallback="mnist-sample").startswith("Fashion-MNIST was not found\n")


def test_a_missing_sample_asks_to_reinstall(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(locations, "SHIPPED", tmp_path)
    assert refusal("mnist-sample") == "\n".join(
        [
            "mnist-sample was not found",
            f"  {tmp_path}/mnist-sample.npz: does not exist",
            "it is part of dnn: reinstall dnn-cli",
        ]
    )


def test_list_datasets_names_all_and_reads_nothing(tmp_path: Path) -> None:
    found = datasets.list_datasets()
    assert [entry.name for entry in found] == list(KNOWN_DATASETS)
    assert [entry.dataset is not None for entry in found] == [name == "mnist-sample" for name in KNOWN_DATASETS]
    write_idx(tmp_path / "keras/datasets/fashion-mnist", digits(), gzipped=True)
    there = datasets.list_datasets()[1].dataset
    assert there is not None
    assert there.path == tmp_path / "keras/datasets/fashion-mnist"


def test_verify_reports_the_problem_of_each_array(small_mnist: dict[str, Array], tmp_path: Path) -> None:
    write_npz(
        tmp_path / "keras/datasets/mnist.npz",
        x_train=small_mnist["x_train"],
        y_train=small_mnist["y_train"],
        x_test=small_mnist["x_train"],
    )
    parts = {part.name: part for part in datasets.verify(datasets.find("mnist"))}
    assert [parts[name].state for name in locations.ARRAY_NAMES] == ["ok", "ok", "bad", "bad"]
    assert parts["x_test"].problem.startswith(f"{tmp_path}/keras/datasets/mnist.npz: x_test: differs from MNIST")
    assert parts["y_test"].problem == (
        f"{tmp_path}/keras/datasets/mnist.npz: there is no array y_test in this file (found: x_train, y_train, x_test)"
    )


# Users' own datasets


def test_a_users_npz_is_loaded_and_checked(tmp_path: Path) -> None:
    path = user(tmp_path)
    dataset = datasets.find(str(path), split="both")
    assert (dataset.name, dataset.path, dataset.requested) == (str(path), path, str(path))
    train = dataset.load("train")
    assert (train.images.dtype.name, train.labels.dtype.name, train.classes) == ("uint8", "int32", 3)
    np.testing.assert_array_equal(train.images, digits()["x_train"])
    assert [(part.state, part.digest[:7]) for part in datasets.verify(dataset)] == [("unknown", "sha256:")] * 4


def test_the_other_split_may_be_missing(tmp_path: Path) -> None:
    path = user(tmp_path, x_train=None, y_train=None)
    assert len(datasets.find(str(path), split="test").load("test").labels) == 8
    assert refusal(path) == (
        f"{path}: there is no array x_train in this file (found: x_test, y_test); if one of them holds it, "
        "set data.keys: {x_train: NAME, …}"
    )


@pytest.mark.parametrize("joint", ["-", "."])
@pytest.mark.parametrize("gzipped", [False, True])
def test_a_folder_of_idx_files_is_loaded(joint: str, gzipped: bool, tmp_path: Path) -> None:
    folder = write_idx(tmp_path / "own", digits(), gzipped=gzipped)
    for file in folder.iterdir():
        file.rename(folder / file.name.replace("-idx", f"{joint}idx"))
    np.testing.assert_array_equal(datasets.find(str(folder)).load("train").images, digits()["x_train"])


def test_a_folder_with_a_missing_idx_file_is_rejected(tmp_path: Path) -> None:
    folder = write_idx(tmp_path / "own", digits())
    (folder / IDX["y_train"]).unlink()
    assert refusal(folder) == (
        f"{folder}: no file train-labels-idx1-ubyte or train-labels-idx1-ubyte.gz in this folder"
    )


def test_different_numbers_of_images_and_labels_are_rejected(tmp_path: Path) -> None:
    path = user(tmp_path, y_train=np.arange(7))
    assert refusal(path) == f"{path}: x_train has 8 images, but y_train has 7 labels"


def test_training_needs_two_classes_but_testing_does_not(tmp_path: Path) -> None:
    path = user(tmp_path, y_train=np.full(8, 3), y_test=np.full(8, 3))
    assert refusal(path) == f"{path}: every training image is of class 3; training needs at least two classes"
    assert datasets.find(str(path), split="test").load("test").classes == 4


# Fingerprints


def test_the_fingerprint_depends_on_content_type_and_shape() -> None:
    images, labels = digits()["x_train"], digits()["y_train"].astype("i4")
    split = Split(images, labels)
    assert split.fingerprint() == Split(np.asfortranarray(images), labels.astype(">i4")).fingerprint()
    others = [
        Split(images.reshape(8, 4, 3), labels),
        Split(images[::-1], labels),
        Split(images, labels[::-1]),
        Split(images.view("i1"), labels),
    ]
    assert len({split.fingerprint(), *(other.fingerprint() for other in others)}) == 5
    assert split.fingerprint().startswith("sha256:")


def test_importing_the_data_package_loads_nothing_heavy() -> None:
    modules = "dnn_cli.data.selection, dnn_cli.data.image_files"
    heavy = {"tensorflow", "keras", "click", "rich", "ssl", "PIL"}
    code = f"import sys, {modules}; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
