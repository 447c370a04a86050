"""Find a dataset by its name or path, download it if it is missing, verify it, and return its arrays.

A known dataset has four arrays, named as in Keras's own ``mnist.npz``: ``x_train``, ``y_train``, ``x_test`` and
``y_test``. They are stored in one ``.npz`` file or in a folder of IDX files, gzipped or not. What a user's own path
holds is found out by looking; `sources` has a module for each form. Only the requested split is read.

A known dataset is compared with its published digests each time it is read; a user's own dataset is checked for shape,
type and range. Data that cannot be used raise a `DataError` that names the place, what was found and what is allowed.

`known_sets` lists the known datasets, `locations` the places that are searched and their environment variables.
Downloading has environment variables too:
    DNN_MIRROR: base URL of the user's own mirror, tried before the public hosts: ``$DNN_MIRROR/mnist.npz``,
        ``$DNN_MIRROR/mnist/train-images-idx3-ubyte.gz``, ``$DNN_MIRROR/fashion-mnist/...`` and so on.
    DNN_OFFLINE: 1 turns downloads off.
    DNN_TIMEOUT: number of seconds to wait for a host that sends nothing, 10 by default.
"""

import os
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Literal, get_args

from dnn_cli.data import class_names, formats
from dnn_cli.data.hold_out import held_out
from dnn_cli.data.known_sets import KNOWN_DATASETS, KnownDataset, Published
from dnn_cli.data.locations import (
    ARRAY_NAMES,
    cache_places,
    holds,
    idx_name,
    published_folder,
    search_places,
    user_place,
)
from dnn_cli.data.reading import Part as SplitName
from dnn_cli.data.reading import Reading
from dnn_cli.data.sources import recognition
from dnn_cli.data.sources.four_arrays import FourArrays
from dnn_cli.data.sources.published import MAX_FILE_BYTES, check_file
from dnn_cli.data.sources.source import Source
from dnn_cli.errors import DataError, reason
from dnn_cli.seeds import Purpose
from dnn_cli.typing import Array

PLAIN = Reading()  # the settings by default


@dataclass(frozen=True)
class Split:
    """Images and their labels.

    Attributes:
        images: (n, height, width) or (n, height, width, channels); uint8 in 0..255, or float32 in [0, 1].
        labels: (n,) int32 in [0, classes).
    """

    images: Array
    labels: Array

    @property
    def classes(self) -> int:
        """The largest label plus one. Holding images out can remove the last image of a class, so read it before."""
        return int(self.labels.max()) + 1

    def fingerprint(self) -> str:
        """Return ``sha256:`` and the digest of the type, shape and bytes of both arrays. It is computed once."""
        return self._fingerprint

    @cached_property
    def _fingerprint(self) -> str:
        return formats.sha256(self.images, self.labels)

    def masked(self, mask: Array) -> "Split":
        """Return the images where `mask`, (n,) bool, is True, in their order."""
        return Split(self.images[mask], self.labels[mask])


@dataclass(frozen=True)
class Dataset:
    """A dataset that was found on this machine.

    Attributes:
        name: a known name, or the absolute path of a user's own data.
        path: the ``.npz`` file or the folder that holds it.
        requested: the name that was asked for; it differs from `name` if a fallback is used instead.
        note: for a fallback, the warning to show: the reason, and which dataset is used instead. Otherwise empty.
        reading: how a user's own data are read.
    """

    name: str
    path: Path
    requested: str
    note: str = ""
    reading: Reading = PLAIN
    _loaded: dict[str, Split] = field(default_factory=dict, repr=False, compare=False)

    @cached_property
    def source(self) -> Source:
        """What reads it; raises `DataError` if its form is not recognized."""
        return recognition.source(self.name, self.path, self.reading)

    @cached_property
    def class_names(self) -> tuple[str, ...] | None:
        """The name of every class in the order of the labels; None if the classes are numbers."""
        return self.source.class_names()

    @property
    def has_validation(self) -> bool:
        """Whether it has a part for validation."""
        return "validation" in self.source.parts()

    def load(self, split: SplitName) -> Split:
        """Return the verified arrays of `split`. They are read once; the other splits are not read.

        Raises:
            DataError: they are missing or damaged, or not as `Split` describes them.
        """
        if split not in self._loaded:
            loaded = self._held_out(split) if self.source.is_pool() else self._read(split)
            if split == "train" and loaded.labels.min() == loaded.labels.max():
                only = class_names.show(int(loaded.labels[0]), self.class_names)
                raise DataError(
                    f"{self.path}: every training image is of class {only}; training needs at least two classes"
                )
            self._loaded[split] = loaded
        return self._loaded[split]

    def _read(self, part: SplitName) -> Split:
        images, labels = self.source.read(part)
        class_names.check_count(self.class_names, labels, self.path)
        return Split(images, labels)

    @cached_property
    def _pool(self) -> Split:
        """All images of data without a test part."""
        return self._read("train")

    def _held_out(self, split: SplitName) -> Split:
        """Return a split of data without a test part: the test images are held out of all."""
        amount = self.reading.test
        if split == "validation":
            return self._read(split)
        if amount is None or (amount == 0 and split == "train"):
            return self._pool
        if amount == 0:
            raise DataError(f"{self.path}: there are no test images, and data.test is 0, so that none are held out")
        held = held_out(self._pool.labels, amount, self.reading.seed, Purpose.TEST, "data.test")
        return self._pool.masked(held if split == "test" else ~held)


@dataclass(frozen=True)
class Found:
    """A known dataset and where it was found. Nothing is read or verified.

    Attributes:
        name: the known name.
        description: its content, as a phrase.
        dataset: the dataset; None if it is not on this machine.
    """

    name: str
    description: str
    dataset: Dataset | None


@dataclass(frozen=True)
class Part:
    """The result of verifying one array of a dataset.

    Attributes:
        name: one of `locations.ARRAY_NAMES`.
        state: ``ok``: equal to the published array; ``unknown``: valid, but there is no published digest;
            ``bad``: missing, damaged or different.
        shape: the array's shape; () if it could not be read.
        dtype: ``uint8``, ``float32`` or ``int32``, as it is loaded.
        digest: ``md5:...`` of its IDX form for a known dataset, ``sha256:...`` for a user's own.
        problem: the reason why it is bad; empty otherwise.
    """

    name: str
    state: Literal["ok", "unknown", "bad"]
    shape: tuple[int, ...] = ()
    dtype: str = ""
    digest: str = ""
    problem: str = ""


def find(
    name: str,
    fallback: str | None = None,
    *,
    split: SplitName | Literal["both"] | None = "train",
    quiet: bool = False,
    reading: Reading = PLAIN,
) -> Dataset:
    """Find the dataset `name` and load the requested split.

    A place with damaged or wrong data is skipped; if no place has the dataset, it is downloaded.

    Args:
        name: a known name, or the path of a user's own data.
        fallback: the known name to use if ``mnist`` can be neither found nor downloaded.
        split: what to load and verify at once; None only checks that something is there, and downloads nothing.
        quiet: whether to download without output on stderr.
        reading: how a user's own data are read.

    Raises:
        DataError: no place has the dataset; the message names each place and its problem.
    """
    wanted: tuple[SplitName, ...] = ("train", "test") if split == "both" else (split,) if split else ()
    if name not in KNOWN_DATASETS:
        path = user_place(name)
        return _load_splits(Dataset(str(path), path, name, reading=reading), wanted)
    absent: list[str] = []
    failed: list[str] = []
    found = _search(name, search_places(KNOWN_DATASETS[name]), wanted, absent, failed)
    if found is None and wanted:
        found = _download(name, wanted, failed, quiet)
    if found is not None:
        return replace(found, reading=reading, _loaded=found._loaded)
    if name == "mnist" and fallback is not None:
        return replace(
            find(fallback, split=split, quiet=quiet, reading=reading),
            requested=name,
            note=_fallback_note(fallback, failed),
        )
    raise DataError(_not_found(name, absent, failed))


def list_datasets() -> list[Found]:
    """Return every known dataset and the first place that has it; nothing is read, verified or downloaded."""
    return [
        Found(name, known.description, _search(name, search_places(known), (), [], []))
        for name, known in KNOWN_DATASETS.items()
    ]


def verify(dataset: Dataset) -> list[Part]:
    """Read all arrays of `dataset` and compare each with its published digest, if there is one."""
    if isinstance(dataset.source, FourArrays):
        return [_verify_array(dataset.source, array_name) for array_name in ARRAY_NAMES]
    stored = dataset.source.parts()
    splits = [split for split in get_args(SplitName) if split != "validation" or split in stored]
    return [part for split in splits for part in _verify_part(dataset, split)]


def _search(
    name: str, places: list[Path], wanted: tuple[SplitName, ...], absent: list[str], failed: list[str]
) -> Dataset | None:
    """Return the known dataset `name` at the first of `places` that has all `wanted` splits, or None.

    Appends a line to `absent` for each place that does not exist, and to `failed` for each that cannot be used.
    """
    for path in places:
        try:
            if not holds(KNOWN_DATASETS[name], path):
                wanted_files = "its files" if KNOWN_DATASETS[name].published else "IDX files"
                absent.append(f"{path}: {f'no {wanted_files} in this folder' if path.is_dir() else 'does not exist'}")
                continue
            return _load_splits(Dataset(name, path, name), wanted)
        except DataError as error:
            failed.append(str(error))
        except OSError as error:
            failed.append(f"{path}: cannot be read: {reason(error)}")
    return None


def _load_splits(dataset: Dataset, wanted: tuple[SplitName, ...]) -> Dataset:
    for split in wanted:
        dataset.load(split)
    return dataset


def _fallback_note(fallback: str, failed: list[str]) -> str:
    more = f", and {len(failed) - 1} more" if len(failed) > 1 else ""
    why = f" ({failed[0]}{more})" if failed else ""
    own = os.environ.get("DNN_DATA_DIR")
    searched = f" in {own} (DNN_DATA_DIR)" if own else ""
    return (
        f"MNIST was neither found{searched} nor downloaded{why}: using {fallback} instead, "
        f"{KNOWN_DATASETS[fallback].description}; the results are not results on MNIST"
    )


def _not_found(name: str, absent: list[str], failed: list[str]) -> str:
    known = KNOWN_DATASETS[name]
    lines = [f"{known.title} was not found", *(f"  {line}" for line in absent + failed)]
    if known.is_shipped:
        return "\n".join([*lines, "it is part of dnn: reinstall dnn-cli"])
    if known.published:
        names = class_names.listed(list(known.published.files))
        return "\n".join([*lines, f"put {names} into {published_folder(known.published)} or $DNN_DATA_DIR"])
    file, folder = cache_places(known)
    lines.append(f"put {file.name} or the folder {folder.name} of IDX files into {file.parent} or $DNN_DATA_DIR")
    if name == "mnist":
        lines.append("or use the 5,000 digits that ship with dnn: set data.dataset or data.fallback to mnist-sample")
    return "\n".join(lines)


def _download(name: str, wanted: tuple[SplitName, ...], failed: list[str], quiet: bool) -> Dataset | None:
    """Download the known dataset `name` into Keras's cache; append to `failed` why it did not succeed."""
    known = KNOWN_DATASETS[name]
    if known.is_shipped:
        return None
    if os.environ.get("DNN_OFFLINE", "0") not in ("", "0"):
        failed.append("downloads are switched off by DNN_OFFLINE")
        return None
    from dnn_cli.data import download  # HTTP and TLS are slow to import

    if known.published:
        return _download_published(name, known, known.published, wanted, failed, quiet=quiet)
    file, folder = cache_places(known)
    mirror = [url.rstrip("/")] if (url := os.environ.get("DNN_MIRROR")) else []
    client = download.Client(failed, quiet=quiet)

    def check_npz(candidate: Path, _: str) -> None:
        files = FourArrays(name, candidate, PLAIN)
        for part in files.parts():
            files.read(part)

    def check_idx(candidate: Path, target: str) -> None:
        FourArrays(name, candidate, PLAIN).check_idx_file(candidate, target)

    def fetch() -> bool:
        hosts = [*mirror, *known.npz_hosts] if known.npz_hosts else []
        if hosts and client.fetch(file.parent, [file.name], hosts, check_npz):
            return True
        hosts = [*(f"{base}/{known.stem}" for base in mirror), *known.idx_hosts]
        return client.fetch(folder, [f"{idx_name(array_name)}.gz" for array_name in ARRAY_NAMES], hosts, check_idx)

    try:
        with download.lock(file.parent / f".{known.stem}.lock", quiet=quiet):
            # Another process may have downloaded it while this one waited for the lock.
            found = _search(name, [file, folder], wanted, [], [])
            if found is None and fetch():
                found = _search(name, [file, folder], wanted, [], failed)
            return found
    except OSError as error:
        failed.append(f"{file.parent}: cannot be written: {reason(error)}; set KERAS_HOME to a writable folder")
        return None


def _download_published(
    name: str,
    known: KnownDataset,
    published: Published,
    wanted: tuple[SplitName, ...],
    failed: list[str],
    *,
    quiet: bool,
) -> Dataset | None:
    """Download the published files of a known dataset, as `_download` does for others."""
    from dnn_cli.data import download

    folder = published_folder(published)
    mirror = [f"{url.rstrip('/')}/{published.folder}"] if (url := os.environ.get("DNN_MIRROR")) else []
    client = download.Client(failed, quiet=quiet, max_bytes=MAX_FILE_BYTES)

    def check(candidate: Path, target: str) -> None:
        check_file(known, published, candidate, target)

    try:
        with download.lock(folder.parent / f".{published.folder}.lock", quiet=quiet):
            found = _search(name, [folder], wanted, [], [])
            if found is None and client.fetch(folder, list(published.files), [*mirror, *published.hosts], check):
                found = _search(name, [folder], wanted, [], failed)
            return found
    except OSError as error:
        failed.append(f"{folder.parent}: cannot be written: {reason(error)}; set KERAS_HOME to a writable folder")
        return None


def _verify_array(files: FourArrays, array_name: str) -> Part:
    try:
        array = files.read_array(array_name)
    except DataError as error:
        return Part(array_name, "bad", problem=str(error))
    known = files.name in KNOWN_DATASETS
    digest = f"md5:{formats.idx_md5(array)}" if known else formats.sha256(array)
    return Part(array_name, "ok" if known else "unknown", array.shape, array.dtype.name, digest)


def _verify_part(dataset: Dataset, split: SplitName) -> list[Part]:
    try:
        loaded = dataset.load(split)
    except DataError as error:
        return [Part(split, "bad", problem=str(error))]
    state: Literal["ok", "unknown"] = "ok" if dataset.name in KNOWN_DATASETS else "unknown"
    pairs = {"x": loaded.images, "y": loaded.labels}
    return [
        Part(f"{axis}_{split}", state, array.shape, array.dtype.name, formats.sha256(array))
        for axis, array in pairs.items()
    ]
