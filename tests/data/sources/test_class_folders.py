"""Test folders of class folders: parts, names, what is counted and named, and what is refused."""

from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from dnn_cli.data import datasets
from dnn_cli.data.datasets import Dataset
from dnn_cli.data.reading import Reading
from dnn_cli.errors import DataError


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def draw(file: Path, level: int = 100, size: tuple[int, int] = (5, 4), mode: str = "L") -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, level if mode == "L" else (level, 0, 0)).save(file)
    return file


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Return a folder of eight pictures in two classes."""
    for number in range(4):
        draw(tmp_path / f"photos/class 10/{number}.png", 10 + number)
        draw(tmp_path / f"photos/class 2/{number}.png", 20 + number)
    return tmp_path / "photos"


def find(path: Path, **settings: Any) -> Dataset:
    return datasets.find(str(path), reading=Reading(**{"test": 0, **settings}))


def refusal(path: Path, **settings: Any) -> str:
    with pytest.raises(DataError) as caught:
        find(path, **settings).load("test")
    return str(caught.value)


def test_classes_are_the_folders_and_pictures_keep_the_order_of_their_names(photos: Path) -> None:
    found = find(photos)
    assert found.class_names == ("class 2", "class 10")
    train = found.load("train")
    assert (train.images.dtype.name, train.images.shape) == ("uint8", (8, 4, 5))
    assert train.images[:, 0, 0].tolist() == [10, 20, 11, 21, 12, 22, 13, 23]
    assert train.labels.tolist() == [1, 0] * 4
    assert found.source.remarks == [f"{photos}: 8 pictures in 2 class folders: class 2, class 10"]
    assert found.source.warnings == []


def test_without_a_test_part_a_stratified_share_is_held_out(photos: Path) -> None:
    found = find(photos, test=0.25)
    assert sorted(found.load("test").labels.tolist()) == [0, 1]
    assert len(found.load("train").labels) == 6
    assert refusal(photos) == f"{photos}: there are no test images, and data.test is 0, so that none are held out"


@pytest.mark.parametrize("validation", ["val", "valid", "Validation"])
def test_parts_are_matched_by_the_name_of_the_class(validation: str, photos: Path) -> None:
    root = photos.rename(photos.with_name("train")).parent
    draw(root / validation / "class 10/a.png", 1)
    draw(root / "test/class 10/a.png", 2)
    found = find(root)
    assert list(found.source.parts()) == ["train", "validation", "test"]
    assert found.load("test").labels.tolist() == [1]
    assert found.load("validation").labels.tolist() == [1]
    assert found.source.warnings == [
        f"{root}/test: no pictures of the classes class 2",
        f"{root}/{validation}: no pictures of the classes class 2",
    ]
    draw(root / "test/cow/a.png")
    assert refusal(root) == (f"{root}/test: unknown class cow; the classes of the training part are class 2, class 10")


def test_what_is_not_used_is_counted_and_named(photos: Path) -> None:
    draw(photos / "class 2/more/deeper/9.png", 99)
    draw(photos / "loose.png")
    draw(photos / ".hidden/a.png")
    (photos / "class 2/Thumbs.db").touch()
    (photos / "class 10/notes.txt").touch()
    (photos / "nothing").mkdir()
    (photos / "class 2/link.png").symlink_to(photos / "class 2/1.png")
    found = find(photos)
    assert len(found.load("train").labels) == 9
    hidden = next(warning for warning in found.source.warnings if "hidden" in warning)  # in the order of the disk
    assert hidden.startswith(f"{photos}: 2 hidden, not used: ")
    assert {*hidden.rpartition(": ")[2].split(", ")} == {".hidden", "class 2/Thumbs.db"}
    assert [warning for warning in found.source.warnings if warning != hidden] == [
        f"{photos}: 1 outside of the class folders, not used: loose.png",
        f"{photos}: 1 without a picture's ending, not used: class 10/notes.txt",
        f"{photos}: 1 symbolic links, not followed; data.follow_links: true follows them: class 2/link.png",
        f"{photos}: 1 class folders without pictures, not used: nothing",
    ]
    nested = f"{photos}: pictures in nested folders count to their class: class 2/more, class 2/more/deeper"
    assert nested in found.source.remarks
    assert len(find(photos, follow_links=True).load("train").labels) == 10


def test_broken_pictures_are_an_error_or_are_left_out(photos: Path) -> None:
    (photos / "class 2/1.png").write_bytes(b"no picture")
    why = "class 2/1.png (not a PNG, JPEG, GIF, BMP, TIFF or WebP image)"
    assert refusal(photos) == (f"{photos}: 1 of 8 pictures cannot be read: {why}; data.on_broken: skip leaves them out")
    for _ in range(2):  # the second time, they come from the cache
        found = find(photos, on_broken="skip")
        assert found.load("train").labels.tolist() == [1, 0, 1, 1, 0, 1, 0]
        assert found.source.warnings == [f"{photos}: 1 broken picture is left out: {why}"]


def test_different_sizes_need_a_size(photos: Path) -> None:
    draw(photos / "class 2/1.png", size=(70, 90))
    assert refusal(photos) == (
        f"{photos}: the pictures have 2 different sizes: 4×5 (7), 90×70 (1); "
        "set the size that all of them get, for example data.image_size: [4, 4]"
    )
    assert find(photos, image_size=(6, 3)).load("train").images.shape == (8, 6, 3)


def test_pictures_that_need_too_much_memory_are_refused(photos: Path) -> None:
    assert refusal(photos, max_bytes=100) == (
        f"{photos}: 8 images of 4×5 need 160 bytes of memory, at most 100 are allowed; "
        "set a smaller data.image_size, or a larger data.max_bytes"
    )


def test_a_single_picture_in_colour_makes_all_rgb(photos: Path) -> None:
    draw(photos / "class 2/3.png", 200, mode="RGB")
    train = find(photos).load("train")
    assert train.images.shape == (8, 4, 5, 3)
    assert train.images[[0, 7], 0, 0].tolist() == [[10, 10, 10], [200, 0, 0]]
    assert find(photos, color="grey").load("train").images.shape == (8, 4, 5)


def test_folders_that_are_no_dataset_are_refused(tmp_path: Path, photos: Path) -> None:
    (tmp_path / "empty/a").mkdir(parents=True)
    assert refusal(tmp_path / "empty").startswith(
        f"{tmp_path}/empty: there are no pictures in class folders here (.bmp"
    )
    both = tmp_path / "both"
    for name in ("val", "valid", "train"):
        draw(both / name / "a/1.png")
    assert refusal(both) == f"{both}: both valid and val can be the part validation; keep one"
    (both / "train").rename(both / "test")
    (both / "valid").rename(both / "other")
    assert refusal(both) == f"{both}: there is a folder val, test, but none named train"
    draw(tmp_path / "single/only/1.png")
    assert refusal(tmp_path / "single") == (
        f"{tmp_path}/single: every training image is of class only; training needs at least two classes"
    )
