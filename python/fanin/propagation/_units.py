"""What share of the units is saturated or dead."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, SupportsIndex

import numpy as np

from fanin._checks import as_count
from fanin._functions import upper_tail
from fanin._types import Floats

if TYPE_CHECKING:
    from fanin._activations.activation import Activation

#: |u| above this counts as saturated, whatever the activation.
SATURATED_AT = 3.0


def saturated_fraction(q: Floats) -> Floats:
    """P(|u| > 3) at variance q."""
    with np.errstate(divide="ignore"):
        distance = np.where(q > 0, SATURATED_AT / np.sqrt(np.where(q > 0, q, 1.0)), np.inf)
    return np.where(np.isnan(q), np.nan, 2 * upper_tail(distance))


def straight_pieces(phi: Activation, q: float) -> list[tuple[float, float]]:
    """Slope and probability at variance q of every interval between kinks where phi is straight."""
    pieces = []
    kinks = sorted(phi.kinks)
    for low, high in zip([-math.inf, *kinks], [*kinks, math.inf], strict=True):
        slope = _slope_within(phi, low, high)
        if slope is not None:
            pieces.append((slope, float(_between(low, high, np.asarray(q)))))
    return pieces


def _slope_within(phi: Activation, low: float, high: float) -> float | None:
    """The one slope of phi between two kinks, or None if it has several."""
    left = (high if math.isfinite(high) else 32.0) - 64.0 if math.isinf(low) else low
    right = left + 64.0 if math.isinf(high) else high
    slopes = np.asarray(phi.derivative(left + (right - left) * np.arange(1.0, 16.0) / 16.0))
    return float(slopes[0]) if bool((slopes == slopes[0]).all()) else None


def dead_fraction(q: Floats, phi: Activation) -> Floats:
    """P(phi'(u) = 0) at variance q: the intervals between kinks on which phi is constant."""
    kinks = sorted(phi.kinks)
    total = np.zeros_like(q)
    if not kinks:
        return total
    for low, high in zip([-math.inf, *kinks], [*kinks, math.inf], strict=True):
        if _slope_within(phi, low, high) == 0:
            total = total + _between(low, high, q)
    return total


def born_dead(widths: int | Sequence[int]) -> float:
    """Probability that a relu network shows a given input nothing but zeros from some layer on.

    1 - prod_l (1 - 2^-n_l): given a signal that is not zero, each of the n_l units of a layer is
    off with probability 1/2, independently, for weights (and biases) of symmetric law. It bounds
    the probability that the network is dead for every input (Lu et al. 2020).

    Parameters
    ----------
    widths : int or sequence of int, >= 1
        Units of each hidden layer.

    Returns
    -------
    float

    Raises
    ------
    ValueError
        For a width below 1.

    Examples
    --------
    >>> from fanin import propagation as p
    >>> round(p.born_dead([4] * 20), 6)  # twenty layers of four units: most are dead
    0.724941
    >>> p.born_dead([64] * 100) < 1e-17
    True
    """
    sizes = [widths] if isinstance(widths, SupportsIndex) else list(widths)
    dead = 0.0
    for size in sizes:
        dead += (1 - dead) * 0.5 ** as_count(size, "a width")
    return dead


def _between(low: float, high: float, q: Floats) -> Floats:
    """P(low < u < high), u ~ N(0, q): differences of tails on the side where they are small."""
    if low < 0 < high:
        return 1 - _between(-math.inf, low, q) - _between(high, math.inf, q)
    near, far = (low, high) if low >= 0 else (-high, -low)
    with np.errstate(divide="ignore", invalid="ignore"):
        std = np.sqrt(q)
        inner = upper_tail(np.where(std > 0, near / std, np.inf if near > 0 else 0.0))
        outer = upper_tail(far / std) if math.isfinite(far) else np.zeros_like(q)
    return np.where(std > 0, inner - outer, 0.0)
