"""Test CSV files: rows of pixels, lists of paths, and what is refused."""

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dnn_cli.data import datasets
from dnn_cli.data.datasets import Dataset
from dnn_cli.data.reading import Reading
from dnn_cli.data.sources import csv_rows
from dnn_cli.errors import DataError

PIXELS = np.arange(6 * 4, dtype=np.uint8).reshape(6, 4) * 10


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def write(file: Path, *lines: object) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    text = "".join(f"{line}\n" for line in lines).encode()
    file.write_bytes(gzip.compress(text) if file.suffix == ".gz" else text)
    return file


def rows(labels: list[Any]) -> list[str]:
    return [",".join(map(str, (label, *row))) for label, row in zip(labels, PIXELS.tolist(), strict=False)]


def find(path: Path, **settings: Any) -> Dataset:
    return datasets.find(str(path), reading=Reading(**{"test": 0, **settings}))


def refusal(path: Path, **settings: Any) -> str:
    with pytest.raises(DataError) as caught:
        find(path, **settings)
    return str(caught.value)


@pytest.mark.parametrize("name", ["train.csv", "train.csv.gz"])
def test_rows_of_pixels_are_square_images(name: str, tmp_path: Path) -> None:
    file = write(tmp_path / name, "label,pixel0,pixel1,pixel2,pixel3", *rows([0, 1, 2] * 2))
    for _ in range(2):  # the second time, they come from the cache
        train = find(file).load("train")
        assert (train.images.dtype.name, train.images.shape) == ("uint8", (6, 2, 2))
        np.testing.assert_array_equal(train.images.reshape(6, 4), PIXELS)
        assert train.labels.tolist() == [0, 1, 2] * 2
    assert find(file).class_names is None
    assert find(file, image_shape=(1, 4)).load("train").images.shape == (6, 1, 4)


@pytest.mark.parametrize("columns", [("pixel1", "pixel10", "pixel2", "pixel9"), ("1x1", "2x2", "1x2", "2x1")])
def test_columns_may_be_in_any_order(columns: tuple[str, ...], tmp_path: Path) -> None:
    first, last, second, third = columns
    file = write(tmp_path / "a.csv", f"{last},{second},label,{third},{first}", "4,2,1,3,1", "40,20,0,30,10")
    train = find(file).load("train")
    assert train.images.reshape(2, 4).tolist() == [[1, 2, 3, 4], [10, 20, 30, 40]]
    assert train.labels.tolist() == [1, 0]


def test_labels_may_be_names_and_parts_are_matched_by_them(tmp_path: Path) -> None:
    header = "label,pixel0,pixel1,pixel2,pixel3"
    write(tmp_path / "d/train.csv", header, *rows(["dog", "cat", '"cat"']))
    write(tmp_path / "d/test.csv", header, *rows(["dog"]))
    found = find(tmp_path / "d")
    assert found.class_names == ("cat", "dog")
    assert found.load("train").labels.tolist() == [1, 0, 0]
    assert found.load("test").labels.tolist() == [1]
    write(tmp_path / "d/test.csv", header, *rows(["cow"]))
    with pytest.raises(DataError, match="unknown class cow; the classes of the training part are cat, dog$"):
        find(tmp_path / "d").load("test")


def test_a_test_file_without_labels_is_no_test_part(tmp_path: Path) -> None:
    write(tmp_path / "train.csv", "label,pixel0,pixel1,pixel2,pixel3", *rows([0, 1, 0, 1]))
    write(tmp_path / "test.csv", "pixel0,pixel1,pixel2,pixel3", "1,2,3,4")
    found = find(tmp_path, test=2)
    assert found.load("test").labels.tolist() == [0, 1]
    assert found.source.remarks == [f"{tmp_path}/test.csv: has no labels, so it is no test part"]


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (["a,b"], ": the first line must name the columns, label,pixel0,pixel1,… or path,label; it has a, b"),
        ([], ": the first line must name the columns, label,pixel0,pixel1,… or path,label; it has nothing"),
        (["label,pixel0,pixel0"], ": a column is named twice in the first line"),
        (["label,pixel0"], ": there are no rows below the first line"),
        (["label,pixel0,pixel1", "1,2,3"], ": rows of 2 pixels are not square; set data.image_shape: [HEIGHT, WIDTH]"),
        (["label,pixel0", "1,2", "1"], ", line 3: 1 columns, but the first line names 2"),
        (["label,pixel0", "1,2", "", "1,256"], ", line 4: pixels must be whole numbers in 0 to 255, got '256'"),
        (["label,pixel0", "1,0.5"], ", line 2: pixels must be whole numbers in 0 to 255, got '0.5'"),
        (["label,pixel0", "1,-1"], ", line 2: pixels must be whole numbers in 0 to 255, got '-1'"),
        (["label,pixel0", "1,"], ", line 2: pixels must be whole numbers in 0 to 255, got ''"),
        (["label,pixel0", "1000,1"], ": label: labels must lie in 0 to 999, got 1000 to 1000"),
        (["pixel0", "1"], ": there is no column label, so there is nothing to train on or to compare with"),
    ],
)
def test_tables_that_cannot_be_used_are_refused(lines: list[str], words: str, tmp_path: Path) -> None:
    file = write(tmp_path / "a.csv", *lines)
    assert refusal(file) == f"{file}{words}"


def test_damaged_and_huge_files_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write(tmp_path / "a.csv.gz", "label,pixel0", *["1,2"] * 1000)
    assert "need 1,000 bytes of memory, at most 10 are allowed" in refusal(file, max_bytes=10)
    file.write_bytes(file.read_bytes()[:-9])
    assert refusal(file).startswith(f"{file}: damaged or unreadable: ")
    file.write_bytes(b"label,pixel0\n\xff\xff")
    assert refusal(file).startswith(f"{file}: damaged or unreadable: 'utf-8' codec can't decode")
    monkeypatch.setattr(csv_rows, "MAX_LINE", 100)
    assert refusal(write(tmp_path / "b.csv", "label,pixel0", "1," + "0" * 200)) == (
        f"{tmp_path}/b.csv: a line has more than 99 characters"
    )


def test_a_row_that_is_much_longer_than_the_first_line_says_is_refused(tmp_path: Path) -> None:
    file = write(tmp_path / "a.csv", "label,pixel0", "1,2" + ",3" * 2000)
    assert refusal(file) == f"{file}: a line has more than 1,031 characters"


# Lists of paths


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number in range(4):
        (tmp_path / "list/pictures").mkdir(parents=True, exist_ok=True)
        Image.new("L", (3, 2), 50 * number).save(tmp_path / f"list/pictures/{number}.png")
    return tmp_path / "list"


def test_a_list_that_needs_too_much_memory_is_refused(folder: Path) -> None:
    file = write(folder / "own.csv", "path,label", *["pictures/1.png,0"] * 10)
    assert refusal(file, max_bytes=900) == (f"{file}: the rows need more memory than the 900 bytes of data.max_bytes")


def test_a_list_names_pictures_relative_to_the_file(folder: Path) -> None:
    lines = [f"pictures/{number}.png,{'cat' if number % 2 else 'dog'}" for number in (3, 0, 1)]
    found = find(write(folder / "own.csv", "path,label", *lines))
    train = found.load("train")
    assert train.images[:, 0, 0].tolist() == [150, 0, 50]
    assert (found.class_names, train.labels.tolist()) == (("cat", "dog"), [0, 1, 0])
    numbered = find(write(folder / "numbers.csv", "label,file", "1,pictures/0.png", "0,pictures/1.png"))
    assert (numbered.class_names, numbered.load("train").labels.tolist()) == (None, [1, 0])


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("../secret.png", "../secret.png leads out of {folder}; data.follow_links: true allows it"),
        (
            "pictures/../../secret.png",
            "pictures/../../secret.png leads out of {folder}; data.follow_links: true allows",
        ),
        ("{outside}", "{outside} leads out of {folder}; data.follow_links: true allows it"),
        ("link.png", "link.png is a symbolic link; data.follow_links: true follows it"),
        ("linked/1.png", "linked/1.png is a symbolic link; data.follow_links: true follows it"),
        ("missing.png", "there is no file {folder}/missing.png"),
        ("pictures", "there is no file {folder}/pictures"),
        ("", "'' is no path"),
    ],
)
def test_paths_out_of_the_folder_are_refused(path: str, words: str, folder: Path) -> None:
    outside = folder.parent / "secret.png"
    Image.new("L", (3, 2), 9).save(outside)
    (folder / "link.png").symlink_to(outside)
    (folder / "linked").symlink_to(folder / "pictures")
    place = {"folder": str(folder), "outside": str(outside)}
    file = write(folder / "own.csv", "path,label", "pictures/0.png,0", f"{path.format(**place)},1")
    assert refusal(file).startswith(f"{file}, line 3: {words.format(**place)}")
    if "data.follow_links" in words:
        assert len(find(file, follow_links=True).load("train").labels) == 2
