"""Types that many modules share."""

from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]
Logs = dict[str, float]  # figures of an epoch by Keras's names: loss, accuracy
