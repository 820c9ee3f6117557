"""Deterministic weights as functions of the address.

A pattern is a function from coordinates to values. :func:`write_pattern` evaluates it on exactly
the part of the shape that a call asks for, so shapes of 2**60 elements cost only that part.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fanin._arrays.destinations import Target, target

if TYPE_CHECKING:
    from .laws import Weight

Box: TypeAlias = tuple[range, ...]
Coordinates: TypeAlias = NDArray[np.int64]

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
            assign(block, np.asarray(weight.gain * values(*_open_grid(part))))
    return goal.done()


def write_constant(weight: Weight, value: complex, kind: str = "f") -> Any:
    """Write ``gain * value`` to the whole weight and return the result."""
    goal = _goal(weight, kind)
    assign(goal.array, np.asarray(weight.gain * value))
    return goal.done()


def _goal(weight: Weight, kind: str) -> Target:
    goal = target(weight.shape, weight.dtype, weight.out, weight.index)
    if kind == "c" and goal.array.dtype.kind != "c":
        raise TypeError(
            f"complex values need dtype complex64 or complex128, got {goal.array.dtype.name}"
        )
    return goal


def boxes(goal: Target) -> Iterator[tuple[NDArray[Any], Box]]:
    """Views that make up the target, each with all axes of the full shape, and their indices."""
    if goal.axes is not None:
        with_all_axes = (slice(None) if kept else np.newaxis for kept in goal.kept)
        yield goal.array[(Ellipsis, *with_all_axes)], goal.axes
        return
    assert goal.flat is not None  # a Target has axes or a flat run
    done = 0
    for box in _boxes_of_run(goal.flat.start, goal.flat.stop, goal.shape):
        sizes = tuple(map(len, box))
        count = math.prod(sizes)
        yield goal.array[done : done + count].reshape(sizes), box
        done += count


def common(part: range, progression: range) -> tuple[slice, slice] | None:
    """Where `part` and a rising `progression` meet: positions in the one and in the other.

    The numbers that two arithmetic progressions share are one again; None if there are none.
    """
    if not part or not progression:
        return None
    rising = part if part.step > 0 else part[::-1]
    distance = progression.start - rising.start
    divisor = math.gcd(rising.step, progression.step)
    if distance % divisor:
        return None
    # Solve rising.start + i * rising.step = progression.start  (mod progression.step) for i >= 0.
    modulus = progression.step // divisor
    steps = distance // divisor * pow(rising.step // divisor, -1, modulus) % modulus
    shared_step = modulus * rising.step
    first = rising.start + steps * rising.step
    first += -(-max(0, progression.start - first) // shared_step) * shared_step
    shared = range(first, min(rising[-1], progression[-1]) + 1, shared_step)
    if not shared:
        return None
    return _positions(shared, part), _positions(shared, progression)


def _positions(numbers: range, within: range) -> slice:
    """The positions of `numbers` in `within`, in the order of `numbers`."""
    step = numbers.step // within.step
    stop = within.index(numbers[-1]) + (1 if step > 0 else -1)
    return slice(within.index(numbers[0]), stop if stop >= 0 else None, step)


def as_slices(box: Box) -> tuple[slice, ...]:
    """The basic index that selects a box."""
    return tuple(
        slice(part.start, part.stop if part.stop >= 0 else None, part.step) for part in box
    )


def _boxes_of_run(start: int, stop: int, shape: tuple[int, ...]) -> Iterator[Box]:
    """Cut the run [start, stop) of the flattened shape into boxes, in order."""
    if start >= stop:
        return
    if not shape:
        yield ()
        return
    tail_shape = shape[1:]
    tail_size = math.prod(tail_shape)
    first, first_offset = divmod(start, tail_size)
    last, last_offset = divmod(stop, tail_size)
    if first == last:
        for box in _boxes_of_run(first_offset, last_offset, tail_shape):
            yield (range(first, first + 1), *box)
        return
    if first_offset:
        for box in _boxes_of_run(first_offset, tail_size, tail_shape):
            yield (range(first, first + 1), *box)
        first += 1
    if first < last:
        yield (range(first, last), *map(range, tail_shape))
    for box in _boxes_of_run(0, last_offset, tail_shape):
        yield (range(last, last + 1), *box)


def pieces(
    array: NDArray[Any], box: Box, axes: Sequence[int], most: int
) -> Iterator[tuple[NDArray[Any], Box]]:
    """Cut a view and its box along `axes` until these span at most `most` indices."""
    if not array.size:
        return
    if math.prod(array.shape[axis] for axis in axes) <= most:
        yield array, box
        return
    axis = max(axes, key=array.shape.__getitem__)
    half = array.shape[axis] // 2
    for part in (slice(None, half), slice(half, None)):
        block = array[(slice(None),) * axis + (part,)]
        yield from pieces(block, (*box[:axis], box[axis][part], *box[axis + 1 :]), axes, most)


def _open_grid(box: Box) -> list[Coordinates]:
    """One array of indices per axis, of shape (1, ..., length, ..., 1)."""
    return [
        _coordinates(indices).reshape((-1,) + (1,) * (len(box) - axis - 1))
        for axis, indices in enumerate(box)
    ]


def _coordinates(indices: range) -> Coordinates:
    return np.arange(len(indices), dtype=np.int64) * indices.step + indices.start


def assign(array: NDArray[Any], values: NDArray[Any]) -> None:
    """Write float64 or complex128 values, each rounded to the compute type and then stored."""
    if array.dtype.itemsize == 2:  # the compute type of float16 and bfloat16 is float32
        values = values.astype(np.float32)
    array[...] = values


# ---------------------------------------------------------------------------------------------
# The patterns


def identity(weight: Weight) -> Any:
    """One where input and output have the same number."""
    return _delta(weight, least_kernel_axes=0, most_kernel_axes=0)


def dirac(weight: Weight, groups: int | None) -> Any:
    """One at the centre of the kernel where input and output have the same number in a group."""
    return _delta(weight.in_groups(groups), least_kernel_axes=1, most_kernel_axes=3)


def _delta(weight: Weight, least_kernel_axes: int, most_kernel_axes: int) -> Any:
    axes = weight.single_axes(least_kernel_axes, most_kernel_axes)
    # `whole` holds the channels of all groups, `part` those of one (see Layout).
    (whole,), (part,) = axes.outputs, axes.inputs
    if weight.layout.transposed:
        whole, part = part, whole
    channels_per_group = max(1, weight.shape[whole] // weight.layout.groups)
    return _write_ones(weight, whole, part, channels_per_group, axes.kernel)


def _write_ones(
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
            block = _coordinates(row_numbers[first : first + _BLOCK_VALUES]) % period
            column, remainder = np.divmod(block - column_numbers.start, column_numbers.step)
            hit = (remainder == 0) & (column >= 0) & (column < len(column_numbers))
            at[rows], at[columns] = first + np.flatnonzero(hit), column[hit]
            array[tuple(at)] = np.float32(weight.gain) if array.dtype.itemsize == 2 else weight.gain
    return goal.done()


def constant(weight: Weight, value: NDArray[Any]) -> Any:
    """A scalar, or an array broadcast to the full shape."""
    if value.ndim == 0:
        return write_constant(weight, value.item(), value.dtype.kind)
    shape = weight.shape
    first = len(shape) - value.ndim
    if first < 0 or any(
        size not in (1, full) for size, full in zip(value.shape, shape[first:], strict=True)
    ):
        raise ValueError(f"value of shape {value.shape} does not broadcast to the shape {shape}")

    if weight.out is not None:
        value = value.copy()  # it may overlap `out`, which is written block by block

    def values(*at: Coordinates) -> Any:
        return value[
            tuple(at[first + axis] if size != 1 else 0 for axis, size in enumerate(value.shape))
        ]

    return write_pattern(weight, values, value.dtype.kind)


def bilinear(weight: Weight) -> Any:
    """Product over the kernel axes of 1 - |i / f - c|."""
    kernel = weight.layout.axes(weight.shape).kernel
    if not kernel:
        raise ValueError(f"bilinear needs kernel axes, shape {weight.shape} has none")

    def values(*at: Coordinates) -> Any:
        product: Any = 1.0
        for axis in kernel:
            factor = (weight.shape[axis] + 1) // 2
            centre = (2 * factor - 1 - factor % 2) / (2 * factor)
            product = product * (1.0 - np.abs(at[axis] / factor - centre))
        return product

    return write_pattern(weight, values)


def zero_hadamard(weight: Weight) -> Any:
    """Partial identity, or the corner of a scaled Hadamard matrix if there are more outputs."""
    axes = weight.single_axes(0, 3)
    if weight.layout.groups != 1:
        raise ValueError(f"zero_hadamard has no grouped form, got groups={weight.layout.groups}")
    (in_axis,), (out_axis,) = axes.inputs, axes.outputs
    inputs, outputs = weight.shape[in_axis], weight.shape[out_axis]
    if outputs <= inputs:
        return _write_ones(weight, out_axis, in_axis, max(1, outputs), axes.kernel)
    order = (outputs - 1).bit_length()  # the k of the Hadamard matrix of 2**k rows
    scale = math.sqrt(math.ldexp(1.0, 1 - order))

    def values(*at: Coordinates) -> Any:
        matrix = scale * (1.0 - 2.0 * _parity(at[in_axis] & at[out_axis]))
        for axis in axes.kernel:
            matrix = matrix * (at[axis] == weight.shape[axis] // 2)
        return matrix

    return write_pattern(weight, values)


def _parity(numbers: Coordinates) -> Coordinates:
    """The number of one bits of numbers below 2**32, modulo 2.

    Both indices of a matrix of at most 2**63 elements have no more bits than that in common.
    """
    for shift in (16, 8, 4, 2, 1):
        numbers = numbers ^ (numbers >> shift)
    return numbers & 1


def lstm_forget_bias(weight: Weight, value: float, gates: str) -> Any:
    """`value` in the slice of the forget gate on the last axis, 0 elsewhere."""
    hidden = weight.gate_size(len(gates))
    forget = gates.index("f")
    return write_pattern(weight, lambda *at: value * (at[-1] // hidden == forget))
