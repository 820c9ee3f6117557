"""Laws on a disk of the complex plane, for JAX's complex variance scaling.

Both are made of complex normals with the four operations, the square root and the remainder, which
every machine rounds alike; no logarithm and no angle is taken.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

import fanin

# A normal on the plane with E|z|^2 = 1, cut to |z| < 2: |z|^2 is exponential cut at 4, of mean
# 1 - 4 / (e^4 - 1). (JAX divides by 0.95311, which leaves the variance 1.9 % too large.)
_CUT = 4.0
_CUT_STD = 0.9619618280082135

_BLOCK = 1 << 20  # values at a time, so that nothing beside the result is large


def disk_truncated(
    shape: tuple[int, ...], std: float, *, seed: Any, dtype: Any, out: Any = None, index: Any = None
) -> Any:
    """Normal on the plane, cut at twice its sigma and widened to the standard deviation `std`."""
    made = fanin.normal(shape, seed=seed, dtype=dtype, out=out, index=index)
    for z in _blocks(made):
        square = z.real * z.real + z.imag * z.imag
        # An exponential variable has no memory: its remainder modulo 4 is one cut at 4.
        ratio = np.fmod(square, _CUT)
        ratio /= np.where(square > 0, square, 1)
        z *= np.sqrt(ratio, out=ratio)
        z *= square.dtype.type(std / _CUT_STD)
    return made


def disk_uniform(
    shape: tuple[int, ...], std: float, *, seed: Any, dtype: Any, out: Any = None, index: Any = None
) -> Any:
    """Uniform on a disk of the plane about 0, of radius ``sqrt(2) * std``."""
    stream = fanin.default_rng(seed).stream
    made = fanin.normal(shape, seed=stream, dtype=dtype, out=out, index=index)
    whole = index is None
    other = None if whole else fanin.normal(
        shape, seed=stream["disk"], dtype=dtype, index=index
    ).reshape(-1)  # fmt: skip
    start = 0
    for z in _blocks(made):
        stop = start + len(z)
        more = fanin.normal(
            shape, seed=stream["disk"], dtype=dtype, index=fanin.flat[start:stop]
        ) if other is None else other[start:stop]  # fmt: skip
        # A point of the sphere in four dimensions, seen along two of them, is uniform on the disk.
        square = z.real * z.real + z.imag * z.imag
        square += more.real * more.real + more.imag * more.imag
        z /= np.sqrt(np.where(square > 0, square, 1))
        z *= square.dtype.type(math.sqrt(2.0) * std)
        start = stop
    return made


def _blocks(values: Any) -> Any:
    """Parts of contiguous values, to be changed in place."""
    flat = values.reshape(-1)
    return (flat[start : start + _BLOCK] for start in range(0, flat.size, _BLOCK))
