"""The command `dnn gradcheck`: compare the gradients of Keras, NumPy and finite differences."""

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from dnn_cli.cli import options
from dnn_cli.cli.tables import NOTHING, print_facts, print_json, print_lines, table

if TYPE_CHECKING:
    from rich.table import Table

    from dnn_cli.verification.gradcheck import GradientCheck, LayerErrors


@click.command
@click.option("-c", "--config", metavar="CONFIG", required=True, help="A YAML file, or a shipped config such as mnist.")
@options.settings
@click.option(
    "--tolerance",
    type=click.FloatRange(0, 1, min_open=True),
    metavar="X",
    default=1e-6,
    help="Largest relative error allowed; exit with code 3 if one is larger.  [default: 1e-6]",
)
@click.option(
    "--samples",
    type=click.IntRange(1),
    metavar="N",
    default=50,
    help="Entries of each parameter to compare with finite differences.  [default: 50]",
)
@options.as_json
@options.verbose
def gradcheck(
    config: str, settings: tuple[str, ...], tolerance: float, samples: int, as_json: bool, verbose: bool
) -> None:
    """Compare the gradients of Keras, NumPy and finite differences.

    The config's network is built in Keras and in NumPy with equal weights, in float64, and both get the first batch of
    the training. For each layer, the outputs are compared, and three gradients of the loss: Keras's automatic
    differentiation, backpropagation in NumPy, and central finite differences. An error is relative to the largest
    entry. Entries whose difference would cross a kink, such as that of ReLU at 0, are left out.

    \b
    Examples:
      dnn gradcheck -c mnist
      dnn gradcheck -c small --set model.layers[0].activation=tanh --json
    """
    from dnn_cli.config import loading
    from dnn_cli.errors import GateError

    chosen = loading.load(config, options.overrides(settings))

    from dnn_cli.verification import gradcheck as gradients

    result = gradients.check(chosen, samples=samples, verbose=verbose)
    print_check(result, tolerance, as_json=as_json)
    if not result.largest <= tolerance:
        raise GateError(f"the largest relative error, {result.largest:.2g}, is above --tolerance {tolerance:g}")


def print_check(check: "GradientCheck", tolerance: float, *, as_json: bool) -> None:
    """Print the errors of each layer, and the largest of all."""
    if as_json:
        print_json({**asdict(check), "largest": check.largest, "tolerance": tolerance})
        return
    print_lines(_layers(check.layers), "")
    print_facts(
        {
            "data": f"{check.dataset}, {check.images:,} training images",
            "loss": f"{check.loss:.6f}, NumPy − Keras {_error(check.loss_error)}",
            "largest error": f"{_error(check.largest)}, tolerance {tolerance:g}",
        }
    )
    print_lines(*(f"note: {note}" for note in check.notes))


def _layers(steps: "list[LayerErrors]") -> "Table":
    columns = ("NumPy − Keras", "NumPy − differences", "Keras − differences", "sampled", "at a kink")
    layers = table("layer", "outputs", "parameter", *columns)
    for step in steps:
        name, output = step.layer, _error(step.output)
        for each in step.gradients:
            errors = map(_error, (each.numpy_keras, each.numpy_difference, each.keras_difference))
            parameter = f"{each.name.rpartition('/')[2]} {'×'.join(map(str, each.shape))}"
            layers.add_row(name, output, parameter, *errors, f"{each.sampled:,}", f"{each.skipped:,}")
            name = output = ""
        if not step.gradients:
            layers.add_row(name, output)
    return layers


def _error(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.1e}"
