"""Test the plan of a training."""

from dataclasses import replace

from dnn_cli.config.schema import Data
from dnn_cli.data import datasets, selection
from dnn_cli.data.datasets import Split
from dnn_cli.training import plan


def test_the_record_of_the_data_says_what_was_selected_and_held_out(sample: Split) -> None:
    dataset = replace(datasets.find("mnist-sample"), requested="mnist", note="a fallback")
    data = selection.select_training_data(dataset, Data(classes=(3, 8), images_per_class=50, validation=0.2), 7)
    assert plan.dataset_record(data).to_dict() == {
        "name": "mnist-sample",
        "requested": "mnist",
        "note": "a fallback",
        "path": str(dataset.path),
        "fingerprint": sample.fingerprint(),
        "training_images": 80,
        "validation_images": 20,
        "classes": 10,
        "selected_classes": [3, 8],
        "image_shape": [28, 28],
    }
    everything = selection.select_training_data(datasets.find("mnist-sample"), Data(), 0)
    assert plan.dataset_record(everything).validation_images == 0
