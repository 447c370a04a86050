"""What one run learned, on one page: how it went, what it can do, where it fails, what is inside, and what to try."""

import shlex
from typing import Any

import numpy as np

from dnn_cli.config.yaml_document import dump
from dnn_cli.engines.numpy import keras_format
from dnn_cli.engines.numpy.keras_format import Loaded, UnknownNetworkError
from dnn_cli.engines.numpy.network import Dense
from dnn_cli.report import diagnosis, plots, unit_activity
from dnn_cli.report import html as report_html
from dnn_cli.report.html import Page, Picture
from dnn_cli.report.plots import BLUE, VERMILION, Line
from dnn_cli.report.run_results import RunResults, TestPredictions
from dnn_cli.report.unit_activity import LayerActivity
from dnn_cli.runs.status import RunStatus
from dnn_cli.stats import wilson
from dnn_cli.typing import Array

SHOWN = 24  # images in a gallery
PAIRS = 10  # of classes, in the list of those most often mistaken


def build(study: RunResults) -> Page:
    """The page of a run."""
    candidate, judged = study.candidate, study.judged
    loaded = _load(study)
    layers = unit_activity.measure(loaded.network, judged.images, loaded.batch) if loaded and judged else []
    said = diagnosis.diagnose(
        candidate.config, study.history, judged.score if judged else None, layers or None, dataset=candidate.data
    )
    drawn = _curves(study)
    curves = list(drawn)
    drawn |= _outcome(judged) if judged else {}
    kernel, caption = _first_weights(loaded) if loaded else (None, "")
    if kernel is not None:
        drawn["weights"] = Picture(plots.weights(kernel), f"Each picture is one unit. {caption}")
    for number, layer in enumerate(layers, start=1):
        words = f"histogram of the outputs of {layer.name}; their mean is {layer.mean:.3g}"
        drawn[f"activations-{number}"] = Picture(plots.activation(layer), words)
    mistakes, hits = (judged.worst(SHOWN), judged.least_certain(SHOWN)) if judged else ([], [])
    html = report_html.render(
        "run.html",
        drawn,
        run=study.name,
        summary=_summary(study),
        warnings=study.warnings,
        facts=_facts(study),
        findings=said,
        config_file=shlex.quote(str(candidate.run.config_file)),
        curves=curves,
        best_epoch=study.best["epoch"],
        figures=_figures(study),
        score=judged and judged.score,
        classes=_classes(judged) if judged else [],
        confused=_confused(judged) if judged else [],
        mistakes=report_html.tiles(judged, mistakes) if judged else [],
        hits=report_html.tiles(judged, hits) if judged else [],
        weights_caption=caption,
        activity=layers,
        bounded=set(unit_activity.BOUNDS),
        is_known=loaded is not None,
        environment=_environment(candidate),
        changed=dump(candidate.config.model_dump(mode="json", exclude_defaults=True)),
        config=candidate.config.to_yaml(),
    )
    numbers = {
        **study.figures(),
        "layers": list(map(_activity, layers)),
        "mistakes": judged.describe(mistakes) if judged else [],
        "least_certain_hits": judged.describe(hits) if judged else [],
        "findings": [vars(finding) for finding in said],
    }
    galleries = {"mistakes": mistakes, "least-certain-hits": hits}
    drawn |= {name: _gallery(judged, chosen) for name, chosen in galleries.items() if judged and chosen}
    return Page(html, drawn, numbers, [finding.title for finding in said])


def _load(study: RunResults) -> Loaded | None:
    """The network in NumPy; None if it is of another kind."""
    try:
        return keras_format.load(study.subject.file)
    except UnknownNetworkError:
        return None


def _curves(study: RunResults) -> dict[str, Picture]:
    drawn = {}
    for name, (title, scale) in plots.CURVES.items():
        lines = [
            Line(label, [row[key] for row in study.history], color, dashed=dashed, best=study.best["epoch"])
            for label, key, color, dashed in (
                ("training", name, BLUE, f"val_{name}" in study.best),
                ("validation", f"val_{name}", VERMILION, False),
            )
            if key in study.best
        ]
        if lines:
            told = " and ".join(f"{line.values[-1]:.4g} in {line.label}" for line in lines)
            words = f"{title} over {len(study.history)} epochs; in the end {told}"
            drawn[name.replace("_", "-")] = Picture(plots.curves(title, lines, scale=scale), words)
    return drawn


def _outcome(judged: TestPredictions) -> dict[str, Picture]:
    matrix = np.array(judged.score.confusion)
    words = f"confusion matrix: {judged.score.errors:,} of {judged.score.images:,} images are off the diagonal"
    honesty = f"reliability diagram: the calibration error is {judged.score.calibration_error:.4f}"
    return {
        "confusion": Picture(plots.confusion(matrix, judged.present), words),
        "reliability": Picture(plots.reliability(judged.score.calibration), honesty),
    }


def _first_weights(loaded: Loaded) -> tuple[Array | None, str]:
    """The first layer's weights as pictures, and a sentence on which they are; None if it does not see images."""
    dense = next(layer for layer in loaded.network.layers if isinstance(layer, Dense))
    if len(loaded.image_shape) < plots.GREYS:
        return None, ""
    pictures, units = plots.of_weights(dense.weights.value, loaded.image_shape)
    which = (
        f"the {len(units)} of {dense.units:,} units with the longest weights"
        if len(units) < dense.units
        else (f"all {dense.units:,} units")
    )
    return pictures, (
        f"Of {which}, in their order. Orange weights are positive, blue ones negative, each unit on its own scale."
    )


def _gallery(judged: TestPredictions, indices: list[int]) -> Picture:
    images = np.stack([plots.small(judged.images[index]) for index in indices])
    captions = [
        f"{entry['label']} → {entry['guess']}  {report_html.percent(entry['probability'])}"
        for entry in judged.describe(indices)
    ]
    return Picture(plots.gallery(images, captions), "")


def _activity(layer: LayerActivity) -> dict[str, Any]:
    return {key: value for key, value in vars(layer).items() if key not in ("counts", "edges")}


def _summary(study: RunResults) -> str:
    """What was trained, in a line."""
    config, about = study.candidate.config, study.candidate.data
    blocks = [f"{block.units:,} {block.activation}" for block in config.model.layers]
    chosen = about.selected_classes
    classes = f", classes {' '.join(map(str, chosen))}" if chosen else ""
    return " · ".join(
        [
            f"{about.name}{classes}",
            f"{' → '.join([*blocks, 'softmax'])}",
            f"{config.optimizer.name}, batches of {config.training.batch_size:,}",
            f"seed {config.seed}",
            study.state,
        ]
    )


def _facts(study: RunResults) -> list[tuple[str, str, str]]:
    """The figures that are asked for first: name, value, and what belongs to it."""
    candidate, best = study.candidate, study.best
    wanted = candidate.config.training.epochs
    found = []
    if study.judged:
        score = study.judged.score
        low, high = score.accuracy_interval
        found = [
            ("test accuracy", f"{score.accuracy:.4f}", f"95 % interval {low:.4f} to {high:.4f}"),
            ("test errors", f"{score.errors:,}", f"of {score.images:,} images"),
            ("test loss", f"{score.loss:.4f}", "mean cross-entropy in nats"),
            ("calibration error", f"{score.calibration_error:.4f}", "how far its probabilities are off"),
        ]
    elif "val_accuracy" in best:
        found = [("validation accuracy", f"{best['val_accuracy']:.4f}", f"of epoch {best['epoch']}")]
    stopped = ", stopped early" if study.state == "done" and len(study.history) < wanted else ""
    parameters = "–" if candidate.parameters is None else f"{candidate.parameters:,}"
    return [
        *found,
        ("best epoch", f"{best['epoch']}", f"of {len(study.history)}{stopped}"),
        ("parameters", parameters, f"in {len(candidate.config.model.layers) + 1} layers"),
        ("time", report_html.duration(candidate.seconds), f"{candidate.data.training_images:,} training images"),
    ]


def _figures(study: RunResults) -> list[dict[str, Any]]:
    """Loss and accuracy on what was trained on, held out and kept for the test."""
    rows, best, candidate = [], study.best, study.candidate
    for name, prefix, images in (
        ("training", "", candidate.data.training_images),
        ("validation", "val_", candidate.held_out),
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
                    "interval": wilson(right, images),
                    "errors": images - right,
                }
            )
    if study.judged:
        score = study.judged.score
        rows.append(
            {
                "name": "test",
                **{key: getattr(score, key) for key in ("images", "loss", "accuracy", "errors")},
                "interval": score.accuracy_interval,
                "loss_interval": study.judged.loss_interval,
            }
        )
    return rows


def _classes(judged: TestPredictions) -> list[dict[str, Any]]:
    """Every class's figures, with the intervals of what is counted."""
    matrix = np.array(judged.score.confusion)
    rows = []
    for figures in judged.score.classes:
        label = figures.label
        if label in judged.present:
            hits, guessed, support = int(matrix[label, label]), int(matrix[:, label].sum()), figures.support
            intervals = {
                "precision_interval": wilson(hits, guessed) if guessed else None,
                "recall_interval": wilson(hits, support) if support else None,
            }
            rows.append(figures.to_dict() | intervals)
    return rows


def _confused(judged: TestPredictions) -> list[dict[str, Any]]:
    """Which class was taken for which most often."""
    matrix = np.array(judged.score.confusion)
    wrong = np.where(np.eye(len(matrix), dtype=bool), 0, matrix)
    order = np.argsort(-wrong, axis=None, kind="stable")[:PAIRS]
    return [
        {"label": label, "guess": guess, "images": count, "share": count / int(matrix[label].sum())}
        for label, guess in (divmod(place, len(matrix)) for place in order.tolist())
        if (count := int(wrong[label, guess]))
    ]


def _environment(candidate: RunStatus) -> list[tuple[str, str]]:
    """What the result may depend on besides the config."""
    values, about = candidate.run.environment(), candidate.data
    held_out = f", {about.validation_images:,} held out" if about.validation_images else ""
    command = ["dnn", *values.command[1:]]
    rows = [
        ("command", shlex.join(command)),
        ("folder", values.folder),
        ("data", f"{about.name}, {about.training_images:,} training images{held_out}"),
        ("fingerprint", about.fingerprint),
        ("versions", ", ".join(f"{name} {version}" for name, version in values.versions.items())),
        ("machine", f"{values.platform}, {values.cpus} processors"),
        ("git revision", values.git),
        ("started from", values.transfer and values.transfer.file),
    ]
    return [(name, str(value)) for name, value in rows if value]
