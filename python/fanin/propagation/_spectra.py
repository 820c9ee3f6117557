"""Densities of squared singular values from the equation that their resolvent satisfies."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from fanin._functions import exp, log
from fanin._numbers import as_floats
from fanin._types import Floats

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    Complex = np.ndarray[Any, np.dtype[np.complex128]]

#: Values of x that are followed together: their tables of nodes stay in a cache.
_TOGETHER = 256
#: Steps from far above the real axis, where the root is known, down to it: each so much nearer at
#: most, the last one from a small part of x. Below the least x the density is that at it.
_FACTOR = 0.85
_HIGHEST, _LOWEST = 1e6, 1e-5
_LEAST, _MOST = 1e-20, 1e300
_ITERATIONS = 60
#: A Newton step of more than a tenth could leave the branch.
_LONGEST = 0.1
#: On the way the root need only be near; the last step goes to rounding.
_NEAR, _EXACT = 1e-3, 1e-13
#: Smaller densities are rounding, outside the spectrum.
_NOTHING = 1e-9


def over_positive(x: ArrayLike, density: Callable[[Floats], Floats]) -> Floats:
    """A density at the x that are positive and finite, NaN at the others."""
    goal = as_floats(x, "x")
    good = (goal > 0) & np.isfinite(goal)
    target = np.where(good, goal, 1.0).ravel()
    made = np.empty_like(target)
    for first in range(0, target.size, _TOGETHER):
        some = slice(first, first + _TOGETHER)
        with np.errstate(all="ignore"):  # far from the spectrum
            made[some] = density(target[some])
    return np.where(good, made.reshape(goal.shape), np.nan)


def by_root(target: Floats, at: Callable[[Complex], tuple[Complex, Complex, Complex]]) -> Floats:
    """-Im G(x + i0)/pi with the resolvent G = (1 + z)/lambda, lambda(z) = x.

    `at` gives z, lambda and d ln lambda/d ln w of a parameter w that is 1/lambda far above the real
    axis; from there the root is followed down to it.
    """
    target = np.clip(target, _LEAST, _MOST)
    height, lowest = _HIGHEST * (target + 1), _LOWEST * target
    way = log(height / lowest)
    steps = math.ceil(float(way.max()) / -math.log(_FACTOR))
    down = exp(-way / steps)
    w: Complex = np.asarray(1 / (target + 1j * height))
    for step in range(steps + 1):
        height = height * down if step < steps else np.zeros_like(height)
        aim = target + 1j * height
        for _ in range(_ITERATIONS):
            _, value, slope = at(w)
            change = (aim / value - 1) / slope
            length = np.abs(change)
            w = w * (1 + change * np.minimum(1.0, _LONGEST / np.maximum(length, 1e-300)))
            if float(length.max()) < (_EXACT if step == steps else _NEAR):
                break
    z, value, _ = at(w)
    density = np.maximum(-((1 + z) / value).imag / np.pi, 0.0)
    # NaN, too, is outside: there w leaves the range.
    return np.where(density >= _NOTHING, density, 0.0)
