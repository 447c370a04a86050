"""Write a run's events for TensorBoard: metrics, histograms of the weights, and the network as a graph.

The events are written with TensorBoard's own records, in kinds that all of its readers support; TensorFlow is not
needed. Each start of a training has its own file. An epoch's events are written before its checkpoint, so that none is
missing when training resumes; events of a killed training after its last checkpoint are cut off, so that no epoch
appears twice.
"""

import json
import os
import struct
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from google.protobuf.message import DecodeError
from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.graph_pb2 import GraphDef
from tensorboard.compat.proto.summary_pb2 import HistogramProto, Summary
from tensorboard.plugins.graph.keras_util import keras_model_to_graph_def
from tensorboard.summary.writer.record_writer import RecordWriter

from dnn_cli.files import without_links
from dnn_cli.typing import Array

BUCKETS = 30  # in a histogram, TensorBoard's default
RECORD_OVERHEAD = 16  # bytes of a record in addition to its data
VALIDATION_PREFIX = "val_"  # of the names of validation metrics


class EventWriter:
    """Writes the event files of a run.

    Args:
        training: folder for the training metrics, the weights and the graph.
        validation: folder for the validation metrics, which TensorBoard draws into the same charts.
        network: Keras's description of the network, JSON.
        done: number of saved epochs; events of later epochs are removed.
    """

    def __init__(self, training: Path, validation: Path, network: str, done: int) -> None:
        self._training = _Log(training, done, [Event(graph_def=_graph(json.loads(network)).SerializeToString())])
        self._validation = _Log(validation, done)

    def write(self, row: Mapping[str, float], weights: Mapping[str, Array]) -> None:
        """Add an epoch.

        Args:
            row: its row of the history.
            weights: all arrays of the network by layer and variable: ``dense_1/kernel``.
        """
        epoch = int(row["epoch"])
        metrics = [Summary.Value(tag=name, simple_value=value) for name, value in row.items() if name != "epoch"]
        validation = [metric for metric in metrics if metric.tag.startswith(VALIDATION_PREFIX)]
        training = [metric for metric in metrics if metric not in validation]
        for metric in validation:
            metric.tag = metric.tag.removeprefix(VALIDATION_PREFIX)
        histograms = [Summary.Value(tag=name, histo=_histogram(values)) for name, values in weights.items()]
        self._training.add(epoch, training + histograms)
        if validation:
            self._validation.add(epoch, validation)


class _Log:
    """A folder of event files; events are appended to a new file.

    Args:
        folder: the folder, which is created with the first epoch.
        done: number of epochs whose events are kept.
        opening: events to write at the beginning of the log.
    """

    def __init__(self, folder: Path, done: int, opening: Iterable[Event] = ()) -> None:
        files = sorted(folder.glob("*tfevents*"))
        for path in files:
            _cut(path, done) if done else path.unlink()
        # File names are never reused, and they sort in the order of the starts, in which TensorBoard reads them.
        self._path = folder / f"events.out.tfevents.{len(files):06}"
        self._opening = [Event(file_version="brain.Event:2")]
        if done:  # lets a running TensorBoard discard the removed events that it has read
            self._opening += [Event(step=done + 1, session_log=SessionLog(status=SessionLog.START))]
        else:
            self._opening += opening

    def add(self, epoch: int, values: list[Summary.Value]) -> None:
        """Append an epoch's values and flush them to disk."""
        events = [*self._opening, Event(step=epoch, summary=Summary(value=values))]
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with open(self._path, "ab", opener=without_links) as file:
            writer = RecordWriter(file)
            for event in events:
                event.wall_time = time.time()
                writer.write(event.SerializeToString())
            file.flush()
            os.fsync(file.fileno())
        self._opening = []


def _graph(network: dict[str, Any]) -> GraphDef:
    """Return the graph of the layers."""
    network["config"]["name"] = ""  # otherwise TensorBoard would show one collapsed box around all layers
    graph = keras_model_to_graph_def(network)
    for node in graph.node:
        node.op = node.attr["keras_class"].s.decode()
    return graph


def _cut(path: Path, epochs: int) -> None:
    """Truncate an event file after the first `epochs` epochs, or at the first damaged or incomplete record.

    A record consists of the length of its data in 8 bytes, a checksum in 4, the data, and their checksum in 4.
    """
    with open(path, "r+b", opener=without_links) as file:
        end, size = 0, path.stat().st_size
        while end + RECORD_OVERHEAD <= size:
            file.seek(end)
            (length,) = struct.unpack("<Qxxxx", file.read(12))
            if end + length + RECORD_OVERHEAD > size or _step(file.read(length)) > epochs:
                break
            end += length + RECORD_OVERHEAD
        file.truncate(end)


def _step(data: bytes) -> float:
    """Return the epoch of a record's event, infinite if it is damaged."""
    try:
        return int(Event.FromString(data).step)
    except DecodeError:
        return float("inf")


def _histogram(values: Array) -> HistogramProto:
    """Return the histogram of the finite values."""
    finite = values[np.isfinite(values)].astype(np.float64)
    if not finite.size:
        return HistogramProto()
    low, high = finite.min(), finite.max()
    counts, edges = np.histogram(finite, BUCKETS) if low < high else (np.array([finite.size]), np.array([low, high]))
    return HistogramProto(
        min=low,
        max=high,
        num=finite.size,
        sum=finite.sum(),
        sum_squares=np.square(finite).sum(),
        bucket_limit=edges[1:],
        bucket=counts,
    )
