"""Test the cache of decoded images: what is found again, what is noticed, and what is made again."""

import os
import time
from pathlib import Path

import numpy as np
import pytest

from dnn_cli.data import cache
from dnn_cli.data.cache import Entry


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "dnn/datasets"


class Maker:
    """Count how often an entry is made."""

    def __init__(self) -> None:
        self.count = 0
        self.warnings: list[str] = []

    def get(self, known_by: str = "files", *, newest: float = 0.0, content: str = "bytes") -> Entry:
        def make() -> Entry:
            self.count += 1
            return Entry(np.full((2, 3, 3), self.count, np.uint8), np.arange(2, dtype=np.int32), content, {"a": 1})

        return cache.cached(cache.signature(known_by), "settings", newest, make, self.warnings.append)


def test_an_entry_is_made_once() -> None:
    maker = Maker()
    first, second = maker.get(), maker.get()
    assert maker.count == 1
    np.testing.assert_array_equal(first.images, second.images)
    np.testing.assert_array_equal(first.labels, second.labels)
    assert (second.content, second.about, maker.warnings) == ("bytes", {"a": 1}, [])


def test_other_files_are_another_entry_but_equal_content_is_stored_once(folder: Path) -> None:
    maker = Maker()
    maker.get("files")
    maker.get("touched files")
    assert maker.count == 2
    assert len([path for path in folder.iterdir() if path.is_dir()]) == 1
    maker.get("other files", content="other bytes")
    assert len([path for path in folder.iterdir() if path.is_dir()]) == 2


def test_files_that_changed_just_now_are_read_again() -> None:
    maker = Maker()
    maker.get(newest=time.time() + 1)
    maker.get()
    assert maker.count == 2


@pytest.mark.parametrize("name", ["images.npy", "labels.npy", "about.json"])
@pytest.mark.parametrize("damage", ["cut", "flip", "remove"])
def test_a_damaged_entry_is_made_again(name: str, damage: str, folder: Path) -> None:
    maker = Maker()
    maker.get()
    file = next(folder.glob(f"*/{name}"))
    content = bytearray(file.read_bytes())
    if damage == "remove":
        file.unlink()
    elif damage == "cut":
        file.write_bytes(content[:-1])
    else:
        content[-1 if name != "about.json" else 14] ^= 1
        file.write_bytes(content)
    assert maker.get().images[0, 0, 0] == 2
    assert maker.get().images[0, 0, 0] == 2
    assert maker.count == 2


def test_a_folder_that_cannot_be_written_is_a_warning(folder: Path) -> None:
    folder.parent.mkdir()
    folder.touch()
    maker = Maker()
    maker.get()
    (warning,) = maker.warnings
    assert warning.startswith(f"{folder} cannot be written, so the pictures are decoded at each start: ")


def test_nothing_is_left_of_an_entry_that_was_not_finished(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(np, "save", fail)
    maker = Maker()
    maker.get()
    assert list(folder.iterdir()) == []
    assert maker.warnings == [
        f"{folder} cannot be written, so the pictures are decoded at each start: No space left on device"
    ]


def test_clear_deletes_everything(folder: Path) -> None:
    Maker().get()
    assert cache.clear() > 100
    assert not folder.exists()
    assert cache.clear() == 0
