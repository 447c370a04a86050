"""Test the two file formats: what is read, what is rejected, and the messages, for valid and damaged bytes."""

import gzip
import os
import struct
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dnn_cli.data import datasets, formats
from dnn_cli.errors import DataError
from dnn_cli.typing import Array
from tests.files import IDX, digits, idx, refusal, stored, user, write_idx

SHAPES = "must have the shape (n, height, width) or (n, height, width, channels)"
WHOLE = "whole-number pixels must lie in 0 to 255"
SIDES = "images may have at most 1,024 pixels a side"
PIXELS = "pixels must be uint8 in 0 to 255 or floats in 0 to 1"
SCALE = "scale them to [0, 1], or store 0 to 255 as uint8"
ONE_HOT = "for one-hot rows, store labels.argmax(axis=1)"
PICKLES = "contains pickled Python objects, which are never loaded; store plain numbers"
TOO_MUCH = "at most 4,294,967,296 bytes are supported"


def test_gzipped_idx_files_are_recognized_by_content_not_by_name(tmp_path: Path) -> None:
    folder = write_idx(tmp_path / "own", digits(), gzipped=True)
    for file in folder.iterdir():
        file.rename(file.with_suffix(""))
    assert len(datasets.find(str(folder)).load("train").labels) == 8


def test_idx_files_of_floats_become_float32(tmp_path: Path) -> None:
    folder = write_idx(tmp_path / "own", digits())
    images = np.linspace(0, 1, 96).reshape(8, 3, 4)
    header = bytes([0, 0, 0x0E, 3]) + struct.pack(">3I", 8, 3, 4)
    (folder / IDX["x_train"]).write_bytes(header + images.astype(">f8").tobytes())
    loaded = datasets.find(str(folder)).load("train").images
    assert (loaded.dtype.name, loaded.dtype.isnative) == ("float32", True)
    np.testing.assert_allclose(loaded, images, rtol=1e-6)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda content: content[:-1], "the header claims 96 bytes, but the file has only 95"),
        (lambda content: content + b"?", "the header claims 96 bytes, but the file has more"),
        (lambda content: b"\0\0\x08\x03\xff\xff\xff\xff" + content[8:], TOO_MUCH),
        (lambda content: b"PNG!" + content[4:], "not an IDX file: its first bytes are 504e4721"),
        (lambda content: b"\0\0\x08\x00", "not an IDX file: its first bytes are 00000800"),
        (lambda content: b"", "not an IDX file: its first bytes are missing"),
        (lambda content: gzip.compress(content)[:-20], "ended before the end-of-stream marker"),
        (lambda content: gzip.compress(content)[:-8] + b"\0" * 8, "CRC check failed"),
    ],
)
def test_damaged_idx_files_are_rejected(damage: Any, words: str, tmp_path: Path) -> None:
    folder = write_idx(tmp_path / "own", digits())
    file = folder / IDX["x_train"]
    file.write_bytes(damage(file.read_bytes()))
    message = refusal(folder)
    assert message.startswith(f"{file}: damaged or unreadable: ")
    assert words in message


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"x_train": np.zeros((8, 3, 2, 2, 2), "u1")}, f"x_train: images {SHAPES}, got (8, 3, 2, 2, 2)"),
        ({"x_train": np.zeros((2, 1, 1025), "u1")}, f"x_train: {SIDES}, got (1, 1025)"),
        ({"x_train": np.zeros((0, 3, 4), "u1")}, "x_train: the array is empty; at least one image is needed"),
        ({"x_train": np.full((8, 3, 4), 1 << 20)}, f"x_train: {WHOLE}, got 1048576 to 1048576"),
        ({"x_train": np.full((8, 3, 4), -1)}, "x_train: whole-number pixels must lie in 0 to 255, got -1 to -1"),
        ({"x_train": np.full((8, 3, 4), np.nan)}, "x_train: 96 pixels are NaN or infinite"),
        ({"x_train": np.full((8, 3, 4), np.inf, "f2")}, "x_train: 96 pixels are NaN or infinite"),
        ({"x_train": np.full((8, 3, 4), 99999.0)}, f"x_train: pixels must lie in 0 to 1, got 99999 to 99999; {SCALE}"),
        ({"x_train": np.full((8, 3, 4), -5.5)}, f"x_train: pixels must lie in 0 to 1, got -5.5 to -5.5; {SCALE}"),
        ({"x_train": np.zeros((8, 3, 4), "c8")}, f"x_train: {PIXELS}, got complex64"),
        ({"x_train": np.array([[[None]]])}, f"x_train: {PICKLES}"),
        ({"y_train": np.ones((8, 3), int)}, f"y_train: labels must have the shape (n,), got (8, 3); {ONE_HOT}"),
        ({"y_train": np.zeros((8, 1, 1), int)}, "y_train: labels must have the shape (n,), got (8, 1, 1)"),
        ({"y_train": np.arange(8.0)}, "y_train: labels must be whole numbers, got float64"),
        ({"y_train": np.ones(8, bool)}, "y_train: labels must be whole numbers, got bool"),
        ({"y_train": np.arange(8) - 1}, "y_train: labels must lie in 0 to 999, got -1 to 6"),
        ({"y_train": np.arange(993, 1001)}, "y_train: labels must lie in 0 to 999, got 993 to 1000"),
        ({"y_train": np.array(["x"] * 8, object)}, f"y_train: {PICKLES}"),
    ],
)  # fmt: skip
def test_arrays_that_cannot_be_images_or_labels_are_rejected(
    changes: dict[str, Array], words: str, tmp_path: Path
) -> None:
    path = user(tmp_path, **changes)
    assert refusal(path) == f"{path}: {words}"


@pytest.mark.parametrize("dtype", ["i8", ">i2", "u4", "u1"])
def test_whole_number_pixels_become_uint8_and_labels_int32(dtype: str, tmp_path: Path) -> None:
    path = user(tmp_path, x_train=digits()["x_train"].astype(dtype), y_train=digits()["y_train"].astype(dtype))
    train = datasets.find(str(path)).load("train")
    assert (train.images.dtype.name, train.labels.dtype.name) == ("uint8", "int32")
    np.testing.assert_array_equal(train.images, digits()["x_train"])


@pytest.mark.parametrize("dtype", ["f2", "f4", ">f8"])
def test_float_pixels_become_float32(dtype: str, tmp_path: Path) -> None:
    images = (digits()["x_train"] / 255).astype(dtype)
    train = datasets.find(str(user(tmp_path, x_train=images))).load("train")
    assert train.images.dtype == np.float32
    np.testing.assert_array_equal(train.images, images.astype("f4"))


def test_labels_may_be_a_column_and_images_in_fortran_order(tmp_path: Path) -> None:
    images = np.asfortranarray(np.arange(8 * 12 * 3, dtype=np.uint8).reshape(8, 4, 3, 3))
    train = datasets.find(str(user(tmp_path, x_train=images, y_train=digits()["y_train"][:, None]))).load("train")
    np.testing.assert_array_equal(train.images, images)
    np.testing.assert_array_equal(train.labels, digits()["y_train"])
    assert train.images.flags.c_contiguous


def test_files_that_are_not_npz_are_rejected(tmp_path: Path) -> None:
    path = tmp_path / "own.npz"
    path.write_bytes(b"PK but not really")
    assert refusal(path) == f"{path}: damaged, or not an .npz file: File is not a zip file"
    (tmp_path / "x_train.npy").write_bytes(b"no array")
    assert refusal(tmp_path / "x_train.npy") == (
        f"{tmp_path}/x_train.npy: damaged or unreadable: the magic string is not correct; expected "
        "b'\\x93NUMPY', got b'no arr'"
    )


def test_a_flipped_bit_in_an_npz_is_detected(tmp_path: Path) -> None:
    path = tmp_path / "own.npz"
    path.write_bytes(stored(digits()))
    content = bytearray(path.read_bytes())
    content[content.index(digits()["x_train"].tobytes()) + 50] ^= 1
    path.write_bytes(content)
    assert refusal(path) == f"{path}: x_train: damaged, or not an .npz file: Bad CRC-32 for file 'x_train.npy'"


def header(shape: str) -> str:
    return f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}}}\n"


def npy(text: str, payload: bytes = b"") -> bytes:
    described = text.encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(described)) + described + payload


@pytest.mark.parametrize(
    ("member", "words"),
    [
        (npy(header("(9999999, 999, 999)")), TOO_MUCH),
        (npy(header("(-1, -9, 9)")), TOO_MUCH),
        (npy(header("(True, 3, 4)"), bytes(12)), "the header claims the shape (True, 3, 4) of uint8"),
        (npy(header("(8, 3, 4)").replace("|u1", "|V0")), "the header claims the shape (8, 3, 4) of |V0"),
        (npy(header("(8, 9, 9)"), b"?"), "the header claims 648 bytes, but the file has only 1"),
        (npy(header("(1, 1, 1)"), b"??"), "the header claims 1 bytes, but the file has more"),
        (npy("{" * 9000 + "\n"), "damaged or unreadable: "),
        (npy(" " * 60000 + "{}\n"), "damaged or unreadable: "),
        (b"\x93NUMPY\x03\x00" + b"\0" * 100, "version (3, 0) of the .npy format is not supported; store plain numbers"),
        (b"", "damaged or unreadable: "),
    ],
)  # fmt: skip
def test_false_npy_headers_are_rejected(member: bytes, words: str, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "own.npz", "w") as archive:
        archive.writestr("x_train.npy", member)
    message = refusal(tmp_path / "own.npz")
    assert message.startswith(f"{tmp_path}/own.npz: x_train: ")
    assert words in message


def test_an_npz_with_more_data_than_its_header_claims_is_rejected(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "own.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x_train.npy", npy(header("(8, 3, 4)"), bytes(50_000_000)))
    assert "the header claims 96 bytes, but the file has more" in refusal(tmp_path / "own.npz")


@pytest.mark.parametrize("read", [formats.read_idx, lambda path: formats.read_npz(path, "x_train")])
def test_pipes_and_devices_are_not_read(read: Any, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/zero")):
        with pytest.raises(DataError, match=f"^{path}: damaged or unreadable: not a regular file$"):
            read(path)


def test_running_out_of_memory_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr(formats, "_read_numbers", fail)
    path = user(tmp_path)
    assert refusal(path) == f"{path}: x_train: there is not enough memory to read it"


def test_an_npz_with_unknown_compression_is_rejected(tmp_path: Path) -> None:
    pytest.importorskip("lzma")
    with zipfile.ZipFile(tmp_path / "own.npz", "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("x_train.npy", b"")
    assert "unknown compression; save it with numpy.savez or numpy.savez_compressed" in refusal(tmp_path / "own.npz")


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(draw=st.data())
def test_any_damaged_file_is_read_or_rejected_with_a_data_error(draw: st.DataObject, tmp_path: Path) -> None:
    """Damage of any kind leads to a `DataError` or is not noticed; it never raises another exception."""
    whole = draw.draw(st.sampled_from([stored(digits(2)), idx(digits()["x_train"])]))
    content = bytearray(whole)
    for _ in range(draw.draw(st.integers(1, 4))):
        content[draw.draw(st.integers(0, len(content) - 1))] = draw.draw(st.integers(0, 255))
    content = content[: draw.draw(st.integers(0, len(content)))] if draw.draw(st.booleans()) else content
    path = tmp_path / "fuzzed"
    path.write_bytes(content)
    with suppress(DataError):
        formats.as_images(formats.read_idx(path), "here")
    with suppress(DataError):
        formats.as_images(formats.read_npz(path, "x_train"), "here")
