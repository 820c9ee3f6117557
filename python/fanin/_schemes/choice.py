"""Which elements of each column are chosen: those of the smallest keys."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["chosen"]


def chosen(words: np.ndarray[Any, Any], axis: int, count: int) -> np.ndarray[Any, Any]:
    """For the columns along `axis`, which of their elements have the `count` smallest keys.

    `words` are uniform in [0, 1). A key is the word with the element's number in its low bits, so
    no two keys of a column are equal and every subset is as likely as any other.
    """
    if count == 0:
        return np.zeros(words.shape, dtype=np.bool_)
    elements = words.shape[axis]
    number_bits = elements.bit_length()
    numbers: Any = np.arange(elements).reshape((-1,) + (1,) * (words.ndim - axis - 1))
    keys = (words * 2.0**53).astype(np.int64)
    keys = (keys >> number_bits << number_bits) | numbers
    largest = np.partition(keys, count - 1, axis=axis).take([count - 1], axis=axis)
    return np.asarray(keys <= largest)
