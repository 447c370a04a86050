"""Datasets on this machine: what is found, what is refused and in which words, and how images are held out."""

import hashlib
import os
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnn_cli.data import datasets, selection
from dnn_cli.data.datasets import Split
from dnn_cli.errors import DataError
from dnn_cli.typing import Array
from tests.files import IDX, digits, idx, refusal, user, write_idx, write_npz

FULL = os.environ.get("DNN_DATA_DIR")
needs_mnist = pytest.mark.skipif(
    not FULL or not Path(FULL, "mnist.npz").is_file(), reason="needs the whole of MNIST in $DNN_DATA_DIR"
)


@pytest.fixture(autouse=True)
def _nothing_but_the_test(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No test finds this machine's data by chance, and none goes out on the network."""
    for name in ("DNN_DATA_DIR", "DNN_MIRROR", "DNN_TIMEOUT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DNN_OFFLINE", "1")
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> dict[str, Array]:
    """The four parts of a small set that takes the place of MNIST: verified in the same way, known by its digests."""
    sample = datasets.find("mnist-sample", split="both")
    parts = {}
    for split, count in (("train", 60), ("test", 20)):
        loaded = sample.load("train" if split == "train" else "test")
        parts[f"x_{split}"], parts[f"y_{split}"] = loaded.images[:count], loaded.labels[:count].astype(np.uint8)
    digests = {part: hashlib.md5(idx(array)).hexdigest() for part, array in parts.items()}
    monkeypatch.setitem(datasets.SETS, "mnist", replace(datasets.SETS["mnist"], digests=digests))
    return parts


# The sets that have a name


def test_the_sample_ships_with_the_package_whole_and_verified() -> None:
    dataset = datasets.find("mnist-sample", split="both")
    train, test = dataset.load("train"), dataset.load("test")
    assert (train.images.shape, train.images.dtype.name) == ((4000, 28, 28), "uint8")
    assert (test.images.shape, test.labels.dtype.name) == ((1000, 28, 28), "int32")
    assert np.bincount(train.labels).tolist() == [400] * 10
    assert np.bincount(test.labels).tolist() == [100] * 10
    assert (dataset.name, dataset.requested, dataset.note) == ("mnist-sample", "mnist-sample", "")
    assert len({image.tobytes() for image in (*train.images, *test.images)}) == 5000


@needs_mnist
def test_the_sample_is_from_the_training_set_of_mnist(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DNN_DATA_DIR", str(FULL))
    mnist, sample = datasets.find("mnist", split="both"), datasets.find("mnist-sample", split="both")
    train = mnist.load("train")
    label_of = {image.tobytes(): label for image, label in zip(train.images, train.labels, strict=True)}
    tests = {image.tobytes() for image in mnist.load("test").images}
    for split in (sample.load("train"), sample.load("test")):
        for image, label in zip(split.images, split.labels, strict=True):
            assert label_of[image.tobytes()] == label
            assert image.tobytes() not in tests


@needs_mnist
def test_mnist_is_found_and_each_part_verified(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DNN_DATA_DIR", str(FULL))
    dataset = datasets.find("mnist")
    assert dataset.load("train").images.shape == (60000, 28, 28)
    assert dataset.load("train").classes == 10
    assert [(part.name, part.state, part.shape, part.dtype, part.digest) for part in datasets.verify(dataset)] == [
        ("x_train", "ok", (60000, 28, 28), "uint8", "md5:6bbc9ace898e44ae57da46a324031adb"),
        ("y_train", "ok", (60000,), "int32", "md5:a25bea736e30d166cdddb491f175f624"),
        ("x_test", "ok", (10000, 28, 28), "uint8", "md5:2646ac647ad5339dbf082846283269ea"),
        ("y_test", "ok", (10000,), "int32", "md5:27ae3e4e09519cfbb04c329615203637"),
    ]


def test_known_names_are_the_sets() -> None:
    assert tuple(datasets.SETS) == datasets.KNOWN


@pytest.mark.parametrize("gzipped", [False, True])
@pytest.mark.parametrize(
    "place", ["own/mnist.npz", "own/mnist", "own", "keras/datasets/mnist.npz", "keras/datasets/mnist"]
)
def test_mnist_is_found_in_every_place(
    place: str, gzipped: bool, toy: dict[str, Array], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DNN_DATA_DIR", str(tmp_path / "own"))
    path = tmp_path / place
    if path.suffix:
        write_npz(path, **toy)
    else:
        write_idx(path, toy, gzipped=gzipped)
    dataset = datasets.find("mnist", split="both")
    assert dataset.path == path
    np.testing.assert_array_equal(dataset.load("train").images, toy["x_train"])
    np.testing.assert_array_equal(dataset.load("test").labels, toy["y_test"])


def test_the_own_folder_comes_before_the_cache(
    toy: dict[str, Array], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DNN_DATA_DIR", str(tmp_path / "own"))
    write_npz(tmp_path / "keras/datasets/mnist.npz", **toy)
    assert datasets.find("mnist").path == tmp_path / "keras/datasets/mnist.npz"
    write_npz(tmp_path / "own/mnist.npz", **toy)
    assert datasets.find("mnist").path == tmp_path / "own/mnist.npz"


def test_without_keras_home_the_cache_is_in_the_home_folder(
    toy: dict[str, Array], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("KERAS_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    write_npz(tmp_path / ".keras/datasets/mnist.npz", **toy)
    assert datasets.find("mnist").path == tmp_path / ".keras/datasets/mnist.npz"


def test_a_damaged_place_is_passed_over(toy: dict[str, Array], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DNN_DATA_DIR", str(tmp_path / "own"))
    whole = write_npz(tmp_path / "keras/datasets/mnist.npz", **toy)
    (tmp_path / "own").mkdir()
    (tmp_path / "own/mnist.npz").write_bytes(whole.read_bytes()[:-3000])
    assert datasets.find("mnist").path == whole


def test_every_place_is_named_when_none_is_any_good(
    toy: dict[str, Array], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own, cache = tmp_path / "own", tmp_path / "keras/datasets"
    monkeypatch.setenv("DNN_DATA_DIR", str(own))
    wrong = toy["x_train"].copy()
    wrong[5, 14, 14] ^= 1
    write_npz(own / "mnist.npz", **{**toy, "x_train": wrong})
    found, published = hashlib.md5(idx(wrong)).hexdigest(), hashlib.md5(idx(toy["x_train"])).hexdigest()
    assert refusal("mnist") == "\n".join(
        [
            "MNIST was not found",
            f"  {own}/mnist: not there",
            f"  {own}: no IDX files in this folder",
            f"  {cache}/mnist.npz: not there",
            f"  {cache}/mnist: not there",
            f"  {own}/mnist.npz: x_train: not what MNIST has there (MD5 {found}, not {published})",
            "  downloads are switched off by DNN_OFFLINE",
            f"put mnist.npz or the folder mnist of IDX files into {cache} or $DNN_DATA_DIR",
            "or take the 5,000 digits that come with dnn: data.dataset: mnist-sample or data.fallback: mnist-sample",
        ]
    )


def test_labels_that_are_not_the_published_ones_are_refused(toy: dict[str, Array], tmp_path: Path) -> None:
    write_npz(tmp_path / "keras/datasets/mnist.npz", **{**toy, "y_train": toy["y_train"][::-1]})
    assert "mnist.npz: y_train: not what MNIST has there (MD5 " in refusal("mnist")


def test_pixels_that_were_scaled_are_not_the_published_ones(toy: dict[str, Array], tmp_path: Path) -> None:
    write_npz(tmp_path / "keras/datasets/mnist.npz", **{**toy, "x_train": toy["x_train"] / 255})
    assert "x_train: not what MNIST has there (MD5 of other than bytes, not " in refusal("mnist")


def test_only_the_wanted_split_has_to_be_sound(toy: dict[str, Array], tmp_path: Path) -> None:
    write_npz(tmp_path / "keras/datasets/mnist.npz", **{**toy, "x_test": toy["x_test"][::-1]})
    dataset = datasets.find("mnist", split="train")
    assert dataset.load("train").images.shape == (60, 28, 28)
    with pytest.raises(DataError, match="x_test: not what MNIST has there"):
        dataset.load("test")
    assert "x_test: not what MNIST has there" in refusal("mnist", split="test")
    assert "x_test: not what MNIST has there" in refusal("mnist", split="both")


def test_training_never_reads_the_test_arrays(
    toy: dict[str, Array], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_npz(tmp_path / "keras/datasets/mnist.npz", **toy)
    opened: list[str] = []
    true_open = zipfile.ZipFile.open

    def noting(self: zipfile.ZipFile, name: str, *rest: Any) -> Any:
        opened.append(name)
        return true_open(self, name, *rest)

    monkeypatch.setattr(zipfile.ZipFile, "open", noting)
    datasets.find("mnist").load("train")
    assert opened == ["x_train.npy", "y_train.npy"]


def test_looking_only_reads_nothing(toy: dict[str, Array], tmp_path: Path) -> None:
    (tmp_path / "keras/datasets").mkdir(parents=True)
    (tmp_path / "keras/datasets/mnist.npz").write_bytes(b"not an archive")
    assert datasets.find("mnist", split=None).path == tmp_path / "keras/datasets/mnist.npz"


def test_the_fallback_says_why_and_what_it_is() -> None:
    dataset = datasets.find("mnist", "mnist-sample")
    assert (dataset.name, dataset.requested) == ("mnist-sample", "mnist")
    assert dataset.note == (
        "MNIST was neither found nor downloaded (downloads are switched off by DNN_OFFLINE): using mnist-sample in its "
        "place, 4,000 training and 1,000 test digits, all from MNIST's training set; what comes out are not results on "
        "MNIST"
    )
    assert len(dataset.load("train").labels) == 4000


def test_the_fallback_names_the_file_that_was_damaged(tmp_path: Path) -> None:
    (tmp_path / "keras/datasets").mkdir(parents=True)
    (tmp_path / "keras/datasets/mnist.npz").write_bytes(b"not an archive")
    assert (
        f"MNIST was neither found nor downloaded ({tmp_path}/keras/datasets/mnist.npz: "
        "damaged, or not an .npz file: File is not a zip file, and 1 more such): using"
        in datasets.find("mnist", "mnist-sample").note
    )


def test_the_fallback_is_for_mnist_only() -> None:
    assert refusal("fashion_mnist", fallback="mnist-sample").startswith("Fashion-MNIST was not found\n")


def test_a_missing_sample_asks_for_a_new_installation(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(datasets, "__file__", str(tmp_path / "datasets.py"))
    assert refusal("mnist-sample") == "\n".join(
        [
            "mnist-sample was not found",
            f"  {tmp_path}/datasets/mnist-sample.npz: not there",
            "it comes with dnn: install dnn-cli again",
        ]
    )


def test_the_survey_reads_nothing_and_names_all(tmp_path: Path) -> None:
    found = datasets.list_datasets()
    assert [entry.name for entry in found] == list(datasets.KNOWN)
    assert [entry.dataset is not None for entry in found] == [False, False, True]
    write_idx(tmp_path / "keras/datasets/fashion-mnist", digits(), gzipped=True)
    there = datasets.list_datasets()[1].dataset
    assert there is not None
    assert there.path == tmp_path / "keras/datasets/fashion-mnist"


def test_verify_says_what_is_wrong_with_each_part(toy: dict[str, Array], tmp_path: Path) -> None:
    write_npz(
        tmp_path / "keras/datasets/mnist.npz", x_train=toy["x_train"], y_train=toy["y_train"], x_test=toy["x_train"]
    )
    parts = {part.name: part for part in datasets.verify(datasets.find("mnist"))}
    assert [parts[name].state for name in datasets.PARTS] == ["ok", "ok", "bad", "bad"]
    assert parts["x_test"].problem.startswith(f"{tmp_path}/keras/datasets/mnist.npz: x_test: not what MNIST has there")
    assert parts["y_test"].problem == (
        f"{tmp_path}/keras/datasets/mnist.npz: there is no y_test in it (it holds x_train, y_train, x_test)"
    )


def test_an_unknown_name_suggests_the_nearest() -> None:
    assert refusal("MNITS") == (
        "there is no dataset 'MNITS' (did you mean 'mnist'?); known: mnist, fashion_mnist, mnist-sample, "
        "or the path of an .npz file or of a folder of IDX files"
    )
    assert "(did you mean 'fashion_mnist'?)" in refusal("fashion-mnist")
    assert "did you mean" not in refusal("/nowhere/at/all")


@pytest.mark.parametrize("name", ["a\0b", "x" * 5000, "~nobody-of-that-name/data"])
def test_names_that_are_no_paths_are_refused(name: str) -> None:
    assert refusal(name).startswith((f"{name!r} cannot be read: ", f"there is no dataset {name!r}"))


# A user's own


def test_an_npz_of_ones_own(tmp_path: Path) -> None:
    path = user(tmp_path)
    dataset = datasets.find(str(path), split="both")
    assert (dataset.name, dataset.path, dataset.requested) == (str(path), path, str(path))
    train = dataset.load("train")
    assert (train.images.dtype.name, train.labels.dtype.name, train.classes) == ("uint8", "int32", 3)
    np.testing.assert_array_equal(train.images, digits()["x_train"])
    assert [(part.state, part.digest[:7]) for part in datasets.verify(dataset)] == [("unknown", "sha256:")] * 4


def test_a_relative_path_becomes_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    user(tmp_path)
    monkeypatch.chdir(tmp_path)
    dataset = datasets.find("own.npz")
    assert (dataset.name, dataset.requested) == (str(tmp_path / "own.npz"), "own.npz")


def test_the_other_split_may_be_missing(tmp_path: Path) -> None:
    path = user(tmp_path, x_train=None, y_train=None)
    assert len(datasets.find(str(path), split="test").load("test").labels) == 8
    assert refusal(path) == f"{path}: there is no x_train in it (it holds x_test, y_test)"


@pytest.mark.parametrize("joint", ["-", "."])
@pytest.mark.parametrize("gzipped", [False, True])
def test_a_folder_of_idx_files(joint: str, gzipped: bool, tmp_path: Path) -> None:
    folder = write_idx(tmp_path / "own", digits(), gzipped=gzipped)
    for file in folder.iterdir():
        file.rename(folder / file.name.replace("-idx", f"{joint}idx"))
    np.testing.assert_array_equal(datasets.find(str(folder)).load("train").images, digits()["x_train"])


def test_a_folder_without_idx_files(tmp_path: Path) -> None:
    assert refusal(tmp_path) == (
        f"{tmp_path}: no IDX files in this folder, such as train-images-idx3-ubyte or t10k-images-idx3-ubyte"
    )


def test_a_folder_that_lacks_a_part(tmp_path: Path) -> None:
    folder = write_idx(tmp_path / "own", digits())
    (folder / IDX["y_train"]).unlink()
    assert refusal(folder) == f"{folder}: there is no train-labels-idx1-ubyte in this folder, gzipped or not"


def test_images_and_labels_must_be_as_many(tmp_path: Path) -> None:
    path = user(tmp_path, y_train=np.arange(7))
    assert refusal(path) == f"{path}: x_train has 8 images and y_train 7 labels"


def test_training_needs_two_classes_but_testing_does_not(tmp_path: Path) -> None:
    path = user(tmp_path, y_train=np.full(8, 3), y_test=np.full(8, 3))
    assert refusal(path) == f"{path}: every label in y_train is 3; training needs at least two classes"
    assert datasets.find(str(path), split="test").load("test").classes == 4


# Fingerprints and holding out


def test_a_fingerprint_tells_content_type_and_shape_apart() -> None:
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


@given(
    labels=st.lists(st.integers(0, 4), min_size=2, max_size=60),
    share=st.floats(0, 1, exclude_min=True, exclude_max=True),
    seed=st.integers(0, 2**32 - 1),
)
def test_holding_out_divides_every_class_by_its_share(labels: list[int], share: float, seed: int) -> None:
    total = len(labels)
    count = max(1, min(total - 1, int(share * total)))
    split = Split(np.arange(total, dtype="u1").reshape(total, 1, 1), np.array(labels, "i4"))
    rest, held = selection.hold_out(split, count, seed)
    again = selection.hold_out(split, count, seed)[1]
    assert held is not None
    assert again is not None
    kept, taken = rest.images.ravel().tolist(), held.images.ravel().tolist()
    assert sorted(kept + taken) == list(range(total))
    assert (kept, taken) == (sorted(kept), sorted(taken))
    assert len(taken) == count
    assert again.images.ravel().tolist() == taken
    for part in (rest, held):
        assert part.labels.tolist() == [labels[index] for index in part.images.ravel()]
    for label in set(labels):
        assert abs(held.labels.tolist().count(label) - count * labels.count(label) / total) < 1


def test_a_fraction_and_its_count_hold_out_the_same() -> None:
    sample = datasets.find("mnist-sample").load("train")
    by_count, by_fraction = selection.hold_out(sample, 400, 7)[1], selection.hold_out(sample, 0.1, 7)[1]
    assert by_count is not None
    assert by_fraction is not None
    assert np.bincount(by_count.labels).tolist() == [40] * 10
    assert by_count.fingerprint() == by_fraction.fingerprint()
    other = selection.hold_out(sample, 400, 8)[1]
    assert other is not None
    assert other.fingerprint() != by_count.fingerprint()


def test_holding_out_nothing_keeps_the_split() -> None:
    split = datasets.find("mnist-sample").load("train")
    assert selection.hold_out(split, 0, 0) == (split, None)


def test_the_least_fraction_holds_out_one() -> None:
    held = selection.hold_out(datasets.find("mnist-sample").load("train"), 1e-9, 0)[1]
    assert held is not None
    assert len(held.labels) == 1


@pytest.mark.parametrize(("validation", "count"), [(4000, "4,000"), (60000, "60,000"), (0.99999, "4,000")])
def test_something_must_be_left_to_train_on(validation: int | float, count: str) -> None:
    with pytest.raises(DataError) as caught:
        selection.hold_out(datasets.find("mnist-sample").load("train"), validation, 0)
    assert str(caught.value) == (
        f"data.validation: cannot hold out {count} of 4,000 training images; at most 3,999 can be"
    )


def test_importing_data_is_light() -> None:
    code = "import sys, dnn_cli.data; print(sorted({'tensorflow', 'keras', 'click', 'rich', 'ssl'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# Classes, and few images of each


def numbered(labels: list[int]) -> Split:
    """A split whose images say which they are."""
    return Split(np.arange(len(labels), dtype="u1").reshape(-1, 1, 1), np.array(labels, "i4"))


def test_classes_keep_their_labels_and_the_order() -> None:
    split = numbered([3, 1, 0, 1, 3, 2])
    chosen = selection.select(split, (3, 1), None, 0)
    assert (chosen.labels.tolist(), chosen.images.ravel().tolist()) == ([3, 1, 1, 3], [0, 1, 3, 4])
    assert selection.of_classes(split, (9, 2)).images.ravel().tolist() == [5]
    assert selection.of_classes(split, None) is split
    assert selection.select(split, None, None, 0) is split


def test_images_of_a_class_are_drawn_by_the_seed_and_more_are_those_and_others(sample: Split) -> None:
    def drawn(classes: tuple[int, ...] | None, count: int, seed: int = 0) -> set[bytes]:
        chosen = selection.select(sample, classes, count, seed)
        assert set(np.bincount(chosen.labels).tolist()) <= {0, count}
        assert len(chosen.labels) == count * len(classes or range(10))
        return {image.tobytes() for image in chosen.images}

    few = drawn((5, 7), 20)
    assert few == drawn((7, 5), 20)
    assert few < drawn((5, 7), 30)
    assert few < drawn(None, 20)
    assert few != drawn((5, 7), 20, seed=1)
    assert drawn(None, 400) == {image.tobytes() for image in sample.images}


def test_classes_and_images_that_are_not_there_are_named() -> None:
    split = numbered([0, 0, 0, 2, 2, 5])
    with pytest.raises(DataError) as caught:
        selection.select(split, (2, 7, 3), None, 0)
    assert str(caught.value) == "data.classes: there are no training images of 3, 7; the labels are 0, 2, 5"
    with pytest.raises(DataError) as caught:
        selection.select(split, None, 3, 0)
    assert str(caught.value) == ("data.images_per_class: 3 images of each class are wanted; there are 2 of 2, 1 of 5")
    assert len(selection.select(split, (0, 2), 2, 0).labels) == 4


def test_labels_of_digits_and_of_clothes_mean_something_else() -> None:
    assert datasets.may_share_labels("mnist", "mnist-sample")
    assert not datasets.may_share_labels("mnist", "fashion_mnist")
    assert datasets.may_share_labels("/mine.npz", "fashion_mnist")
