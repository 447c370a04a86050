"""Test the order of class names, the names that a config gives, and classes given by name."""

import pytest

from dnn_cli.data import class_names
from dnn_cli.data.reading import Reading
from dnn_cli.errors import DataError


def test_names_are_sorted_as_people_sort() -> None:
    assert class_names.in_order(["10", "b", "2", "A", "a10", "a9", "2"]) == ("2", "10", "A", "a9", "a10", "b")


def test_long_lists_are_shortened() -> None:
    assert class_names.listed(range(10)) == "0, 1, 2, 3, 4, 5, 6, 7, and 2 more"


def test_stored_names_can_be_replaced() -> None:
    def given(*names: object) -> tuple[str, ...] | None:
        return class_names.given(Reading(class_names=names), ("n01", "n02"), "photos")  # type: ignore[arg-type]

    assert given() == ("n01", "n02")
    assert given("cat", "dog") == ("cat", "dog")
    assert given(("n02", "dog")) == ("n01", "dog")
    assert given((0, "cat")) == ("cat", "n02")
    with pytest.raises(DataError, match="^photos: data.class_names has 1 names, but there are 2 classes: n01, n02$"):
        given("cat")
    with pytest.raises(DataError, match="^photos: data.class_names: there is no class n03; there are n01, n02$"):
        given(("n03", "dog"))


def test_labels_are_matched_by_name_to_the_classes_of_a_network() -> None:
    reading = Reading(expected_classes=("dog", "cat"), class_names=(("n01", "cat"),))
    assert class_names.to_labels(["n01", "dog"], (), reading, "photos").tolist() == [1, 0]
    with pytest.raises(DataError, match="^photos: unknown class n09; the classes of the network are dog, cat$"):
        class_names.to_labels(["n09"], (), reading, "photos")


def test_classes_are_given_as_labels_or_names() -> None:
    assert class_names.resolve(None, ("cat", "dog")) is None
    assert class_names.resolve((0, "dog"), ("cat", "dog")) == (0, 1)
    with pytest.raises(DataError, match="^data.classes: there is no class cow; the classes are cat, dog$"):
        class_names.resolve(("cow",), ("cat", "dog"))
    with pytest.raises(DataError, match="^data.classes: there is no class 3; the classes have no names; give their"):
        class_names.resolve(("3",), None)
