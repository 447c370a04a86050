"""The command `dnn compare`: show runs side by side."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dnn_cli.cli import options
from dnn_cli.cli.run_summary import data_source, data_warnings, figures, metrics_to_json, setting
from dnn_cli.cli.tables import NOTHING, fits, folded, print_json, print_lines

if TYPE_CHECKING:
    from dnn_cli.runs.comparison import Comparison
    from dnn_cli.runs.seed_groups import ConfigComparison
    from dnn_cli.runs.status import RunStatus

COLUMN_WIDTH = 30  # characters; two columns of this width and the headings fit into 80


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
    print_lines(*_side_by_side(columns), *over_seeds, *[""] * bool(lines), *lines)


def config_table(found: "ConfigComparison") -> list[Any]:
    """Return a table of the configs with their accuracies over seeds: mean ± standard deviation (95 % interval)."""
    from dnn_cli.runs.criteria import ACCURACIES, CRITERIA

    columns = {
        "config": [group.name for group in found.groups],
        "seeds": [" ".join(map(str, group.seeds)) for group in found.groups],
    }
    for criterion in (CRITERIA[name] for name in ACCURACIES):
        spreads = [group.spread(criterion) for group in found.groups]
        if any(spreads):
            columns[criterion.title] = [str(spread) if spread else NOTHING for spread in spreads]
    return _side_by_side(columns)


def _candidate(one: "RunStatus", settings: dict[str, list[Any]], place: int) -> dict[str, Any]:
    from dnn_cli.config import difference

    chosen = {key: values[place] for key, values in settings.items() if values[place] is not difference.ABSENT}
    return {"run": str(one.run), "settings": chosen, **metrics_to_json(one)}


def _side_by_side(columns: dict[str, list[str]]) -> list[Any]:
    """Return a table with one row per run or, if the terminal is too narrow, tables with one column per run."""
    rows = list(zip(*columns.values(), strict=True))
    if fits(whole := folded(list(columns), rows)):
        return [whole]
    for count in range(len(rows), 0, -1):
        tables: list[Any] = []
        for start in range(0, len(rows), count):
            names, *values = zip(list(columns), *rows[start : start + count], strict=True)
            tables += [*[""] * bool(tables), folded(names, values, width=COLUMN_WIDTH)]
        if count == 1 or all(fits(table) for table in tables if table):
            break
    return tables
