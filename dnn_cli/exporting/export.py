"""Export a network: write it, run it by the program that will read it, compare, and only then put it in its place."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import dnn_cli
from dnn_cli.data.pixels import to_bytes, to_unit_range
from dnn_cli.errors import DataError, DnnError, RunError, UsageError, require_extra
from dnn_cli.evaluation import evaluate, metrics, model_source
from dnn_cli.evaluation.model_source import ModelSource
from dnn_cli.exporting import card, location, plain_network, proof
from dnn_cli.exporting.contract import Contract, Input
from dnn_cli.exporting.formats import FORMATS, Format, FormatName, Quantization
from dnn_cli.exporting.plain_network import PlainNetwork
from dnn_cli.exporting.proof import TOLERANCES, Proof
from dnn_cli.files import sha256, write_atomically
from dnn_cli.reporting import diagnosis
from dnn_cli.reporting.evidence import Evidence, Finding
from dnn_cli.runs import status
from dnn_cli.runs.json_record import Count, JsonRecord, Number
from dnn_cli.runs.records import Score
from dnn_cli.typing import Array


@dataclass(frozen=True)
class ExportRecord(JsonRecord):
    """The content of ``export.json``, which is in every export.

    Attributes:
        format: the format.
        quantization: how its numbers are stored.
        contract: what the network takes and returns.
        files: the files of the export → their sizes in bytes.
        digests: the files → their SHA-256 digests.
        tolerance: the deviation that was allowed.
        proof: the comparison with the trained network; None if it was not asked for.
    """

    format: FormatName
    quantization: Quantization
    contract: dict[str, object]
    files: dict[str, Count]
    digests: dict[str, str]
    tolerance: Number
    proof: Proof | None

    @property
    def size(self) -> int:
        """The size of all files in bytes."""
        return sum(self.files.values())


@dataclass(frozen=True)
class Export:
    """A finished export: its folder, and its record."""

    folder: Path
    record: ExportRecord


@dataclass(frozen=True)
class _Material:
    """The test images, and the probabilities of the trained network for them."""

    images: Array
    labels: Array
    probabilities: Array
    score: Score


def export(
    target: Path | None,
    name: FormatName,
    *,
    out: Path | None = None,
    quantization: Quantization = "none",
    kind: Input = "uint8",
    tolerance: float | None = None,
    verify: bool = True,
    dataset: str | None = None,
    license_name: str = "unknown",
    notify: Callable[[str], None] = print,
) -> Export:
    """Export the best network of a run, or the network of a ``.keras`` file.

    Args:
        target: the run or file; None for the newest run.
        name: the format.
        out: the folder of the export; by default ``exports/<format>`` in the run, or beside the file.
        quantization: of LiteRT.
        kind: what the exported network takes: ``uint8`` 0 to 255, or ``float`` 0 to 1.
        tolerance: largest deviation from the trained network; None for that of `TOLERANCES`.
        verify: run the export and compare it with the trained network.
        dataset: other data to compare on than the run's.
        license_name: the licence in the model card.
        notify: is called with each warning.

    Raises:
        UsageError: the format is not possible, a package is missing, or the folder is taken.
        GateError: the export deviates by more than the tolerance; it was deleted.
        DnnError: the network is damaged, or the data cannot be read.
    """
    chosen = FORMATS[name]
    if quantization != "none" and name != "litert":
        raise UsageError(f"--quantize works with --to litert, not with {name}")
    purpose = f"--to {name}"
    if chosen.extra:
        require_extra(chosen.extra, *chosen.packages, purpose=purpose)
    if verify and chosen.extra:
        require_extra(chosen.extra, *chosen.runtime_packages, purpose=f"{purpose} without --no-verify")
    subject = model_source.find_model(target)
    label = name if quantization == "none" else f"{name}-{quantization}"
    folder = out or _default_folder(subject, label)
    location.check_free(folder)
    network = plain_network.load(subject.file, subject.temperature or 1.0)
    contract = contract_of(subject, network, kind)
    material = _material(subject, contract, dataset, needed=verify, notify=notify)
    allowed = TOLERANCES[quantization] if tolerance is None else tolerance
    with location.replacement(folder) as unfinished:
        more = {"quantization": quantization, "images": _examples(subject, quantization)} if name == "litert" else {}
        chosen.writer()(network, contract, unfinished, **more)
        found = None
        if verify and material:
            found = _prove(chosen, unfinished, kind, material)
            found.check(quantization, allowed)
        text = card.text(
            name,
            quantization,
            contract,
            [(len(step.bias), step.activation) for step in network.steps],
            license_name=license_name,
            score=material.score if material else None,
            proof=found,
            findings=_findings(subject, material),
        )
        (unfinished / "README.md").write_text(text, encoding="utf-8")
        files = sorted(path for path in unfinished.rglob("*") if path.is_file() and path.name != "README.md")
        record = ExportRecord(
            format=name,
            quantization=quantization,
            contract=contract.to_dict(),
            files={path.relative_to(unfinished).as_posix(): path.stat().st_size for path in files},
            digests={path.relative_to(unfinished).as_posix(): sha256(path) for path in files},
            tolerance=allowed,
            proof=found,
        )
        (unfinished / location.RECORD).write_text(record.to_json(), encoding="utf-8")
    if out and subject.run:
        _keep_record(subject, label, record)
    return Export(folder, record)


def _default_folder(subject: ModelSource, label: str) -> Path:
    if subject.run:
        return subject.run.export_folder(label)
    return subject.file.with_name(f"{subject.file.stem}-{label}")


def _material(
    subject: ModelSource, contract: Contract, dataset: str | None, *, needed: bool, notify: Callable[[str], None]
) -> _Material | None:
    """Return the test images; None if they cannot be read and are not needed."""
    try:
        _, split, note = evaluate.material(subject, "test", dataset)
    except DataError as error:
        if needed:
            raise DataError(f"the export cannot be checked: {error}\n--no-verify exports it nevertheless") from None
        return None
    if note:
        notify(f"warning: {note}")
    images = split.images.reshape(-1, *contract.image_shape)
    if contract.input == "uint8":  # the trained network gets the same images as the exported one
        images = to_bytes(images)
    own = model_source.probabilities(subject.file, images, threads=subject.threads, notify=notify)
    evaluate.check_labels(subject.file, split, own)
    score = metrics.score(own, split.labels, subject.class_names, subject.calibration)
    return _Material(images, split.labels, subject.calibrated(own), score)


def contract_of(subject: ModelSource, network: PlainNetwork, kind: Input) -> Contract:
    """Return the description of a network that takes images of that kind."""
    names = subject.class_names or tuple(map(str, range(network.classes)))
    return Contract(
        name=subject.run.path.absolute().name if subject.run else subject.file.stem,
        program=dnn_cli.__version__,
        checkpoint=sha256(subject.file),
        input=kind,
        image_shape=network.image_shape,
        classes=(*names, *map(str, range(len(names), network.classes))),
        dataset=subject.run.environment().dataset.name if subject.run else "unknown data",
        temperature=subject.temperature or 1.0,
    )


def _examples(subject: ModelSource, quantization: Quantization) -> Array | None:
    """Return the training images that an int8 network is adjusted to."""
    if quantization != "int8":
        return None
    images = evaluate.material(subject, "train")[1].images
    shape = model_source.image_shape(subject.file)
    return to_bytes(images).reshape(-1, *shape)


def _prove(chosen: Format, folder: Path, kind: Input, material: _Material) -> Proof:
    images = material.images if kind == "uint8" else to_unit_range(material.images)
    try:
        runtime = chosen.open(folder)
        return proof.prove(
            chosen.runtime, runtime, np.ascontiguousarray(images), material.labels, material.probabilities
        )
    except DnnError:
        raise
    except Exception as error:
        raise RunError(f"{chosen.runtime} cannot run the export, which was deleted: {error}") from error


def _findings(subject: ModelSource, material: _Material | None) -> list[Finding]:
    """Return what the run's figures show; nothing for a file without a run."""
    if subject.run is None:
        return []
    found = status.read_status(subject.run)
    history = subject.run.history(max(found.epochs, subject.epoch or 0))
    score = material.score if material else None
    return diagnosis.diagnose(Evidence(found.config, history, score, [], found.data))


def _keep_record(subject: ModelSource, label: str, record: ExportRecord) -> None:
    """Keep the record of an export elsewhere in the run, unless the same format is exported there already."""
    assert subject.run
    folder = subject.run.export_folder(label)
    if not folder.exists():
        with location.replacement(folder) as unfinished:
            write_atomically(unfinished / location.RECORD, record.to_json())
