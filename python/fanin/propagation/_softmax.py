"""Moments of a softmax of independent Gaussian logits, by one integral.

1/(sum e^l)^m = int lambda^(m-1) e^(-lambda sum e^l) dlambda/(m-1)! makes the logits independent of
each other: with y = log lambda, w = e^(y + l) and N_m(y) = E w^m e^-w,

    E sum a_j^m = n/(m-1)! int N_m N_0^(n-1) dy
    E sum_(j != k) a_j^2 a_k^2 = n (n-1)/3! int N_2^2 N_0^(n-2) dy.

What logits that are linear in the values' own units add needs E (sum a_j l_j)^2 too: by parts,
twice, s^2 E sum a^2 + s^4 E [1 - sum a^2 - 6 sum a^3 + 6 (sum a^2)^2].

Both integrands are analytic in a strip of half-width pi/2, so equal steps converge like
e^(-pi^2/step).
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from fanin._functions import exp, log
from fanin._types import Floats

#: Steps in y and in l (e^(-pi^2/.3) = 5e-15), and how far out in standard deviations l goes.
_STEP, _REACH = 0.3, 8.5
#: Standard deviation of logits beyond which 1 - sum a^2 falls like its inverse.
_SHARP = 24.0
_TAU = 6.283185307179586


class SoftmaxMoments(NamedTuple):
    """Of n weights a = softmax(l), l independent of variance s^2, and g of variance one.

    share   E sum a_j^2
    slope   E sum a_j^2 (g_j - sum a g)^2 for g independent of a
    pull    (E (sum a_j l_j)^2/s^2 - share)/s^2
    turn    E (sum a g^2 - (sum a g)^2)^2 - slope
    """

    share: Floats
    slope: Floats
    pull: Floats
    turn: Floats


@functools.lru_cache(4096)
def _moments(deviation: float, keys: int) -> tuple[float, float, float, float]:
    if keys == 1:
        return 1.0, 0.0, 0.0, 0.0
    if deviation == 0.0:
        alike = 1 - 1 / keys
        return 1.0 / keys, alike / keys, alike, alike
    if deviation > _SHARP:
        share, slope, pull, turn = _moments(_SHARP, keys)
        scale = _SHARP / deviation
        return 1 - (1 - share) * scale, slope * scale, pull * scale * scale, turn * scale
    step = min(_STEP, _STEP / deviation)
    z = step * np.arange(-int(_REACH / step), int(_REACH / step) + 1)
    mass = exp(-0.5 * z * z) * (step / np.sqrt(_TAU))
    far = _REACH * deviation + 4.0
    # From where w^2 e^-w is below 1e-16 even for the largest of the logits, to where e^-w is.
    y = np.arange(-far - 16.0 - float(log(float(keys))), far, _STEP)
    w = exp(np.minimum(y[:, None] + deviation * z, 7.0))
    decay = exp(-w)
    power = [decay * mass]
    for _ in range(4):
        power.append(power[-1] * w)
    none, _, second, third, fourth = (p.sum(axis=1) for p in power)
    level = log(np.maximum(none, 1e-300))
    rest = exp(np.maximum((keys - 1) * level, -700.0))
    fewer = exp(np.maximum((keys - 2) * level, -700.0))
    share = keys * _STEP * float((second * rest).sum())
    cubes = keys * _STEP / 2 * float((third * rest).sum())
    squares = keys * _STEP / 6 * float((fourth * rest).sum())
    squares += keys * (keys - 1) * _STEP / 6 * float((second * second * fewer).sum())
    slope = share - 2 * cubes + squares
    pull = 1 - share - 6 * cubes + 6 * squares
    return share, slope, pull, 1 - 4 * cubes + 3 * squares - slope


def softmax_moments(variance: Floats, keys: ArrayLike) -> SoftmaxMoments:
    """Of `keys` weights whose logits have this variance."""
    variance, count = np.broadcast_arrays(variance, np.asarray(keys))
    made = np.full((4, *variance.shape), np.nan)
    for at in np.ndindex(variance.shape):
        value = float(variance[at])
        if value >= 0:
            made[(slice(None), *at)] = _moments(float(np.sqrt(value)), int(count[at]))
    return SoftmaxMoments(*made)
