"""Test that files are written completely or not at all, and the messages about output paths."""

import os
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from dnn_cli import files
from dnn_cli.errors import DnnError, UsageError


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make every flush to the disk fail."""

    def fail(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)


@pytest.mark.parametrize("write", [files.write_atomically, files.write_output])
def test_a_written_file_holds_the_content_and_leaves_no_temporary_file(
    write: Callable[[Path, str | bytes], None], tmp_path: Path
) -> None:
    path = tmp_path / "a.txt"
    write(path, "é\n")
    assert path.read_bytes() == b"\xc3\xa9\n"
    write(path, b"\xff")
    assert path.read_bytes() == b"\xff"
    assert list(tmp_path.iterdir()) == [path]


def test_names_that_are_no_utf_8_are_written_as_escapes(tmp_path: Path) -> None:
    name = os.fsdecode(b"r\xff")
    files.write_output(tmp_path / name, name)
    assert (tmp_path / name).read_text() == "r\\udcff"


@pytest.mark.skipif(os.name != "posix", reason="needs devices and pipes")
def test_only_regular_files_are_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path, problem in (
        (tmp_path / "pipe", "not a regular file"),
        (Path("/dev/zero"), "not a regular file"),
        (tmp_path, "Is a directory"),
        (tmp_path / "none", "No such file or directory"),
    ):
        for call in (files.open_regular, files.sha256):
            with pytest.raises(OSError, match=problem):
                call(path)


@pytest.mark.parametrize("comment", [b"", b"a comment"])
def test_an_archive_with_a_long_list_of_members_is_not_opened(
    comment: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.comment = comment
        for number in range(100):
            archive.writestr(f"{number:03}", bytes(10_000))
    with files.open_archive(path) as archive:
        assert len(archive.read("099")) == 10_000
    monkeypatch.setattr(files, "MAX_DIRECTORY_BYTES", 100 * (46 + 3) - 1)
    with pytest.raises(zipfile.BadZipFile, match="its list of members is too long"), files.open_archive(path):
        pass


@pytest.mark.usefixtures("full_disk")
def test_a_failed_write_keeps_the_old_content(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(OSError, match="No space left on device"):
        files.write_atomically(path, "new")
    with pytest.raises(DnnError) as caught:
        files.write_output(path, "new")
    assert str(caught.value) == f"{path} cannot be written: No space left on device"
    assert path.read_text() == "old"


@pytest.mark.skipif(os.name == "nt", reason="Windows cannot flush folders")
def test_the_file_is_flushed_before_it_is_renamed_and_the_folder_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.txt"
    flushed = []
    flush = os.fsync

    def fsync(descriptor: int) -> None:
        flushed.append((os.fstat(descriptor).st_ino, path.exists()))
        flush(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    files.write_atomically(path, "new")
    assert flushed == [(path.stat().st_ino, False), (tmp_path.stat().st_ino, True)]


def test_an_output_folder_is_created_if_it_is_missing(tmp_path: Path) -> None:
    files.write_output(tmp_path / "plots" / "a.txt", "new")
    assert (tmp_path / "plots" / "a.txt").read_text() == "new"
    with pytest.raises(DnnError) as caught:
        files.write_output(tmp_path / "no" / "such" / "a.txt", "new")
    assert str(caught.value) == f"{tmp_path}/no/such cannot be written: No such file or directory"


def test_a_file_in_the_place_of_the_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "plots").touch()
    with pytest.raises(DnnError) as caught:
        files.write_output(tmp_path / "plots" / "a.txt", "new")
    assert str(caught.value) == f"{tmp_path}/plots cannot be written: File exists"


def test_a_symbolic_link_stays_and_its_target_is_written(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    link = tmp_path / "link.txt"
    link.symlink_to("folder/a.txt")
    for content in ("first", "second"):
        files.write_output(link, content)
        assert link.is_symlink()
        assert (tmp_path / "folder" / "a.txt").read_text() == content
    assert [path.name for path in (tmp_path / "folder").iterdir()] == ["a.txt"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_is_written_and_not_replaced(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    received: list[str] = []
    reader = threading.Thread(target=lambda: received.append(pipe.read_text()), daemon=True)
    reader.start()
    files.write_output(pipe, "new")
    reader.join(timeout=30)
    assert received == ["new"]
    assert pipe.is_fifo()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_device_that_is_full_is_named(tmp_path: Path) -> None:
    link = tmp_path / "a.txt"
    link.symlink_to("/dev/full")
    with pytest.raises(DnnError) as caught:
        files.write_output(link, "new")
    assert str(caught.value) == f"{link} cannot be written: No space left on device"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("a.txt", "--out a.txt: the name must end in .png or .html"),
        ("png", "--out png: the name must end in .png or .html"),
        ("folder.png", "--out folder.png: is a folder"),
        ("no/a.png", "--out no/a.png: there is no folder no"),
        ("file.png/a.png", "--out file.png/a.png: there is no folder file.png"),
    ],
)
def test_an_unusable_output_path_is_rejected(
    name: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("folder.png").mkdir()
    Path("file.png").touch()
    with pytest.raises(UsageError) as caught:
        files.check_output(Path(name), suffixes=(".png", ".html"))
    assert str(caught.value) == message


def test_a_usable_output_path_is_accepted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("there.png").touch()
    for name in ("new.png", "NEW.PNG", "there.png", str(tmp_path / "new.html")):
        files.check_output(Path(name), suffixes=(".png", ".html"))
    files.check_output(Path("any name"))


def test_the_option_is_named_as_the_user_gave_it() -> None:
    with pytest.raises(UsageError, match="^--preview a.jpg: the name must end in .png$"):
        files.check_output(Path("a.jpg"), "--preview", (".png",))


def test_the_digest_is_that_of_the_content(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"abc")
    assert files.sha256(path) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_a_link_in_the_place_of_a_file_of_a_run_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("precious")
    page = tmp_path / "report.html"
    page.symlink_to("precious")
    files.write_output(page, "page", in_run=True)
    assert (page.is_symlink(), page.read_text()) == (False, "page")
    events = tmp_path / "events"
    events.symlink_to("precious")
    for mode in ("ab", "r+b"):
        with pytest.raises(OSError, match="symbolic links"), open(events, mode, opener=files.without_links):
            pass
    assert (tmp_path / "precious").read_text() == "precious"
