"""Test which images a config means: its classes, the number of images of each, and the hold-out."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnn_cli.config.data_section import Data
from dnn_cli.data import datasets, selection
from dnn_cli.data.datasets import Split
from dnn_cli.errors import DataError


def test_training_data_are_the_selected_images_without_the_hold_out(sample: Split) -> None:
    dataset = replace(datasets.find("mnist-sample"), requested="mnist", note="a fallback")
    data = selection.select_training_data(dataset, Data(classes=(3, 8), images_per_class=50, validation=0.2), 7)
    rest, held_out = selection.hold_out(selection.select(sample, (3, 8), 50, 7), 0.2, 7)
    assert held_out is not None
    assert data.held_out is not None
    assert data.training.fingerprint() == rest.fingerprint()
    assert data.held_out.fingerprint() == held_out.fingerprint()
    assert (data.classes, data.image_shape) == (10, (28, 28))
    assert (data.dataset, data.selected, data.fingerprint) == (dataset, (3, 8), sample.fingerprint())


def test_training_data_without_a_selection_are_all_images(sample: Split) -> None:
    dataset = datasets.find("mnist-sample")
    data = selection.select_training_data(dataset, Data(), 0)
    assert data.training is dataset.load("train")
    assert (data.held_out, data.selected) == (None, None)


@given(
    labels=st.lists(st.integers(0, 4), min_size=2, max_size=60),
    share=st.floats(0, 1, exclude_min=True, exclude_max=True),
    seed=st.integers(0, 2**32 - 1),
)
def test_hold_out_takes_a_proportional_share_of_every_class(labels: list[int], share: float, seed: int) -> None:
    total = len(labels)
    count = max(1, min(total - 1, int(share * total)))
    split = Split(np.arange(total, dtype="u1").reshape(total, 1, 1), np.array(labels, "i4"))
    rest, held = selection.hold_out(split, count, seed)
    again = selection.hold_out(split, count, seed)[1]
    assert held is not None
    assert again is not None
    kept, taken = rest.images.ravel().tolist(), held.images.ravel().tolist()
    assert sorted(kept + taken) == list(range(total))
    assert (kept, taken) == (sorted(kept), sorted(taken))
    assert len(taken) == count
    assert again.images.ravel().tolist() == taken
    for part in (rest, held):
        assert part.labels.tolist() == [labels[index] for index in part.images.ravel()]
    for label in set(labels):
        assert abs(held.labels.tolist().count(label) - count * labels.count(label) / total) < 1


def test_a_fraction_holds_out_the_same_images_as_the_equal_count() -> None:
    sample = datasets.find("mnist-sample").load("train")
    by_count, by_fraction = selection.hold_out(sample, 400, 7)[1], selection.hold_out(sample, 0.1, 7)[1]
    assert by_count is not None
    assert by_fraction is not None
    assert np.bincount(by_count.labels).tolist() == [40] * 10
    assert by_count.fingerprint() == by_fraction.fingerprint()
    other = selection.hold_out(sample, 400, 8)[1]
    assert other is not None
    assert other.fingerprint() != by_count.fingerprint()


def test_holding_out_nothing_returns_the_split_itself() -> None:
    split = datasets.find("mnist-sample").load("train")
    assert selection.hold_out(split, 0, 0) == (split, None)


def test_a_tiny_fraction_holds_out_one_image() -> None:
    held = selection.hold_out(datasets.find("mnist-sample").load("train"), 1e-9, 0)[1]
    assert held is not None
    assert len(held.labels) == 1


@pytest.mark.parametrize(("validation", "count"), [(4000, "4,000"), (60000, "60,000"), (0.99999, "4,000")])
def test_holding_out_every_image_fails(validation: int | float, count: str) -> None:
    with pytest.raises(DataError) as caught:
        selection.hold_out(datasets.find("mnist-sample").load("train"), validation, 0)
    assert str(caught.value) == (
        f"data.validation: cannot hold out {count} of 4,000 training images; at most 3,999 can be"
    )


def numbered(labels: list[int]) -> Split:
    """Return a split in which each image contains its own number."""
    return Split(np.arange(len(labels), dtype="u1").reshape(-1, 1, 1), np.array(labels, "i4"))


def test_selected_classes_keep_their_labels_and_order() -> None:
    split = numbered([3, 1, 0, 1, 3, 2])
    chosen = selection.select(split, (3, 1), None, 0)
    assert (chosen.labels.tolist(), chosen.images.ravel().tolist()) == ([3, 1, 1, 3], [0, 1, 3, 4])
    assert selection.of_classes(split, (9, 2)).images.ravel().tolist() == [5]
    assert selection.of_classes(split, None) is split
    assert selection.select(split, None, None, 0) is split


def test_images_per_class_depend_on_the_seed_and_larger_counts_extend_smaller_ones(sample: Split) -> None:
    def drawn(classes: tuple[int, ...] | None, count: int, seed: int = 0) -> set[bytes]:
        chosen = selection.select(sample, classes, count, seed)
        assert set(np.bincount(chosen.labels).tolist()) <= {0, count}
        assert len(chosen.labels) == count * len(classes or range(10))
        return {image.tobytes() for image in chosen.images}

    few = drawn((5, 7), 20)
    assert few == drawn((7, 5), 20)
    assert few < drawn((5, 7), 30)
    assert few < drawn(None, 20)
    assert few != drawn((5, 7), 20, seed=1)
    assert drawn(None, 400) == {image.tobytes() for image in sample.images}


def test_missing_classes_and_too_few_images_are_named() -> None:
    split = numbered([0, 0, 0, 2, 2, 5])
    with pytest.raises(DataError) as caught:
        selection.select(split, (2, 7, 3), None, 0)
    assert str(caught.value) == "data.classes: there are no training images of 3, 7; the labels are 0, 2, 5"
    with pytest.raises(DataError) as caught:
        selection.select(split, None, 3, 0)
    assert str(caught.value) == ("data.images_per_class: 3 images of each class are wanted; there are 2 of 2, 1 of 5")
    assert len(selection.select(split, (0, 2), 2, 0).labels) == 4
