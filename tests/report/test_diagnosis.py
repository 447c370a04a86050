"""Findings: each with trainings that show it and trainings that do not, what answers them, and what chance explains."""

import json
import re
import shlex
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from dnn_cli.config import loading, yaml_document
from dnn_cli.config.loading import Override
from dnn_cli.config.schema import Config
from dnn_cli.data import datasets
from dnn_cli.engines.numpy import keras_format
from dnn_cli.evaluation import metrics, model_source
from dnn_cli.progress import QuietProgress
from dnn_cli.report import diagnosis, unit_activity
from dnn_cli.report.diagnosis import LEARNING, Finding
from dnn_cli.report.unit_activity import LayerActivity
from dnn_cli.runs.records import CalibrationBin, DatasetRecord, Row, Score
from dnn_cli.training import loop
from tests.conftest import Answer

HELD_OUT = ("data.validation=0.2",)
SOUND = (*HELD_OUT, "optimizer.learning_rate=0.001")
SIGMOIDS = f"model.layers=[{', '.join(['{units: 32, activation: sigmoid}'] * 4)}]"

# kind → overrides of the `smoke` config, of trainings that show it, and of trainings that do not
TABLE: dict[str, tuple[list[tuple[str, ...]], list[tuple[str, ...]]]] = {
    "learning_rate": (
        [
            (*HELD_OUT, "optimizer.learning_rate=0.3"),  # worse than guessing
            (*HELD_OUT, "optimizer.learning_rate=0.1"),  # up and down
            (*HELD_OUT, "optimizer.name=sgd", "optimizer.learning_rate=3"),
        ],
        [
            SOUND,
            (*HELD_OUT, "optimizer.learning_rate=1e-5"),
            (*HELD_OUT, "optimizer={name: sgd, learning_rate: 0.1}", SIGMOIDS),
        ],
    ),
    "underfitting": (
        [
            (*HELD_OUT, "optimizer.learning_rate=1e-5"),  # too slow
            (*HELD_OUT, "model.layers=[2]", "training.epochs=25"),  # too small
            (*HELD_OUT, "model.layers=[{units: 64, l2: 0.1}]"),  # held back
            (*HELD_OUT, "optimizer={name: sgd, learning_rate: 0.1}", SIGMOIDS),  # the gradient does not come through
            (*HELD_OUT, "optimizer.learning_rate=0.0007", "training.epochs=1"),  # too short
        ],
        [SOUND, ()],
    ),
    "dead_units": ([(*HELD_OUT, "optimizer.learning_rate=0.05")], [SOUND, ()]),
    "saturation": (
        [(*HELD_OUT, "model.layers=[{units: 64, activation: tanh}]", "optimizer.learning_rate=0.05")],
        [(*SOUND, "model.layers=[{units: 64, activation: tanh}]"), SOUND],
    ),
    "overfitting": (
        [(*SOUND, "model.layers=[256, 256]", "training.epochs=20")],
        [
            (*HELD_OUT, "optimizer.learning_rate=0.0001"),
            (*HELD_OUT, "model.layers=[{units: 64, dropout: 0.5}]"),
            ("training.epochs=20",),  # nobody can know
        ],
    ),
    "nothing_held_out": ([()], [SOUND]),
    "confused_class": ([(*HELD_OUT, "optimizer.learning_rate=0.0001", "training.epochs=10")], [SOUND]),
    "miscalibration": (
        [("training.epochs=40",), (*HELD_OUT, "training.label_smoothing=0.1")],
        [SOUND, (*HELD_OUT, "optimizer.learning_rate=0.3")],  # of what has learned nothing it says nothing
    ),
    "plateau": (
        [(*HELD_OUT, "model.layers=[{units: 64, dropout: 0.5}]", "training.epochs=24")],
        [
            SOUND,
            (
                *(*HELD_OUT, "model.layers=[{units: 64, dropout: 0.5}]", "training.epochs=24"),
                "training.early_stopping={patience: 5}",
            ),
        ],
    ),
    "unfinished": (
        [(*HELD_OUT, "optimizer.learning_rate=0.0001", "training.epochs=10")],
        [(*SOUND, "model.layers=[256, 256]", "training.epochs=20"), ()],
    ),
}


@dataclass(frozen=True)
class Trained:
    """What `find` is given of a training, all of it made the way that a user makes it."""

    config: Config
    history: list[Row]
    score: Score
    activity: list[LayerActivity]
    dataset: DatasetRecord

    def find(self, **changes: Any) -> list[Finding]:
        what = vars(self) | changes
        split = what.pop("split", "test")
        return diagnosis.diagnose(
            what["config"], what["history"], what["score"], what["activity"], dataset=what["dataset"], split=split
        )

    def kinds(self, **changes: Any) -> list[str]:
        return [finding.kind for finding in self.find(**changes)]


Cache = Callable[..., Trained]


@pytest.fixture(scope="session")
def training(tmp_path_factory: pytest.TempPathFactory) -> Cache:
    """Train `smoke` with some settings by NumPy, each combination once."""
    made: dict[tuple[str, ...], Trained] = {}
    tests = datasets.find("mnist-sample", split="test").load("test")

    def call(*settings: str) -> Trained:
        if settings not in made:
            overrides = [Override.parse(text) for text in ("engine=numpy", *settings)]
            config = loading.load("smoke", overrides)
            run = loop.start(config, "run", QuietProgress(), folder=tmp_path_factory.mktemp("run") / "run").run
            state = run.state()
            assert state is not None
            subject = model_source.find_model(run.path)
            loaded = keras_format.load(subject.file)
            made[settings] = Trained(
                config,
                run.history(state.last.epoch),
                metrics.score(model_source.probabilities(subject.file, tests.images), tests.labels),
                unit_activity.measure(loaded.network, tests.images, loaded.batch),
                run.environment().dataset,
            )
        return made[settings]

    return call


def cases(shown: bool) -> list[Any]:
    return [
        pytest.param(kind, settings, id=f"{kind}-{number}")
        for kind, sides in TABLE.items()
        for number, settings in enumerate(sides[0 if shown else 1])
    ]


def told(findings: list[Finding], kind: str) -> Finding:
    return next(finding for finding in findings if finding.kind == kind)


def answered(config: Config, finding: Finding) -> Config:
    """`config` with the finding's line of YAML in it."""
    read = yaml_document.parse(finding.setting, "the setting")
    assert not read.problems
    [(section, values)] = read.values.items()
    [(key, value)] = values.items()
    return loading.parse(config.to_yaml(), "config", [Override(f"{section}.{key}", value, "the setting")])


# What trainings show


@pytest.mark.parametrize(("kind", "settings"), cases(shown=True))
def test_a_training_that_shows_it(training: Cache, kind: str, settings: tuple[str, ...]) -> None:
    run = training(*settings)
    found = run.find()
    finding = told(found, kind)
    assert finding.title
    assert not finding.title.endswith(".")
    assert re.search(r"\d", finding.text) or kind == "nothing_held_out"
    assert len(LEARNING & {one.kind for one in found}) <= 1


@pytest.mark.parametrize(("kind", "settings"), cases(shown=False))
def test_a_training_that_does_not_show_it(training: Cache, kind: str, settings: tuple[str, ...]) -> None:
    assert kind not in training(*settings).kinds()


def test_every_kind_is_in_the_table() -> None:
    assert [check.__name__ for check in diagnosis.CHECKS] == list(TABLE)
    assert TABLE.keys() >= LEARNING


@pytest.mark.parametrize(("kind", "settings"), cases(shown=True))
def test_every_line_of_yaml_is_one_that_changes_the_config(
    training: Cache, dnn: Callable[..., Answer], kind: str, settings: tuple[str, ...]
) -> None:
    run = training(*settings)
    Path("own.yaml").write_text(run.config.to_yaml(), encoding="utf-8")
    for finding in run.find():
        assert bool(finding.setting) == bool(finding.option)
        if finding.setting:
            wanted = answered(run.config, finding)
            assert wanted != run.config
            answer = dnn("train", "-c", "own.yaml", *shlex.split(finding.option), "--dry-run", "--json")
            assert answer.code == 0, answer.stderr
            assert json.loads(answer.stdout)["config"] == wanted.to_dict()


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        case
        for case in cases(shown=True)
        if case.values[0] in ("learning_rate", "underfitting", "dead_units", "saturation")
    ],
)
def test_the_line_of_yaml_answers_it(training: Cache, kind: str, settings: tuple[str, ...]) -> None:
    run = training(*settings)
    better = training(*settings, shlex.split(told(run.find(), kind).option)[1])
    assert kind not in better.kinds()
    assert better.score.accuracy > run.score.accuracy


def test_less_smoothing_and_little_smoothing_make_it_more_honest(training: Cache) -> None:
    for settings in TABLE["miscalibration"][0]:
        run = training(*settings)
        better = training(*settings, shlex.split(told(run.find(), "miscalibration").option)[1])
        assert better.score.calibration_error < 0.8 * run.score.calibration_error


# What is said


def test_the_figures_that_led_to_it(training: Cache) -> None:
    run = training(*TABLE["overfitting"][0][0])
    finding = told(run.find(), "overfitting")
    last, best = run.history[-1], min(run.history, key=lambda row: float(row["val_loss"]))
    assert (
        f"training accuracy is {last['accuracy']:.4f}, the validation accuracy {last['val_accuracy']:.4f}"
        in finding.text
    )
    assert f"lowest after epoch {best['epoch']}, {best['val_loss']:.4f}" in finding.text
    assert finding.setting == "model: {layers: [{units: 256, dropout: 0.2}, {units: 256, dropout: 0.2}]}"
    assert finding.option == "--set 'model.layers=[{units: 256, dropout: 0.2}, {units: 256, dropout: 0.2}]'"


def test_a_rate_that_leads_nowhere(training: Cache) -> None:
    run = training(*TABLE["learning_rate"][0][0])
    first, *others = run.find()
    assert first.text == (
        f"After epoch 8 the loss is {run.history[-1]['loss']:.4f}. To give each of the 10 classes the same probability "
        "would cost 2.3026: steps of this length lead nowhere."
    )
    assert first.setting == "optimizer: {learning_rate: 0.003}"
    assert [finding.kind for finding in others] == ["dead_units"]


def test_the_test_images_are_not_for_choosing_settings(training: Cache) -> None:
    run = training(*TABLE["miscalibration"][0][0])
    caution = "Whether a setting helps is for images held out to say, not for these."
    assert told(run.find(), "miscalibration").text.endswith(caution)
    assert "On the 1,000 test images" in told(run.find(), "miscalibration").text
    seen = told(run.find(split="validation"), "miscalibration").text
    assert caution not in seen
    assert "On the 1,000 validation images" in seen


def test_what_is_better_known_than_the_test_images_is_a_hint_and_no_more(training: Cache) -> None:
    run = training("training.epochs=40")
    text = told(run.find(), "nothing_held_out").text
    assert "The training accuracy of 1.0000 beside" in text
    assert "what is chosen by these is no longer tested by them" in text
    for unseen in (run.find(score=None), run.find(split="validation")):
        assert "training accuracy" not in told(unseen, "nothing_held_out").text


def test_without_an_evaluation_or_activity_there_is_the_history(training: Cache) -> None:
    run = training(*TABLE["learning_rate"][0][0])
    assert run.kinds(score=None, activity=None) == ["learning_rate"]


def test_one_epoch_alone(training: Cache) -> None:
    run = training(*TABLE["underfitting"][0][-1])
    assert told(run.find(), "underfitting").text.endswith("One epoch is little.")


# What chance explains


def history(**columns: list[float]) -> list[Row]:
    """Rows of these columns, with a constant learning rate."""
    epochs = range(1, len(next(iter(columns.values()))) + 1)
    return [
        {"epoch": epoch, **dict(zip(columns, figures, strict=True)), "learning_rate": 0.001, "seconds": 1.0}
        for epoch, *figures in zip(epochs, *columns.values(), strict=True)
    ]


def dataset(training_images: int, held_out: int, classes: int = 10) -> DatasetRecord:
    return DatasetRecord(
        name="mnist",
        requested="mnist",
        note="",
        path="mnist.npz",
        fingerprint="sha256:0",
        training_images=training_images,
        validation_images=held_out,
        classes=classes,
    )


def kinds(rows: list[Row], images: DatasetRecord, *overrides: str, score: Any = None) -> list[str]:
    settings = ("data.validation=100", *overrides) if images.validation_images else overrides
    config = loading.load("mnist", [Override.parse(text) for text in settings])
    return [finding.kind for finding in diagnosis.diagnose(config, rows, score, None, dataset=images)]


LEARNED = {"loss": [0.5, 0.2, 0.1, 0.05], "accuracy": [0.85, 0.94, 0.97, 0.985]}


def test_the_same_gap_is_overfitting_on_many_images_and_may_be_chance_on_few() -> None:
    rows = history(**LEARNED, val_loss=[0.4, 0.2, 0.2, 0.2], val_accuracy=[0.88, 0.93, 0.95, 0.968])
    assert kinds(rows, dataset(50_000, 5000)) == ["overfitting"]
    assert kinds(rows, dataset(900, 100)) == []


def test_the_same_rise_is_too_high_a_rate_on_many_images_and_may_be_chance_on_few() -> None:
    rows = history(loss=[0.5, 0.3, 0.42, 0.3], accuracy=[0.85, 0.92, 0.88, 0.92])
    assert "learning_rate" in kinds(rows, dataset(4000, 0))
    assert "learning_rate" not in kinds(rows, dataset(100, 0))


def test_a_loss_that_rises_with_the_rate_is_no_sign() -> None:
    rows = history(loss=[0.5, 0.3, 0.42, 0.3], accuracy=[0.85, 0.92, 0.88, 0.92])
    restarted = [{**row, "learning_rate": rate} for row, rate in zip(rows, (0.01, 0.001, 0.01, 0.001), strict=True)]
    assert "learning_rate" not in kinds(restarted, dataset(4000, 0))


def test_a_validation_loss_that_jumps_where_the_training_images_are_known_by_heart_is_overfitting() -> None:
    columns = {"val_loss": [0.2, 0.2, 0.4, 0.4], "val_accuracy": [0.93, 0.94, 0.94, 0.94]}
    assert kinds(history(**LEARNED, **columns), dataset(50_000, 5000)) == ["learning_rate"]
    known = history(loss=[0.1, 0.05, 0.02, 0.01], accuracy=[0.97, 0.99, 0.995, 0.998], **columns)
    assert kinds(known, dataset(50_000, 5000)) == ["overfitting"]


def score(confusion: list[list[int]], *bins: tuple[int, float, float]) -> Score:
    """As `evaluate.score` gives it, of a confusion matrix and of bins of images, confidence and accuracy."""
    images = sum(map(sum, confusion))
    errors = images - sum(row[label] for label, row in enumerate(confusion))
    error = sum(n * abs(sure - right) for n, sure, right in bins) / images
    return Score(
        images=images,
        loss=0.1,
        accuracy=1 - errors / images,
        accuracy_interval=(0.0, 1.0),
        errors=errors,
        calibration_error=error,
        calibration=(CalibrationBin(0, None, None), *(CalibrationBin(*one) for one in bins)),
        classes=(),
        confusion=tuple(map(tuple, confusion)),
    )


SURE = history(**LEARNED, val_loss=[0.4, 0.2, 0.12, 0.12], val_accuracy=[0.88, 0.94, 0.975, 0.98])


@pytest.mark.parametrize(
    ("row", "confused"),
    [
        ([700, 250, 50], True),
        ([700, 150, 150], False),  # taken for either
        ([890, 90, 20], False),  # no worse than the others, as far as chance lets tell
        ([7, 2, 1], False),  # too few to tell
        ([0, 0, 0], False),  # no image of it
    ],
)
def test_a_class_is_confused_with_one_other_more_than_by_chance(row: list[int], *, confused: bool) -> None:
    images = sum(row)
    matrix = [row, [50, 900, 50], [50, 50, 900]]
    honest = (images + 2000, 0.9, 0.9)
    found = kinds(SURE, dataset(50_000, 5000, 3), score=score(matrix, honest))
    assert found == (["confused_class"] if confused else [])


@pytest.mark.parametrize(("images", "off"), [(10_000, True), (100, False)])
def test_the_same_calibration_error_may_be_chance_on_few_images(images: int, *, off: bool) -> None:
    hits = round(0.95 * images)
    one = score([[hits, images - hits], [0, 0]], (images, 0.97, hits / images))
    assert kinds(SURE, dataset(50_000, 5000, 2), score=one) == (["miscalibration"] if off else [])


def test_too_sure_of_some_and_not_sure_enough_of_others() -> None:
    one = score([[8000, 2000], [0, 0]], (5000, 0.9, 0.8), (5000, 0.7, 0.8))
    config = loading.load("mnist", [Override.parse("data.validation=100")])
    [finding] = diagnosis.diagnose(config, SURE, one, None, dataset=dataset(50_000, 5000, 2))
    assert (finding.title, finding.setting) == ("Its probabilities are off, some too high and others too low", "")


def test_a_schedule_that_came_to_its_end_has_neither_stopped_nor_is_it_unfinished() -> None:
    flat = history(
        loss=[0.5, 0.2, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1],
        accuracy=[0.85, 0.95, 0.97, 0.97, 0.97, 0.97, 0.97, 0.97],
        val_loss=[0.5, 0.2, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1],
        val_accuracy=[0.85, 0.95, 0.97, 0.97, 0.97, 0.97, 0.97, 0.97],
    )
    falling = history(loss=[0.5, 0.3, 0.2], accuracy=[0.9] * 3, val_loss=[0.5, 0.3, 0.2], val_accuracy=[0.9] * 3)
    assert kinds(flat, dataset(50, 50)) == []  # so few images tell nothing
    for rows, kind in ((flat, "plateau"), (falling, "unfinished")):
        assert kinds(rows, dataset(5000, 500)) == [kind]
        assert kinds([*rows[:-1], {**rows[-1], "learning_rate": 1e-5}], dataset(5000, 500)) == []


def test_classes_that_were_left_out_do_not_count_for_guessing() -> None:
    """Five classes are guessed at a loss of 1.61."""
    rows = history(loss=[1.7, 1.7, 1.7, 1.7], accuracy=[0.2] * 4)
    assert kinds(rows, dataset(4000, 0))[0] == "underfitting"
    assert kinds(rows, replace(dataset(4000, 0), selected_classes=(5, 6, 7, 8, 9)))[0] == "learning_rate"
