"""Where a call writes and what it returns: checked once, before anything is written."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from .destinations import count_version, destination, overlaps_itself
from .kinds import ALL, as_dtype
from .parts import Part, part_of
from .shapes import as_shape


class Target(NamedTuple):
    """Where a call writes and what it returns."""

    shape: tuple[int, ...]  # of the full array
    part: Part
    array: np.ndarray[Any, Any]  # is written
    result: Any  # is returned
    fresh: bool = False  # whether the call allocated it
    scalar: bool = False  # whether a scalar is returned in place of the array

    def apart(self, value: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """`value`, or a copy of it where writing the result might change it."""
        return value.copy() if np.may_share_memory(value, self.array) else value

    def touched(self) -> None:
        """Tells what watches the caller's memory that it has been written."""
        if self.result is not self.array:
            count_version(self.result)

    def done(self) -> Any:
        """What the public function returns, after the array has been written."""
        self.touched()
        return self.array[()] if self.scalar else self.result


def target(
    shape: Any,
    dtype: Any,
    out: Any,
    index: Any,
    default: Any = np.float32,
    accepted: Sequence[np.dtype[Any]] = ALL,
    function: str = "fanin",
) -> Target:
    """Checks shape, dtype, out and index together and allocates if there is no `out`.

    Parameters
    ----------
    shape : int or sequence of ints
        The full logical shape; with `index` up to 2**63 - 1 elements.
    dtype : dtype or None
        None: the dtype of `out`, else `default`.
    out : array, tensor or None
        Must have exactly the result's shape.
    index : see `part_of`

    Raises
    ------
    TypeError, ValueError, IndexError, MemoryError
        Before anything is allocated or written.
    """
    full = as_shape(shape)
    part = part_of(full, index)
    if out is None:
        chosen = as_dtype(default if dtype is None else dtype, accepted, function)
        made = np.empty(part.shape, chosen)
        scalar = index is not None and not part.shape and bool(full)
        return Target(full, part, made, made, fresh=True, scalar=scalar)
    array = destination(out)
    chosen = as_dtype(array.dtype if dtype is None else dtype, accepted, function)
    if chosen != array.dtype or not array.dtype.isnative:
        raise TypeError(
            f"Supplied output array has the wrong type. Expected {chosen.name}, got {array.dtype}"
        )
    if array.shape != part.shape:
        raise ValueError(
            "size must match out.shape when used together: "
            f"the result has shape {part.shape}, out has shape {array.shape}"
        )
    if not array.flags.writeable:
        raise ValueError("Supplied output array is read-only; it must be writable")
    if overlaps_itself(array):
        raise ValueError(
            f"Supplied output array overlaps itself: shape {array.shape}, strides {array.strides}"
        )
    return Target(full, part, array, out)
