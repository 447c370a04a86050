"""The command `dnn data`: list datasets, download and verify one, preview its augmentation."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dnn_cli.cli import options
from dnn_cli.cli.tables import print_json, print_lines, table, warn
from dnn_cli.command import command

if TYPE_CHECKING:
    from dnn_cli.data.datasets import Dataset, Found, Part

STATES = {"ok": "verified", "unknown": "readable", "bad": "bad"}  # "readable": no published digest to verify with


@click.command
@click.argument("name", required=False)
@click.option(
    "--preview",
    type=click.Path(path_type=Path),
    metavar="FILE.png",
    help="Write a picture of images and their augmented copies, as training.augmentation of the config sets them.",
)
@click.option("-c", "--config", metavar="CONFIG", help="Config for --preview: a YAML file or a shipped config.")
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="KEY=VALUE",
    help="Replace one setting of the config for --preview. May be repeated.",
)
@options.as_json
@options.quiet
def data(
    name: str | None, preview: Path | None, config: str | None, settings: tuple[str, ...], as_json: bool, quiet: bool
) -> None:
    """List datasets; download and verify one; preview augmentation.

    Without NAME, all known datasets are listed with the places where they were found. NAME is a known dataset, which is
    downloaded if it is missing, or the path of an .npz file or of a folder of IDX files. With --preview, NAME is by
    default the dataset of the config.

    \b
    Examples:
      dnn data
      dnn data mnist
      dnn data mine.npz
      dnn data mnist --preview mnist.png --set training.augmentation.rotation=15
    """
    if preview is not None:
        _preview(name, preview, config, settings, as_json=as_json, quiet=quiet)
    elif config is not None or settings:
        raise click.UsageError("--config and --set need --preview")
    elif name is None:
        _list(as_json=as_json)
    else:
        _verify(name, as_json=as_json, quiet=quiet)


def _list(*, as_json: bool) -> None:
    from dnn_cli.data import datasets

    found = [(each, datasets.verify(each.dataset) if each.dataset else []) for each in datasets.list_datasets()]
    print_datasets(found, as_json=as_json)


def _verify(name: str, *, as_json: bool, quiet: bool) -> None:
    from dnn_cli.data import datasets

    dataset = datasets.find(name, split="both", quiet=quiet)
    print_dataset(dataset, datasets.verify(dataset), as_json=as_json)


def _preview(
    name: str | None, file: Path, config: str | None, settings: tuple[str, ...], *, as_json: bool, quiet: bool
) -> None:
    from dnn_cli.config import loading

    overrides = options.overrides(settings)
    chosen = loading.load(config, overrides) if config else loading.from_values({}, overrides)

    from dnn_cli.reporting import augmentation_preview

    if note := augmentation_preview.draw(chosen, name or chosen.data.dataset, file, quiet=quiet):
        warn(note)
    if as_json:
        print_json({"preview": str(file)})
    else:
        click.echo(file)


def print_datasets(found: "list[tuple[Found, list[Part]]]", *, as_json: bool) -> None:
    """Print the path of every known dataset, and the state of its parts."""
    if as_json:
        print_json([{"name": place.name, **_to_json(place.dataset, parts)} for place, parts in found])
        return
    for number, (place, parts) in enumerate(found):
        where = (
            str(place.dataset.path) if place.dataset else f"not found; download it with `{command('data', place.name)}`"
        )
        print_lines(*[""] * bool(number), f"{place.name}: {place.description}", f"  {where}")
        _print_parts(parts)


def print_dataset(dataset: "Dataset", parts: "list[Part]", *, as_json: bool) -> None:
    """Print the path of one dataset, and the state of its parts."""
    if as_json:
        print_json({"name": dataset.name, **_to_json(dataset, parts)})
        return
    print_lines(dataset.name if dataset.name == str(dataset.path) else f"{dataset.name}: {dataset.path}")
    _print_parts(parts)


def _to_json(dataset: "Dataset | None", parts: "list[Part]") -> dict[str, Any]:
    keys = ("name", "state", "shape", "dtype", "digest", "problem")
    listed = [{key: getattr(part, key) for key in keys} for part in parts]
    return {"path": str(dataset.path) if dataset else None, "parts": listed}


def _print_parts(parts: "list[Part]") -> None:
    """Print one line per part, and the problems of bad parts below them."""
    if not parts:
        return
    rows = table("  part", "shape", "type", "digest", "state")
    for part in parts:
        shape = "×".join(map(str, part.shape))
        rows.add_row(f"  {part.name}", shape, part.dtype, _short(part.digest), STATES[part.state])
    print_lines(rows, *(f"  {part.problem}" for part in parts if part.problem))


def _short(digest: str) -> str:
    """Shorten a long digest, so that its line fits into 80 characters; ``--json`` prints all of it."""
    kind, _, value = digest.partition(":")
    return digest if len(value) <= 32 else f"{kind}:{value[:28]}…"
