"""The boxes of the full array that a target covers, and what is written into them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from .targets import Target

if TYPE_CHECKING:
    from numpy.typing import NDArray

Box: TypeAlias = tuple[range, ...]
Coordinates: TypeAlias = np.ndarray[Any, np.dtype[np.int64]]


def boxes(goal: Target) -> Iterator[tuple[NDArray[Any], Box]]:
    """Views that make up the target, each with all axes of the full shape, and their indices."""
    part = goal.part
    if part.axes is not None:
        with_all_axes = (slice(None) if kept else np.newaxis for kept in part.kept)
        yield goal.array[(Ellipsis, *with_all_axes)], part.axes
        return
    assert part.flat is not None  # a Part has axes or a flat run
    done = 0
    for box in _boxes_of_run(part.flat.start, part.flat.stop, goal.shape):
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
    return tuple(map(as_slice, box))


def as_slice(part: range) -> slice:
    """The slice that selects a part: an empty one selects nothing, wherever it stands."""
    if not part:
        return slice(0, 0)
    step = part.step if len(part) > 1 else 1  # a step that is never taken may exceed 64 bits
    stop = part[-1] + (1 if step > 0 else -1)
    return slice(part.start, stop if stop >= 0 else None, step)


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


def open_grid(box: Box) -> list[Coordinates]:
    """One array of indices per axis, of shape (1, ..., length, ..., 1)."""
    return [
        coordinates(indices).reshape((-1,) + (1,) * (len(box) - axis - 1))
        for axis, indices in enumerate(box)
    ]


def coordinates(indices: range) -> Coordinates:
    step = indices.step if len(indices) > 1 else 1  # one that is never taken may exceed 64 bits
    return np.arange(len(indices), dtype=np.int64) * step + indices.start


def assign(array: NDArray[Any], values: NDArray[Any], at: Any = ...) -> None:
    """Write float64 or complex128 values, each rounded to the compute type and then stored."""
    with np.errstate(over="ignore", under="ignore"):  # beyond the dtype lies infinity, no warning
        if array.dtype.itemsize == 2:  # the compute type of float16 and bfloat16 is float32
            values = values.astype(np.float32)
        array[at] = values
