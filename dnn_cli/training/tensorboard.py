"""What TensorBoard shows of a run: scalars, histograms of the weights, and the network as a graph.

It is written with TensorBoard's own records, in the kinds that all of its readers know; TensorFlow is not needed. Each
start of a training has a file of its own. An epoch is written before its checkpoint is, so that none is missing that
a resume goes on from; what a killed training wrote beyond that is cut off, so that no epoch is there twice.
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

from dnn_cli.typing import Array

BUCKETS = 30  # TensorBoard's own number
AROUND = 16  # bytes of a record that are not its data
HELD_OUT = "val_"  # what the names of a hold-out's figures begin with


class Board:
    """The event files of a run.

    Args:
        training: the folder for the figures of the training images, the weights and the graph.
        validation: the one for the figures of what is held out; TensorBoard draws both into the same charts.
        network: what Keras says of the network, as JSON.
        done: the epochs that are trained and saved; what the folders hold of later ones is cut off.
    """

    def __init__(self, training: Path, validation: Path, network: str, done: int) -> None:
        self._training = _Log(training, done, [Event(graph_def=_graph(json.loads(network)).SerializeToString())])
        self._validation = _Log(validation, done)

    def write(self, row: Mapping[str, float], weights: Mapping[str, Array]) -> None:
        """Add an epoch.

        Args:
            row: its figures, as in the history.
            weights: all arrays of the network by their layer and name: ``dense_1/kernel``.
        """
        epoch = int(row["epoch"])
        figures = [Summary.Value(tag=name, simple_value=value) for name, value in row.items() if name != "epoch"]
        held_out = [figure for figure in figures if figure.tag.startswith(HELD_OUT)]
        trained = [figure for figure in figures if figure not in held_out]
        for figure in held_out:
            figure.tag = figure.tag.removeprefix(HELD_OUT)
        histograms = [Summary.Value(tag=name, histo=_histogram(values)) for name, values in weights.items()]
        self._training.add(epoch, trained + histograms)
        if held_out:
            self._validation.add(epoch, held_out)


class _Log:
    """One folder of event files, of which the newest is written.

    Args:
        folder: where; it is made with the first epoch.
        done: how many epochs of it stay.
        opening: what a log begins with.
    """

    def __init__(self, folder: Path, done: int, opening: Iterable[Event] = ()) -> None:
        files = sorted(folder.glob("*tfevents*"))
        for path in files:
            _cut(path, done) if done else path.unlink()
        # The names are never used again, and in the order of their starts, which is the order of reading.
        self._path = folder / f"events.out.tfevents.{len(files):06}"
        self._opening = [Event(file_version="brain.Event:2")]
        if done:  # a TensorBoard that is open has read what was cut off: this makes it forget that
            self._opening += [Event(step=done + 1, session_log=SessionLog(status=SessionLog.START))]
        else:
            self._opening += opening

    def add(self, epoch: int, values: list[Summary.Value]) -> None:
        """Append an epoch's values, and have them on the disk."""
        events = [*self._opening, Event(step=epoch, summary=Summary(value=values))]
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("ab") as file:
            writer = RecordWriter(file)
            for event in events:
                event.wall_time = time.time()
                writer.write(event.SerializeToString())
            file.flush()
            os.fsync(file.fileno())
        self._opening = []


def _graph(network: dict[str, Any]) -> GraphDef:
    """The layers, one after the other, by their names."""
    network["config"]["name"] = ""  # a box around all of them, closed, would be all that is seen at first
    graph = keras_model_to_graph_def(network)
    for node in graph.node:
        node.op = node.attr["keras_class"].s.decode()
    return graph


def _cut(path: Path, epochs: int) -> None:
    """Cut an event file off where the first `epochs` epochs end, or where it is damaged or unfinished.

    A record is the length of its data in 8 bytes, a checksum in 4, the data, and their checksum in 4.
    """
    with path.open("r+b") as file:
        end, size = 0, path.stat().st_size
        while end + AROUND <= size:
            file.seek(end)
            (length,) = struct.unpack("<Qxxxx", file.read(12))
            if end + length + AROUND > size or _step(file.read(length)) > epochs:
                break
            end += length + AROUND
        file.truncate(end)


def _step(data: bytes) -> float:
    try:
        return int(Event.FromString(data).step)
    except DecodeError:
        return float("inf")


def _histogram(values: Array) -> HistogramProto:
    """The distribution of those of `values` that are numbers."""
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
