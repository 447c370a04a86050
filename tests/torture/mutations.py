"""Damage valid inputs in random ways: bytes, values of documents, members of archives, parts of HDF5 files and images.

Every function takes the random numbers that it uses, so that a case can be repeated from its number.
"""

import ast
import io
import json
import zipfile
import zlib
from collections.abc import Callable, Mapping
from contextlib import suppress
from random import Random
from typing import Any

import h5py
import numpy as np

ODD_INTEGERS = (0, 1, -1, 2, 7, 127, 255, 256, 65_535, 2**31 - 1, 2**31, 2**32 - 1, 2**62, -(2**63), 10**30)
ODD_VALUES: tuple[Any, ...] = (
    *ODD_INTEGERS, None, True, False, "", "x", "\x1b[2J", "\u202e", "../..", "/dev/zero", "NaN",
    0.0, -0.0, 1e-320, 1e308, float("inf"), float("nan"),
    [], {}, [[]], [None], {"": None}, [1, 2, 3], {"name": "x"}, {"class_name": "Dense"},
)  # fmt: skip


def damaged(content: bytes, random: Random) -> bytes:
    """Return `content` with one to four random changes of its bytes."""
    data = bytearray(content)
    for _ in range(random.randint(1, 4)):
        at = random.randrange(len(data) + 1)
        size = random.choice((1, 1, 2, 4, 8, random.randint(1, 200)))
        match random.randrange(8):
            case 0 if data:
                data[min(at, len(data) - 1)] ^= 1 << random.randrange(8)
            case 1:
                data[at : at + size] = random.randbytes(size)
            case 2:
                data[at:at] = random.randbytes(size)
            case 3:
                del data[at : at + size]
            case 4:
                number = random.choice(ODD_INTEGERS) % 2**32
                data[at : at + 4] = number.to_bytes(4, random.choice(("little", "big")))
            case 5:
                data[at : at + size] = random.choice((b"\0", b"\xff")) * size
            case 6:
                start = random.randrange(len(data) + 1)
                data[at:at] = data[start : start + size]
            case _:
                if random.random() < 0.3:
                    del data[at:]
    return bytes(data)


def altered(value: Any, random: Random) -> Any:
    """Return a copy of nested lists and dictionaries in which one value, key or entry is another."""
    if isinstance(value, dict) and value and random.random() < 0.9:
        key, new = random.choice(list(value)), random.choice(("x", "", "name", 1))
        match random.randrange(12):
            case 0:
                changed = [(name, inner) for name, inner in value.items() if name != key]
            case 1:
                changed = [(new if name == key else name, inner) for name, inner in value.items()]
            case _:
                changed = list({**value, key: altered(value[key], random)}.items())
        return dict(changed)
    if isinstance(value, list) and value and random.random() < 0.9:
        at = random.randrange(len(value))
        return [
            *value[:at],
            *random.choice(([], [value[at]] * 2, *[[altered(value[at], random)]] * 6)),
            *value[at + 1 :],
        ]
    return random.choice(ODD_VALUES)


def altered_json(content: bytes, random: Random) -> bytes:
    """Return JSON in which one to three values are others."""
    value = json.loads(content)
    for _ in range(random.randint(1, 3)):
        value = altered(value, random)
    return json.dumps(value).encode()


def repacked(archive: bytes, changes: Mapping[str, Callable[[bytes, Random], bytes]], random: Random) -> bytes:
    """Return a zip archive in which one member is changed and all checksums are right.

    Args:
        archive: the archive.
        changes: the end of a member's name → a function that changes its content.
        random: the random numbers.
    """
    with zipfile.ZipFile(io.BytesIO(archive)) as source:
        members = {name: source.read(name) for name in source.namelist()}
    name = random.choice(list(members))
    change = next((change for end, change in changes.items() if name.endswith(end)), damaged)
    members[name] = change(members[name], random)
    if random.random() < 0.05:
        del members[random.choice(list(members))]
    buffer = io.BytesIO()
    kind = random.choice((*[zipfile.ZIP_STORED] * 6, *[zipfile.ZIP_DEFLATED] * 3, zipfile.ZIP_LZMA))
    with zipfile.ZipFile(buffer, "w", kind) as target:
        for member, content in members.items():
            target.writestr(member, content)
    return buffer.getvalue()


def altered_npy(content: bytes, random: Random) -> bytes:
    """Return an ``.npy`` file in which the array is described in another way, or whose bytes are damaged."""
    if random.random() < 0.3:
        return damaged(content, random)
    length = int.from_bytes(content[8:10], "little")
    described = altered(ast.literal_eval(content[10 : 10 + length].decode()), random)
    if random.random() < 0.5 and isinstance(described, dict):
        described["shape"] = tuple(
            random.choice((True, 2.5, "3", *ODD_INTEGERS, 20)) for _ in range(random.randrange(5))
        )
    text = f"{described}\n".encode("latin1", "replace")
    return content[:8] + len(text).to_bytes(2, "little") + text + content[10 + length :]


Replacement = Callable[[h5py.File, str, Any, Random], object]  # file, place of a dataset, its old value, random numbers

TYPES = ("f2", "f8", "i4", "u8", "c8", "?", ">f4", "S3")
REPLACEMENTS: tuple[Replacement, ...] = (
    lambda *_: None,
    lambda file, place, _, random: file.update({place: h5py.SoftLink(random.choice(("/", "/nowhere", "/optimizer")))}),
    lambda file, place, *_: file.update({place: h5py.ExternalLink("/dev/zero", "/x")}),
    lambda file, place, old, _: file.create_dataset(place, old.shape, "f4", external="/dev/zero"),
    lambda file, place, *_: file.create_dataset(place, (10**9, 9), "f8", chunks=(9999, 9), compression="gzip"),
    lambda file, place, _, random: file.create_dataset(place, (10**6, 10**4), random.choice(("f4", "i8"))),
    lambda file, place, *_: file.create_dataset(place, (784, 8), "f4", maxshape=(None, 8), chunks=(10**7, 8)),
    lambda file, place, old, random: file.update({place: old * random.choice((np.nan, np.inf, -1e38))}),
    lambda file, place, old, random: file.update({place: old.astype(random.choice(TYPES))}),
    lambda file, place, *_: file.update({place: h5py.Empty("f4")}),
    lambda file, place, *_: file.create_group(place),
    lambda file, place, *_: file.update({place: file["/"]}),
    lambda file, place, _, random: file.update({place: np.zeros(random.choice(((), (0,), (784, 7), (2, 2, 2))), "f4")}),
)  # fmt: skip


def altered_hdf5(content: bytes, random: Random) -> bytes:
    """Return an HDF5 file in which a dataset is replaced by an odd one, or whose bytes are damaged."""
    if random.random() < 0.4:
        return damaged(content, random)
    buffer = io.BytesIO(content)
    with h5py.File(buffer, "r+") as file:
        places: list[str] = []
        file.visititems(lambda name, item: places.append(name) if isinstance(item, h5py.Dataset) else None)
        place = random.choice(places)
        old = np.asarray(file[place][()])
        del file[place]
        with (
            suppress(ValueError, TypeError),
            np.errstate(all="ignore"),
        ):  # some do not suit a single number, which is then only missing
            random.choice(REPLACEMENTS)(file, place, old, random)
    return buffer.getvalue()


def altered_png(content: bytes, random: Random) -> bytes:
    """Return a PNG in which a chunk is damaged, and all checksums are right."""
    chunks, at = [], 8
    while at + 12 <= len(content):
        size = int.from_bytes(content[at : at + 4], "big")
        chunks.append((content[at + 4 : at + 8], content[at + 8 : at + 8 + size]))
        at += 12 + size
    which = random.randrange(len(chunks))
    chunks[which] = chunks[which][0], damaged(chunks[which][1], random)
    if random.random() < 0.3:
        random.shuffle(chunks)
    parts = [content[:8]]
    for kind, data in chunks:
        parts.append(len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big"))
    return b"".join(parts)
