"""The command `dnn data`: list datasets, download and verify one, describe a user's own, preview images."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dnn_cli.cli import options
from dnn_cli.cli.tables import print_facts, print_json, print_lines, table, warn
from dnn_cli.command import command

if TYPE_CHECKING:
    from dnn_cli.config.schema import Config
    from dnn_cli.data.datasets import Dataset, Found, Part
    from dnn_cli.data.describe import Description

STATES = {"ok": "verified", "unknown": "readable", "bad": "bad"}  # "readable": no published digest to verify with


@click.command
@click.argument("name", required=False)
@click.option(
    "--preview",
    type=click.Path(path_type=Path),
    metavar="FILE.png",
    help="Write a picture: for a path, images of each class; with a config, images and their augmented copies.",
)
@click.option("-c", "--config", metavar="CONFIG", help="Config whose settings apply: a YAML file or a shipped config.")
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="KEY=VALUE",
    help="Replace one setting, such as data.image_size=[64,64]. May be repeated.",
)
@click.option("--clear-cache", is_flag=True, help="Delete the decoded pictures of all datasets, and print their size.")
@options.as_json
@options.quiet
def data(
    name: str | None,
    preview: Path | None,
    config: str | None,
    settings: tuple[str, ...],
    clear_cache: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """List datasets; fetch and verify one; describe your own.

    Without NAME, all known datasets are listed with the places where they were found. NAME is a known dataset, which is
    downloaded if it is missing, or the path of your own data: a folder of class folders with pictures, a CSV, Parquet
    or .npz file, or a folder of .npy or IDX files. For a path, what was understood is printed: kind, classes, sizes,
    duplicates. With --preview and a config, NAME is by default the dataset of the config.

    \b
    Examples:
      dnn data
      dnn data mnist
      dnn data mine.npz
      dnn data photos --preview photos.png
      dnn data photos --set data.image_size=[64,64]
      dnn data mnist --preview mnist.png --set training.augmentation.rotation=15
    """
    is_own = name is not None and _is_path(name)
    if clear_cache:
        _clear_cache()
    elif preview is not None and (not is_own or config is not None or _has_augmentation(settings)):
        _preview(name, preview, config, settings, as_json=as_json, quiet=quiet)
    elif name is not None and is_own:
        _describe(name, preview, config, settings, as_json=as_json)
    elif config is not None or settings:
        raise click.UsageError("--config and --set need --preview, or the path of your own data")
    elif name is None:
        _list(as_json=as_json)
    else:
        _verify(name, as_json=as_json, quiet=quiet)


def _is_path(name: str) -> bool:
    from dnn_cli.data.known_sets import KNOWN_DATASETS

    return name not in KNOWN_DATASETS


def _has_augmentation(settings: tuple[str, ...]) -> bool:
    return any(setting.startswith("training.augmentation") for setting in settings)


def _clear_cache() -> None:
    from dnn_cli.data import cache

    click.echo(f"{cache.folder()}: {cache.clear():,} bytes deleted")


def _settings(config: str | None, settings: tuple[str, ...]) -> "Config":
    from dnn_cli.config import loading

    overrides = options.overrides(settings)
    return loading.load(config, overrides) if config else loading.from_values({}, overrides)


def _describe(name: str, preview: Path | None, config: str | None, settings: tuple[str, ...], *, as_json: bool) -> None:
    from dnn_cli.data import datasets, describe
    from dnn_cli.data.reading import Reading
    from dnn_cli.reporting import contact_sheet

    if preview is not None:
        contact_sheet.check(preview)
    chosen = _settings(config, settings)
    found = describe.describe(name, Reading.of(chosen.data, chosen.seed))
    print_description(found, datasets.verify(found.dataset), as_json=as_json)
    if preview is not None:
        contact_sheet.draw(found, preview)
        if not as_json:
            click.echo(preview)


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
    chosen = _settings(config, settings)

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


def print_description(found: "Description", parts: "list[Part]", *, as_json: bool) -> None:
    """Print what was understood of a user's own data."""
    dataset = found.dataset
    if as_json:
        print_json({"name": dataset.name, **_to_json(dataset, parts), **found.to_dict()})
        return
    split = found.splits["train"]
    rows = {
        "data": str(dataset.path),
        "kind": found.kind,
        "images": f"{'×'.join(map(str, split.images.shape[1:]))}, {split.images.dtype}, "
        f"{split.images.min():g} to {split.images.max():g}",
    }
    if found.is_held_out and "test" in found.splits:
        rows["test"] = f"{len(found.splits['test'].labels):,} images held out (data.test, seed)"
    print_facts(rows)
    counts = table("class", "name", *(f"{part} images" for part in found.splits))
    of_parts = [found.counts(part) for part in found.splits]
    for label, name in enumerate(found.names):
        counts.add_row(str(label), name, *(f"{of_part[label]:,}" for of_part in of_parts))
    print_lines("", counts, "")
    _print_parts(parts)
    print_lines(*(f"note: {remark}" for remark in dataset.source.remarks))
    print_lines(*(f"warning: {warning}" for warning in found.warnings()))


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
