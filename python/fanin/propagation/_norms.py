"""Norms and dropout: layers that change the size of a signal without mixing units."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from fanin._checks import non_negative
from fanin._numbers import as_float
from fanin._public import public
from fanin._types import Floats

from ._gradient import Gradient
from ._layer import EvenLayer, Image
from ._positions import Pairs, all_pairs, moved, positions
from ._state import Passage, State

#: Positions of an image up to which BatchNorm's mean takes every pair of them.
_ALL_PAIRS = 1024


@public("fanin.propagation")
@dataclass(frozen=True)
class Dropout(EvenLayer):
    """Inverted dropout with masks of their own for every input and position.

    q' = q/(1 - rate), means and cross-covariances stay: c = 1 is no longer a fixed point.

    Parameters
    ----------
    rate : float
        Share of units set to zero, in [0, 1).

    Examples
    --------
    >>> from fanin import propagation as p
    >>> profile = p.Network([p.Dropout(0.5)]).propagate(c0=1.0)
    >>> profile.q.tolist(), profile.c.tolist()
    ([1.0, 2.0], [1.0, 0.5])
    """

    rate: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "rate", as_float(self.rate, "rate"))
        if not 0 <= self.rate < 1:
            raise ValueError(f"rate is in [0, 1), got {self.rate!r}")

    def through(self, state: State, wanted: Pairs) -> Passage:
        keep = 1 - self.rate
        made = state.selected(wanted).mixed(1.0, 0.0, state.q * (self.rate / keep))
        made = replace(made, gaussian=state.gaussian and self.rate == 0)
        one = np.ones_like(state.q)
        return Passage(made, lambda g: g.scaled(one / keep, one[..., None], one, one[..., None]))


@dataclass(frozen=True)
class _Norm(EvenLayer):
    """gamma (x - mean)/sqrt(var + epsilon) + beta, each kind with its own mean and variance."""

    gamma: float = 1.0
    beta_var: float = 0.0
    epsilon: float = 0.0

    def __post_init__(self) -> None:
        for name in ("gamma", "beta_var", "epsilon"):
            object.__setattr__(self, name, non_negative(name, getattr(self, name)))

    def _normed(
        self, state: State, kept: Floats, removed: Floats, far: Floats, variance: Floats
    ) -> Passage:
        """A centred signal of second moments `kept` over the root of `variance` + epsilon. Of the
        moments of two inputs at one position `removed` goes, of those of two positions `far`."""
        with np.errstate(divide="ignore", invalid="ignore"):
            factor = self.gamma * self.gamma / (variance + self.epsilon)
            q = kept * factor + self.beta_var
            c = ((state.q * state.c - removed) * factor + self.beta_var) / q
            apart = state.q * state.one_minus_c * factor / q
            scale = np.sqrt(factor)
            both = scale[..., None] * state.beside(scale)
            same, cross = (
                state.inside((values - far) * both + self.beta_var)
                for values in (state.same, state.cross)
            )
        made = replace(state, q=q, c=c, one_minus_c=apart, same=same, cross=cross)
        return Passage(made, lambda g: g.scaled(factor, both, factor, both))


@public("fanin.propagation")
@dataclass(frozen=True)
class RMSNorm(_Norm):
    """gamma x/sqrt(mean x^2 + epsilon): second moment gamma^2 behind it; a gradient goes back with
    gamma^2/(q + epsilon).

    Parameters
    ----------
    gamma : float, >= 0
        Scale, the root of its mean square.
    beta_var : float, >= 0
        Variance of a shift.
    epsilon : float, >= 0

    Examples
    --------
    >>> from fanin import propagation as p
    >>> profile = p.Network([p.RMSNorm(gamma=2.0)]).propagate(q0=0.25)
    >>> profile.q.tolist(), profile.grad.tolist()
    ([0.25, 4.0], [16.0, 1.0])
    """

    def through(self, state: State, wanted: Pairs) -> Passage:
        state = state.selected(wanted)
        none = np.zeros_like(state.q)
        passage = self._normed(state, state.q, none, none[..., None], state.q)
        with np.errstate(divide="ignore", invalid="ignore"):
            scale = self.gamma / np.sqrt(state.q + self.epsilon)
        return replace(passage, after=replace(passage.after, m=state.m * scale))


@public("fanin.propagation")
@dataclass(frozen=True)
class LayerNorm(_Norm):
    """gamma (x - mean)/sqrt(var + epsilon) + beta over the units: variance gamma^2 + beta_var
    behind it; a gradient goes back with gamma^2/(q - m^2 + epsilon).

    On pre-activations the mean over the units, m, is zero at infinite width.

    Parameters
    ----------
    gamma : float, >= 0
        Scale, the root of its mean square.
    beta_var : float, >= 0
        Variance of the shift, which all inputs share as they share a bias.
    epsilon : float, >= 0

    Examples
    --------
    >>> from fanin import propagation as p
    >>> profile = p.Network(["relu", p.LayerNorm(), p.Dense()]).propagate()
    >>> round(profile.grad[0].item(), 9)  # (1/2)/(1/2 - 1/(2 pi)) = pi/(pi - 1)
    1.466942207
    """

    def through(self, state: State, wanted: Pairs) -> Passage:
        state = state.selected(wanted)
        square = state.m * state.m
        far = state.m[..., None] * state.beside(state.m)
        variance = state.q - square
        passage = self._normed(state, variance, square, far, variance)
        return replace(passage, after=replace(passage.after, m=np.zeros_like(state.q)))


@public("fanin.propagation")
@dataclass(frozen=True)
class BatchNorm(_Norm):
    """gamma (x - mean)/sqrt(var + epsilon) + beta over an infinite batch of inputs with pairwise
    correlation c (mean field), and over the positions of an image with zero padding.

    The batch mean is the part that all inputs share; a gradient goes back with gamma^2/(var +
    epsilon) (Yang et al. 2019). Inputs given without a c0 count as uncorrelated. Behind an
    activation the variance is its mean over the units: exact where the inputs are uncorrelated,
    with relu, c = .5 and epsilon = .01 a gradient of 2.43 where drawn networks have 2.84 +- .23.
    In images of more than 1024 positions the mean of pairs of positions leaves out the edges.

    Parameters
    ----------
    gamma : float, >= 0
        Scale, the root of its mean square.
    beta_var : float, >= 0
        Variance of the shift.
    epsilon : float, >= 0

    Examples
    --------
    >>> from fanin import propagation as p
    >>> profile = p.Network(["relu", p.Dense(), p.BatchNorm()]).propagate()
    >>> round(profile.grad[0].item(), 9)  # pi/(pi - 1)
    1.466942207
    """

    def wanted(self, pairs: Pairs, grid: Image) -> Pairs:
        if grid is None:
            return pairs
        return all_pairs(grid) if positions(grid) <= _ALL_PAIRS else pairs

    def through(self, state: State, wanted: Pairs) -> Passage:
        own = state.q * state.c
        kept, removed, far = state.q * state.one_minus_c, own, own[..., None]
        part = state.selected(wanted)
        if state.mapped:
            # E x_a mean for every position a, and E mean^2: the mean has one value a unit.
            with_mean = self._with_mean(state, own)
            mean = state.lifted(state.over_positions(with_mean))
            kept = state.q - 2 * with_mean + mean
            removed = 2 * with_mean - mean
            far = with_mean[..., None] + part.beside(with_mean) - mean[..., None]
        variance = np.broadcast_to(state.lifted(state.over_positions(kept)), kept.shape)
        passage = self._normed(part, kept, removed, far, variance)

        def back(g: Gradient) -> Gradient:
            return self._without_mean(state, passage.back(g).among(wanted, state.pairs))

        after = replace(passage.after, m=np.zeros_like(state.q))
        return replace(passage, after=after, back=back)

    @staticmethod
    def _without_mean(state: State, g: Gradient) -> Gradient:
        """What all inputs and positions share of a gradient does not go back: with K its moments
        of two positions, over all inputs, (1 - J/n) K (1 - J/n) is left of them."""
        count = positions(state.image) if state.mapped else 1
        pairs = [x for x in (g.same, g.cross) if x is not None]
        rows = g.q if g.own is None else g.q + g.own
        for values in pairs:
            rows = rows + values.sum(axis=-1)
            if state.mapped:
                for i, d in enumerate(state.pairs):
                    rows = rows + moved(values[..., i], tuple(-x for x in d), state.first)
        own = np.zeros_like(rows) if g.own is None else g.own
        if not state.mapped or count > _ALL_PAIRS:
            return Gradient(g.q, g.same, own - rows, g.cross)
        mean = rows / count
        both = state.lifted(state.over_positions(mean))
        cross = -(mean[..., None] + state.beside(mean)) + both[..., None]
        cross = state.inside(cross if g.cross is None else g.cross + cross)
        return Gradient(g.q, g.same, own - 2 * mean + both, cross)

    @staticmethod
    def _with_mean(state: State, own: Floats) -> Floats:
        """Mean over a' of the cross moment of the positions a and a' of two inputs."""
        assert state.image is not None
        if positions(state.image) > _ALL_PAIRS:  # all but the edges are alike
            root = np.sqrt(np.maximum(own, 0.0))
            return root * state.lifted(state.over_positions(root))
        total = own.copy()
        for i, d in enumerate(state.pairs):
            total += state.cross[..., i]
            total += moved(state.cross[..., i], tuple(-x for x in d), state.first)
        return total / positions(state.image)
