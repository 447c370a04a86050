"""Test `dnn data --preview`: the picture of an augmentation, and the messages if there can be none."""

import errno
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dnn_cli.data import datasets
from tests.conftest import Answer
from tests.files import digits, write_npz

Dnn = Callable[..., Answer]
TURNED = ("--set", "training.augmentation.rotation=15")


def picture(path: str) -> Any:
    from matplotlib.image import imread

    return imread(path)


def test_the_picture_shows_every_class_and_depends_on_the_seed(dnn: Dnn) -> None:
    answer = dnn("data", "mnist-sample", "--preview", "a.png", *TURNED)
    assert answer == Answer(0, "a.png\n", "")
    height, width, _ = picture("a.png").shape
    assert height > 800
    assert width > 800
    assert dnn("data", "mnist-sample", "--preview", "b.png", *TURNED, "--json").stdout == '{\n  "preview": "b.png"\n}\n'
    assert (picture("a.png") == picture("b.png")).all()
    dnn("data", "mnist-sample", "--preview", "b.png", *TURNED, "--set", "seed=1")
    assert (picture("a.png") != picture("b.png")).any()


def test_dataset_and_augmentation_come_from_the_config(dnn: Dnn) -> None:
    text = "data: {dataset: mnist, fallback: mnist-sample}\ntraining: {augmentation: {elastic: {strength: 3}}}"
    Path("mine.yaml").write_text(text)
    answer = dnn("data", "--preview", "a.png", "-c", "mine.yaml")
    assert (answer.code, answer.stdout) == (0, "a.png\n")
    assert "using mnist-sample instead" in answer.stderr


@pytest.mark.parametrize("shape", [(8, 5, 4, 3), (8, 5, 4, 2)])
def test_images_with_two_and_three_channels(shape: tuple[int, ...], dnn: Dnn) -> None:
    images = np.random.default_rng(0).random(shape, np.float32)
    path = write_npz(Path("own.npz"), **digits() | {"x_train": images})
    assert dnn("data", path, "--preview", "a.png", *TURNED, "--set", "training.augmentation.noise=0.5").code == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--preview", "a.png"],
            "error: --preview has nothing to show, because training.augmentation is off; turn it on,",
        ),
        (["--preview", "a.jpg", *TURNED], "error: --preview a.jpg: the name must end in .png"),
        (["--preview", "no/a.png", *TURNED], "error: --preview no/a.png: there is no folder no"),
        (["--preview", "a.png", "--set", "training.augmentation.rotation=-1"], "error: the command line has 1 problem"),
        (["-c", "small"], "Error: --config and --set need --preview"),
    ],
)
def test_invalid_arguments_are_rejected(arguments: list[str], message: str, dnn: Dnn) -> None:
    answer = dnn("data", "mnist-sample", *arguments)
    assert (answer.code, answer.stdout) == (2, "")
    assert message.lower() in answer.stderr.lower()


def test_a_missing_matplotlib_is_reported_before_any_work(dnn: Dnn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setattr(datasets, "find", lambda *_, **__: pytest.fail("a dataset was looked for"))
    answer = dnn("data", "mnist-sample", "--preview", "a.png", *TURNED)
    message = "error: --preview needs matplotlib, which is not installed: pip install 'dnn-cli[report]'\n"
    assert answer == Answer(2, "", message)


def test_a_file_that_cannot_be_written(dnn: Dnn, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "replace", full)
    answer = dnn("data", "mnist-sample", "--preview", "a.png", *TURNED)
    assert (answer.code, answer.stdout) == (1, "")
    assert answer.stderr == "error: a.png cannot be written: No space left on device\n"


def test_a_dry_run_shows_the_augmentation(dnn: Dnn) -> None:
    plan = json.loads(dnn("train", "-c", "smoke", *TURNED, "--dry-run", "--json").stdout)
    assert plan["config"]["training"]["augmentation"]["rotation"] == 15.0
