"""What is written where: tensors, their places in a file, and how many bytes they take."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np
import numpy.typing as npt

from fanin._public import public

__all__ = [
    "SIZE_LIMIT", "Entry", "Extent", "Fill", "Tensor", "as_shape", "bits", "byte_length"
]  # fmt: skip

#: The largest offset of a file, and the largest number of elements of a tensor.
SIZE_LIMIT = 2**63 - 1

Fill = Callable[[npt.NDArray[Any], int], object]

#: Bits of the types that files hold packed, several elements in a byte; NumPy's arrays do not.
_PACKED_BITS = {
    np.dtype(ml_dtypes.float4_e2m1fn): 4,
    np.dtype(ml_dtypes.float6_e2m3fn): 6,
    np.dtype(ml_dtypes.float6_e3m2fn): 6,
}

#: Axes shown of a shape that is refused.
_SHOWN_AXES = 8


@public("fanin.files")
class Tensor(NamedTuple):
    """One tensor to be written.

    Attributes
    ----------
    name : str
        Its name in the file.
    dtype : numpy.dtype
        Any that safetensors has; packed types (4 and 6 bits) are filled as bytes.
    shape : tuple of int
        Each >= 0; () is one element.
    fill : callable
        ``fill(out, start)`` writes elements ``start`` to ``start + out.size`` of the flattened
        tensor into the 1-D array ``out``. Several threads call it at once.
    """

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    fill: Fill


@public("fanin.files")
class Entry(NamedTuple):
    """Where a tensor lies in a file: dtype, shape, and its bytes ``start`` to ``stop``."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    start: int
    stop: int


class Extent(NamedTuple):
    """A tensor's place in the file to be written."""

    start: int
    stop: int
    dtype: np.dtype[Any]
    fill: Fill


def bits(dtype: np.dtype[Any]) -> int:
    """Bits of one element in a file."""
    return _PACKED_BITS.get(dtype, 8 * dtype.itemsize)


def as_shape(what: str, shape: Sequence[Any]) -> tuple[int, ...]:
    """A shape as Python ints, or a ValueError that says whose it is."""
    sizes = []
    for size in shape:
        if isinstance(size, (bool, np.bool_)) or not hasattr(size, "__index__") or size < 0:
            raise ValueError(f"{what}: shape {_shown(shape)} must hold ints >= 0")
        sizes.append(operator.index(size))
    return tuple(sizes)


def byte_length(what: str, dtype: np.dtype[Any], shape: tuple[int, ...]) -> int:
    """Bytes of an array, checked; the product stops at the first factor that is too much."""
    length = bits(dtype)
    for size in shape:
        length *= size
        if length > 8 * SIZE_LIMIT:
            raise ValueError(f"{what}: shape {_shown(shape)} of {dtype} takes over 2**63 - 1 bytes")
    if length % 8:
        raise ValueError(f"{what}: shape {_shown(shape)} of {dtype} ends within a byte")
    return length // 8


def _shown(shape: Sequence[Any]) -> str:
    """The shape, or its first axes."""
    if len(shape) <= _SHOWN_AXES:
        return str(tuple(shape))
    first = ", ".join(map(str, shape[:_SHOWN_AXES]))
    return f"({first}, ... {len(shape)} axes)"
