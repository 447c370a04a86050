"""Types that many modules use."""

from collections.abc import Callable
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]
Logs = dict[str, float]  # metrics of an epoch by Keras's names: loss, accuracy
ChunkCallback = Callable[[int, int, Logs], None]  # is called with first step, step after the last, metrics so far
