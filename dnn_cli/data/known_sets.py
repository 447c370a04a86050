"""The datasets that have a name: digests, hosts and what their images show.

To add a dataset in MNIST's form (28×28 grey images, ten classes), add an entry to `KNOWN_DATASETS`: it is then listed,
found, downloaded and verified like the others. `formats.idx_md5` computes the digests. Mention the name in the
description of ``data.dataset`` in the config's schema too.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

MAX_IMAGES = 60_000  # in a split of a known dataset whose files hold plain arrays
MAX_ARRAY_BYTES = MAX_IMAGES * 28 * 28 * 8  # of the largest of these arrays, as numbers of any type


@dataclass(frozen=True)
class Published:
    """Files as their authors publish them, in a form of their own. They are verified and kept as they are.

    Attributes:
        form: ``idx``: the four gzipped IDX files; ``emnist``: one archive of such files, whose images are transposed;
            ``libsvm``: two bzip2 files of text, labels from 1 and pixels in -1..1.
        files: file name → MD5 of the file.
        hosts: base URLs of hosts that serve the files.
        folder: name of the folder that holds them.
        subset: the subset of an archive, such as ``balanced``.
        first_label: the lowest label in the files, which becomes 0.
    """

    form: Literal["idx", "emnist", "libsvm"]
    files: Mapping[str, str]
    hosts: tuple[str, ...]
    folder: str
    subset: str = ""
    first_label: int = 0


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
        published: the files, if they have another form than MNIST's arrays.
        image_shape: height and width of the images.
        classes: number of classes.
    """

    title: str
    subject: str
    description: str
    stem: str
    digests: Mapping[str, str] = field(default_factory=dict)
    npz_hosts: tuple[str, ...] = ()
    idx_hosts: tuple[str, ...] = ()
    is_shipped: bool = False
    class_names: tuple[str, ...] | None = None
    published: Published | None = None
    image_shape: tuple[int, int] = (28, 28)
    classes: int = 10


def _emnist(subset: str, first_label: int = 0) -> Published:
    """Return the published files of a subset of EMNIST; the MD5 is that of `torchvision/datasets/mnist.py`."""
    return Published(
        "emnist",
        {"gzip.zip": "58c8d27c78d21e728a6bc7b3cc06412e"},
        ("https://biometrics.nist.gov/cs_links/EMNIST", "https://www.itl.nist.gov/iaui/vip/cs_links/EMNIST"),
        "emnist",
        subset,
        first_label,
    )


LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"

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
    "kmnist": KnownDataset(
        title="Kuzushiji-MNIST",
        subject="hiragana",
        description="60,000 training and 10,000 test pictures of cursive Japanese characters, in ten classes",
        stem="kmnist",
        class_names=("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"),
        # The names and MD5s are those of https://github.com/pytorch/vision, `torchvision/datasets/mnist.py`.
        published=Published(
            "idx",
            {
                "train-images-idx3-ubyte.gz": "bdb82020997e1d708af4cf47b453dcf7",
                "train-labels-idx1-ubyte.gz": "e144d726b3acfaa3e44228e80efcd344",
                "t10k-images-idx3-ubyte.gz": "5c965bf0a639b31b8f53240b1b52f4d7",
                "t10k-labels-idx1-ubyte.gz": "7320c461ea6c1c855c0b718fb2a4b134",
            },
            ("http://codh.rois.ac.jp/kmnist/dataset/kmnist",),
            "kmnist",
        ),
    ),
    "emnist-balanced": KnownDataset(
        title="EMNIST Balanced",
        subject="letters and digits",
        description="112,800 training and 18,800 test letters and digits, in 47 classes",
        stem="emnist-balanced",
        class_names=(*"0123456789", *LETTERS, *"abdefghnqrt"),
        published=_emnist("balanced"),
        classes=47,
    ),
    "emnist-letters": KnownDataset(
        title="EMNIST Letters",
        subject="letters",
        description="124,800 training and 20,800 test letters, in 26 classes",
        stem="emnist-letters",
        class_names=tuple(LETTERS),
        published=_emnist("letters", first_label=1),
        classes=26,
    ),
    "emnist-digits": KnownDataset(
        title="EMNIST Digits",
        subject="digits",
        description="240,000 training and 40,000 test digits",
        stem="emnist-digits",
        published=_emnist("digits"),
    ),
    "usps": KnownDataset(
        title="USPS",
        subject="digits",
        description="7,291 training and 2,007 test digits of 16×16 pixels",
        stem="usps",
        # The names and MD5s are those of https://github.com/pytorch/vision, `torchvision/datasets/usps.py`.
        published=Published(
            "libsvm",
            {"usps.bz2": "ec16c51db3855ca6c91edd34d0e9b197", "usps.t.bz2": "8ea070ee2aca1ac39742fdd1ef5ed118"},
            ("https://www.csie.ntu.edu.tw/~cjlin/libsvmtools/datasets/multiclass",),
            "usps",
            first_label=1,
        ),
        image_shape=(16, 16),
    ),
}


def may_share_labels(one: str, other: str) -> bool:
    """Return whether a label may mean the same in two datasets: False if both are known to show different things."""
    known, other_known = KNOWN_DATASETS.get(one), KNOWN_DATASETS.get(other)
    return known is None or other_known is None or known.subject == other_known.subject
