"""Functions given by the user as activations: their derivatives and kinks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fanin._types import Floats

# Finite differences over nine points, exact for polynomials of degree 8 (Fornberg 1988), as the
# numerators over a common denominator: first and second derivative, central and forward.
_CENTRAL = np.arange(-4, 5)
_CENTRAL_FIRST = np.array([3, -32, 168, -672, 0, 672, -168, 32, -3]) / 840
_CENTRAL_SECOND = np.array([-9, 128, -1008, 8064, -14350, 8064, -1008, 128, -9]) / 5040
_FORWARD = np.arange(9)
_FORWARD_FIRST = np.array([-2283, 6720, -11760, 15680, -14700, 9408, -3920, 960, -105]) / 840
_FORWARD_SECOND = (
    np.array([29531, -138528, 312984, -448672, 435330, -284256, 120008, -29664, 3267]) / 5040
)
# Step of the differences in units: truncation h^8 and rounding eps / h are both near 1e-14.
_STEP = 1 / 64


def values_and_slopes(
    call: Callable[..., Any],
    derivative: Callable[..., Any] | None,
    kinks: Sequence[float],
    unit: float,
) -> Callable[[Floats, bool], Floats]:
    """A function that returns phi, phi' and, if wanted, phi'' as three rows."""
    step = _STEP * unit

    def differences(of: Callable[..., Any], x: Floats, order: int) -> Floats:
        """Derivatives of `of`; near a kink from the side on which x lies."""
        nearest = np.full_like(x, np.inf)
        for kink in kinks:
            offset = x - kink
            nearest = np.where(np.abs(offset) < np.abs(nearest), offset, nearest)
        h = np.maximum(step, np.abs(x) * step)  # far out functions change over their distance
        near = np.abs(nearest) <= 4 * h
        side = np.where(nearest >= 0, 1.0, -1.0)
        result = np.empty_like(x)
        for chosen, offsets, weights, direction in (
            (~near, _CENTRAL, (_CENTRAL_FIRST, _CENTRAL_SECOND), np.ones_like(x)),
            (near, _FORWARD, (_FORWARD_FIRST, _FORWARD_SECOND), side),
        ):
            if chosen.any():
                at, along, width = x[chosen], direction[chosen], h[chosen]
                points = at + (along * width) * offsets[:, None]
                values = evaluated(of, points.reshape(-1)).reshape(points.shape)
                total = (weights[order - 1][:, None] * values).sum(axis=0)
                result[chosen] = total / (along * width if order == 1 else width * width)
        return result

    def rows(x: Floats, curved: bool) -> Floats:
        with np.errstate(all="ignore"):
            result = np.zeros((3, x.size))
            result[0] = evaluated(call, x)
            if derivative is None:
                result[1] = differences(call, x, 1)
            else:
                result[1] = evaluated(derivative, x)
            if curved:
                by_slope = derivative is not None
                result[2] = differences(derivative or call, x, 1 if by_slope else 2)
            return result

    return rows


def evaluated(call: Callable[..., Any], x: Floats) -> Floats:
    """call(x) as float64, with a check of its shape."""
    values = np.asarray(call(x), dtype=np.float64)
    if values.shape != x.shape:
        raise ValueError(
            f"an activation returns one value for each element: got shape {values.shape} for "
            f"{x.shape}"
        )
    return values


def find_kinks(call: Callable[..., Any]) -> list[float]:
    """Where phi or phi' jumps in [-16, 16].

    On a grid of step h the second difference of a smooth function is h^2 phi'', at a jump of
    phi' it is h times the jump. Intervals that stand out are halved towards the larger second
    difference; a jump is one that still stands out at the end.
    """
    h = 1 / 32
    # off the round numbers where kinks like to be
    grid: Floats = np.arange(-512.0, 513.0) * h + h / 3
    with np.errstate(all="ignore"):
        second = np.abs(_second_difference(call, grid, h))
        smooth = np.abs(_second_difference(call, grid, h / 4))
        # a quarter of the step: 16 times smaller where smooth, 4 times or less at a jump
        stands_out = (smooth > second / 10) | (second > 64 * np.median(second))
        candidates = grid[(second > 1e-9) & stands_out]
        found: list[float] = []
        for start in candidates:
            kink = _narrowed(call, float(start), h)
            if kink is not None and all(abs(kink - other) > 1e-6 for other in found):
                found.append(kink)
    return found


def _second_difference(call: Callable[..., Any], x: Floats, h: float) -> Floats:
    return evaluated(call, x - h) - 2 * evaluated(call, x) + evaluated(call, x + h)


def _narrowed(call: Callable[..., Any], middle: float, h: float) -> float | None:
    """The jump within h of `middle`, or None if the function is smooth there."""
    # At least 2^-24: differences of rounded values then still show a jump of 1e-6.
    first = None
    while h > 2.0**-24:
        centres = middle + np.array([-0.5, 0.0, 0.5]) * h
        sizes = np.abs(_second_difference(call, centres, h / 2))
        best = int(sizes.argmax())
        if first is None:
            first = float(sizes[best]) / h
        middle, h = float(centres[best]), h / 2
        last = float(sizes[best]) / (2 * h)
    assert first is not None
    if not last > 0.25 * first or last < 1e-6:
        return None
    return _polished(call, middle, h)


def _polished(call: Callable[..., Any], middle: float, h: float) -> float:
    """Where the straight lines of the two sides meet; the middle if the value itself jumps."""
    reach = 2.0**-12
    x = np.array([middle - 2 * reach, middle - reach, middle + reach, middle + 2 * reach])
    a, b, c, d = evaluated(call, x)
    left, right = (b - a) / reach, (d - c) / reach
    if left == right or abs(c - b) > 8 * reach * (abs(left) + abs(right)):
        return middle
    meeting = (c - b + left * x[1] - right * x[2]) / (left - right)
    nearest = round(meeting * 4096) / 4096
    if abs(meeting - middle) > 4 * h + reach**2:
        return middle
    return nearest if abs(nearest - meeting) < 4 * reach**2 else float(meeting)
