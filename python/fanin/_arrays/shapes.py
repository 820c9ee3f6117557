"""Shapes as tuples of Python ints."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

_MAX_SIZE = (1 << 63) - 1


def as_shape(shape: Any) -> tuple[int, ...]:
    """`shape` as a tuple of Python ints, in NumPy's words where it is refused."""
    if isinstance(shape, (bool, np.bool_)) or isinstance(shape, float):
        raise TypeError(f"expected a sequence of integers or a single integer, got '{shape}'")
    if hasattr(shape, "__index__") and not (isinstance(shape, np.ndarray) and shape.ndim):
        entries: tuple[Any, ...] = (shape,)
    else:
        try:
            entries = tuple(shape)
        except TypeError:
            raise TypeError(
                f"expected a sequence of integers or a single integer, got '{shape}'"
            ) from None
    sizes = []
    for entry in entries:
        if isinstance(entry, (bool, np.bool_)):
            raise TypeError(f"expected a sequence of integers or a single integer, got '{shape}'")
        sizes.append(operator.index(entry))
    if any(size < 0 for size in sizes):
        raise ValueError("negative dimensions are not allowed")
    if any(size > _MAX_SIZE for size in sizes):
        raise ValueError("Maximum allowed dimension exceeded")
    total = 1
    for size in sizes:
        total *= size
    if total > _MAX_SIZE:
        raise ValueError(
            f"array is too big; shape {tuple(sizes)} has {total} elements, more than 2**63 - 1"
        )
    return tuple(sizes)
