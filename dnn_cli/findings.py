"""What a training's figures mean, in plain words, each with the line of YAML that would answer it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dnn_cli.activity import LayerActivity
from dnn_cli.config import Config
from dnn_cli.run import Row


@dataclass(frozen=True)
class Finding:
    """One thing that the figures say.

    Attributes:
        kind: of finding, a word for machines: ``overfitting``.
        title: a few words without a full stop.
        text: plain sentences, with the figures that led to it.
        setting: the line of YAML that would answer it, ``training: {early_stopping: {patience: 5}}``; "" if none would.
        option: the same for the command line, ``--set 'training.early_stopping={patience: 5}'``; "" if none would.
    """

    kind: str
    title: str
    text: str
    setting: str = ""
    option: str = ""


def find(
    config: Config,
    history: Sequence[Row],
    score: Mapping[str, Any] | None,
    activity: Sequence[LayerActivity] | None,
    *,
    dataset: Mapping[str, Any],
    split: str = "test",
) -> list[Finding]:
    """What there is to say of a run, the most important first; nothing that contradicts another.

    Args:
        config: of the run.
        history: its rows, oldest first.
        score: what `evaluate.score` found of its best checkpoint, with the key ``calibration``; None if nothing did.
        activity: what `activity.measure` found of the same; None where NumPy does not know the network.
        dataset: what the run's environment says of its dataset: how many images it trained on and held out.
        split: whose images `score` is of: ``test`` or ``validation``; settings are never chosen by the test images.
    """
    raise NotImplementedError
