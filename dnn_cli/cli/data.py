"""`dnn data`: list the datasets, fetch and verify one, draw its augmentation."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dnn_cli.cli import options
from dnn_cli.cli.tables import print_json, print_lines, table, warn

if TYPE_CHECKING:
    from dnn_cli.data.datasets import Dataset, Found, Part

STATES = {"ok": "verified", "unknown": "sound", "bad": "bad"}


@click.command
@click.argument("name", required=False)
@click.option(
    "--preview",
    type=click.Path(path_type=Path),
    metavar="FILE.png",
    help="Draw images beside copies deformed as training.augmentation says.",
)
@click.option("-c", "--config", metavar="CONFIG", help="The config whose augmentation --preview draws.")
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="Replace a setting for --preview.")
@options.as_json
@options.quiet
def data(
    name: str | None, preview: Path | None, config: str | None, settings: tuple[str, ...], as_json: bool, quiet: bool
) -> None:
    """List the datasets; fetch and verify one; show its augmentation.

    With NAME, that dataset is fetched if need be and verified.
    NAME is a dataset's name, or the path of an .npz file or of a folder of IDX files. With --preview it may be left
    out for the config's own.

    \b
    Examples:
      dnn data
      dnn data mnist
      dnn data mine.npz
      dnn data mnist --preview mnist.png --set training.augmentation.rotation=15
    """
    if preview is not None:
        return _preview(name, preview, config, settings, as_json=as_json, quiet=quiet)
    if config is not None or settings:
        raise click.UsageError("--config and --set are for --preview")
    from dnn_cli.data import datasets

    if name is None:
        found = [(each, datasets.verify(each.dataset) if each.dataset else []) for each in datasets.list_datasets()]
        print_datasets(found, as_json=as_json)
    else:
        dataset = datasets.find(name, split="both", quiet=quiet)
        print_dataset(dataset, datasets.verify(dataset), as_json=as_json)
    return None


def _preview(
    name: str | None, file: Path, config: str | None, settings: tuple[str, ...], *, as_json: bool, quiet: bool
) -> None:
    from dnn_cli.config import loading

    overrides = options.overrides(settings)
    chosen = loading.load(config, overrides) if config else loading.parse("", "the command line", overrides)

    from dnn_cli.report import augmentation_preview

    if note := augmentation_preview.draw(chosen, name or chosen.data.dataset, file, quiet=quiet):
        warn(note)
    if as_json:
        print_json({"preview": str(file)})
    else:
        click.echo(file)


def print_datasets(found: "list[tuple[Found, list[Part]]]", *, as_json: bool) -> None:
    """Print every known dataset: where it is, and whether each part is undamaged."""
    if as_json:
        return print_json([{"name": place.name, **_to_json(place.dataset, parts)} for place, parts in found])
    for number, (place, parts) in enumerate(found):
        where = str(place.dataset.path) if place.dataset else f"not here; `dnn data {place.name}` fetches it"
        print_lines(*[""] * bool(number), f"{place.name}: {place.description}", f"  {where}")
        _print_parts(parts)
    return None


def print_dataset(dataset: "Dataset", parts: "list[Part]", *, as_json: bool) -> None:
    """Print the parts of one dataset: shapes, digests, and whether each is undamaged."""
    if as_json:
        return print_json({"name": dataset.name, **_to_json(dataset, parts)})
    print_lines(dataset.name if dataset.name == str(dataset.path) else f"{dataset.name}: {dataset.path}")
    _print_parts(parts)
    return None


def _to_json(dataset: "Dataset | None", parts: "list[Part]") -> dict[str, Any]:
    keys = ("name", "state", "shape", "dtype", "digest", "problem")
    listed = [{key: getattr(part, key) for key in keys} for part in parts]
    return {"path": str(dataset.path) if dataset else None, "parts": listed}


def _print_parts(parts: "list[Part]") -> None:
    """Print a line for each part, and below them the problems of bad parts."""
    if not parts:
        return
    rows = table("  part", "shape", "type", "digest", "state")
    for part in parts:
        shape = "×".join(map(str, part.shape))
        rows.add_row(f"  {part.name}", shape, part.dtype, _short(part.digest), STATES[part.state])
    print_lines(rows, *(f"  {part.problem}" for part in parts if part.problem))


def _short(digest: str) -> str:
    """Shorten a digest to leave room for the rest of its line; ``--json`` prints all of it."""
    kind, _, value = digest.partition(":")
    return digest if len(value) <= 32 else f"{kind}:{value[:28]}…"
