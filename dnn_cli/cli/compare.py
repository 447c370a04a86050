"""The command `dnn compare`: show runs side by side."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dnn_cli.cli import options
from dnn_cli.cli.run_summary import config_table, data_source, data_warnings, figures, metrics_to_json, setting
from dnn_cli.cli.tables import print_json, print_lines, side_by_side

if TYPE_CHECKING:
    from dnn_cli.runs.comparison import Comparison
    from dnn_cli.runs.status import RunStatus


@click.command
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="RUN...")
@click.option(
    "--sort",
    type=click.Choice(["val_accuracy", "test_accuracy", "seconds", "parameters"]),
    metavar="FIGURE",
    help="Rank by val_accuracy, test_accuracy, seconds or parameters, best first.  "
    "[default: val_accuracy if comparable, else test_accuracy]",
)
@options.as_json
def compare(runs: tuple[Path, ...], sort: str | None, as_json: bool) -> None:
    """Compare the settings and the metrics of runs.

    The table has the settings that differ, and the metrics. The runs are ranked by validation accuracy if all have the
    same validation images, else by test accuracy if all were evaluated on the same test images. Otherwise they are not
    ranked, and the reason is printed.

    Runs that differ in their seeds alone count as one config: a second table has the mean ± standard deviation and the
    95 % interval of each config, and the best config is tested against the others, seed by seed.

    \b
    Examples:
      dnn compare runs/mnist-1 runs/small-1
      dnn compare runs/* --sort parameters
      dnn compare runs/* --json
    """
    from dnn_cli.runs import comparison

    found = comparison.compare_runs(runs, sort)
    print_comparison(found, as_json=as_json)
    found.raise_if_damaged()


def print_comparison(found: "Comparison", *, as_json: bool) -> None:
    """Print the settings that differ, the metrics of the runs, and remarks on the metrics."""
    candidates = found.candidates
    if as_json:
        runs = [_candidate(one, found.settings, place) for place, one in enumerate(candidates)]
        configs = found.configs and found.configs.to_dict()
        print_json({"ranked_by": found.ranked_by, "remarks": found.remarks, "runs": runs, "configs": configs})
        return
    columns = {
        "run": [str(one.run) for one in candidates],
        "data": [data_source(one) for one in candidates],
        **{key: list(map(setting, values)) for key, values in found.settings.items()},
        **figures(candidates),
    }
    lines = [*found.remarks, *data_warnings(candidates)]
    over_seeds = ["", *config_table(found.configs)] if found.configs else []
    print_lines(*side_by_side(columns), *over_seeds, *[""] * bool(lines), *lines)


def _candidate(one: "RunStatus", settings: dict[str, list[Any]], place: int) -> dict[str, Any]:
    from dnn_cli.config import difference

    chosen = {key: values[place] for key, values in settings.items() if values[place] is not difference.ABSENT}
    return {"run": str(one.run), "settings": chosen, **metrics_to_json(one)}
