"""Shapes as tuples of Python ints."""

from __future__ import annotations

import operator
from collections.abc import Mapping, Set
from typing import Any

import numpy as np

from fanin._hints import is_array, not_a_shape

_MAX_SIZE = (1 << 63) - 1


def as_sizes(shape: Any) -> tuple[int, ...]:
    """`shape` as a tuple of Python ints >= 0, in NumPy's words where it is refused."""
    listed = is_array(shape)
    if isinstance(shape, (bool, np.bool_, float, Set, Mapping)) or listed and len(shape.shape) > 1:
        raise not_a_shape(shape)
    if hasattr(shape, "__index__") and not listed:
        entries: tuple[Any, ...] = (shape,)
    else:
        try:
            entries = tuple(shape)
        except TypeError:
            raise not_a_shape(shape) from None
    sizes = []
    for entry in entries:
        if isinstance(entry, (bool, np.bool_)):
            raise not_a_shape(shape)
        try:
            sizes.append(operator.index(entry))
        except TypeError:
            if listed:
                raise not_a_shape(shape) from None
            raise
    if any(size < 0 for size in sizes):
        raise ValueError(f"negative dimensions are not allowed, got shape {tuple(sizes)}")
    return tuple(sizes)


def as_shape(shape: Any) -> tuple[int, ...]:
    """`as_sizes` of an array that an address reaches: of at most 2^63 - 1 elements."""
    sizes = as_sizes(shape)
    if any(size > _MAX_SIZE for size in sizes):
        raise ValueError("Maximum allowed dimension exceeded")
    total = 1
    for size in sizes:
        total *= size
    if total > _MAX_SIZE:
        raise ValueError(
            f"array is too big; shape {sizes} has {total} elements, more than 2**63 - 1"
        )
    return sizes
