"""Write a first config for a user's own data: one that suits their size and trains at once."""

from math import prod

from dnn_cli.config import loading, yaml_document
from dnn_cli.data.describe import Description

SMALL_IMAGE = 1024  # Numbers in an image up to which the network of the shipped config `small` is large enough.
FEW_IMAGES, SOME_IMAGES = 1000, 10_000  # Fewer images are trained in smaller batches, so that there are enough steps.
UNEQUAL_RATIO = 5  # A class this many times as large as another makes accuracy a poor measure.


def starter_config(found: Description, dataset: str) -> str:
    """Return the text of a config, with comments.

    Args:
        found: what was understood of the data.
        dataset: the path, as the config names it.
    """
    split = found.splits["train"]
    images, shape = len(split.labels), split.images.shape[1:]
    counts = [count for count in found.counts("train") if count]
    is_unequal = max(counts) >= UNEQUAL_RATIO * min(counts)
    units = [128, 64] if prod(shape) <= SMALL_IMAGE else [256, 128]
    lines = [
        f"# {found.kind}: {images:,} training images of {len(counts)} classes, {'×'.join(map(str, shape))}.",
        "seed: 0",
        "data:",
        f"  dataset: {_text(dataset)}",
        *_reading(found),
        *_hold_outs(found),
        "model:",
        "  layers:                   # the hidden blocks; Dense with softmax is added after them",
        *(f"    - {{units: {count}, dropout: 0.2}}" for count in units),
        "optimizer: {name: adam, learning_rate: 0.001}",
        "training:",
        "  epochs: 30",
        f"  batch_size: {16 if images < FEW_IMAGES else 32 if images < SOME_IMAGES else 64}",
    ]
    if is_unequal:
        lines += [
            f"  class_weight: balanced    # the largest class has {max(counts):,} images, the smallest {min(counts):,}",
            "  monitor: val_macro_f1     # the best checkpoint is the one that does well on every class",
        ]
    lines.append("  early_stopping: {monitor: val_loss, patience: 5}")
    text = "\n".join(lines) + "\n"
    loading.parse(text, "the new config")
    return text


def _reading(found: Description) -> list[str]:
    """Return the settings that decide how the images are read, where they are not the defaults."""
    reading, lines = found.dataset.reading, []
    size = found.proposed_size or reading.image_size
    if size:
        why = "pictures of different sizes get this height and width" if found.proposed_size else "height and width"
        lines.append(f"  image_size: {list(size)}      # {why}")
        lines.append(f"  resize: {reading.resize}               # fit adds borders, fill cuts, stretch distorts")
    if reading.color:
        lines.append(f"  color: {reading.color}")
    if reading.image_shape:
        lines.append(f"  image_shape: {list(reading.image_shape)}")
    if reading.value_range:
        lines.append(f"  value_range: {list(reading.value_range)}")
    if reading.keys:
        lines.append(f"  keys: {yaml_document.dump_line(dict(reading.keys))}")
    if reading.follow_links:
        lines.append("  follow_links: true")
    return lines


def _hold_outs(found: Description) -> list[str]:
    lines = []
    if found.is_held_out:
        amount = found.dataset.reading.test
        lines.append(f"  test: {amount}                 # held out of all images for the test, decided by the seed")
    if "validation" in found.splits:
        lines.append("  validation: part          # the images of the validation part")
    else:
        lines.append("  validation: 0.1           # hold out a tenth of the training images of every class")
    return lines


def _text(value: str) -> str:
    return yaml_document.dump_line(value)
