"""Compare the records of an older version with those of today."""

from typing import Any


def without_later_keys(written: Any, read: Any) -> Any:
    """Return what was written without the keys that a later version added, which must be empty for this run."""
    if isinstance(written, dict):
        assert not [key for key, value in written.items() if key not in read and value]
        return {key: without_later_keys(value, read[key]) for key, value in written.items() if key in read}
    if isinstance(written, list):
        return [without_later_keys(*pair) for pair in zip(written, read, strict=True)]
    return written
