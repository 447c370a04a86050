"""Test Parquet files: columns, shards, names of classes, and what is refused."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from dnn_cli.data import datasets
from dnn_cli.data.datasets import Dataset
from dnn_cli.data.reading import Reading
from dnn_cli.errors import DataError


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def encoded(level: int) -> bytes:
    stream = io.BytesIO()
    Image.new("L", (3, 2), level).save(stream, "PNG")
    return stream.getvalue()


def write(file: Path, labels: list[Any], *, plain: bool = False, names: list[str] | None = None, **more: Any) -> Path:
    pictures = [encoded(10 * number) for number in range(len(labels))]
    column = pictures if plain else [{"bytes": picture, "path": "/etc/passwd"} for picture in pictures]
    table = pa.table({"image": column, "label": labels} | more)
    if names:
        features = {"info": {"features": {"label": {"names": names, "_type": "ClassLabel"}}}}
        table = table.replace_schema_metadata({"huggingface": json.dumps(features)})
    file.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, file)
    return file


def find(path: Path, **settings: Any) -> Dataset:
    return datasets.find(str(path), reading=Reading(**{"test": 0, **settings}))


def refusal(path: Path, **settings: Any) -> str:
    with pytest.raises(DataError) as caught:
        find(path, **settings)
    return str(caught.value)


@pytest.mark.parametrize("plain", [False, True])
def test_a_column_of_pictures_and_one_of_labels(plain: bool, tmp_path: Path) -> None:
    found = find(write(tmp_path / "a.parquet", [2, 0, 1], plain=plain, more=[1.0, 2.0, 3.0]))
    train = found.load("train")
    assert (train.images.shape, train.images[:, 0, 0].tolist()) == ((3, 2, 3), [0, 10, 20])
    assert (train.labels.tolist(), found.class_names) == ([2, 0, 1], None)


@pytest.mark.parametrize("inner", ["", "data"])
def test_shards_are_joined_in_order_and_parts_are_told_by_name(inner: str, tmp_path: Path) -> None:
    folder = tmp_path / "set" / inner
    write(folder / "train-00001-of-00002.parquet", [1, 1])
    write(folder / "train-00000-of-00002.parquet", [0, 1, 0], names=["cat", "dog"])
    write(folder / "test-00000-of-00001.parquet", [1])
    write(folder / "validation.parquet", [0])
    write(folder / "unlabelled.parquet", [0])
    found = find(tmp_path / "set")
    assert list(found.source.parts()) == ["train", "validation", "test"]
    assert found.load("train").labels.tolist() == [0, 1, 0, 1, 1]
    assert found.load("test").labels.tolist() == [1]
    assert found.class_names == ("cat", "dog")
    assert found.source.warnings == [f"{tmp_path}/set: files of no part, not used: unlabelled.parquet"]


def test_labels_that_are_strings_name_the_classes(tmp_path: Path) -> None:
    found = find(write(tmp_path / "a.parquet", ["dog", "cat"]))
    assert (found.class_names, found.load("train").labels.tolist()) == (("cat", "dog"), [1, 0])


def test_files_that_cannot_be_used_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "a.parquet"
    file.write_bytes(b"PAR1 and no more")
    assert refusal(file).startswith(f"{file}: damaged, or not a Parquet file: ")
    pq.write_table(pa.table({"pixels": [1], "label": [0]}), file)
    assert refusal(file) == (
        f"{file}: there must be a column image of encoded pictures and a column label; it has pixels, label"
    )
    pq.write_table(pa.table({"image": [{"bytes": None, "path": "/etc/passwd"}], "label": [0]}), file)
    assert refusal(file) == f"{file}: row 0 of image holds no encoded picture"
    pq.write_table(pa.table({"image": [b"1", b"2"], "label": [0, None]}), file)
    assert refusal(file) == f"{file}: row 1 of label is empty"
    pq.write_table(pa.table({"image": [b"1"], "label": [[0, 1]]}), file)
    assert refusal(file) == f"{file}: labels must all be whole numbers, or all be text, got [0, 1]"
    pq.write_table(pa.table({"image": pa.array([], pa.binary()), "label": pa.array([], pa.int64())}), file)
    assert refusal(file) == f"{file}: there are no rows"
    assert "bytes of memory, at most 9 are allowed; see data.max_bytes" in refusal(write(file, [0, 1]), max_bytes=9)


def test_metadata_that_make_no_sense_are_ignored(tmp_path: Path) -> None:
    table = pa.table({"image": [encoded(1), encoded(2)], "label": [0, 1]})
    for text in ("[", '{"info": 3}', '{"info": {"features": {"label": {"names": [1, 2]}}}}'):
        pq.write_table(table.replace_schema_metadata({"huggingface": text}), tmp_path / "a.parquet")
        assert find(tmp_path / "a.parquet").class_names is None


def test_equal_arrays_have_equal_fingerprints_however_they_are_stored(tmp_path: Path) -> None:
    parquet = find(write(tmp_path / "a.parquet", [0, 1])).load("train")
    np.savez(tmp_path / "a.npz", x_train=parquet.images, y_train=parquet.labels)
    assert find(tmp_path / "a.npz").load("train").fingerprint() == parquet.fingerprint()
