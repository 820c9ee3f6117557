"""The state of a signal on its way, and how a layer is passed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from fanin._checks import as_variance
from fanin._hints import short
from fanin._numbers import as_floats
from fanin._types import Floats

from ._gradient import Back, Gradient
from ._positions import Displacement, Pairs, moved, partners, positions

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from fanin._activations.activation import Activation

    from ._laws import UnitLaw


@dataclass(frozen=True)
class State:
    """One edge of a network.

    q       second moment of a unit          m       mean of a unit over the units
    c       second-moment correlation of two inputs, and 1 - c without cancellation
    same    second moments of a unit at two positions of one input, for each of `pairs`
    cross   the same of two inputs
    pairs   displacements between positions, or (ANY,) where all positions are alike
    width   number of units or channels, if anybody said
    copies  outputs of the activation for every unit: 2 behind a crelu
    image   sides of the image in pixels, if anybody said
    gaussian   a sum of many independent terms, as an activation needs it
    mapped  q, m, c have an axis for every side of the image behind those of the lanes
    applied the activation just passed and the state in front of it
    tokens  positions are tokens, whose correlation c0 gives
    laws    the law of a unit, lane by lane, where a sum of an activation and weights is none of
            the known ones

    `same` and `cross` have one more axis, the last, with an entry for each of `pairs`.
    """

    q: Floats
    m: Floats
    c: Floats
    one_minus_c: Floats
    same: Floats
    cross: Floats
    pairs: Pairs = ()
    width: float | None = None
    copies: int = 1
    image: tuple[int, ...] | None = None
    gaussian: bool = True
    mapped: bool = False
    applied: tuple[Activation, State] | None = None
    tokens: bool = False
    laws: tuple[UnitLaw, ...] | None = None

    @property
    def axes(self) -> int:
        """Axes of the image that the arrays have."""
        return len(self.image) if self.mapped and self.image is not None else 0

    @property
    def first(self) -> int:
        """The first of them."""
        return self.q.ndim - self.axes

    def lifted(self, parameter: Any) -> Floats:
        """A parameter of the lanes, against the axes of q."""
        values = np.asarray(parameter, np.float64)
        return values.reshape(values.shape + (1,) * self.axes) if values.ndim else values

    def over_positions(self, values: Floats) -> Floats:
        """Mean over the positions."""
        return np.asarray(values.mean(axis=tuple(range(-self.axes, 0)))) if self.axes else values

    def beside(self, values: Floats) -> Floats:
        """The values at the other position of every pair; 0 outside the image."""
        if not self.mapped or self.image is None:
            return np.broadcast_to(values[..., None], (*values.shape, len(self.pairs)))
        index, inside = partners(self.image, self.pairs)
        flat = values.reshape(*values.shape[: values.ndim - self.axes], -1)
        return (flat[..., index] * inside).reshape(*values.shape, len(self.pairs))

    def selected(self, pairs: Pairs) -> State:
        """With these pairs only, of those that are here."""
        if pairs == self.pairs:
            return self
        at = [self.pairs.index(d) for d in pairs]
        return replace(self, same=self.same[..., at], cross=self.cross[..., at], pairs=pairs)

    def pair(self, values: Floats, d: Displacement) -> Floats:
        """Values of `same` or `cross` for one displacement of either sign, like q."""
        if d in self.pairs:
            return values[..., self.pairs.index(d)]
        back = tuple(-x for x in d)
        return moved(values[..., self.pairs.index(back)], back and d, values.ndim - 1 - self.axes)

    def mixed(
        self, factor: Floats | float, common: Floats | float, separate: Floats | float = 0.0
    ) -> State:
        """Signals times a factor of their variance, with a `common` term and `separate` ones
        added. No difference of large numbers appears in 1 - c."""
        factor, common = self.lifted(factor), self.lifted(common)
        shared = factor * self.q
        q = shared + common + separate
        with np.errstate(invalid="ignore", divide="ignore"):
            c = (shared * self.c + common) / q
            one_minus_c = (shared * self.one_minus_c + separate) / q
        far = factor[..., None], common[..., None]
        return replace(
            self,
            q=q,
            c=c,
            one_minus_c=one_minus_c,
            same=self.inside(far[0] * self.same + far[1]),
            cross=self.inside(far[0] * self.cross + far[1]),
        )

    def inside(self, values: Floats) -> Floats:
        """0 for pairs that leave the image."""
        if not self.mapped or self.image is None or not self.pairs:
            return values
        return values * partners(self.image, self.pairs)[1].reshape(*self.image, -1)


@dataclass(frozen=True)
class Passage:
    """How a signal passed a layer.

    after     the state behind it
    back      the gradient in front of it, from the one behind
    weights   gradient variances of one weight of each layer with weights in it, likewise
    earlier   what the layer changes of the way back through the activation in front of it
    """

    after: State
    back: Back
    weights: Callable[[Gradient], list[Floats]] = lambda gradient: []
    earlier: Floats | None = None


class PairSums:
    """Values for the pairs of positions of `state`, added up one displacement at a time."""

    def __init__(self, state: State) -> None:
        self._state, self._parts = state, dict[Displacement, Floats]()

    def add(self, d: Displacement, values: Floats) -> None:
        """Values at a of the pairs (a, a + d), d of either sign; nothing for pairs that nobody
        asked for."""
        if d not in self._state.pairs:
            back = tuple(-x for x in d)
            if back not in self._state.pairs:
                return
            d, values = back, moved(values, back, values.ndim - self._state.axes)
        self._parts[d] = self._parts[d] + values if d in self._parts else values

    def total(self) -> Floats | None:
        """In the order of the pairs, 0 for those that leave the image."""
        if not self._parts:
            return None
        none = np.zeros_like(next(iter(self._parts.values())))
        made = np.stack([self._parts.get(d, none) for d in self._state.pairs], axis=-1)
        return self._state.inside(made)


def times(state: State, behind: Pairs, factor: Floats) -> Back:
    """Back through a layer that treats all units of `state`, in front of it, alike."""
    beside = factor[..., None]
    if state.mapped and factor.ndim > state.first:
        root = np.sqrt(np.broadcast_to(factor, np.broadcast_shapes(factor.shape, state.q.shape)))
        beside = root[..., None] * replace(state, pairs=behind).beside(root)
    return lambda g: g.scaled(factor, beside, factor, beside).among(behind, state.pairs)


def shared_weight(state: State, seen: State) -> Callable[[Gradient], list[Floats]]:
    """Gradient of a weight that all positions of `state`, behind it, share, `seen` being what its
    taps see there: over all pairs of positions and inputs the gradient's moments times those."""

    def weights(g: Gradient) -> list[Floats]:
        one = g.q * seen.q
        if g.own is not None:
            one = one + g.own * (seen.q * seen.c)
        # Each pair of different positions is kept once, of alike ones the sum over all others.
        twice = 2.0 if state.mapped else 1.0
        for values, moments in ((g.same, seen.same), (g.cross, seen.cross)):
            if values is not None:
                one = one + twice * (values * moments).sum(axis=-1)
        return [state.over_positions(one) * positions(state.image)]

    return weights


def starting_state(
    q0: ArrayLike,
    c0: ArrayLike | None,
    width: float | None = None,
    image: tuple[int, ...] | None = None,
    pairs: Pairs = (),
    mapped: bool = False,
    tokens: bool = False,
) -> tuple[State, bool]:
    """The edge that `q0` and `c0` describe, and whether a correlation was given. Different
    positions are independent, but tokens have the correlation c0."""
    q = as_variance("q0", q0)
    c = as_floats(0.0 if c0 is None else c0, "c0")
    if c.ndim == 0 and abs(c) > 1:
        raise ValueError(f"c0 is a correlation, in [-1, 1], got {short(c0)}")
    q, c = np.broadcast_arrays(q, np.where(abs(c) <= 1, c, np.nan))
    if mapped and image is not None:
        shape = (*q.shape, *image)
        q, c = (np.broadcast_to(x.reshape(*x.shape, *(1 for _ in image)), shape) for x in (q, c))
    none = np.zeros((*q.shape, len(pairs)))
    state = State(
        q, np.zeros(q.shape), c, 1 - c, none, none, pairs, width, image=image, mapped=mapped,
        tokens=tokens,
    )  # fmt: skip
    if tokens:
        same = state.inside(np.broadcast_to((q * c)[..., None], none.shape))
        state = replace(state, same=same, cross=same)
    return state, c0 is not None
