"""Test known datasets in their published files: how they are found, downloaded, verified and converted.

Small files of the same form take the place of the published ones, and a server on this machine that of their hosts.
"""

import bz2
import gzip
import hashlib
import io
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dnn_cli.data import datasets
from dnn_cli.data.known_sets import KNOWN_DATASETS
from dnn_cli.errors import DataError
from dnn_cli.typing import Array
from tests.data.http_host import Host
from tests.files import IDX, idx

RANDOM = np.random.default_rng(0)
IMAGES = {part: RANDOM.integers(0, 256, (count, 28, 28), np.uint8) for part, count in (("train", 6), ("test", 4))}
LABELS = {"train": np.array([1, 2, 3, 1, 2, 3]), "test": np.array([3, 2, 1, 1])}


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    import threading

    monkeypatch.setenv("DNN_OFFLINE", "0")
    with Host() as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def compressed(array: Array) -> bytes:
    return gzip.compress(idx(array), mtime=0)


def idx_files() -> dict[str, bytes]:
    files = {f"{IDX[f'x_{part}']}.gz": compressed(images) for part, images in IMAGES.items()}
    return files | {f"{IDX[f'y_{part}']}.gz": compressed(labels) for part, labels in LABELS.items()}


def emnist_archive(subset: str) -> dict[str, bytes]:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for part in ("train", "test"):
            prefix = f"gzip/emnist-{subset}-{part}"
            archive.writestr(f"{prefix}-images-idx3-ubyte.gz", compressed(IMAGES[part].transpose(0, 2, 1)))
            archive.writestr(f"{prefix}-labels-idx1-ubyte.gz", compressed(LABELS[part]))
    return {"gzip.zip": stream.getvalue()}


def libsvm_files() -> dict[str, bytes]:
    files = {}
    for name, part in (("usps.bz2", "train"), ("usps.t.bz2", "test")):
        rows = IMAGES[part][:, :16, :16].reshape(-1, 256) / 127.5 - 1
        lines = (
            f"{label} " + " ".join(f"{place}:{value:.6f}" for place, value in enumerate(row, start=1))
            for label, row in zip(LABELS[part].tolist(), rows.tolist(), strict=True)
        )
        files[name] = bz2.compress("\n".join(lines).encode())
    return files


def publish(name: str, files: dict[str, bytes], host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """Serve files of that content, and expect their digests."""
    known = KNOWN_DATASETS[name]
    assert known.published
    assert known.published.files.keys() == files.keys()
    digests = {file: hashlib.md5(content).hexdigest() for file, content in files.items()}
    published = replace(known.published, files=digests, hosts=(f"{host.url}/there",))
    monkeypatch.setitem(KNOWN_DATASETS, name, replace(known, published=published))
    host.files |= {f"/there/{file}": content for file, content in files.items()}


CASES = {
    "kmnist": (idx_files(), IMAGES, 0),
    "emnist-balanced": (emnist_archive("balanced"), IMAGES, 0),
    "emnist-letters": (emnist_archive("letters"), IMAGES, 1),
    "emnist-digits": (emnist_archive("digits"), IMAGES, 0),
    "usps": (libsvm_files(), {part: images[:, :16, :16] for part, images in IMAGES.items()}, 1),
}


@pytest.mark.parametrize("name", CASES)
def test_the_files_are_downloaded_verified_and_converted(
    name: str, host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files, images, first = CASES[name]
    publish(name, files, host, monkeypatch)
    for _ in range(2):  # the second time, everything is on this machine
        dataset = datasets.find(name, split="both", quiet=True)
        for part in ("train", "test"):
            split = dataset.load(part)
            np.testing.assert_array_equal(split.images, images[part])
            np.testing.assert_array_equal(split.labels, LABELS[part] - first)
    assert len(host.asked) == len(files)
    assert dataset.class_names == KNOWN_DATASETS[name].class_names
    assert [part.state for part in datasets.verify(dataset)] == ["ok"] * 4
    folder = tmp_path / "keras/datasets" / name.split("-", maxsplit=1)[0]
    assert dataset.path == folder
    assert {file.name for file in folder.iterdir()} == files.keys()


def test_files_that_differ_from_the_published_ones_are_refused(
    host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files, _, _ = CASES["usps"]
    publish("usps", files, host, monkeypatch)
    host.files["/there/usps.bz2"] = bz2.compress(b"1 1:0.5")
    with pytest.raises(DataError) as caught:
        datasets.find("usps", quiet=True)
    lines = str(caught.value).splitlines()
    assert lines[:2] == ["USPS was not found", f"  {tmp_path}/keras/datasets/usps: does not exist"]
    assert f"  {host.url}/there/usps.bz2: differs from USPS (MD5 " in str(caught.value)
    assert lines[-1] == f"put usps.bz2, usps.t.bz2 into {tmp_path}/keras/datasets/usps or $DNN_DATA_DIR"


def test_files_of_the_user_are_found_first(host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files, images, _ = CASES["kmnist"]
    publish("kmnist", files, host, monkeypatch)
    monkeypatch.setenv("DNN_DATA_DIR", str(tmp_path / "own"))
    (tmp_path / "own/kmnist").mkdir(parents=True)
    for name, content in files.items():
        (tmp_path / "own/kmnist" / name).write_bytes(content)
    dataset = datasets.find("kmnist")
    assert dataset.path == tmp_path / "own/kmnist"
    np.testing.assert_array_equal(dataset.load("train").images, images["train"])
    assert host.asked == []


@pytest.mark.parametrize("name", CASES)
def test_the_published_names_of_classes_are_as_many_as_the_classes(name: str) -> None:
    known = KNOWN_DATASETS[name]
    assert known.class_names is None or len(known.class_names) == len(set(known.class_names)) == known.classes
