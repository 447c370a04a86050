"""The command `dnn export`: write a trained network in the format of another program, and prove it."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dnn_cli.cli import options
from dnn_cli.cli.tables import print_facts, print_json, warn

if TYPE_CHECKING:
    from dnn_cli.exporting.export import Export

FORMATS = ("onnx", "litert", "saved_model", "javascript", "npz", "keras")


@click.command
@click.argument("target", metavar="[RUN]", required=False, type=click.Path(path_type=Path))
@click.option(
    "--to",
    "formats",
    type=click.Choice(FORMATS),
    metavar="FORMAT",
    required=True,
    multiple=True,
    help="onnx, litert, saved_model (TensorFlow Serving), javascript, npz or keras. May be repeated.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Folder of the export.  [default: exports/FORMAT in the run]",
)
@click.option(
    "--quantize",
    type=click.Choice(["float16", "dynamic", "int8"]),
    metavar="HOW",
    help="Store litert's numbers as float16, its weights as int8 (dynamic), or compute in int8.",
)
@click.option(
    "--input",
    "kind",
    type=click.Choice(["uint8", "float"]),
    metavar="KIND",
    default="uint8",
    help="What the export takes: uint8 (0 to 255, scaled inside) or float (0 to 1).  [default: uint8]",
)
@click.option(
    "--tolerance",
    type=click.FloatRange(0),
    metavar="X",
    help="Largest deviation allowed; exit with code 3 above it.  "
    "[default: 1e-5 of a probability, 2e-3 for float16; 0.003 of the accuracy for dynamic and int8]",
)
@click.option("--no-verify", is_flag=True, help="Do not run the export to compare it with the trained network.")
@click.option("--data", "dataset", metavar="DATASET", help="Compare on the test images of this dataset or path.")
@click.option("--license", "license_name", metavar="NAME", default="unknown", help="The licence in the model card.")
@options.as_json
def export(
    target: Path | None,
    formats: tuple[str, ...],
    out: Path | None,
    quantize: str | None,
    kind: str,
    tolerance: float | None,
    no_verify: bool,
    dataset: str | None,
    license_name: str,
    as_json: bool,
) -> None:
    """Write a network for ONNX, LiteRT, TensorFlow, JavaScript, NumPy.

    RUN is a run, of which the best network is exported, or a .keras file; by default the newest run. Each export is
    run by the program that will read it (onnxruntime, LiteRT, TensorFlow, Node, NumPy, Keras) on all test images. If
    a probability differs by more than the tolerance, it is deleted. A model card, README.md, is written beside it.

    \b
    Examples:
      dnn export --to onnx
      dnn export runs/mnist-1 --to litert --quantize int8
      dnn export runs/mnist-1 --to javascript --out page/model
    """
    from dnn_cli.errors import UsageError
    from dnn_cli.exporting import export as exporting

    if out and len(formats) > 1:
        raise UsageError("--out needs a single --to")
    done = []
    for name in formats:
        made = exporting.export(
            target,
            name,  # type: ignore[arg-type]
            out=out,
            quantization=quantize or "none",  # type: ignore[arg-type]
            kind=kind,  # type: ignore[arg-type]
            tolerance=tolerance,
            verify=not no_verify,
            dataset=dataset,
            license_name=license_name,
            notify=warn,
        )
        done.append(made)
        if not as_json:
            print_export(made)
    if as_json:
        print_json([_to_json(made) for made in done])


def print_export(made: "Export") -> None:
    """Print where the export is, and how it compares with the trained network."""
    record, proof = made.record, made.record.proof
    rows = {"export": str(made.folder), "size": f"{record.size:,} bytes"}
    if proof is None:
        rows["warning"] = "it was not run, so it may not answer as the trained network"
    else:
        rows |= {
            "run by": f"{proof.runtime}, {proof.images:,} test images",
            "largest difference": f"{proof.largest_difference:.2g} of a probability",
            "changed answers": f"{proof.changed_answers:,}",
            "accuracy": f"{proof.accuracy_before:.4f} before, {proof.accuracy_after:.4f} after",
            "time": f"{1000 * proof.latency:.3g} ms an image, {proof.images_per_second:,.0f} images/s in batches",
        }
    print_facts(rows)


def _to_json(made: "Export") -> dict[str, Any]:
    return {"folder": str(made.folder), "bytes": made.record.size, **made.record.to_dict()}
