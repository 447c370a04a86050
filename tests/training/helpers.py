"""A config for tests of the training, and the comparison of runs."""

import csv
import json
from pathlib import Path

from tests.conftest import assert_same_bits

# All that could break resumption: dropout, moving means, held-out images, and a smaller last batch.
TINY = """
seed: 3
data: {dataset: mnist-sample, validation: 500}
model: {layers: [{units: 16, dropout: 0.2, batch_normalization: true}]}
optimizer: {name: adam, learning_rate: 0.003}
training: {epochs: 4, batch_size: 48}
"""


def history(run: str | Path) -> list[dict[str, float]]:
    """Return the history of a run without the seconds, which differ between trainings."""
    with Path(run, "history.csv").open(newline="") as file:
        return [{key: float(value) for key, value in row.items() if key != "seconds"} for row in csv.DictReader(file)]


def assert_same_training(one: str | Path, other: str | Path) -> None:
    """Check that two runs have the same config, weights, optimizer state, history and best epoch, bit for bit."""
    for name in ("last", "best"):
        assert_same_bits(Path(one, f"checkpoints/{name}.keras"), Path(other, f"checkpoints/{name}.keras"))
    assert history(one) == history(other)
    bests = [json.loads(Path(run, "state.json").read_text())["last"]["best"] for run in (one, other)]
    for best in bests:
        del best["sha256"]  # the file also contains the time when it was saved
    assert bests[0] == bests[1]
    assert Path(one, "config.yaml").read_text() == Path(other, "config.yaml").read_text()
