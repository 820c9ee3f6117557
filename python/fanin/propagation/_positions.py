"""Maps over the positions of an image: sums over taps, their transposes, pairs of positions.

A pair of positions is named by its displacement: values of the pair (a, a + d) stand at a. The
empty tuple, ANY, names every pair of different positions of a signal that is the same everywhere.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import SupportsIndex

import numpy as np

from fanin._checks import as_count
from fanin._hints import short
from fanin._types import Floats

Displacement = tuple[int, ...]
Pairs = tuple[Displacement, ...]
ANY: Displacement = ()


def as_sides(value: object, name: str, axes: int | None = None, least: int = 1) -> tuple[int, ...]:
    """One int for each axis; where one may stand for all, `axes` says how many those are."""
    if isinstance(value, SupportsIndex) and axes is not None:
        return (as_count(value, f"a side of {name}", least),) * axes
    if isinstance(value, (str, bytes)) or not isinstance(value, Iterable):
        one = "" if axes is None else "an int or "
        raise TypeError(f"{name} is {one}one int for each axis, got {short(value)}")
    return tuple(as_count(side, f"a side of {name}", least) for side in value)


@dataclass(frozen=True)
class Taps:
    """Where the outputs along one axis look: step * o + offset for every offset."""

    side: int
    count: int
    step: int
    offsets: tuple[int, ...]
    wrap: bool

    def rows(self) -> Iterable[tuple[np.ndarray, np.ndarray]]:
        """For each offset the outputs that look inside, and where."""
        outputs = np.arange(self.count)
        for offset in self.offsets:
            at = outputs * self.step + offset
            if self.wrap:
                yield outputs, at % self.side
            else:
                inside = (at >= 0) & (at < self.side)
                yield outputs[inside], at[inside]


def taps_of_kernel(
    image: Sequence[int], kernel: Sequence[int], stride: Sequence[int], wrap: bool
) -> tuple[Taps, ...]:
    """A kernel centred on every stride-th position, as torch pads by (kernel - 1)//2."""
    return tuple(
        Taps(side, -(-side // step), step, tuple(range(-((k - 1) // 2), k // 2 + 1)), wrap)
        for side, k, step in zip(image, kernel, stride, strict=True)
    )


def gathered(values: Floats, taps: Sequence[Taps], first: int) -> Floats:
    """Sums over the taps, along the axes from `first` on."""
    for axis, row in enumerate(taps, first):
        source = np.moveaxis(values, axis, 0)
        made = np.zeros((row.count, *source.shape[1:]))
        for outputs, at in row.rows():
            made[outputs] += source[at]
        values = np.moveaxis(made, 0, axis)
    return values


def scattered(values: Floats, taps: Sequence[Taps], first: int) -> Floats:
    """The transpose of `gathered`: every output gives to the positions that it looked at."""
    for axis, row in enumerate(taps, first):
        source = np.moveaxis(values, axis, 0)
        made = np.zeros((row.side, *source.shape[1:]))
        for outputs, at in row.rows():
            np.add.at(made, at, source[outputs])
        values = np.moveaxis(made, 0, axis)
    return values


def canonical(d: Displacement) -> Displacement:
    """The one of d and -d whose first number that is not 0 is positive: one name for a pair."""
    return max(d, tuple(-x for x in d))


def sorted_pairs(displacements: Iterable[Displacement]) -> Pairs:
    """Canonical names, each once, without the pair of a position and itself."""
    return tuple(sorted({canonical(d) for d in displacements if any(d) or d == ANY}))


def all_pairs(image: Sequence[int]) -> Pairs:
    """Every displacement inside an image."""
    return sorted_pairs(itertools.product(*(range(-side + 1, side) for side in image)))


def fits(d: Displacement, image: Sequence[int]) -> bool:
    """Whether two positions of the image are d apart."""
    return all(abs(x) < side for x, side in zip(d, image, strict=True))


def within(image: Sequence[int], displacements: Iterable[Displacement]) -> Pairs:
    """Those that some pair of positions of the image has."""
    return sorted_pairs(d for d in displacements if d == ANY or fits(d, image))


def wrapped(d: Displacement, image: Sequence[int]) -> list[Displacement]:
    """The displacements between two positions that are d apart on a torus."""
    return [
        tuple(e)
        for e in itertools.product(
            *({x % side, x % side - side} for x, side in zip(d, image, strict=True))
        )
    ]


@functools.lru_cache(32)
def partners(image: tuple[int, ...], pairs: Pairs) -> tuple[np.ndarray, Floats]:
    """Flat index of a + d for every position a and pair d, and 1 where it lies inside, else 0."""
    grid = np.indices(image).reshape(len(image), -1, 1)
    at = grid + np.array(pairs, np.int64).reshape(len(pairs), len(image)).T[:, None, :]
    sides = np.array(image).reshape(-1, 1, 1)
    inside = ((at >= 0) & (at < sides)).all(axis=0)
    flat = np.asarray(np.ravel_multi_index(tuple(np.clip(at, 0, sides - 1)), image))
    return flat, np.asarray(inside, np.float64)


def moved(values: Floats, d: Displacement, first: int) -> Floats:
    """values[a + d] at a, along the axes from `first` on; 0 outside."""
    made = np.zeros_like(values)
    into, source = [slice(None)] * values.ndim, [slice(None)] * values.ndim
    for axis, step in enumerate(d, first):
        into[axis] = slice(max(0, -step), max(0, values.shape[axis] - max(0, step)))
        source[axis] = slice(max(0, step), max(0, values.shape[axis] + min(0, step)))
    made[tuple(into)] = values[tuple(source)]
    return made


def window_differences(size: Sequence[int]) -> dict[Displacement, tuple[tuple[int, ...], ...]]:
    """Differences of two places of a window, and per axis the first places that have them."""
    differences = itertools.product(*(range(-n + 1, n) for n in size))
    return {
        e: tuple(tuple(range(max(0, -x), min(n, n - x))) for x, n in zip(e, size, strict=True))
        for e in differences
    }


def positions(image: Sequence[int] | None) -> int:
    return 1 if image is None else math.prod(image)


def share_behind(
    image: Sequence[int] | None, behind: Sequence[int] | None, strides: Sequence[int]
) -> float:
    """Positions behind a layer for each in front: sides that strides do not divide keep more."""
    if image is None or behind is None:
        return 1.0 / math.prod(strides)
    return positions(tuple(behind)) / positions(tuple(image))
