"""Deterministic weights as functions of the address.

A pattern is a function from coordinates to values. :func:`write_pattern` evaluates it on exactly
the part of the shape that a call asks for, so shapes of 2**60 elements cost only that part.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from fanin._arrays.boxes import assign, boxes, coordinates, open_grid, pieces
from fanin._arrays.targets import Target, target

from .weight import Weight

# Values are made in blocks of this many, so that temporaries stay in the cache.
_BLOCK_VALUES = 1 << 16


def write_pattern(weight: Weight, values: Callable[..., Any], kind: str = "f") -> Any:
    """Write ``gain * values(*coordinates)`` to the weight and return the result.

    `values` takes one integer array per axis, shaped to broadcast against each other, and returns
    values of the dtype kind `kind`, "f" or "c", that broadcast to the common shape.
    """
    goal = _goal(weight, kind)
    for array, box in boxes(goal):
        for block, part in pieces(array, box, range(array.ndim), _BLOCK_VALUES):
            assign(block, _times(weight.gain, values(*open_grid(part))))
    return goal.done()


def write_constant(weight: Weight, value: complex, kind: str = "f") -> Any:
    """Write ``gain * value`` to the whole weight and return the result."""
    goal = _goal(weight, kind)
    assign(goal.array, _times(weight.gain, value))
    return goal.done()


def _times(gain: float, values: Any) -> np.ndarray[Any, Any]:
    with np.errstate(over="ignore"):  # beyond the dtype lies infinity, no warning
        return np.asarray(gain * values)


def _goal(weight: Weight, kind: str) -> Target:
    goal = target(weight.shape, weight.dtype, weight.out, weight.index)
    if kind == "c" and goal.array.dtype.kind != "c":
        raise TypeError(
            f"complex values need dtype complex64 or complex128, got {goal.array.dtype.name}"
        )
    return goal


def write_delta(weight: Weight, least_kernel_axes: int, most_kernel_axes: int) -> Any:
    axes = weight.single_axes(least_kernel_axes, most_kernel_axes)
    # `whole` holds the channels of all groups, `part` those of one (see Layout).
    (whole,), (part,) = axes.outputs, axes.inputs
    if weight.layout.transposed:
        whole, part = part, whole
    channels_per_group = max(1, weight.shape[whole] // weight.layout.groups)
    return write_ones(weight, whole, part, channels_per_group, axes.kernel)


def write_ones(
    weight: Weight, rows: int, columns: int, period: int, kernel: tuple[int, ...]
) -> Any:
    """Write gain at the kernel's centre where row % period == column, zero elsewhere."""
    goal = _goal(weight, "f")
    assign(goal.array, np.asarray(0.0))
    for array, box in boxes(goal):
        at: list[Any] = [slice(None)] * array.ndim
        for axis in kernel:
            centre = weight.shape[axis] // 2
            first = box[axis].index(centre) if centre in box[axis] else len(box[axis])
            at[axis] = slice(first, first + 1)
        row_numbers, column_numbers = box[rows], box[columns]
        for first in range(0, len(row_numbers), _BLOCK_VALUES):
            block = coordinates(row_numbers[first : first + _BLOCK_VALUES]) % period
            step = column_numbers.step if len(column_numbers) > 1 else 1  # else never taken
            column, remainder = np.divmod(block - column_numbers.start, step)
            hit = (remainder == 0) & (column >= 0) & (column < len(column_numbers))
            at[rows], at[columns] = first + np.flatnonzero(hit), column[hit]
            assign(array, np.asarray(weight.gain), tuple(at))
    return goal.done()
