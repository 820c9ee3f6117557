"""Nodes and weights for expectations under a Gaussian, of arithmetic alone: no LAPACK, no libm."""

from __future__ import annotations

import functools
import math

import numpy as np

from fanin._functions import exp
from fanin._types import Floats

_TAU = 6.283185307179586
#: Nodes of one panel, and how far out in standard deviations the panels reach: the tail beyond
#: weighs 2e-23, and a panel of half a standard deviation is exact to rounding.
_PANEL_NODES = 16
_REACH = 10.0
_STEP = 0.5
#: Where saturating activations bend; panels end there too.
_BENDS = (0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 16.0, 24.0)


def _legendre(count: int, x: Floats) -> tuple[Floats, Floats]:
    """P_count and its derivative on (-1, 1), by the three-term recurrence."""
    before, value = np.ones_like(x), x
    for n in range(2, count + 1):
        before, value = value, ((2 * n - 1) * x * value - (n - 1) * before) / n
    return value, count * (before - x * value) / (1 - x * x)


@functools.cache
def legendre_rule(count: int) -> tuple[Floats, Floats]:
    """Nodes and weights of Gauss and Legendre on [-1, 1].

    The roots of P_n separate those of P_(n-1), so bisection finds every one of them."""
    roots = np.zeros(1)
    for n in range(2, count + 1):
        low, high = np.r_[-1.0, roots], np.r_[roots, 1.0]
        at_low = np.where(np.arange(n) % 2 == n % 2, 1.0, -1.0)
        for _ in range(60):
            middle = 0.5 * (low + high)
            value, _ = _legendre(n, middle)
            left = value * at_low > 0
            low, high = np.where(left, middle, low), np.where(left, high, middle)
        roots = 0.5 * (low + high)
        roots = 0.5 * (roots - roots[::-1])
    _, slope = _legendre(count, roots)
    return roots, 2 / ((1 - roots * roots) * slope * slope)


def gaussian_nodes(q: float, kinks: tuple[float, ...] = ()) -> tuple[Floats, Floats]:
    """Nodes u and weights of E g(u), u ~ N(0, q); panels end at the kinks of g.

    The weights add up to one, whatever the rounding."""
    scale = math.sqrt(q)
    ends = {k * _STEP * scale for k in range(int(-_REACH / _STEP), int(_REACH / _STEP) + 1)}
    ends |= {
        edge for edge in (*kinks, *_BENDS, *(-b for b in _BENDS)) if abs(edge) < _REACH * scale
    }
    edges = np.array(sorted(ends))
    nodes, weights = legendre_rule(_PANEL_NODES)
    half = 0.5 * np.diff(edges)[:, None]
    u = (0.5 * (edges[1:] + edges[:-1])[:, None] + half * nodes).ravel()
    bell = exp(-0.5 * (u / scale) * (u / scale)) / (scale * math.sqrt(_TAU))
    mass = (half * weights).ravel() * bell
    return u, mass / mass.sum()
