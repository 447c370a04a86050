"""The datasets that have a name: digests, hosts and what their images show.

To add a dataset in MNIST's form (28×28 grey images, ten classes), add an entry to `KNOWN_DATASETS`: it is then listed,
found, downloaded and verified like the others. `formats.idx_md5` computes the digests. Mention the name in the
description of ``data.dataset`` in the config's schema too.
"""

from collections.abc import Mapping
from dataclasses import dataclass

IMAGE_SHAPE = (28, 28)  # height and width of the images of every known dataset
CLASSES = 10  # number of classes of every known dataset


@dataclass(frozen=True)
class KnownDataset:
    """A dataset that has a name.

    Attributes:
        title: name of the dataset in messages.
        subject: what its images show; a label means the same in all datasets of one subject.
        description: its content, as a phrase.
        stem: name of its files: ``<stem>.npz`` and the folder ``<stem>/``.
        digests: array name → MD5 of the array as an uncompressed IDX file, so that the digest does not depend on how
            the array is stored.
        npz_hosts: base URLs of hosts that serve ``<stem>.npz``.
        idx_hosts: base URLs of hosts that serve the four gzipped IDX files; empty if it cannot be downloaded.
        is_shipped: whether its file is part of this package.
        class_names: the published names of the classes; None if the labels are the digits that they name.
    """

    title: str
    subject: str
    description: str
    stem: str
    digests: Mapping[str, str]
    npz_hosts: tuple[str, ...] = ()
    idx_hosts: tuple[str, ...] = ()
    is_shipped: bool = False
    class_names: tuple[str, ...] | None = None


KNOWN_DATASETS = {
    "mnist": KnownDataset(
        title="MNIST",
        subject="digits",
        description="60,000 training and 10,000 test digits",
        stem="mnist",
        digests={
            "x_train": "6bbc9ace898e44ae57da46a324031adb",
            "y_train": "a25bea736e30d166cdddb491f175f624",
            "x_test": "2646ac647ad5339dbf082846283269ea",
            "y_test": "27ae3e4e09519cfbb04c329615203637",
        },
        npz_hosts=("https://storage.googleapis.com/tensorflow/tf-keras-datasets",),
        idx_hosts=(
            "https://storage.googleapis.com/cvdf-datasets/mnist",
            "https://ossci-datasets.s3.amazonaws.com/mnist",
        ),
    ),
    "fashion_mnist": KnownDataset(
        title="Fashion-MNIST",
        subject="clothes",
        description="60,000 training and 10,000 test pictures of clothes, in ten classes",
        stem="fashion-mnist",
        digests={
            "x_train": "f4a8712d7a061bf5bd6d2ca38dc4d50a",
            "y_train": "9018921c3c673c538a1fc5bad174d6f9",
            "x_test": "8181f5470baa50b63fa0f6fddb340f0a",
            "y_test": "15d484375f8d13e6eb1aabb0c3f46965",
        },
        idx_hosts=(
            "https://storage.googleapis.com/tensorflow/tf-keras-datasets",
            "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com",
        ),
        # https://github.com/zalandoresearch/fashion-mnist, "Labels"
        class_names=(
            "T-shirt/top",
            "Trouser",
            "Pullover",
            "Dress",
            "Coat",
            "Sandal",
            "Shirt",
            "Sneaker",
            "Bag",
            "Ankle boot",
        ),
    ),
    "mnist-sample": KnownDataset(
        title="mnist-sample",
        subject="digits",
        description="4,000 training and 1,000 test digits, all from MNIST's training set",
        stem="mnist-sample",
        digests={
            "x_train": "0fada313df1790c057792faad2d96506",
            "y_train": "194440da3f18176f4b5ed3a6d4c75353",
            "x_test": "e618ac44e62bbe62fee2dd117358c448",
            "y_test": "13f35de63c1867562f9b5e9ad2fc13fe",
        },
        is_shipped=True,
    ),
}


def may_share_labels(one: str, other: str) -> bool:
    """Return whether a label may mean the same in two datasets: False if both are known to show different things."""
    known, other_known = KNOWN_DATASETS.get(one), KNOWN_DATASETS.get(other)
    return known is None or other_known is None or known.subject == other_known.subject
