"""Test `dnn data`: the list of datasets, and one dataset with its parts."""

import json
import re
from pathlib import Path

import pytest

from dnn_cli.cli import data
from dnn_cli.data import known_sets
from dnn_cli.data.datasets import Dataset, Found, Part
from tests.cli.conftest import Dnn
from tests.files import digits, idx, user, write_idx


def test_datasets_are_listed_with_their_parts(dnn: Dnn, tmp_path: Path) -> None:
    cache = tmp_path / "keras" / "datasets"
    write_idx(cache / "fashion-mnist", digits())
    answer = dnn("data")
    assert (answer.code, answer.stderr) == (0, "")
    mnist, fashion, sample, *others = answer.stdout.split("\n\n")
    assert [other.split(":")[0] for other in others] == list(known_sets.KNOWN_DATASETS)[3:]
    assert mnist.splitlines() == [
        "mnist: 60,000 training and 10,000 test digits",
        "  not found; download it with `dnn data mnist`",
    ]
    assert fashion.splitlines()[1] == f"  {cache}/fashion-mnist"
    assert fashion.splitlines()[3].split() == ["x_train", "bad"]
    assert f"  {cache}/fashion-mnist/train-images-idx3-ubyte: differs from Fashion-MNIST (MD5 " in fashion
    assert sample.splitlines()[2].split() == ["part", "shape", "type", "digest", "state"]
    digest = known_sets.KNOWN_DATASETS["mnist-sample"].digests["x_train"]
    assert sample.splitlines()[3] == f"  x_train  4000×28×28  uint8  md5:{digest}  verified"
    assert max(len(line) for line in sample.splitlines()[2:]) <= 80


def test_datasets_as_json(dnn: Dnn) -> None:
    listed = json.loads(dnn("data", "--json").stdout)
    assert [entry["name"] for entry in listed] == list(known_sets.KNOWN_DATASETS)
    assert listed[0] == {"name": "mnist", "path": None, "parts": []}
    assert listed[2]["parts"][1] == {
        "name": "y_train",
        "state": "ok",
        "shape": [4000],
        "dtype": "int32",
        "digest": "md5:" + known_sets.KNOWN_DATASETS["mnist-sample"].digests["y_train"],
        "problem": "",
    }


def test_one_dataset_is_verified(dnn: Dnn, tmp_path: Path) -> None:
    assert dnn("data", "mnist-sample").stdout.splitlines()[0].startswith("mnist-sample: /")
    path = user(tmp_path)
    answer = dnn("data", path)
    lines = answer.stdout.splitlines()
    assert lines[:2] == [f"data    {path}", "kind    arrays"]
    assert any(re.fullmatch(r"  x_train  8×3×4  uint8  sha256:[0-9a-f]{28}…  readable", line) for line in lines)
    assert max(map(len, lines[1:-1])) <= 80
    whole = json.loads(dnn("data", path, "--json").stdout)
    assert whole["path"] == str(path)
    assert re.fullmatch(r"sha256:[0-9a-f]{64}", whole["parts"][0]["digest"])


def test_missing_and_damaged_datasets_are_errors(dnn: Dnn, tmp_path: Path) -> None:
    answer = dnn("data", "mnist")
    assert (answer.code, answer.stdout) == (1, "")
    assert answer.stderr.startswith("error: MNIST was not found\n")
    assert "\n  downloads are switched off by DNN_OFFLINE\n" in answer.stderr
    assert dnn("data", "mnits").stderr.startswith("error: there is no dataset 'mnits' (did you mean 'mnist'?); known: ")
    folder = write_idx(tmp_path / "own", digits())
    file = folder / "train-images-idx3-ubyte"
    file.write_bytes(idx(digits()["x_train"])[:-1])
    assert dnn("data", folder).stderr == (
        f"error: {file}: damaged or unreadable: the header claims 96 bytes, but the file has only 95\n"
    )


def test_the_problem_of_a_bad_part_is_printed_below_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    parts = [
        Part("x_train", "ok", (60000, 28, 28), "uint8", "md5:" + "0" * 32),
        Part("y_train", "unknown", (60000,), "int32", "sha256:" + "1" * 64),
        Part("x_test", "bad", problem="/here/x: it is empty"),
    ]
    found = Dataset("mnist", Path("/here"), "mnist")
    data.print_datasets([(Found("mnist", "digits", found), parts), (Found("other", "more", None), [])], as_json=False)
    assert capsys.readouterr().out.splitlines() == [
        "mnist: digits",
        "  /here",
        "  part           shape   type                                digest     state",
        "  x_train  60000×28×28  uint8  md5:00000000000000000000000000000000  verified",
        "  y_train        60000  int32  sha256:1111111111111111111111111111…  readable",
        "  x_test                                                                  bad",
        "  /here/x: it is empty",
        "",
        "other: more",
        "  not found; download it with `dnn data other`",
    ]
