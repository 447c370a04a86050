"""Test the findings: on trainings with and without each problem, with their remedies, and against chance."""

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
from dnn_cli.reporting import diagnosis, unit_activity
from dnn_cli.reporting.diagnosis import TRAINING_KINDS
from dnn_cli.reporting.evidence import Evidence, Finding
from dnn_cli.runs.records import CalibratedFigures, CalibrationBin, DatasetRecord, Row, Score
from dnn_cli.training import loop
from tests.conftest import Answer

HELD_OUT = ("data.validation=0.2",)
SOUND = (*HELD_OUT, "optimizer.learning_rate=0.001")
SIGMOIDS = f"model.layers=[{', '.join(['{units: 32, activation: sigmoid}'] * 4)}]"

# kind of finding → settings of trainings of `smoke` that have the problem, and of trainings that do not
TABLE: dict[str, tuple[list[tuple[str, ...]], list[tuple[str, ...]]]] = {
    "learning_rate": (
        [
            (*HELD_OUT, "optimizer.learning_rate=0.3"),  # worse than guessing
            (*HELD_OUT, "optimizer.learning_rate=0.1"),  # the loss jumps
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
            (*HELD_OUT, "model.layers=[{units: 64, l2: 0.1}]"),  # too much regularization
            (*HELD_OUT, "optimizer={name: sgd, learning_rate: 0.1}", SIGMOIDS),  # the gradient vanishes
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
            ("training.epochs=20",),  # not measurable without validation images
        ],
    ),
    "nothing_held_out": ([()], [SOUND]),
    "confused_class": ([(*HELD_OUT, "optimizer.learning_rate=0.0001", "training.epochs=10")], [SOUND]),
    "miscalibration": (
        [("training.epochs=40",), (*HELD_OUT, "training.label_smoothing=0.1")],
        [SOUND, (*HELD_OUT, "optimizer.learning_rate=0.3")],  # not reported for an untrained network
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
    """The evidence of a training that ran as a user runs it."""

    evidence: Evidence

    def find(self, **changes: Any) -> list[Finding]:
        """Return the findings, with other evidence in place of some of it."""
        return diagnosis.diagnose(replace(self.evidence, **changes))

    def score(self, metric: str) -> float:
        assert self.evidence.score
        return float(getattr(self.evidence.score, metric))

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
            checkpoint = model_source.find_model(run.path)
            loaded = keras_format.load(checkpoint.file)
            evidence = Evidence(
                config,
                run.history(state.last.epoch),
                metrics.score(model_source.probabilities(checkpoint.file, tests.images), tests.labels),
                unit_activity.measure(loaded.network, tests.images, loaded.batch),
                run.environment().dataset,
            )
            made[settings] = Trained(evidence)
        return made[settings]

    return call


def cases(shown: bool) -> list[Any]:
    return [
        pytest.param(kind, settings, id=f"{kind}-{number}")
        for kind, sides in TABLE.items()
        for number, settings in enumerate(sides[0 if shown else 1])
    ]


def finding_of(findings: list[Finding], kind: str) -> Finding:
    return next(finding for finding in findings if finding.kind == kind)


def with_setting(config: Config, finding: Finding) -> Config:
    """Return `config` with the setting that the finding suggests."""
    read = yaml_document.parse(finding.setting, "the setting")
    assert not read.problems
    [(section, values)] = read.values.items()
    [(key, value)] = values.items()
    return loading.parse(config.to_yaml(), "config", [Override(f"{section}.{key}", value, "the setting")])


# Findings of trainings


@pytest.mark.parametrize(("kind", "settings"), cases(shown=True))
def test_a_training_with_the_problem_has_the_finding(training: Cache, kind: str, settings: tuple[str, ...]) -> None:
    run = training(*settings)
    found = run.find()
    finding = finding_of(found, kind)
    assert finding.title
    assert not finding.title.endswith(".")
    assert re.search(r"\d", finding.text) or kind == "nothing_held_out"
    assert len(TRAINING_KINDS & {one.kind for one in found}) <= 1


@pytest.mark.parametrize(("kind", "settings"), cases(shown=False))
def test_a_training_without_the_problem_does_not_have_it(training: Cache, kind: str, settings: tuple[str, ...]) -> None:
    assert kind not in training(*settings).kinds()


def test_every_kind_of_finding_is_in_the_table() -> None:
    # Classes of unequal size, which the sample has not, are tested with scores below.
    others = [check for check in diagnosis.CHECKS if check is not diagnosis.hidden_class]
    assert [check.__name__ for check in others] == list(TABLE)
    assert TABLE.keys() >= TRAINING_KINDS


@pytest.mark.parametrize(("kind", "settings"), cases(shown=True))
def test_every_suggested_setting_is_valid_and_changes_the_config(
    training: Cache, dnn: Callable[..., Answer], kind: str, settings: tuple[str, ...]
) -> None:
    run = training(*settings)
    Path("own.yaml").write_text(run.evidence.config.to_yaml(), encoding="utf-8")
    for finding in run.find():
        assert bool(finding.setting) == bool(finding.option)
        if finding.setting:
            wanted = with_setting(run.evidence.config, finding)
            assert wanted != run.evidence.config
            answer = dnn("train", "-c", "own.yaml", *shlex.split(finding.option), "--dry-run", "--json")
            assert answer.code == 0, answer.stderr
            assert json.loads(answer.stdout)["config"] == wanted.with_threads(1).to_dict()


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        case
        for case in cases(shown=True)
        if case.values[0] in ("learning_rate", "underfitting", "dead_units", "saturation")
    ],
)
def test_the_suggested_setting_solves_the_problem(training: Cache, kind: str, settings: tuple[str, ...]) -> None:
    run = training(*settings)
    better = training(*settings, shlex.split(finding_of(run.find(), kind).option)[1])
    assert kind not in better.kinds()
    assert better.score("accuracy") > run.score("accuracy")


def test_the_suggested_smoothing_lowers_the_calibration_error(training: Cache) -> None:
    for settings in TABLE["miscalibration"][0]:
        run = training(*settings)
        better = training(*settings, shlex.split(finding_of(run.find(), "miscalibration").option)[1])
        assert better.score("calibration_error") < 0.8 * run.score("calibration_error")


# Texts


def test_a_finding_shows_the_figures_it_is_based_on(training: Cache) -> None:
    run = training(*TABLE["overfitting"][0][0])
    finding = finding_of(run.find(), "overfitting")
    last, best = run.evidence.history[-1], min(run.evidence.history, key=lambda row: float(row["val_loss"]))
    assert (
        f"training accuracy is {last['accuracy']:.4f}, the validation accuracy {last['val_accuracy']:.4f}"
        in finding.text
    )
    assert f"lowest after epoch {best['epoch']}, {best['val_loss']:.4f}" in finding.text
    assert finding.setting == "model: {layers: [{units: 256, dropout: 0.2}, {units: 256, dropout: 0.2}]}"
    assert finding.option == "--set 'model.layers=[{units: 256, dropout: 0.2}, {units: 256, dropout: 0.2}]'"


def test_a_learning_rate_that_is_worse_than_guessing(training: Cache) -> None:
    run = training(*TABLE["learning_rate"][0][0])
    first, *others = run.find()
    loss = run.evidence.last["loss"]
    assert first.text == (
        f"After epoch 8 the training loss is {loss:.4f} and no longer falls. That is worse than "
        "guessing: with the same probability for each of the 10 classes it would be 2.3026."
    )
    assert first.setting == "optimizer: {learning_rate: 0.003}"
    assert [finding.kind for finding in others] == ["dead_units"]


def test_findings_from_test_images_warn_against_choosing_settings_by_them(training: Cache) -> None:
    run = training(*TABLE["miscalibration"][0][0])
    caution = "To decide whether a setting helps, use validation images, not these."
    assert finding_of(run.find(), "miscalibration").text.endswith(caution)
    assert "On the 1,000 test images" in finding_of(run.find(), "miscalibration").text
    seen = finding_of(run.find(split="validation"), "miscalibration").text
    assert caution not in seen
    assert "On the 1,000 validation images" in seen


def test_a_training_accuracy_above_the_test_accuracy_is_only_a_hint(training: Cache) -> None:
    run = training("training.epochs=40")
    text = finding_of(run.find(), "nothing_held_out").text
    assert "The training accuracy, 1.0000, is higher than the test accuracy" in text
    assert "settings that are chosen by the test images can no longer be tested by them" in text
    for unseen in (run.find(score=None), run.find(split="validation")):
        assert "training accuracy" not in finding_of(unseen, "nothing_held_out").text


def test_the_history_alone_is_enough_for_a_diagnosis(training: Cache) -> None:
    run = training(*TABLE["learning_rate"][0][0])
    assert run.kinds(score=None, activity=()) == ["learning_rate"]


def test_a_single_epoch_has_no_trend(training: Cache) -> None:
    run = training(*TABLE["underfitting"][0][-1])
    assert finding_of(run.find(), "underfitting").text.endswith("One epoch is too few to say more.")


# Chance


def history(**columns: list[float]) -> list[Row]:
    """Return the rows of these columns, with a constant learning rate."""
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
    return [finding.kind for finding in diagnosis.diagnose(Evidence(config, rows, score, (), images))]


LEARNED = {"loss": [0.5, 0.2, 0.1, 0.05], "accuracy": [0.85, 0.94, 0.97, 0.985]}


def test_a_gap_is_overfitting_on_many_images_and_may_be_chance_on_few() -> None:
    rows = history(**LEARNED, val_loss=[0.4, 0.2, 0.2, 0.2], val_accuracy=[0.88, 0.93, 0.95, 0.968])
    assert kinds(rows, dataset(50_000, 5000)) == ["overfitting"]
    assert kinds(rows, dataset(900, 100)) == []


def test_a_rise_of_the_loss_is_a_finding_on_many_images_and_may_be_chance_on_few() -> None:
    rows = history(loss=[0.5, 0.3, 0.42, 0.3], accuracy=[0.85, 0.92, 0.88, 0.92])
    assert "learning_rate" in kinds(rows, dataset(4000, 0))
    assert "learning_rate" not in kinds(rows, dataset(100, 0))


def test_a_rise_after_a_raised_learning_rate_is_not_a_finding() -> None:
    rows = history(loss=[0.5, 0.3, 0.42, 0.3], accuracy=[0.85, 0.92, 0.88, 0.92])
    restarted = [{**row, "learning_rate": rate} for row, rate in zip(rows, (0.01, 0.001, 0.01, 0.001), strict=True)]
    assert "learning_rate" not in kinds(restarted, dataset(4000, 0))


def test_a_validation_loss_that_jumps_at_a_low_training_loss_is_overfitting() -> None:
    columns = {"val_loss": [0.2, 0.2, 0.4, 0.4], "val_accuracy": [0.93, 0.94, 0.94, 0.94]}
    assert kinds(history(**LEARNED, **columns), dataset(50_000, 5000)) == ["learning_rate"]
    known = history(loss=[0.1, 0.05, 0.02, 0.01], accuracy=[0.97, 0.99, 0.995, 0.998], **columns)
    assert kinds(known, dataset(50_000, 5000)) == ["overfitting"]


def score(confusion: list[list[int]], *bins: tuple[int, float, float]) -> Score:
    """Return a score as `metrics.score` does; each bin is its number of images, mean confidence, and accuracy."""
    images = sum(map(sum, confusion))
    errors = images - sum(row[label] for label, row in enumerate(confusion))
    error = sum(n * abs(confidence - accuracy) for n, confidence, accuracy in bins) / images
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


WELL_TRAINED = history(**LEARNED, val_loss=[0.4, 0.2, 0.12, 0.12], val_accuracy=[0.88, 0.94, 0.975, 0.98])


@pytest.mark.parametrize(
    ("row", "confused"),
    [
        ([700, 250, 50], True),
        ([700, 150, 150], False),  # two other classes alike
        ([890, 90, 20], False),  # a recall as low as that of the others, apart from chance
        ([7, 2, 1], False),  # too few images
        ([0, 0, 0], False),  # no images
    ],
)
def test_a_class_is_confused_with_another_more_often_than_by_chance(row: list[int], *, confused: bool) -> None:
    images = sum(row)
    matrix = [row, [50, 900, 50], [50, 50, 900]]
    calibrated = (images + 2000, 0.9, 0.9)
    found = kinds(WELL_TRAINED, dataset(50_000, 5000, 3), score=score(matrix, calibrated))
    assert found == (["confused_class"] if confused else [])


@pytest.mark.parametrize(
    ("rare", "hits", "is_hidden"),
    [
        ([0, 20, 0], 990, True),  # all twenty images are classified as another class
        ([1, 19, 0], 990, False),  # one is found
        ([0, 2, 0], 600, False),  # where four of ten others are missed too, two may be chance
        ([0, 900, 100], 990, False),  # not rare: the accuracy does not hide it
    ],
)
def test_a_rare_class_that_is_never_found_is_reported(rare: list[int], hits: int, *, is_hidden: bool) -> None:
    matrix = [rare, [0, hits, 1000 - hits], [0, 1000 - hits, hits]]
    calibrated = (2000 + sum(rare), 0.98, 0.98)
    config = loading.load("mnist", [Override.parse("data.validation=100")])
    one = score(matrix, calibrated)
    found = diagnosis.diagnose(Evidence(config, WELL_TRAINED, one, (), dataset(50_000, 5000, 3)))
    hidden = [finding for finding in found if finding.kind == "hidden_class"]
    assert bool(hidden) == is_hidden
    if is_hidden:
        assert hidden[0].title == "Never found: 0"
        assert hidden[0].setting == "training: {class_weight: balanced}"
        assert "None of the 20 test images of 0 is classified correctly" in hidden[0].text
        assert "confused_class" not in [finding.kind for finding in found]


def test_the_title_of_a_confused_class_states_its_share() -> None:
    matrix = [[970, 26, 4], [1, 998, 1], [1, 1, 998]]
    evidence = Evidence(
        loading.parse("data: {validation: 5000}", "test"),
        WELL_TRAINED,
        score(matrix, (3000, 0.988, 0.988)),
        [],
        dataset(50_000, 5000, 3),
    )
    (finding,) = diagnosis.diagnose(evidence)
    assert finding.title == "2.6 % of class 0 are classified as 1"


@pytest.mark.parametrize(("images", "off"), [(10_000, True), (100, False)])
def test_a_calibration_error_may_be_chance_on_few_images(images: int, *, off: bool) -> None:
    hits = round(0.95 * images)
    one = score([[hits, images - hits], [0, 0]], (images, 0.97, hits / images))
    assert kinds(WELL_TRAINED, dataset(50_000, 5000, 2), score=one) == (["miscalibration"] if off else [])


def test_poor_calibration_says_what_predictions_show_instead() -> None:
    one = score([[9500, 500], [0, 0]], (10_000, 0.97, 0.95))
    calibrated = CalibratedFigures(0.1, 0.0042, one.calibration, 1.2)

    def text(one: Score, held_out: int) -> str:
        config = loading.load("mnist", [Override.parse(f"data.validation={held_out}")])
        data = dataset(60_000 - held_out, held_out, 2)
        rows = WELL_TRAINED if held_out else history(**LEARNED)
        return finding_of(diagnosis.diagnose(Evidence(config, rows, one, (), data)), "miscalibration").text

    shown = "`dnn predict` shows calibrated probabilities, with an error of 0.0042."
    assert shown in text(replace(one, calibrated=calibrated), 5000)
    assert "calibrate" not in text(one, 5000).replace("calibration", "")
    missing = "No images were held out (data.validation) on which `dnn train` could calibrate them for predictions."
    assert missing in text(one, 0)


def test_probabilities_that_are_partly_too_high_and_partly_too_low() -> None:
    one = score([[8000, 2000], [0, 0]], (5000, 0.9, 0.8), (5000, 0.7, 0.8))
    config = loading.load("mnist", [Override.parse("data.validation=100")])
    [finding] = diagnosis.diagnose(Evidence(config, WELL_TRAINED, one, (), dataset(50_000, 5000, 2)))
    title = "Poor calibration: some probabilities are too high, others too low"
    assert (finding.title, finding.setting) == (title, "")


def test_a_finished_schedule_is_neither_a_plateau_nor_unfinished() -> None:
    flat = history(
        loss=[0.5, 0.2, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1],
        accuracy=[0.85, 0.95, 0.97, 0.97, 0.97, 0.97, 0.97, 0.97],
        val_loss=[0.5, 0.2, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1],
        val_accuracy=[0.85, 0.95, 0.97, 0.97, 0.97, 0.97, 0.97, 0.97],
    )
    falling = history(loss=[0.5, 0.3, 0.2], accuracy=[0.9] * 3, val_loss=[0.5, 0.3, 0.2], val_accuracy=[0.9] * 3)
    assert kinds(flat, dataset(50, 50)) == []  # too few images
    for rows, kind in ((flat, "plateau"), (falling, "unfinished")):
        assert kinds(rows, dataset(5000, 500)) == [kind]
        assert kinds([*rows[:-1], {**rows[-1], "learning_rate": 1e-5}], dataset(5000, 500)) == []


def test_only_selected_classes_count_for_the_guessing_loss() -> None:
    """The guessing loss is 2.30 for ten classes and 1.61 for five."""
    rows = history(loss=[1.7, 1.7, 1.7, 1.7], accuracy=[0.2] * 4)
    assert kinds(rows, dataset(4000, 0))[0] == "underfitting"
    assert kinds(rows, replace(dataset(4000, 0), selected_classes=(5, 6, 7, 8, 9)))[0] == "learning_rate"
