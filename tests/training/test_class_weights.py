"""Test the factors on the loss by class: their values, and that both engines train with them as Keras's `fit` does."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from dnn_cli import seeds
from dnn_cli.config import loading
from dnn_cli.data.datasets import Split
from dnn_cli.engines.network_spec import network_spec
from dnn_cli.engines.numpy import build
from dnn_cli.engines.numpy.epoch import Batches, NumpyEpoch
from dnn_cli.errors import UsageError
from dnn_cli.training.class_weights import class_weights
from tests.conftest import Answer
from tests.files import write_npz

LABELS = np.array([0] * 6 + [2] * 2)
Dnn = Callable[..., Answer]


def test_balanced_factors_let_every_class_count_the_same() -> None:
    found = class_weights("balanced", LABELS, 3, None)
    assert found is not None
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, [8 / (2 * 6), 1, 8 / (2 * 2)])
    assert found[LABELS].sum() == pytest.approx(len(LABELS))


def test_factors_are_given_by_name_or_label() -> None:
    found = class_weights({"dog": 3.0, 2: 0.5}, LABELS, 3, ("cat", "dog", "cow"))
    assert found is not None
    assert found.tolist() == [1, 3, 0.5]
    assert class_weights(None, LABELS, 3, None) is None
    with pytest.raises(UsageError, match="^training.class_weight: there is no class pig; the classes are cat, dog, c"):
        class_weights({"pig": 1.0}, LABELS, 3, ("cat", "dog", "cow"))
    with pytest.raises(UsageError, match="^training.class_weight: there is no class 3; the classes are 0 to 2$"):
        class_weights({3: 1.0}, LABELS, 3, None)


def test_numpy_trains_with_them_as_fit_does(few: Split) -> None:
    from dnn_cli.engines.keras import build as keras_build

    config = loading.parse("model: {layers: [{units: 16, l2: 0.01}]}\ntraining: {label_smoothing: 0.1}", "test")
    spec, weights = network_spec(config, (28, 28), 10), np.linspace(0, 3, 10, dtype=np.float32)
    network, optimizer = build.build(spec, rows=32), build.optimizer(config.optimizer)
    optimizer.build(network.parameters)
    batches = Batches(few.images, few.labels, 10, 32, 0.1, class_weights=weights)
    logs = NumpyEpoch(network, optimizer, batches, seed=7).run(0)
    order = seeds.order(len(few.labels), 7, 0)
    stock = keras_build.build(spec, config)
    fitted = stock.fit(
        few.images[order].astype("float32") / 255,
        np.eye(10)[few.labels[order]],
        class_weight=dict(enumerate(weights.tolist())),
        batch_size=32,
        shuffle=False,
        verbose=0,
    )
    assert logs == pytest.approx({name: values[0] for name, values in fitted.history.items()}, rel=1e-4)
    kernel, _ = network.trained[0].value, network.trained[1].value
    np.testing.assert_allclose(kernel, stock.get_weights()[0], rtol=1e-3, atol=2e-5)


def unequal(tmp_path: Path, sample: Split) -> Path:
    """Write 300 zeros, 300 ones and eight sevens to train on, and 20 sevens among 220 images to test with."""
    of = [np.flatnonzero(sample.labels == label) for label in (0, 1, 7)]
    train = np.concatenate([of[0][:300], of[1][:300], of[2][:8]])
    test = np.concatenate([of[0][300:400], of[1][300:400], of[2][100:120]])
    rows = {"train": train, "test": test}
    images = {f"x_{part}": sample.images[chosen] for part, chosen in rows.items()}
    labels = {f"y_{part}": sample.labels[chosen] for part, chosen in rows.items()}
    return write_npz(tmp_path / "unequal.npz", **images, **labels)


def test_balanced_classes_raise_the_recall_of_a_rare_class_and_gates_see_it(
    dnn: Dnn, tmp_path: Path, sample: Split
) -> None:
    data = unequal(tmp_path, sample)
    found = {}
    for setting in ("null", "balanced"):
        Path("c.yaml").write_text(
            f"engine: numpy\ndata: {{dataset: {data}, validation: 0.1, classes: [0, 1, 7]}}\n"
            "optimizer: {name: sgd, learning_rate: 0.02}\nmodel: {layers: [16]}\n"
            f"training: {{epochs: 3, class_weight: {setting}, monitor: val_macro_f1}}\n"
        )
        assert dnn("train", "-c", "c.yaml", "--run-dir", setting, "--quiet").code == 0
        found[setting] = json.loads(dnn("evaluate", setting, "--json").stdout)
    assert found["balanced"]["macro_f1"] > found["null"]["macro_f1"] + 0.1
    assert found["balanced"]["balanced_accuracy"] > found["null"]["balanced_accuracy"] + 0.1
    answer = dnn("evaluate", "null", "--gate", "macro_f1=0.8", "--gate", "loss=9")
    assert (answer.code, answer.stderr) == (
        3,
        f"error: macro_f1 {found['null']['macro_f1']:.6g} is below --gate macro_f1=0.8\n",
    )
    assert dnn("evaluate", "balanced", "--gate", "macro_f1=0.5").code == 0


def test_the_monitored_figure_decides_which_epoch_is_the_best(dnn: Dnn) -> None:
    Path("c.yaml").write_text(
        "engine: numpy\ndata: {dataset: mnist-sample, images_per_class: 40, validation: 0.5}\nmodel: {layers: [16]}\n"
        "training: {epochs: 6, monitor: val_macro_f1, early_stopping: {monitor: val_balanced_accuracy, patience: 9}}\n"
    )
    assert dnn("train", "-c", "c.yaml", "--run-dir", "r", "--quiet").code == 0
    lines = [line.split(",") for line in Path("r/history.csv").read_text().splitlines()]
    column = lines[0].index("val_macro_f1")
    figures = [float(line[column]) for line in lines[1:]]
    best = json.loads(Path("r/state.json").read_text())["last"]["best"]
    assert best["monitor"] == "val_macro_f1"
    assert (best["value"], best["epoch"]) == (max(figures), figures.index(max(figures)) + 1)
    validation = json.loads(dnn("evaluate", "r", "--split", "validation", "--json").stdout)
    assert validation["macro_f1"] == pytest.approx(max(figures), abs=1e-9)
