"""Test arrays as they are found: names, shapes, ranges and labels, what is said, and what is ambiguous."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dnn_cli.data import datasets
from dnn_cli.data.datasets import Dataset, Split
from dnn_cli.data.reading import Reading
from dnn_cli.errors import DataError
from dnn_cli.typing import Array
from tests.files import write_npz

IMAGES = np.random.default_rng(0).integers(0, 256, (12, 6, 7), np.uint8)
LABELS = np.arange(12) % 3


def find(path: Path, **settings: Any) -> Dataset:
    return datasets.find(str(path), reading=Reading(**{"test": 0, **settings}))


def own(folder: Path, images: Array = IMAGES, labels: Array = LABELS) -> Path:
    return write_npz(folder / "own.npz", x_train=images, y_train=labels)


def refusal(path: Path, **settings: Any) -> str:
    with pytest.raises(DataError) as caught:
        find(path, **settings)
    return str(caught.value).removeprefix(f"{path}: ")


def assert_same(split: Split, images: Array = IMAGES, labels: Array = LABELS) -> None:
    assert split.images.dtype == images.dtype
    np.testing.assert_array_equal(split.images, images)
    np.testing.assert_array_equal(split.labels, labels)


# Names of the arrays


@pytest.mark.parametrize(
    "names",
    [("images", "labels"), ("X", "y"), ("arr_0", "arr_1"), ("train_images", "train_labels"), ("xtrain", "ytrain")],
)
def test_usual_names_are_recognized_and_said(names: tuple[str, str], tmp_path: Path) -> None:
    path = write_npz(tmp_path / "own.npz", **dict(zip(names, (IMAGES, LABELS), strict=True)))
    found = find(path)
    assert_same(found.load("train"))
    assert found.source.remarks == [f"{path}: {names[0]} is x_train, {names[1]} is y_train"]


def test_all_parts_are_recognized(tmp_path: Path) -> None:
    parts = {f"{part}_{kind}": array for part in ("train", "val", "test") for kind, array in PAIR.items()}
    found = find(write_npz(tmp_path / "medical.npz", **parts))
    assert list(found.source.parts()) == ["train", "validation", "test"]
    for part in found.source.parts():
        assert_same(found.load(part))


PAIR = {"images": IMAGES, "labels": LABELS[:, None]}


def test_npy_files_are_found_by_their_folder_and_by_the_file_of_images(tmp_path: Path) -> None:
    np.save(tmp_path / "images.npy", IMAGES)
    np.save(tmp_path / "labels.npy", LABELS)
    assert_same(find(tmp_path).load("train"))
    assert_same(find(tmp_path / "images.npy").load("train"))


def test_two_arrays_for_one_role_are_ambiguous_and_keys_decide(tmp_path: Path) -> None:
    path = write_npz(tmp_path / "own.npz", images=IMAGES, data=IMAGES[::-1], labels=LABELS)
    assert refusal(path) == (
        "both images and data can be x_train; set data.keys: {x_train: images, …} or data.keys: {x_train: data, …}"
    )
    keys = (("x_train", "data"), ("y_train", "labels"))
    assert_same(find(path, keys=keys).load("train"), IMAGES[::-1])
    assert refusal(path, keys=(("x_train", "datta"),)) == (
        "data.keys: there is no array datta (found: images, data, labels)"
    )
    assert refusal(path, keys=(("x_train", "data"),)) == (
        "data.keys does not name the array y_train (found: images, data, labels)"
    )


# Shapes


def test_rows_of_pixels_need_a_shape(tmp_path: Path) -> None:
    path = own(tmp_path, IMAGES.reshape(12, 42))
    assert refusal(path) == (
        "x_train: images must have height and width, but these are rows of 42 pixels; "
        "set data.image_shape: [HEIGHT, WIDTH]"
    )
    assert_same(find(path, image_shape=(6, 7)).load("train"))
    assert refusal(path, image_shape=(6, 6)) == "x_train: rows of 42 pixels do not have data.image_shape, [6, 6]"


@pytest.mark.parametrize(
    ("pixels", "lines"),
    [(784, "data.image_shape: [28, 28]"), (3072, "data.image_shape: [32, 32, 3]")],
)
def test_the_message_proposes_the_shape_of_square_images(pixels: int, lines: str, tmp_path: Path) -> None:
    assert refusal(own(tmp_path, np.zeros((12, pixels), "u1"))).endswith(f"rows of {pixels} pixels; set {lines}")


@pytest.mark.parametrize("flat", [False, True])
def test_channels_first_become_channels_last(flat: bool, tmp_path: Path) -> None:
    last = np.random.default_rng(1).integers(0, 256, (12, 6, 7, 3), np.uint8)
    first = np.moveaxis(last, -1, 1)
    path = own(tmp_path, first.reshape(12, -1) if flat else first)
    found = find(path, image_shape=(3, 6, 7) if flat else None)
    assert_same(found.load("train"), last)
    assert found.source.remarks == [f"{path}: x_train: channels first, 3×6×7; stored as 6×7×3"]


def test_an_image_shape_that_the_array_has_not_is_rejected(tmp_path: Path) -> None:
    assert refusal(own(tmp_path), image_shape=(7, 6)) == "x_train: the images are 6×7, but data.image_shape is [7, 6]"


# Ranges


@pytest.mark.parametrize(
    ("images", "wanted", "said"),
    [
        (IMAGES.astype("f8"), IMAGES, "floats from 0 to 255, of which 255 is white"),
        ((IMAGES / 255).astype("f8"), (IMAGES / 255).astype("f4"), None),
        (IMAGES.astype("u2") * 257, (IMAGES.astype("f8") / 255).astype("f4"), "whole numbers from 0 to 65535, of"),
        (IMAGES > 99, (IMAGES > 99) * np.uint8(255), "true and false are white and black"),
    ],
)
def test_the_range_is_recognized_and_said(images: Array, wanted: Array, said: str | None, tmp_path: Path) -> None:
    found = find(own(tmp_path, images))
    assert_same(found.load("train"), wanted)
    assert any(said in remark for remark in found.source.remarks) if said else not found.source.remarks


@pytest.mark.parametrize(
    ("images", "words", "answer"),
    [
        (IMAGES // 128, "black and white, or almost black in 0 to 255; set data.value_range: [0, 1] or", (0, 1)),
        (IMAGES.astype("u2") * 16, "12-bit or 16-bit levels; set data.value_range: [0, 4095] or", (0, 4095)),
        (IMAGES / 250, "slightly above [0, 1], or almost black in 0 to 255; set data.value_range: [0, 1] or", (0, 2)),
        (IMAGES / 127.5 - 1, "got -1 to 1; if -1 is black and 1 is white, set data.value_range: [-1, 1]", (-1, 1)),
    ],
)
def test_an_ambiguous_range_is_an_error_that_a_setting_decides(
    images: Array, words: str, answer: tuple[int, int], tmp_path: Path
) -> None:
    path = own(tmp_path, images)
    assert words in refusal(path)
    black, white = answer
    wanted = ((images.astype("f8") - black) / (white - black)).astype("f4")
    assert_same(find(path, value_range=answer).load("train"), wanted)


def test_values_outside_of_the_given_range_are_rejected(tmp_path: Path) -> None:
    path = own(tmp_path)
    assert refusal(path, value_range=(0, 100)) == (
        "x_train: the pixels lie in 0 to 255, but data.value_range is [0, 100]"
    )


# Labels


@pytest.mark.parametrize("dtype", [bool, "f8", "u1"])
def test_one_hot_labels_are_recognized_and_said(dtype: Any, tmp_path: Path) -> None:
    path = own(tmp_path, labels=np.eye(3, dtype=dtype)[LABELS])
    found = find(path)
    assert_same(found.load("train"))
    assert found.source.remarks == [f"{path}: y_train: one-hot rows of 3 classes"]


@pytest.mark.parametrize("dtype", ["U", "S"])
def test_labels_that_are_strings_name_the_classes(dtype: str, tmp_path: Path) -> None:
    names = np.array(["class 10", "class 2", "another"])[LABELS].astype(dtype)
    found = find(write_npz(tmp_path / "own.npz", x=IMAGES, y=names, x_test=IMAGES[:2], y_test=names[:2]))
    assert found.class_names == ("another", "class 2", "class 10")
    assert found.load("train").labels.tolist() == [2, 1, 0] * 4
    assert found.load("test").labels.tolist() == [2, 1]


def test_an_unknown_name_in_the_test_part_is_an_error(tmp_path: Path) -> None:
    names = np.array(["cat", "dog"])
    found = find(write_npz(tmp_path / "own.npz", x=IMAGES[:2], y=names, x_test=IMAGES[:1], y_test=np.array(["cow"])))
    with pytest.raises(DataError, match="unknown class cow; the classes of the training part are cat, dog$"):
        found.load("test")


def test_without_a_test_part_images_are_held_out(tmp_path: Path) -> None:
    path = write_npz(tmp_path / "own.npz", images=IMAGES, labels=LABELS)
    dataset = find(path, test=3)
    train, test = dataset.load("train"), dataset.load("test")
    assert (len(train.labels), sorted(test.labels.tolist())) == (9, [0, 1, 2])
    assert len({image.tobytes() for image in (*train.images, *test.images)}) == 12
    again = find(path, test=3).load("test")
    assert again.fingerprint() == test.fingerprint()
    assert find(path, test=3, seed=1).load("test").fingerprint() != test.fingerprint()


def test_images_that_need_too_much_memory_are_rejected_before_they_are_read(tmp_path: Path) -> None:
    assert refusal(own(tmp_path), max_bytes=100) == (
        "x_train: needs 504 bytes of memory, at most 100 are allowed; see data.max_bytes"
    )


# Class names


def test_names_of_classes_are_given_as_a_list_or_a_mapping(tmp_path: Path) -> None:
    path = own(tmp_path)
    assert find(path).class_names is None
    assert find(path, class_names=("cat", "dog", "cow")).class_names == ("cat", "dog", "cow")
    assert find(path, class_names=((0, "cat"), (2, "cow"))).class_names == ("cat", "1", "cow")
    assert refusal(path, class_names=("cat", "dog")) == "there are 2 class names, but the labels go up to 2"
    assert refusal(path, class_names=(("cow", "dog"),)) == (
        "data.class_names: the labels are numbers, so cow cannot be one"
    )
