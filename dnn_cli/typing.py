"""Types that many modules use."""

from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]
Logs = dict[str, float]  # the metrics of an epoch, by their names in Keras: loss, accuracy
