"""Test that images give the same weights in whatever form they are stored, and that every command takes them."""

import io
import json
import re
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from dnn_cli.data import datasets
from dnn_cli.data.datasets import Dataset, Split
from dnn_cli.typing import Array
from tests.conftest import Answer, assert_same_bits, saved_epoch, wait_for_epoch

Dnn = Callable[..., Answer]
CONFIG = """
engine: {engine}
seed: 3
data: {{dataset: {dataset}, validation: 0.1{more}}}
model: {{layers: [16]}}
training: {{epochs: 2, jit_compile: false}}
"""
NAMES = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def png(image: Array) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "PNG")
    return stream.getvalue()


def as_folders(folder: Path, split: Split, part: str, names: list[str] | None = None) -> None:
    for number, (image, label) in enumerate(zip(split.images, split.labels.tolist(), strict=True)):
        file = folder / part / (names[label] if names else str(label)) / f"{number}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(png(image))


def as_csv(folder: Path, split: Split, part: str) -> None:
    folder.mkdir(exist_ok=True)
    rows = np.concatenate([split.labels[:, None], split.images.reshape(len(split.labels), -1)], axis=1)
    names = ",".join(["label", *(f"pixel{number}" for number in range(rows.shape[1] - 1))])
    np.savetxt(folder / f"{part}.csv", rows, "%d", delimiter=",", header=names, comments="")


def as_parquet(folder: Path, split: Split, part: str) -> None:
    folder.mkdir(exist_ok=True)
    pictures = [{"bytes": png(image), "path": None} for image in split.images]
    half = len(pictures) // 2
    for shard, rows in enumerate((slice(None, half), slice(half, None))):
        table = pa.table({"image": pictures[rows], "label": split.labels[rows].tolist()})
        pq.write_table(table, folder / f"{part}-{shard:05}-of-00002.parquet")


def as_npz(folder: Path, split: Split, part: str) -> None:
    folder.mkdir(exist_ok=True)
    np.save(folder / f"{part}_images.npy", split.images.reshape(len(split.labels), -1).astype(np.float64))
    np.save(folder / f"{part}_labels.npy", np.eye(10)[split.labels])


FORMS: dict[str, tuple[Callable[..., None], str]] = {
    "folders": (as_folders, ""),
    "csv": (as_csv, ""),
    "parquet": (as_parquet, ""),
    "arrays": (as_npz, ", image_shape: [28, 28]"),
}


@pytest.fixture(scope="session")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the sample's first images in every form."""
    folder = tmp_path_factory.mktemp("forms")
    sample = datasets.find("mnist-sample", split="both")
    parts = {part: cut(sample, part) for part in ("train", "test")}
    for form, (write, _) in FORMS.items():
        for part, split in parts.items():
            write(folder / form, split, part)
    np.savez(
        folder / "plain.npz",
        **{f"{axis}_{part}": vars(split)[kind] for part, split in parts.items() for axis, kind in AXES},
    )
    return folder


AXES = (("x", "images"), ("y", "labels"))


def cut(dataset: Dataset, part: Any) -> Split:
    split = dataset.load(part)
    count = {"train": 600, "test": 100}[part]
    return Split(split.images[:count], split.labels[:count])


def train(dnn: Dnn, dataset: Path | str, run: str, engine: str = "numpy", more: str = "") -> Path:
    Path("c.yaml").write_text(CONFIG.format(dataset=dataset, engine=engine, more=more))
    answer = dnn("train", "-c", "c.yaml", "--run-dir", run, "--quiet")
    assert answer.code == 0, answer.stderr
    return Path(run)


def fingerprint(run: Path) -> str:
    return str(json.loads((run / "environment.json").read_text())["dataset"]["fingerprint"])


@pytest.mark.parametrize("engine", ["numpy", "keras"])
def test_equal_images_give_equal_weights_in_every_form(engine: str, dnn: Dnn, stored: Path) -> None:
    plain = train(dnn, stored / "plain.npz", "plain", engine)
    tested = json.loads(dnn("evaluate", plain, "--json").stdout)
    for form, (_, more) in FORMS.items():
        run = train(dnn, stored / form, form, engine, more)
        assert fingerprint(run) == fingerprint(plain)
        assert_same_bits(plain / "checkpoints/last.keras", run / "checkpoints/last.keras")
        found = json.loads(dnn("evaluate", run, "--json").stdout)
        assert (found["fingerprint"], found["loss"]) == (tested["fingerprint"], tested["loss"])


@pytest.mark.long
def test_the_whole_of_mnist_is_the_same_in_every_form(mnist_folder: Path, tmp_path: Path, dnn: Dnn) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DNN_DATA_DIR", str(mnist_folder))
        mnist = datasets.find("mnist", split="both")
        plain = train(dnn, "mnist", "plain")
    for form, (write, more) in FORMS.items():
        for part in ("train", "test"):
            write(tmp_path / form, mnist.load(part), part)
        run = train(dnn, tmp_path / form, f"run-{form}", more=more)
        assert fingerprint(run) == fingerprint(plain)
        assert_same_bits(plain / "checkpoints/last.keras", run / "checkpoints/last.keras")


@pytest.fixture(scope="session")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of 300 digits in RGB, in class folders with names."""
    folder = tmp_path_factory.mktemp("digits")
    split = datasets.find("mnist-sample").load("train")
    tinted = np.stack([split.images[:300], split.images[:300] // 2, split.images[:300] // 3], axis=-1)
    as_folders(folder, Split(tinted, split.labels[:300]), "photos", NAMES)
    return folder / "photos"


def test_every_command_takes_class_folders_of_rgb_pictures(dnn: Dnn, digits: Path) -> None:
    run = train(dnn, digits, "run", more=", image_size: [20, 20], classes: [one, two, three]")
    environment = json.loads((run / "environment.json").read_text())["dataset"]
    assert environment["image_shape"] == [20, 20, 3]
    assert environment["class_names"] == sorted(NAMES)
    labels = [sorted(NAMES).index(name) for name in ("one", "two", "three")]
    assert environment["selected_classes"] == labels

    answer = dnn("evaluate", run, "--json")
    found = json.loads(answer.stdout)
    assert [(each["label"], each["name"]) for each in found["classes"]] == list(enumerate(sorted(NAMES)))
    assert "three" in dnn("evaluate", run).stdout
    validation = json.loads(dnn("evaluate", run, "--split", "validation", "--json").stdout)
    assert validation["images"] == environment["validation_images"]

    picture = next((digits / "three").iterdir())
    predicted = json.loads(dnn("predict", run, picture, "--json").stdout)["images"][0]
    assert predicted["name"] == sorted(NAMES)[predicted["digit"]]
    assert predicted["name"] in dnn("predict", run, picture).stdout
    assert dnn("predict", run, picture, "--csv").stdout.splitlines()[0].endswith(",name,runner_up_name")

    explained = dnn("explain", run, picture, "--json")
    assert json.loads(explained.stdout)["name"] == predicted["name"]
    assert dnn("explain", run, "--index", 0).code == 0
    assert dnn("report", run).code == 0
    assert ">three</th>" in (run / "report.html").read_text()
    other = train(dnn, digits, "other", more=", image_size: [20, 20], classes: [one, two, three], images_per_class: 15")
    assert "data.images_per_class" in dnn("compare", run, other).stdout


def real_pictures(folder: Path) -> Path:
    """Write twenty pictures as people have them: of many sizes, modes and formats, turned by EXIF, with palettes."""
    random = np.random.default_rng(1)
    exif = Image.Exif()
    exif[0x0112] = 6
    modes = ("RGB", "L", "P", "RGBA", "LA", "CMYK", "1", "I;16", "RGB", "RGB")
    kinds = ("jpg", "png", "gif", "png", "png", "jpg", "png", "png", "webp", "tif")
    for number in range(20):
        mode, kind = modes[number % 10], kinds[number % 10]
        height, width = random.integers(30, 300, 2).tolist()
        base = 60 if number % 2 else 190  # the one class is dark, the other bright
        pixels = (base + random.integers(-30, 30, (height, width, 3))).astype(np.uint8)
        image = Image.fromarray(pixels)
        image = Image.fromarray(pixels[..., 0].astype(np.uint16) * 257) if mode == "I;16" else image.convert(mode)
        file = folder / ("dark" if number % 2 else "bright") / f"{number}.{kind}"
        file.parent.mkdir(parents=True, exist_ok=True)
        options: dict[str, Any] = {"exif": exif} if kind == "jpg" else {}
        image.save(file, **options)
    return folder


def test_pictures_of_every_kind_are_trained_on_and_predicted(dnn: Dnn, tmp_path: Path) -> None:
    folder = real_pictures(tmp_path / "real")
    assert "different sizes" in dnn("train", "-c", "smoke", "--set", f"data.dataset={folder}").stderr
    run = train(dnn, folder, "run", more=", image_size: [24, 24], test: 4")
    assert json.loads((run / "environment.json").read_text())["dataset"]["image_shape"] == [24, 24, 3]
    answer = dnn("predict", run, folder, "--json")
    assert answer.code == 0, answer.stderr
    assert len(json.loads(answer.stdout)["images"]) == 20
    assert json.loads(dnn("evaluate", run, "--json").stdout)["images"] == 4
    assert dnn("report", run).code == 0


def test_other_pictures_are_matched_to_the_network_by_the_names_of_their_classes(
    dnn: Dnn, digits: Path, tmp_path: Path
) -> None:
    run = train(dnn, digits, "run")
    (tmp_path / "more").mkdir()
    for name in ("two", "three"):
        (tmp_path / "more" / name).symlink_to(digits / name)
    answer = dnn("evaluate", run, "--data", tmp_path / "more", "--json")
    assert "there are no pictures in class folders here" in answer.stderr  # links are not followed
    for name in ("two", "three"):
        (tmp_path / "more" / name).unlink()
        (tmp_path / "more" / name).mkdir()
        for file in sorted((digits / name).iterdir())[:4]:
            (tmp_path / "more" / name / file.name).write_bytes(file.read_bytes())
    found = json.loads(dnn("evaluate", run, "--data", tmp_path / "more", "--json").stdout)
    support = {each["name"]: each["support"] for each in found["classes"] if each["support"]}
    assert support == {"two": 4, "three": 4}


TABLES = [form for form in FORMS if form != "folders"]


@pytest.mark.parametrize("form", TABLES)
def test_every_command_takes_tables_and_arrays(dnn: Dnn, stored: Path, digits: Path, form: str) -> None:
    run = train(dnn, stored / form, "run", more=FORMS[form][1])
    picture = next(digits.rglob("*.png"))
    commands: list[tuple[tuple[object, ...], str]] = [
        (("evaluate", run), "test accuracy"),
        (("evaluate", run, "--split", "validation"), "validation accuracy"),
        (("predict", run, picture), picture.name),
        (("explain", run, picture, "--json"), "name"),
        (("show", run), f"dataset path +{stored / form}"),
        (("train", "--resume", run, "--epochs", 3), "epochs +3"),
        (("gradcheck", "-c", "c.yaml"), "largest"),
        (("trace", "-c", "c.yaml"), "update"),
    ]
    if form == "csv":
        commands += [(("report", run), "report.html"), (("explain", run, "--index", 3), "attributed")]
    if form != "arrays":  # flat arrays have no height and width without a config
        commands.append((("data", stored / form), "600"))
    for words, wanted in commands:
        answer = dnn(*words)
        assert answer.code == 0, answer.stderr
        assert re.search(wanted, answer.stdout), answer.stdout
    other = train(dnn, stored / form, "other", more=f"{FORMS[form][1]}, images_per_class: 15")
    assert "data.images_per_class" in dnn("compare", run, other).stdout


@pytest.mark.parametrize("form", ["pictures", *TABLES])
def test_a_training_that_is_killed_resumes_to_the_same_bits(
    dnn: Dnn, digits: Path, stored: Path, start: Any, form: str
) -> None:
    dataset, more = (digits, "") if form == "pictures" else (stored / form, FORMS[form][1])
    undisturbed = train(dnn, dataset, "undisturbed", more=more)
    Path("long.yaml").write_text(Path("c.yaml").read_text().replace("epochs: 2", "epochs: 2000"))
    training = start("train", "-c", "long.yaml", "--run-dir", "killed", "--quiet")
    wait_for_epoch("killed", 2, training)
    training.send_signal(signal.SIGKILL)
    training.wait()
    done = saved_epoch("killed")
    resumed = dnn("train", "--resume", "killed", "--epochs", done + 1, "--quiet")
    assert resumed.code == 0, resumed.stderr
    assert dnn("train", "--resume", undisturbed, "--epochs", done + 1, "--quiet").code == 0
    assert_same_bits(Path("killed/checkpoints/last.keras"), undisturbed / "checkpoints/last.keras")


def test_a_network_for_classes_of_other_names_gets_a_new_output(dnn: Dnn, digits: Path, tmp_path: Path) -> None:
    for name, other in (("five", "one"), ("six", "two"), ("seven", "three")):
        shutil.copytree(digits / name, tmp_path / "first" / name)
        shutil.copytree(digits / name, tmp_path / "second" / other)
    train(dnn, tmp_path / "first", "run", "keras")
    options = ("--set", "model.init_from=run", "--run-dir")
    same = dnn("train", "-c", "c.yaml", *options, "same")
    Path("c.yaml").write_text(Path("c.yaml").read_text().replace("first", "second"))
    renamed = dnn("train", "-c", "c.yaml", *options, "renamed")
    assert (same.code, renamed.code) == (0, 0)
    assert "new output" not in same.stderr
    assert "new output (for other classes)" in renamed.stderr


def test_a_changed_picture_is_noticed(dnn: Dnn, digits: Path, tmp_path: Path) -> None:
    run = train(dnn, digits, "run")
    picture = next((digits / "three").iterdir())
    content = picture.read_bytes()
    try:
        Image.new("RGB", (28, 28), "red").save(picture)
        answer = dnn("train", "--resume", run, "--epochs", 3)
        assert f"{run} cannot be resumed: {digits} has changed since the run was started" in answer.stderr
    finally:
        picture.write_bytes(content)


def test_the_rows_of_a_table_are_predicted_for_kaggle(dnn: Dnn, stored: Path) -> None:
    run = train(dnn, stored / "csv", "run")
    answer = dnn("predict", run, stored / "csv/test.csv", "--out", "submission.csv")
    assert (answer.code, answer.stdout) == (0, "submission.csv\n")
    lines = Path("submission.csv").read_text().splitlines()
    assert (lines[0], len(lines)) == ("ImageId,Label", 101)
    labels = np.array([line.split(",") for line in lines[1:]], int)
    assert labels[:, 0].tolist() == list(range(1, 101))
    actual = datasets.find("mnist-sample", split="test").load("test").labels[:100]
    accuracy = json.loads(dnn("evaluate", run, "--json").stdout)["accuracy"]
    assert np.mean(labels[:, 1] == actual) == pytest.approx(accuracy)
    refused = dnn("predict", run, stored / "csv/test.csv", "a.png")
    assert "must be given alone: its rows are predicted, not files" in refused.stderr


def test_stock_keras_loads_a_network_with_class_names(dnn: Dnn, digits: Path, tmp_path: Path) -> None:
    import keras

    from dnn_cli.engines import keras_file

    for engine in ("numpy", "keras"):
        file = train(dnn, digits, f"run-{engine}", engine) / "checkpoints/last.keras"
        assert keras_file.class_names(file) == tuple(sorted(NAMES))
        network = keras.models.load_model(file)
        assert network.output_shape == (None, 10)
        alone = tmp_path / f"{engine}.keras"
        alone.write_bytes(file.read_bytes())
        explained = json.loads(dnn("explain", alone, "--index", 0, "--data", digits, "--json").stdout)
        assert explained["name"] in NAMES
