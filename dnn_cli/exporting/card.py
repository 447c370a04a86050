"""Write the model card of an export: the README that model hubs read."""

from collections.abc import Sequence
from typing import Any

from dnn_cli.config import yaml_document
from dnn_cli.exporting.contract import Contract
from dnn_cli.exporting.formats import FORMATS, FormatName, Quantization
from dnn_cli.exporting.proof import Proof
from dnn_cli.reporting.evidence import Finding
from dnn_cli.runs.records import Score

SHOWN = 3  # classes, and pairs of classes, that are listed
FRONT_MATTER_LIBRARIES = {"keras": "keras", "saved_model": "tf-keras", "onnx": "onnx", "litert": "tflite"}


def text(
    name: FormatName,
    quantization: Quantization,
    contract: Contract,
    layers: Sequence[tuple[int, str]],
    *,
    license_name: str,
    score: Score | None,
    proof: Proof | None,
    findings: Sequence[Finding],
) -> str:
    """Return the card as Markdown with YAML front matter.

    Args:
        name: the format.
        quantization: how its numbers are stored.
        contract: what the network takes and returns.
        layers: the number of units and the activation of each layer.
        license_name: an identifier of a licence, or ``unknown``.
        score: its figures on the test images; None if there are none.
        proof: the comparison with the trained network; None if it was not made.
        findings: what the run's figures show.
    """
    chosen = FORMATS[name]
    parts = [
        f"---\n{yaml_document.dump(_front_matter(name, contract, license_name, score))}---\n",
        f"# {_plain(contract.name)}\n",
        f"An image classifier of {len(contract.classes)} classes, trained on {_plain(contract.dataset)} by dnn "
        f"{contract.program}, as {_storage(chosen.title, quantization)}. Its layers: "
        + ", ".join(f"{units} {activation}" for units, activation in layers)
        + ".\n",
        *(f"- **{key}**: {value}" for key, value in contract.sentences.items()),
        f"- **classes**: {', '.join(map(_plain, contract.classes))}",
        f"- **checkpoint**: SHA-256 {contract.checkpoint}",
        f"- **calibration**: {_calibration(contract)}\n",
        "## Use\n",
        f"```{chosen.language}\n{chosen.usage}```\n",
        *_figures(score, proof),
        "## Where it fails\n",
        *_weaknesses(score, findings, contract),
    ]
    return "\n".join(parts).rstrip() + "\n"


def _front_matter(name: FormatName, contract: Contract, license_name: str, score: Score | None) -> dict[str, Any]:
    data = contract.dataset.rpartition("/")[2]  # of a path, the name alone
    values: dict[str, Any] = {
        "license": license_name,
        "pipeline_tag": "image-classification",
        "datasets": [data],
        "tags": ["image-classification", "dnn", name],
    }
    if library := FRONT_MATTER_LIBRARIES.get(name):
        values["library_name"] = library
    if score:
        metrics = [
            {"type": "accuracy", "value": round(score.accuracy, 6), "name": f"accuracy, {_interval(score)}"},
            {"type": "f1", "value": round(score.macro_f1 or 0.0, 6), "name": "macro F1"},
        ]
        dataset = {
            "type": contract.dataset.rpartition("/")[2],
            "name": contract.dataset.rpartition("/")[2],
            "split": "test",
        }
        task = {"type": "image-classification"}
        values["metrics"] = ["accuracy", "f1"]
        values["model-index"] = [
            {"name": contract.name, "results": [{"task": task, "dataset": dataset, "metrics": metrics}]}
        ]
    return values


def _interval(score: Score) -> str:
    return "95 % interval {:.4f} to {:.4f}".format(*score.accuracy_interval)


def _storage(title: str, quantization: Quantization) -> str:
    stored = {"none": "float32", "float16": "float16", "dynamic": "int8 weights", "int8": "int8 throughout"}
    return f"{title} ({stored[quantization]})"


def _calibration(contract: Contract) -> str:
    if contract.temperature == 1:
        return "none; the probabilities are the network's own"
    return f"the logits are divided by {contract.temperature:g}, found on images held out of the training"


def _figures(score: Score | None, proof: Proof | None) -> list[str]:
    lines = ["## Figures\n"]
    if score:
        lines.append(
            f"On {score.images:,} test images the trained network has an accuracy of {score.accuracy:.4f} "
            f"({_interval(score)}), a macro F1 of {score.macro_f1 or 0:.4f} and a calibration error of "
            f"{(score.calibrated or score).calibration_error:.4f}.\n"
        )
    if proof:
        lines.append(
            f"This file was run by {proof.runtime} on all of them: the largest difference of a probability is "
            f"{proof.largest_difference:.2g}, {proof.changed_answers:,} answers changed, the accuracy is "
            f"{proof.accuracy_after:.4f}. One image took {1000 * proof.latency:.2g} ms, and a second was enough for "
            f"{proof.images_per_second:,.0f} images in batches.\n"
        )
    else:
        lines.append("This file was not checked with its runtime.\n")
    return lines


def _weaknesses(score: Score | None, findings: Sequence[Finding], contract: Contract) -> list[str]:
    lines = [f"- {finding.title}: {finding.text}" for finding in findings]
    names = [_plain(name) for name in contract.classes]
    if score:
        known = [(each.recall, each) for each in score.classes if each.recall is not None]
        lines += [
            f"- Of {each.support:,} images of class {names[each.label]}, {recall:.2%} are found."
            for recall, each in sorted(known, key=lambda pair: pair[0])[:SHOWN]
        ]
        lines += [
            f"- {names[actual]} is taken for {names[predicted]} {count:,} times."
            for count, actual, predicted in _confusions(score)[:SHOWN]
        ]
    return [*lines, "- It answers with one of its classes whatever the image shows, also if it shows none of them."]


def _confusions(score: Score) -> list[tuple[int, int, int]]:
    """Return count, actual and predicted class of each kind of error, the most frequent first."""
    found = [
        (count, actual, predicted)
        for actual, row in enumerate(score.confusion)
        for predicted, count in enumerate(row)
        if count and actual != predicted
    ]
    return sorted(found, key=lambda error: -error[0])


def _plain(text: str) -> str:
    """Return a name as text that Markdown shows as it is."""
    return "".join(f"\\{character}" if character in "\\`*_[]<>#|" else character for character in text)
