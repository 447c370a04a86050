"""Datasets by name or by path: find, download, verify, check, hold out and describe them; arrays out.

A dataset has four parts, named as in Keras's own ``mnist.npz``: ``x_train``, ``y_train``, ``x_test`` and ``y_test``.
They lie in one ``.npz`` file or in a folder of IDX files, gzipped or not. Only what is asked for is read.

What a known dataset holds is compared with published digests each time it is read; what a user's holds is checked for
shape, type and range. Whatever cannot be used is a `DataError` that says where, what was found and what is allowed.

Environment variables:
    DNN_DATA_DIR: the folder that is searched first, for ``mnist.npz``, ``mnist/`` or IDX files.
    KERAS_HOME: Keras's folder, ``~/.keras`` by default; its ``datasets`` are searched next, and downloaded into.
    DNN_MIRROR: the base URL of an own mirror, asked before the public hosts: ``$DNN_MIRROR/mnist.npz``,
        ``$DNN_MIRROR/mnist/train-images-idx3-ubyte.gz``, ``$DNN_MIRROR/fashion-mnist/...`` and so on.
    DNN_OFFLINE: 1 to download nothing.
    DNN_TIMEOUT: seconds for which a host may stay silent, 10 by default.
"""

import difflib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from dnn_cli.data import formats
from dnn_cli.errors import DataError, reason
from dnn_cli.typing import Array

KNOWN = ("mnist", "fashion_mnist", "mnist-sample")
KNOWN_SHAPE = (28, 28)
KNOWN_CLASSES = 10
PARTS = ("x_train", "y_train", "x_test", "y_test")
SplitName = Literal["train", "test"]


@dataclass(frozen=True)
class Known:
    """A dataset that has a name here.

    Attributes:
        title: its name in sentences.
        subject: what its images show; labels mean the same where this is the same.
        description: what it holds, in a phrase.
        stem: its file is ``<stem>.npz`` and its folder ``<stem>/``.
        digests: part → MD5 of the part as an uncompressed IDX file, which does not depend on how it is stored.
        npz_hosts: base URLs that have ``<stem>.npz``.
        idx_hosts: base URLs that have the four gzipped IDX files.
    """

    title: str
    subject: str
    description: str
    stem: str
    digests: Mapping[str, str]
    npz_hosts: tuple[str, ...] = ()
    idx_hosts: tuple[str, ...] = ()


SETS = {
    "mnist": Known(
        "MNIST",
        "digits",
        "60,000 training and 10,000 test digits",
        "mnist",
        {
            "x_train": "6bbc9ace898e44ae57da46a324031adb",
            "y_train": "a25bea736e30d166cdddb491f175f624",
            "x_test": "2646ac647ad5339dbf082846283269ea",
            "y_test": "27ae3e4e09519cfbb04c329615203637",
        },
        ("https://storage.googleapis.com/tensorflow/tf-keras-datasets",),
        (
            "https://storage.googleapis.com/cvdf-datasets/mnist",
            "https://ossci-datasets.s3.amazonaws.com/mnist",
        ),
    ),
    "fashion_mnist": Known(
        "Fashion-MNIST",
        "clothes",
        "60,000 training and 10,000 test pictures of clothes, in ten classes",
        "fashion-mnist",
        {
            "x_train": "f4a8712d7a061bf5bd6d2ca38dc4d50a",
            "y_train": "9018921c3c673c538a1fc5bad174d6f9",
            "x_test": "8181f5470baa50b63fa0f6fddb340f0a",
            "y_test": "15d484375f8d13e6eb1aabb0c3f46965",
        },
        (),
        (
            "https://storage.googleapis.com/tensorflow/tf-keras-datasets",
            "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com",
        ),
    ),
    "mnist-sample": Known(
        "mnist-sample",
        "digits",
        "4,000 training and 1,000 test digits, all from MNIST's training set",
        "mnist-sample",
        {
            "x_train": "0fada313df1790c057792faad2d96506",
            "y_train": "194440da3f18176f4b5ed3a6d4c75353",
            "x_test": "e618ac44e62bbe62fee2dd117358c448",
            "y_test": "13f35de63c1867562f9b5e9ad2fc13fe",
        },
    ),
}


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
        """The greatest label plus one. Take it before holding out, which may take the last image of a class."""
        return int(self.labels.max()) + 1

    def fingerprint(self) -> str:
        """``sha256:`` and the digest of the type, shape and bytes of both arrays."""
        return formats.sha256(self.images, self.labels)


@dataclass(frozen=True)
class Dataset:
    """A dataset that was found.

    Attributes:
        name: one of `KNOWN`, or the absolute path of a user's data.
        path: the ``.npz`` file or the folder that holds it.
        requested: what was asked for; not `name` where a fallback took its place.
        note: empty, or for a fallback the sentence to show loudly: why, and what is used instead.
    """

    name: str
    path: Path
    requested: str
    note: str = ""
    _loaded: dict[str, Split] = field(default_factory=dict, repr=False, compare=False)

    def load(self, split: SplitName) -> Split:
        """The arrays of `split`, verified and checked; read once, and the other split's not at all.

        Raises:
            DataError: they are missing or damaged, or not what `Split` promises.
        """
        if split not in self._loaded:
            self._loaded[split] = _load(self.name, self.path, split)
        return self._loaded[split]


@dataclass(frozen=True)
class Found:
    """A known dataset and where it is; `dataset` is None where it is not. Nothing was read or verified."""

    name: str
    description: str
    dataset: Dataset | None


@dataclass(frozen=True)
class Part:
    """One of the four parts as it was read.

    Attributes:
        name: one of `PARTS`.
        state: ``ok``: what was published; ``unknown``: sound, and nothing is published to compare with;
            ``bad``: missing, damaged or something else.
        shape: the array's shape; () where it could not be read.
        dtype: ``uint8``, ``float32`` or ``int32``, as it is loaded.
        digest: ``md5:...`` of its IDX form for a known dataset, ``sha256:...`` for a user's.
        problem: what is bad; empty otherwise.
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
) -> Dataset:
    """Locate the dataset `name`, one of `KNOWN` or a path, and load the split that is wanted.

    A place whose data turn out damaged or wrong is passed over for the next one, and in the end for a download.

    Args:
        name: a known name, or the path of an ``.npz`` file or of a folder of IDX files.
        fallback: the known name to use where ``mnist`` can be neither found nor downloaded.
        split: what to load and verify at once; None only looks whether something is there, and downloads nothing.
        quiet: whether to download without a word on stderr.

    Raises:
        DataError: no place has it; each place tried is named, with what was wrong there.
    """
    wanted: tuple[SplitName, ...] = ("train", "test") if split == "both" else (split,) if split else ()
    if name not in SETS:
        path = _user_path(name)
        return _opened(Dataset(str(path), path, name), wanted)
    absent: list[str] = []
    failed: list[str] = []
    found = _look(name, _places(name), wanted, absent, failed)
    if found is None and wanted:
        found = _download(name, wanted, failed, quiet)
    if found is not None:
        return found
    if name == "mnist" and fallback is not None:
        return replace(find(fallback, split=split, quiet=quiet), requested=name, note=_fallback_note(fallback, failed))
    raise DataError(_not_found(name, absent, failed))


def list_datasets() -> list[Found]:
    """Every known dataset and the first place that has one, without reading, verifying or downloading any."""
    return [Found(name, known.description, _look(name, _places(name), (), [], [])) for name, known in SETS.items()]


def verify(dataset: Dataset) -> list[Part]:
    """Read all four parts of `dataset` and compare each with what is published, if anything is."""
    return [_verified(dataset, part) for part in PARTS]


def may_share_labels(one: str, other: str) -> bool:
    """Whether a label may mean the same in two datasets: not where both are known to show different things."""
    return one not in SETS or other not in SETS or SETS[one].subject == SETS[other].subject


def _places(name: str) -> list[Path]:
    """Where the known dataset `name` may be, in the order in which it is looked for."""
    stem = SETS[name].stem
    if name == "mnist-sample":
        return [Path(__file__).parent / "shipped" / f"{stem}.npz"]
    own = os.environ.get("DNN_DATA_DIR")
    places = [Path(own, f"{stem}.npz"), Path(own, stem), Path(own)] if own else []
    return [place.expanduser().absolute() for place in places] + _cached(name)


def _cached(name: str) -> list[Path]:
    """The file and the folder of the known dataset `name` in Keras's cache."""
    home = os.environ.get("KERAS_HOME") or Path("~", ".keras")
    cache = Path(home).expanduser().absolute() / "datasets"
    return [cache / f"{SETS[name].stem}.npz", cache / SETS[name].stem]


def _user_path(name: str) -> Path:
    """The absolute path that `name` stands for; raises `DataError` where nothing is there."""
    try:
        path = Path(name).expanduser().resolve()
        if path.is_file() or _idx_parts(path):
            return path
        folder = path.is_dir()
    except (OSError, ValueError, RuntimeError) as error:
        raise DataError(f"{name!r} cannot be read: {reason(error)}") from None
    if folder:
        raise DataError(f"{path}: no IDX files in this folder, such as {_idx_name('x_train')} or {_idx_name('x_test')}")
    close = difflib.get_close_matches(name.lower(), KNOWN, 1)
    hint = f" (did you mean '{close[0]}'?)" if close else ""
    raise DataError(
        f"there is no dataset {name!r}{hint}; "
        f"known: {', '.join(KNOWN)}, or the path of an .npz file or of a folder of IDX files"
    )


def _idx_name(part: str) -> str:
    """``x_train`` → ``train-images-idx3-ubyte``, as MNIST's authors named it."""
    subset = "train" if part.endswith("train") else "t10k"
    return f"{subset}-images-idx3-ubyte" if part.startswith("x") else f"{subset}-labels-idx1-ubyte"


def _idx_file(folder: Path, part: str) -> Path | None:
    """The file in `folder` that holds `part`, under any of the names that circulate."""
    names = (_idx_name(part), _idx_name(part).replace("-idx", ".idx"))
    files = (folder / f"{name}{suffix}" for name in names for suffix in ("", ".gz"))
    return next((file for file in files if file.is_file()), None)


def _idx_parts(folder: Path) -> list[str]:
    """The parts that are in `folder` as IDX files."""
    return [part for part in PARTS if _idx_file(folder, part)]


def _look(
    name: str, places: list[Path], wanted: tuple[SplitName, ...], absent: list[str], failed: list[str]
) -> Dataset | None:
    """The first of `places` that has what is wanted of the dataset `name`; notes what was wrong with those before."""
    for path in places:
        try:
            if not path.is_file() and not _idx_parts(path):
                absent.append(f"{path}: {'no IDX files in this folder' if path.is_dir() else 'not there'}")
                continue
            return _opened(Dataset(name, path, name), wanted)
        except DataError as error:
            failed.append(str(error))
        except OSError as error:
            failed.append(f"{path}: cannot be read: {reason(error)}")
    return None


def _opened(dataset: Dataset, wanted: tuple[SplitName, ...]) -> Dataset:
    for split in wanted:
        dataset.load(split)
    return dataset


def _fallback_note(fallback: str, failed: list[str]) -> str:
    more = f", and {len(failed) - 1} more such" if len(failed) > 1 else ""
    why = f" ({failed[0]}{more})" if failed else ""
    return (
        f"MNIST was neither found nor downloaded{why}: using {fallback} in its place, "
        f"{SETS[fallback].description}; what comes out are not results on MNIST"
    )


def _not_found(name: str, absent: list[str], failed: list[str]) -> str:
    known = SETS[name]
    lines = [f"{known.title} was not found", *(f"  {line}" for line in absent + failed)]
    if name == "mnist-sample":
        return "\n".join([*lines, "it comes with dnn: install dnn-cli again"])
    file, folder = _cached(name)
    lines.append(f"put {file.name} or the folder {folder.name} of IDX files into {file.parent} or $DNN_DATA_DIR")
    if name == "mnist":
        lines.append(
            "or take the 5,000 digits that come with dnn: data.dataset: mnist-sample or data.fallback: mnist-sample"
        )
    return "\n".join(lines)


def _download(name: str, wanted: tuple[SplitName, ...], failed: list[str], quiet: bool) -> Dataset | None:
    """Bring the known dataset `name` into Keras's cache; notes in `failed` why that did not succeed."""
    known = SETS[name]
    if not known.idx_hosts:
        return None
    if os.environ.get("DNN_OFFLINE", "0") not in ("", "0"):
        failed.append("downloads are switched off by DNN_OFFLINE")
        return None
    from dnn_cli.data import download  # HTTP and TLS are slow to import

    file, folder = _cached(name)
    mirror = [url.rstrip("/")] if (url := os.environ.get("DNN_MIRROR")) else []
    client = download.Client(failed, quiet=quiet)

    def check_npz(candidate: Path, _: str) -> None:
        _load(name, candidate, "train")
        _load(name, candidate, "test")

    def check_idx(candidate: Path, target: str) -> None:
        part = next(part for part in PARTS if target.startswith(_idx_name(part)))
        _accepted(name, part, formats.read_idx(candidate), str(candidate))

    def bring() -> bool:
        hosts = [*mirror, *known.npz_hosts] if known.npz_hosts else []
        if hosts and client.fetch(file.parent, [file.name], hosts, check_npz):
            return True
        hosts = [*(f"{base}/{known.stem}" for base in mirror), *known.idx_hosts]
        return client.fetch(folder, [f"{_idx_name(part)}.gz" for part in PARTS], hosts, check_idx)

    try:
        with download.lock(file.parent / f".{known.stem}.lock", quiet=quiet):
            # Another process may have brought it while this one waited for the lock.
            found = _look(name, [file, folder], wanted, [], [])
            if found is None and bring():
                found = _look(name, [file, folder], wanted, [], failed)
            return found
    except OSError as error:
        failed.append(f"{file.parent}: cannot be written: {reason(error)}; set KERAS_HOME to a folder that can")
        return None


def _load(name: str, path: Path, split: SplitName) -> Split:
    images, labels = (_part(name, path, f"{axis}_{split}") for axis in "xy")
    if len(images) != len(labels):
        raise DataError(f"{path}: x_{split} has {len(images):,} images and y_{split} {len(labels):,} labels")
    if split == "train" and labels.min() == labels.max():
        raise DataError(f"{path}: every label in y_train is {labels[0]}; training needs at least two classes")
    return Split(images, labels)


def _part(name: str, path: Path, part: str) -> Array:
    """One part of a dataset, read and accepted."""
    if not path.is_dir():
        return _accepted(name, part, formats.read_npz(path, part), f"{path}: {part}")
    file = _idx_file(path, part)
    if file is None:
        raise DataError(f"{path}: there is no {_idx_name(part)} in this folder, gzipped or not")
    return _accepted(name, part, formats.read_idx(file), str(file))


def _accepted(name: str, part: str, array: Array, place: str) -> Array:
    """`array` as `Split` has it; raises `DataError` at `place` if it cannot be that, or is not the known dataset's."""
    array = formats.as_images(array, place) if part.startswith("x") else formats.as_labels(array, place)
    if name in SETS:
        found, published = formats.idx_md5(array), SETS[name].digests[part]
        if found != published:
            raise DataError(f"{place}: not what {SETS[name].title} has there (MD5 {found}, not {published})")
    return array


def _verified(dataset: Dataset, part: str) -> Part:
    try:
        array = _part(dataset.name, dataset.path, part)
    except DataError as error:
        return Part(part, "bad", problem=str(error))
    known = dataset.name in SETS
    digest = f"md5:{formats.idx_md5(array)}" if known else formats.sha256(array)
    return Part(part, "ok" if known else "unknown", array.shape, array.dtype.name, digest)
