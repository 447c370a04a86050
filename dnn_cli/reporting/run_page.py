"""The page of one run: findings with remedies, learning curves, evaluation, mistakes, and the layers' activity."""

import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from dnn_cli.command import command
from dnn_cli.config.yaml_document import dump
from dnn_cli.data.class_names import show
from dnn_cli.engines.numpy import keras_format
from dnn_cli.engines.numpy.keras_format import Loaded, UnknownNetworkError
from dnn_cli.engines.numpy.network import Dense
from dnn_cli.reporting import diagnosis, image_grids, plots, unit_activity
from dnn_cli.reporting import html as report_html
from dnn_cli.reporting.evidence import Evidence
from dnn_cli.reporting.figures import Picture
from dnn_cli.reporting.html import Page
from dnn_cli.reporting.palette import BLUE, VERMILION
from dnn_cli.reporting.plots import Line
from dnn_cli.reporting.run_results import RunResults, TestPredictions
from dnn_cli.reporting.unit_activity import LayerActivity
from dnn_cli.runs.status import RunStatus
from dnn_cli.stats import wilson

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MAX_TILES = 24  # Images shown of each kind: mistakes, and uncertain correct predictions.
MAX_CONFUSIONS = 10  # Pairs of classes in the table of the most frequent confusions.


def build(results: RunResults) -> Page:
    """Build the page of a run."""
    status, predictions = results.status, results.predictions
    loaded = _load(results)
    layers = unit_activity.measure(loaded.network, predictions.images, loaded.batch) if loaded and predictions else []
    score = predictions.score if predictions else None
    findings = diagnosis.diagnose(Evidence(status.config, results.history, score, layers, status.data))
    pictures = _curves(results)
    curves = list(pictures)
    pictures |= _evaluation_pictures(predictions) if predictions else {}
    dead = layers[0].dead_units if layers else ()
    weights, weights_caption = _first_layer_weights(loaded, dead) if loaded else (None, "")
    if weights is not None:
        pictures["weights"] = Picture(weights, f"Each image is one unit. {weights_caption}")
    for number, layer in enumerate(layers, start=1):
        description = f"histogram of the outputs of {layer.name}; their mean is {layer.mean:.3g}"
        pictures[f"activations-{number}"] = Picture(plots.activation(layer), description)
    mistakes = predictions.worst(MAX_TILES) if predictions else []
    hits = predictions.least_certain(MAX_TILES) if predictions else []
    html = report_html.render(
        "run.html",
        pictures,
        run=results.name,
        summary=_summary(results),
        warnings=results.warnings,
        facts=_facts(results),
        findings=findings,
        explain=command("explain", results.name),
        config_file=shlex.quote(str(status.run.config_file)),
        curves=curves,
        best_epoch=results.best["epoch"],
        splits=_splits(results),
        score=score,
        classes=_classes(predictions) if predictions else [],
        confused=_most_confused(predictions) if predictions else [],
        mistakes=report_html.tiles(predictions, mistakes) if predictions else [],
        hits=report_html.tiles(predictions, hits) if predictions else [],
        weights_caption=weights_caption,
        activity=layers,
        bounded=set(unit_activity.BOUNDS),
        is_known=loaded is not None,
        environment=_environment(status),
        changed=dump(status.config.model_dump(mode="json", exclude_defaults=True)),
        config=status.config.to_yaml(),
    )
    numbers = {
        **results.figures(),
        "layers": list(map(_activity, layers)),
        "mistakes": predictions.describe(mistakes) if predictions else [],
        "least_certain_hits": predictions.describe(hits) if predictions else [],
        "findings": [vars(finding) for finding in findings],
    }
    galleries = {"mistakes": mistakes, "least-certain-hits": hits}
    pictures |= {name: _gallery(predictions, chosen) for name, chosen in galleries.items() if predictions and chosen}
    return Page(html, pictures, numbers, [finding.title for finding in findings])


def _load(results: RunResults) -> Loaded | None:
    """Load the best checkpoint into NumPy; None if it has layers that dnn does not build."""
    try:
        return keras_format.load(results.checkpoint.file)
    except UnknownNetworkError:
        return None


def _curves(results: RunResults) -> dict[str, Picture]:
    """Plot each column of the history, training and validation in one plot."""
    pictures = {}
    for name, (title, scale) in plots.CURVES.items():
        of = "" if name in ("loss", "accuracy") else title  # a learning rate is not one "in training"
        values = {key: [row[key] for row in results.history] for key in (name, f"val_{name}") if key in results.best}
        lines = [
            Line(label, values[key], color, dashed=dashed, best=results.best["epoch"], name=of)
            for label, key, color, dashed in (
                ("training", name, BLUE, f"val_{name}" in results.best),
                ("validation", f"val_{name}", VERMILION, False),
            )
            if key in values
        ]
        if lines:
            final = " and ".join(f"{line.values[-1]:.4g} in {line.label}" for line in lines)
            description = f"{title} over {len(results.history)} epochs; after the last epoch {final}"
            pictures[name.replace("_", "-")] = Picture(plots.curves(title, lines, scale=scale), description)
    return pictures


def _evaluation_pictures(predictions: TestPredictions) -> dict[str, Picture]:
    score = predictions.score
    return {
        "confusion": Picture(
            plots.confusion(np.array(score.confusion), predictions.present, [each.name for each in score.classes]),
            f"confusion matrix: {score.errors:,} of {score.images:,} images are off the diagonal",
        ),
        "reliability": Picture(
            plots.reliability(score.calibration, score.calibrated.calibration if score.calibrated else ()),
            f"reliability diagram: the calibration error is {score.calibration_error:.4f}"
            + (f", calibrated {score.calibrated.calibration_error:.4f}" if score.calibrated else ""),
        ),
    }


def _first_layer_weights(loaded: Loaded, dead: Sequence[int]) -> tuple["Figure | None", str]:
    """Draw the weights of the first layer, with its dead units crossed out, and return it with a caption.

    There is no figure if the input of the layer is not an image.
    """
    dense = next(layer for layer in loaded.network.layers if isinstance(layer, Dense))
    if len(loaded.image_shape) < image_grids.GREY_DIMENSIONS:
        return None, ""
    images, units = image_grids.weight_images(dense.weights.value, loaded.image_shape)
    which = f"All {dense.units:,} units"
    if len(units) < dense.units:
        which = f"The {len(units)} of {dense.units:,} units whose weights have the largest norm"
    crossed = [place for place, unit in enumerate(units) if unit in dead]
    caption = (
        f"{which}, in the order of the layer. Orange weights are positive, blue ones negative; each unit has its own "
        "scale."
    )
    if crossed:
        caption += " A crossed-out unit is dead: its output is zero for every test image."
    names = [f"unit {unit}{', dead' if unit in dead else ''}" for unit in units]
    return image_grids.weights(images, names, crossed), caption


def _gallery(predictions: TestPredictions, indices: list[int]) -> Picture:
    images = np.stack([image_grids.thumbnail(predictions.images[index]) for index in indices])
    captions = [
        f"{entry['name']} → {entry['guess_name']}  {report_html.percent(entry['probability'])}"
        for entry in predictions.describe(indices)
    ]
    return Picture(image_grids.gallery(images, captions), "")


def _activity(layer: LayerActivity) -> dict[str, Any]:
    """Return the activity of a layer for JSON, without its histogram."""
    return {key: value for key, value in vars(layer).items() if key not in ("counts", "edges", "dead_units")}


def _summary(results: RunResults) -> str:
    """Return dataset, layers, optimizer and state in a line."""
    config, data = results.status.config, results.status.data
    layers = [f"{block.units:,} {block.activation}" for block in config.model.layers]
    selected = data.selected_classes
    names = " ".join(show(label, data.class_names) for label in selected or ())
    classes = f", classes {names}" if selected else ""
    return " · ".join(
        [
            f"{data.name}{classes}",
            " → ".join([*layers, "softmax"]),
            f"{config.optimizer.name}, batches of {config.training.batch_size:,}",
            f"seed {config.seed}",
            results.status.state,
        ]
    )


def _facts(results: RunResults) -> list[tuple[str, str, str]]:
    """Return the most important figures: name, value, and a remark."""
    status, best = results.status, results.best
    wanted = status.config.training.epochs
    found = []
    if results.predictions:
        score = results.predictions.score
        low, high = score.accuracy_interval
        found = [
            ("test accuracy", f"{score.accuracy:.4f}", f"95 % interval {low:.4f} to {high:.4f}"),
            ("balanced accuracy", report_html.share(score.balanced_accuracy), "mean recall of the classes"),
            ("macro F1", report_html.share(score.macro_f1), "mean F1 score of the classes"),
            ("test errors", f"{score.errors:,}", f"of {score.images:,} images"),
            ("test loss", f"{score.loss:.4f}", "mean cross-entropy in nats"),
            ("calibration error", f"{score.calibration_error:.4f}", "gap between confidence and accuracy"),
        ]
    elif "val_accuracy" in best:
        found = [("validation accuracy", f"{best['val_accuracy']:.4f}", f"after epoch {best['epoch']}")]
    stopped = ", stopped early" if results.status.state == "done" and len(results.history) < wanted else ""
    parameters = "–" if status.parameters is None else f"{status.parameters:,}"
    return [
        *found,
        ("best epoch", f"{best['epoch']}", f"of {len(results.history)}{stopped}"),
        ("parameters", parameters, f"in {len(status.config.model.layers) + 1} layers"),
        ("time", report_html.duration(status.seconds), f"{status.data.training_images:,} training images"),
    ]


def _splits(results: RunResults) -> list[dict[str, Any]]:
    """Return loss and accuracy of the training, validation and test images."""
    rows, best, data = [], results.best, results.status.data
    # The training accuracy is a running mean over networks that change, not a sample of one: it has no interval.
    for name, prefix, images, is_sample in (
        ("training", "", data.training_images, False),
        ("validation", "val_", results.status.held_out, True),
    ):
        if f"{prefix}accuracy" in best:
            right = round(best[f"{prefix}accuracy"] * images)
            rows.append(
                {
                    "name": name,
                    "images": images,
                    "loss": best[f"{prefix}loss"],
                    "loss_interval": None,
                    "accuracy": best[f"{prefix}accuracy"],
                    "interval": wilson(right, images) if is_sample else None,
                    "errors": images - right,
                }
            )
    if results.predictions:
        score = results.predictions.score
        rows.append(
            {
                "name": "test",
                **{key: getattr(score, key) for key in ("images", "loss", "accuracy", "errors")},
                "interval": score.accuracy_interval,
                "loss_interval": results.predictions.loss_interval,
            }
        )
    return rows


def _classes(predictions: TestPredictions) -> list[dict[str, Any]]:
    """Return the metrics of every class, with 95 % intervals of precision and recall."""
    matrix = np.array(predictions.score.confusion)
    rows = []
    for figures in predictions.score.classes:
        label = figures.label
        if label in predictions.present:
            hits, predicted, support = int(matrix[label, label]), int(matrix[:, label].sum()), figures.support
            intervals = {
                "precision_interval": wilson(hits, predicted) if predicted else None,
                "recall_interval": wilson(hits, support) if support else None,
            }
            rows.append(figures.to_dict() | intervals)
    return rows


def _most_confused(predictions: TestPredictions) -> list[dict[str, Any]]:
    """Return the pairs of actual and predicted class with the most errors, in descending order."""

    def named(label: int, predicted: int) -> dict[str, Any]:
        names = predictions.score.classes[label].name, predictions.score.classes[predicted].name
        return {"label": label, "name": names[0], "predicted": predicted, "predicted_name": names[1]}

    matrix = np.array(predictions.score.confusion)
    wrong = np.where(np.eye(len(matrix), dtype=bool), 0, matrix)
    order = np.argsort(-wrong, axis=None, kind="stable")[:MAX_CONFUSIONS]
    return [
        {**named(label, predicted), "images": count, "share": count / int(matrix[label].sum())}
        for label, predicted in (divmod(place, len(matrix)) for place in order.tolist())
        if (count := int(wrong[label, predicted]))
    ]


def _environment(status: RunStatus) -> list[tuple[str, str]]:
    """Return everything besides the config that the result may depend on: name and value."""
    values, data = status.run.environment(), status.data
    held_out = f", {data.validation_images:,} validation images" if data.validation_images else ""
    rows = [
        ("command", shlex.join(["dnn", *values.command[1:]])),
        ("started", values.started),
        ("folder", values.folder),
        ("data", f"{data.name}, {data.training_images:,} training images{held_out}"),
        ("fingerprint", data.fingerprint),
        ("versions", ", ".join(f"{name} {version}" for name, version in values.versions.items())),
        ("machine", f"{values.platform}, {values.cpus} processors"),
        ("processor", values.processor),
        ("threads", values.threads),
        ("git revision", values.git),
        ("started from", values.transfer and values.transfer.file),
    ]
    return [(name, str(value)) for name, value in rows if value]
