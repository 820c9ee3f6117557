"""Pooling: what becomes of an image's positions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from fanin._activations.activation import as_activation
from fanin._numbers import as_float
from fanin._public import public
from fanin._types import Floats

from ._gradient import Gradient
from ._laws import Moments, largest_law, largest_products, moments_of, shared_second
from ._layer import EvenLayer, Image
from ._maps import moments
from ._positions import (
    ANY,
    Displacement,
    Pairs,
    Taps,
    as_sides,
    fits,
    gathered,
    moved,
    positions,
    scattered,
    window_differences,
    within,
)
from ._state import PairSums, Passage, State, times

if TYPE_CHECKING:
    from fanin._activations.activation import Activation

#: Distance of two inputs below which what a MaxPool keeps of it is in proportion.
_ALMOST_ONE = 0.01


@public("fanin.propagation")
@dataclass(frozen=True)
class AveragePool(EvenLayer):
    """Mean over windows of r pixels: q (1 + (r - 1) rho)/r, rho the second-moment correlation of
    two pixels of a window.

    rho is what the layers in front make of independent pixels: mean^2/q behind an activation, and
    with zero padding what the map over pairs of positions says.

    Parameters
    ----------
    size : int, tuple of int or None
        Sides of the window; an int stands for a square, None for the whole image.
    correlation : float, optional
        Of the deviations of two pixels of a window from their mean, where it is known.

    Examples
    --------
    >>> from fanin import propagation as p
    >>> profile = p.Network(["relu", p.AveragePool(2)]).propagate(q0=2.0)
    >>> round(profile.q[2].item(), 6)  # (1 + 3/pi)/4
    0.488732
    """

    size: int | Sequence[int] | None
    correlation: float | None = None

    def __post_init__(self) -> None:
        if self.size is not None:
            object.__setattr__(self, "size", as_sides(self.size, "size", 2))
        if self.correlation is not None and not -1 <= as_float(self.correlation, "c") <= 1:
            raise ValueError(f"correlation is in [-1, 1], got {self.correlation!r}")

    def _window(self, image: Image) -> tuple[int, ...]:
        if self.size is not None:
            window: tuple[int, ...] = tuple(self.size)  # type: ignore[arg-type]
            if image is not None and len(window) != len(image):
                raise ValueError(
                    f"a window of {len(window)} axes on {image}: size is one int for each axis"
                )
            if image is not None and any(w > s for w, s in zip(window, image, strict=True)):
                raise ValueError(f"a window of {window} pixels does not fit into {image}")
            return window
        if image is None:
            raise ValueError("AveragePool(None) pools the whole image: give Network its image=")
        return image

    def image_behind(self, image: Image) -> Image:
        if image is None:
            return None
        return tuple(side // w for side, w in zip(image, self._window(image), strict=True))

    def wanted(self, pairs: Pairs, grid: Image) -> Pairs:
        if grid is None:
            return pairs if self.correlation is not None else (ANY,)
        size = self._window(grid)
        differences = window_differences(size)
        between = [_apart(d, e, size) for d in pairs for e in differences]
        return within(grid, between + (list(differences) if self.correlation is None else []))

    def through(self, state: State, wanted: Pairs) -> Passage:
        size = self._window(state.image)
        if not state.mapped:
            return self._uniform(state, wanted, size)
        return self._mapped(state, wanted, size)

    def _uniform(self, state: State, wanted: Pairs, size: tuple[int, ...]) -> Passage:
        pixels = math.prod(size)
        own = state.q * state.c
        if self.correlation is None:
            far, far_cross = state.same[..., 0], state.cross[..., 0]
        else:
            square = state.m * state.m
            far = square + self.correlation * (state.q - square)
            far_cross = square + self.correlation * (own - square)
        q = (state.q + (pixels - 1) * far) / pixels
        covariance = (own + (pixels - 1) * far_cross) / pixels
        gap = (state.q * state.one_minus_c + (pixels - 1) * (far - far_cross)) / pixels
        image = self.image_behind(state.image)
        with np.errstate(invalid="ignore", divide="ignore"):
            c, apart = covariance / q, gap / q
        made = replace(state.selected(wanted), q=q, c=c, one_minus_c=apart, image=image)
        covered = 1.0
        if image is not None:  # pixels that no window sees have no gradient
            covered = positions(image) * pixels / positions(state.image)
        known = bool(state.pairs)

        def back(g: Gradient) -> Gradient:
            """A unit's gradient is spread over r pixels, 1/r each: 1/r^2 of its square, which the
            r - 1 others of its window share."""
            same = (pixels - 1) * g.q[..., None] + pixels * (0.0 if g.same is None else g.same)
            own = None if g.own is None else g.own * (covered / pixels)
            spread = covered / pixels**2
            return Gradient(g.q * spread, same * spread if known else None, own)

        return Passage(made, back)

    def _mapped(self, state: State, wanted: Pairs, size: tuple[int, ...]) -> Passage:
        image = self.image_behind(state.image)
        assert image is not None
        windows = _Windows(state, size, image, self.correlation)
        q, covariance = windows.second((0,) * len(size))
        with np.errstate(invalid="ignore", divide="ignore"):
            c, apart = covariance / q, (q - covariance) / q
        made = replace(
            state, q=q, m=windows.mean(), c=c, one_minus_c=apart, image=image, pairs=wanted,
        )  # fmt: skip
        far = [windows.second(d) for d in wanted]
        none = np.zeros((*q.shape, 0))
        same, cross = (np.stack([f[i] for f in far], -1) if far else none for i in range(2))
        made = replace(made, same=made.inside(same), cross=made.inside(cross))
        return Passage(made, lambda g: windows.back(g, wanted))


class _Windows:
    """Means over windows where positions differ, and a gradient's way back through them."""

    def __init__(
        self, state: State, size: tuple[int, ...], image: tuple[int, ...], correlation: float | None
    ) -> None:
        assert state.image is not None
        self._state, self._size, self._correlation = state, size, correlation
        self._axes = list(zip(state.image, image, size, strict=True))
        self._grid, self._pixels = state.image, math.prod(size)
        self._differences = window_differences(size)
        self._whole = self._taps(tuple(tuple(range(w)) for w in size))

    def _taps(self, places: Sequence[tuple[int, ...]]) -> list[Taps]:
        return [
            Taps(side, count, w, offsets, False)
            for (side, count, w), offsets in zip(self._axes, places, strict=True)
        ]

    def mean(self) -> Floats:
        return gathered(self._state.m, self._whole, self._state.first) / self._pixels

    def second(self, d: Displacement) -> tuple[Floats, Floats]:
        """Products of two means whose windows are d apart, of one input and of two."""
        total: list[Any] = [0.0, 0.0]
        for e, places in self._differences.items():
            apart = _apart(d, e, self._size)
            if fits(apart, self._grid):
                found = self._between(apart) if any(d) else self._inside(apart)
                for i in range(2):
                    seen = gathered(found[i], self._taps(places), self._state.first)
                    total[i] = total[i] + seen
        return total[0] / self._pixels**2, total[1] / self._pixels**2

    def _between(self, e: Displacement) -> tuple[Floats, Floats]:
        state = self._state
        return state.pair(state.same, e), state.pair(state.cross, e)

    def _inside(self, e: Displacement) -> tuple[Floats, Floats]:
        """Of pixels of one window that are e apart."""
        state, own, first = self._state, self._state.q * self._state.c, self._state.first
        if not any(e):
            return state.q, own
        if self._correlation is None:
            return self._between(e)
        product = state.m * moved(state.m, e, first)
        parts = (x - state.m * state.m for x in (state.q, own))
        means = [(x + moved(x, e, first)) / 2 for x in parts]
        return product + self._correlation * means[0], product + self._correlation * means[1]

    def back(self, g: Gradient, wanted: Pairs) -> Gradient:
        own = None if g.own is None else self._given(g.own, self._whole)
        same, cross = self._pairs(g.q, g.same, wanted), self._pairs(g.own, g.cross, wanted)
        return Gradient(self._given(g.q, self._whole), same, own, cross)

    def _given(self, values: Floats, taps: Sequence[Taps]) -> Floats:
        return scattered(values, taps, values.ndim - self._state.axes) / self._pixels**2

    def _pairs(self, one: Floats | None, pairs: Floats | None, wanted: Pairs) -> Floats | None:
        """The pairs in front, from windows and from pairs of windows."""
        found = PairSums(self._state)
        for e, places in self._differences.items():
            taps = self._taps(places)
            if one is not None and e in self._state.pairs:
                found.add(e, self._given(one, taps))
            if pairs is not None:
                for i, d in enumerate(wanted):
                    found.add(_apart(d, e, self._size), self._given(pairs[..., i], taps))
        return found.total()


def _apart(d: Displacement, e: Displacement, size: Sequence[int]) -> Displacement:
    """The way between pixels of windows that are d apart, e from one's corner to the other's."""
    return tuple(x * w + y for x, w, y in zip(d, size, e, strict=True))


@public("fanin.propagation")
@dataclass(frozen=True)
class Flatten(EvenLayer):
    """All channels of all pixels in a row: the units of a dense layer.

    Examples
    --------
    >>> from fanin import propagation as p
    >>> layers = ["relu", p.Conv(8, 3, 2.0, padding="zero"), "relu", p.Flatten(), p.Dense(10, 2.0)]
    >>> profile = p.Network(layers, width=8, image=(4, 4)).propagate()
    >>> round(profile.q[-1].item(), 6)  # ((4 - 2/3)/4)^2
    0.694444
    """

    def image_behind(self, image: Image) -> Image:
        return None

    def wanted(self, pairs: Pairs, grid: Image) -> Pairs:
        return () if grid is not None else pairs

    def through(self, state: State, wanted: Pairs) -> Passage:
        q, m = state.over_positions(state.q), state.over_positions(state.m)
        with np.errstate(invalid="ignore", divide="ignore"):
            c = state.over_positions(state.q * state.c) / q
            apart = state.over_positions(state.q * state.one_minus_c) / q
        none = np.zeros((*q.shape, len(wanted)))
        width = None if state.width is None else state.width * positions(state.image)
        made = replace(
            state, q=q, m=m, c=c, one_minus_c=apart, same=none, cross=none, pairs=wanted,
            width=width, image=None, mapped=False,
        )  # fmt: skip
        ones = np.ones(state.image or ()) if state.mapped else np.ones(())

        def given(values: Floats) -> Floats:
            return np.reshape(values, (*np.shape(values), *(1,) * ones.ndim)) * ones

        # The units behind have weights of their own: positions share no gradient.
        return Passage(
            made, lambda g: Gradient(given(g.q), own=None if g.own is None else given(g.own))
        )


@public("fanin.propagation")
@dataclass(frozen=True)
class MaxPool(EvenLayer):
    """The largest of windows of pixels, approximately, of pre-activations or behind a rising
    activation.

    Pixels of a window are normal with one correlation (which may not be negative), as circular
    convolutions leave them; then the law of the largest is exact, and the covariance of two inputs
    an integral. Approximate are windows that overlap, which count as different. A gradient goes to
    the largest pixel.

    Parameters
    ----------
    size : int or tuple of int
        Sides of the window; an int stands for a square.
    stride : int or tuple of int, optional
        Default: the window's sides.
    padding : int or tuple of int
        Pixels that never are the largest, added at both ends of each side, at most half a window,
        as in torch. Where the image's sides are known, windows over the edge have fewer
        pixels, and the moments behind are means over the windows.

    Examples
    --------
    >>> from fanin import propagation as p
    >>> profile = p.Network(["relu", p.MaxPool((2, 1))]).propagate()
    >>> round(profile.q[2].item(), 6)  # E max(0, z1, z2)^2 = 3/4 + 1/(2 pi)
    0.909155
    """

    size: int | Sequence[int]
    stride: int | Sequence[int] | None = None
    padding: int | Sequence[int] = 0

    def __post_init__(self) -> None:
        size = as_sides(self.size, "size", 2)
        stride = size if self.stride is None else as_sides(self.stride, "stride", len(size))
        padding = as_sides(self.padding, "padding", len(size), least=0)
        object.__setattr__(self, "size", size)
        for name, sides in (("stride", stride), ("padding", padding)):
            if len(sides) != len(size):
                raise ValueError(f"{name} has {len(sides)} axes, the window {len(size)}")
            object.__setattr__(self, name, sides)
        for side, around in zip(size, padding, strict=True):
            if around > side // 2:
                raise ValueError(
                    f"padding is at most half the window, as in torch: got {around} for a side "
                    f"of {side}"
                )

    def _sides(self) -> list[tuple[int, int, int]]:
        """Window, stride and padding along each axis."""
        return list(zip(self.size, self.stride, self.padding, strict=True))  # type: ignore[arg-type]

    def taps(self, image: Sequence[int]) -> tuple[Taps, ...]:
        """Where the windows look, those that torch has (its ceil_mode is off)."""
        if len(image) != len(self._sides()):
            raise ValueError(f"a window of {self.size} on an image of {tuple(image)}")
        rows = []
        for side, (window, step, around) in zip(image, self._sides(), strict=True):
            if window > side + 2 * around:
                raise ValueError(f"a window of {self.size} pixels does not fit into {image}")
            count = (side + 2 * around - window) // step + 1
            rows.append(Taps(side, count, step, tuple(range(-around, window - around)), False))
        return tuple(rows)

    def image_behind(self, image: Image) -> Image:
        return None if image is None else tuple(row.count for row in self.taps(image))

    def wanted(self, pairs: Pairs, grid: Image) -> Pairs:
        if grid is not None:
            raise ValueError("MaxPool takes alike positions: no zero padding in its network")
        return (ANY,)

    def _kinds(self, image: Image) -> dict[int, float]:
        """Shares of the windows by the number of pixels inside the image."""
        kinds = {1: 1.0}
        along = [{window: 1.0} for window, _, _ in self._sides()]
        if image is not None:
            counts = [sum(np.bincount(outputs, minlength=row.count) for outputs, _ in row.rows())
                      for row in self.taps(image)]  # fmt: skip
            along = [
                {int(n): float((inside == n).mean()) for n in np.unique(inside)}
                for inside in counts
            ]
        for axis in along:
            products = [(k * n, a * b) for k, a in kinds.items() for n, b in axis.items()]
            kinds = {k: sum(share for m, share in products if m == k) for k, _ in products}
        return kinds

    def _among_windows(self, given: list[float], image: Image, phi: Activation) -> Floats:
        """Moments of the largest, those of two windows of one input and of two, and what those of
        two inputs at one place lack, from q, the correlations of two pixels and 1 - c."""
        q, near, crossed, missing = given
        total = np.zeros(7)
        # In proportion from where inputs are almost one.
        least = max(missing, _ALMOST_ONE)
        for pixels, share in self._kinds(image).items():
            law = largest_law(q, near, pixels, phi)
            found = moments_of(phi, *law.nodes(phi.kinks))
            own = (found.mean, found.second, found.slope, found.slope_second)
            elsewhere, product = largest_products(q, near, min(crossed, near), least, pixels, phi)
            lost = (found.second - product) * min(1.0, missing / least)
            # Two windows are of two kinds: products of what are means, or like them.
            level, other = (
                np.sqrt(max(x, 0.0)) for x in (shared_second(q, near, pixels, phi), elsewhere)
            )
            total += share * np.array([*own, level, other, lost])
        return np.array([*total[:4], total[4] ** 2, total[5] ** 2, total[6]])

    def through(self, state: State, wanted: Pairs) -> Passage:
        phi, before = state.applied or (as_activation("linear"), state)
        if not before.gaussian or not state.pairs:
            raise ValueError("MaxPool needs a Gaussian pre-activation, or an activation of one")
        with np.errstate(invalid="ignore", divide="ignore"):
            near = np.clip(np.nan_to_num(before.same[..., 0] / before.q), 0.0, 1.0 - 1e-12)
            crossed = np.nan_to_num(before.cross[..., 0] / before.q)
        lanes = np.broadcast_arrays(before.q, near, crossed, before.one_minus_c)
        rows = np.zeros((7, *lanes[0].shape))
        for at in np.ndindex(lanes[0].shape):
            given = [float(x[at]) for x in lanes]
            rows[(slice(None), *at)] = self._among_windows(given, state.image, phi)
        every = Moments(*rows[:4])
        shared, elsewhere, apart = rows[4:]
        apart = apart / every.second
        made = replace(
            state, q=every.second, m=every.mean, c=1 - apart, one_minus_c=apart,
            same=shared[..., None], cross=elsewhere[..., None],
            image=self.image_behind(state.image),
            gaussian=False,
        )  # fmt: skip
        slopes = moments(before.q, phi).slope_second
        windows = 1 / math.prod(step for _, step, _ in self._sides())  # for every pixel
        if state.image is not None:
            windows = positions(made.image) / positions(state.image)
        with np.errstate(invalid="ignore", divide="ignore"):
            # The slope at the largest pixel, not at any.
            earlier = np.asarray(every.slope_second / slopes)
        back = times(state, wanted, np.ones_like(state.q) * windows)
        return Passage(made.selected(wanted), back, earlier=earlier)
