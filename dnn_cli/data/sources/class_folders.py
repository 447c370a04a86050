"""Folders of pictures, one for each class: ``photos/cat/*.png``, or ``photos/train/cat/*.png`` and other parts."""

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path

from dnn_cli.data import class_names
from dnn_cli.data.decoding import Picture
from dnn_cli.data.image_files import SUFFIXES
from dnn_cli.data.reading import Part, Reading
from dnn_cli.data.sources import picture_list
from dnn_cli.data.sources.picture_list import PictureList, Pictures
from dnn_cli.data.sources.source import Arrays, add
from dnn_cli.errors import DataError, reason

PART_NAMES: dict[Part, tuple[str, ...]] = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val"),
    "test": ("test", "testing"),
}
MAX_DEPTH = 16  # Folders in folders; links that are followed can lead in circles.
SYSTEM_FILES = {"thumbs.db", "desktop.ini", "__macosx"}  # Programs leave them behind; users do not see them.


@dataclass(frozen=True)
class _File:
    """A picture file: its path below the class folder, the class, and what changes when the file changes."""

    path: str
    inner: str
    class_name: str
    stat: os.stat_result


@dataclass
class _Listing:
    """What was found in the folder of a part."""

    files: list[_File] = field(default_factory=list)
    loose: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)
    hidden: list[str] = field(default_factory=list)
    links: list[str] = field(default_factory=list)
    nested: list[str] = field(default_factory=list)
    empty: list[str] = field(default_factory=list)

    def notes(self) -> Iterator[str]:
        """Yield a sentence about each kind of files and folders that is not used as a user may expect."""
        kinds = (
            (self.loose, "outside of the class folders", "not used"),
            (self.foreign, "without a picture's ending", "not used"),
            (self.hidden, "hidden", "not used"),
            (self.links, "symbolic links", "not followed; data.follow_links: true follows them"),
            (self.empty, "class folders without pictures", "not used"),
        )
        for names, what, result in kinds:
            if names:
                yield f"{len(names):,} {what}, {result}: {class_names.listed(names)}"


class ClassFolders:
    """Pictures in class folders. They are in the order of their names, whatever their class.

    Args:
        path: the folder.
        reading: the settings.
    """

    kind = "class folders"
    has_pictures = True

    def __init__(self, path: Path, reading: Reading) -> None:
        self.path, self._reading = path, reading
        self.remarks: list[str] = []
        self.warnings: list[str] = []
        self._listing = cache(self._scan)
        self.pictures = cache(self._pictures)

    def parts(self) -> Sequence[Part]:
        """See `Source`."""
        return list(self._roots)

    def is_pool(self) -> bool:
        """See `Source`."""
        return "test" not in self._roots

    def class_names(self) -> tuple[str, ...] | None:
        """See `Source`."""
        return class_names.given(self._reading, self._stored_names, self.path)

    def read(self, part: Part) -> Arrays:
        """See `Source`."""
        found = self.pictures(part)
        return found.images, found.labels

    def _pictures(self, part: Part) -> Pictures:
        """Return the pictures of a part, decoded."""
        root, listing = self._roots[part], self._listing(part)
        if not listing.files:
            raise DataError(f"{root}: there are no pictures in class folders here ({', '.join(sorted(SUFFIXES))})")
        self._note(part, listing)
        names = [file.class_name for file in listing.files]
        labels = class_names.to_labels(names, self._stored_names, self._reading, root)
        stats = [(file.stat.st_size, file.stat.st_mtime_ns, file.stat.st_ctime_ns) for file in listing.files]
        listed = PictureList(
            place=str(root),
            state=[[file.path for file in listing.files], stats],
            newest=max(file.stat.st_ctime for file in listing.files),
            pictures=lambda: [
                Picture(f"{file.class_name}/{file.inner}", file.path, file.stat.st_size) for file in listing.files
            ],
            labels=labels,
        )
        return picture_list.read(listed, self._reading, lambda warning: add(self.warnings, warning))

    def _note(self, part: Part, listing: _Listing) -> None:
        root, names = self._roots[part], self._stored_names
        for note in listing.notes():
            add(self.warnings, f"{root}: {note}")
        if listing.nested:
            nested = class_names.listed(listing.nested)
            add(self.remarks, f"{root}: pictures in nested folders count to their class: {nested}")
        if missing := [name for name in names if name not in {file.class_name for file in listing.files}]:
            add(self.warnings, f"{root}: no pictures of the classes {class_names.listed(missing)}")
        if part == "train":
            count = len(listing.files)
            add(self.remarks, f"{root}: {count:,} pictures in {len(names)} class folders: {class_names.listed(names)}")

    @cached_property
    def _roots(self) -> dict[Part, Path]:
        """The folder of each part; data without parts are one part."""
        below = {entry.name.lower(): entry for entry in self.path.iterdir() if entry.is_dir()}
        found: dict[Part, Path] = {}
        for part, names in PART_NAMES.items():
            places = [below[name] for name in names if name in below and _has_folders(below[name])]
            if len(places) > 1:
                both = f"both {places[0].name} and {places[1].name}"
                raise DataError(f"{self.path}: {both} can be the part {part}; keep one")
            if places:
                found[part] = places[0]
        if found and "train" not in found and self._reading.expected_classes is None:
            there = class_names.listed([place.name for place in found.values()])
            raise DataError(f"{self.path}: there is a folder {there}, but none named train")
        return found or {"train": self.path}

    @cached_property
    def _stored_names(self) -> tuple[str, ...]:
        """The names of the class folders that have pictures in the training part."""
        part: Part = "train" if "train" in self._roots else next(iter(self._roots))
        return class_names.in_order([file.class_name for file in self._listing(part).files])

    def _scan(self, part: Part) -> _Listing:
        if part not in self._roots:
            raise DataError(f"{self.path}: there is no {part} part")
        listing, root = _Listing(), self._roots[part]
        try:
            for entry in os.scandir(root):
                self._visit_root(entry, listing)
        except OSError as error:
            raise DataError(f"{root}: cannot be read: {reason(error)}") from None
        # Numbered pictures keep their order across classes, and equal names are in the order of the classes.
        listing.files.sort(key=lambda file: (_NUMBER.sub(_padded, file.inner), file.class_name))
        return listing

    def _visit_root(self, entry: "os.DirEntry[str]", listing: _Listing) -> None:
        if self._is_skipped(entry, entry.name, listing):
            return
        if entry.is_dir(follow_symlinks=self._reading.follow_links):
            before = len(listing.files)
            self._visit(entry, entry.name, "", listing)
            if len(listing.files) == before:
                listing.empty.append(entry.name)
        else:
            listing.loose.append(entry.name)

    def _visit(self, folder: "os.DirEntry[str]", class_name: str, inner: str, listing: _Listing) -> None:
        """Add the files of a class folder, and of the folders in it."""
        for entry in os.scandir(folder.path):
            name = f"{inner}{entry.name}"
            if self._is_skipped(entry, f"{class_name}/{name}", listing):
                continue
            if entry.is_dir(follow_symlinks=self._reading.follow_links):
                if inner.count("/") < MAX_DEPTH:
                    listing.nested.append(f"{class_name}/{name}")
                    self._visit(entry, class_name, f"{name}/", listing)
            elif os.path.splitext(entry.name)[1].lower() in SUFFIXES:  # noqa: PTH122 - a `Path` for each file takes time
                stat = entry.stat(follow_symlinks=self._reading.follow_links)
                listing.files.append(_File(entry.path, name, class_name, stat))
            else:
                listing.foreign.append(f"{class_name}/{name}")

    def _is_skipped(self, entry: "os.DirEntry[str]", name: str, listing: _Listing) -> bool:
        if entry.name.startswith(".") or entry.name.lower() in SYSTEM_FILES:
            listing.hidden.append(name)
        elif entry.is_symlink() and not self._reading.follow_links:
            listing.links.append(name)
        else:
            return False
        return True


_NUMBER = re.compile(r"\d+")


def _padded(number: "re.Match[str]") -> str:
    """Return a number with leading zeros, so that its text is in the order of its value."""
    return number[0].zfill(20)


def _has_folders(path: Path) -> bool:
    return any(entry.is_dir() and not entry.name.startswith(".") for entry in list(path.iterdir()))
