"""The command `dnn train`: train one config or several in turn, or resume a run."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dnn_cli.cli import options
from dnn_cli.cli.run_summary import config_table, is_metric, selected_classes
from dnn_cli.cli.tables import print_facts, print_json, print_lines, print_next, table

if TYPE_CHECKING:
    from dnn_cli.config.loading import Override
    from dnn_cli.config.schema import Config
    from dnn_cli.runs.directory import RunDirectory
    from dnn_cli.training.loop import Result
    from dnn_cli.training.plan import Preview


@click.command
@click.option(
    "-c",
    "--config",
    multiple=True,
    metavar="CONFIG",
    help="A YAML file, or a shipped config: mnist, smoke, small, fast, best, tiny, zero-to-four, five-to-nine. "
    "May be repeated: the configs are trained in turn.",
)
@options.settings
@click.option("--epochs", type=int, metavar="N", help="Number of epochs, 1 or more: --set training.epochs=N.")
@click.option("--batch-size", type=int, metavar="N", help="Images per step, 1 or more: --set training.batch_size=N.")
@click.option(
    "--seed",
    type=int,
    multiple=True,
    metavar="N",
    help="Random seed, 0 or more: --set seed=N. May be repeated: the seeds are trained in turn.",
)
@click.option("--engine", metavar="ENGINE", help="Library that trains, keras or numpy: --set engine=ENGINE.")
@click.option(
    "--run-dir",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Directory of the new run; it must be empty or not exist.  [default: runs/<config>-<n>]",
)
@click.option(
    "--resume",
    type=click.Path(path_type=Path),
    metavar="RUN",
    help="Resume this run instead of starting one. Only the number of epochs may change.",
)
@click.option(
    "--dry-run", is_flag=True, help="Check the config and print it with the network's layers, but don't train."
)
@options.as_json
@options.quiet
@options.verbose
def train(
    config: tuple[str, ...],
    settings: tuple[str, ...],
    epochs: int | None,
    batch_size: int | None,
    seed: tuple[int, ...],
    engine: str | None,
    run_dir: Path | None,
    resume: Path | None,
    dry_run: bool,
    as_json: bool,
    quiet: bool,
    verbose: bool,
) -> None:
    """Train the network that a config describes.

    Every training writes its own run directory. Ctrl-C saves the place within the epoch and stops the training;
    --resume continues it, and the result is the same as without the interruption. Several configs or seeds are all
    checked first and then trained in turn; each gets the same result as if it were trained alone.

    \b
    Examples:
      dnn train -c mnist
      dnn train -c mine.yaml --set optimizer.learning_rate=0.01 --epochs 5
      dnn train -c mine.yaml --dry-run
      dnn train -c mine.yaml -c other.yaml --seed 0 --seed 1
      dnn train --resume runs/mnist-1 --epochs 20
    """
    several = len(config) > 1 or len(seed) > 1
    _check_combination(config, run_dir=run_dir, resume=resume, several=several)
    one_seed = seed[0] if seed and not several else None
    overrides = options.overrides(settings, epochs=epochs, batch_size=batch_size, seed=one_seed, engine=engine)
    if several and dry_run:
        _preview_several(config, overrides, seed, as_json=as_json)
    elif several:
        _train_several(config, overrides, seed, as_json=as_json, quiet=quiet, verbose=verbose)
    else:
        run, chosen, name = _load(config, overrides, resume)
        if dry_run:
            _preview(chosen, run_dir, run, as_json=as_json)
        else:
            result = _train(chosen, name, run_dir, run, quiet=quiet, verbose=verbose)
            print_training(result, as_json=as_json)


def _check_combination(config: tuple[str, ...], *, run_dir: Path | None, resume: Path | None, several: bool) -> None:
    if not config and resume is None:
        raise click.UsageError("nothing to train: give --config CONFIG or --resume RUN")
    if several and resume is not None:
        raise click.UsageError("--resume continues one run: give at most one --config and one --seed")
    if several and run_dir is not None:
        raise click.UsageError("--run-dir is for a single training: without it, each run gets a directory in runs/")
    if resume is not None and run_dir is not None:
        raise click.UsageError("--resume continues in the run's own directory: leave out --run-dir")


def _load(
    config: tuple[str, ...], overrides: "list[Override]", resume: Path | None
) -> "tuple[RunDirectory | None, Config, str]":
    """Return the run to resume or None, the config, and the name for a new run.

    This comes before the imports that take long, so that a mistake in the config is reported at once.
    """
    from dnn_cli.config import loading
    from dnn_cli.runs.directory import RunDirectory

    run = RunDirectory.open(resume) if resume is not None else None
    if run is not None:
        run.check_config()
    source = config[0] if config else str(run and run.config_file)
    return run, loading.load(source, overrides, of_run=not config), Path(source).stem


def _train(
    config: "Config", name: str, folder: Path | None, run: "RunDirectory | None", *, quiet: bool, verbose: bool
) -> "Result":
    from dnn_cli import progress
    from dnn_cli.training import loop

    if run is not None:
        return loop.resume(run, config, progress.create(quiet=quiet), verbose=verbose)
    return loop.start(config, name, progress.create(quiet=quiet), folder=folder, verbose=verbose)


def _train_several(
    sources: Sequence[str],
    overrides: "list[Override]",
    seeds: Sequence[int],
    *,
    as_json: bool,
    quiet: bool,
    verbose: bool,
) -> None:
    from dnn_cli import progress
    from dnn_cli.training import series

    results: list[Result] = []

    def done(result: "Result") -> None:
        results.append(result)
        if not as_json:
            print_training(result, as_json=False)

    entries = series.load(sources, overrides, seeds)
    try:
        series.train(entries, progress.create(quiet=quiet), done, verbose=verbose)
    finally:  # finished runs are printed even if a later training failed
        if results:
            print_trainings(results, as_json=as_json)


def _preview(config: "Config", folder: Path | None, run: "RunDirectory | None", *, as_json: bool) -> None:
    from dnn_cli.training import plan

    print_preview(plan.preview(config, folder=folder, run=run), as_json=as_json)


def _preview_several(
    sources: Sequence[str], overrides: "list[Override]", seeds: Sequence[int], *, as_json: bool
) -> None:
    from dnn_cli.training import series

    entries = series.load(sources, overrides, seeds)
    plans = zip((entry.label for entry in entries), series.preview(entries), strict=True)
    print_previews(list(plans), as_json=as_json)


def print_training(result: "Result", *, as_json: bool) -> None:
    """Print the summary of a training and the command that evaluates it."""
    metrics = result.metrics
    if as_json:
        print_json(_summary(result))
        return
    final, best = metrics.final, metrics.best
    names = result.run.environment().dataset.class_names if metrics.selected_classes else None
    classes = selected_classes(metrics.selected_classes, names)
    epochs = f"{metrics.epochs}, stopped early" if metrics.stopped_early else str(metrics.epochs)
    rows = {
        "run": str(result.run),
        "data": f"{metrics.dataset}, {classes}{metrics.training_images:,} training images",
        "parameters": f"{metrics.parameters:,}",
        "epochs": epochs,
        **{name.replace("_", " "): f"{value:.4f}" for name, value in final.items() if is_metric(name)},
        **({"best epoch": f"{best.epoch}, {best.monitor.replace('_', ' ')} {best.value:.4f}"} if best else {}),
        "time": f"{metrics.seconds:.1f} s, {metrics.images_per_second:,.0f} images/s",
    }
    if metrics.note:
        rows["warning"] = metrics.note
    print_facts(rows)
    print_next("evaluate", result.run)


def print_trainings(results: "list[Result]", *, as_json: bool) -> None:
    """Print the end of several trainings: all summaries as JSON, or the command that compares the runs."""
    if as_json:
        print_json([_summary(result) for result in results])
    elif len(results) > 1:
        from dnn_cli.runs import comparison

        # Finished trainings of one config with several seeds are summed up as one thing.
        configs = comparison.compare_runs([result.run.path for result in results]).configs
        if configs:
            print_lines("", *config_table(configs), *[""] * bool(configs.remarks), *configs.remarks, "")
        print_next("compare", *(result.run for result in results))


def _summary(result: "Result") -> dict[str, Any]:
    return {"run": str(result.run), **result.metrics.to_dict()}


def print_preview(plan: "Preview", *, as_json: bool) -> None:
    """Print the complete config, the layers of its network and the state of its dataset."""
    if as_json:
        print_json(_plan(plan))
        return
    sys.stdout.write(plan.config.to_yaml())
    layers = table("layer", "kind", "activation", "output", "parameters")
    for layer in plan.layers:
        activation = layer.arguments.get("activation", "")
        layers.add_row(layer.name, layer.kind, activation, f"{layer.units:,}", f"{layer.parameters:,}")
    layers.add_row("total", "", "", "", f"{plan.parameters:,}")
    print_lines("", layers, "", plan.data, *([plan.transfer.describe()] if plan.transfer else []))


def print_previews(plans: "list[tuple[str, Preview]]", *, as_json: bool) -> None:
    """Print several previews, each below the name of its config."""
    if as_json:
        print_json([_plan(plan) for _, plan in plans])
        return
    for number, (label, plan) in enumerate(plans):
        print_lines(*[""] * bool(number), f"# {label}")
        print_preview(plan, as_json=False)


def _plan(plan: "Preview") -> dict[str, Any]:
    layers = [
        {"name": layer.name, "kind": layer.kind, "units": layer.units, "parameters": layer.parameters}
        for layer in plan.layers
    ]
    transfer = plan.transfer.to_dict() if plan.transfer else None
    return {"config": plan.config.to_dict(), "layers": layers, "parameters": plan.parameters, "transfer": transfer}
