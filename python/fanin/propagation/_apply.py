"""Activations as layers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from fanin._public import public
from fanin._types import Floats

from ._gradient import Back, Gradient
from ._laws import Moments, between, different, gaussian_laws, moments_of, parted, slopes_given
from ._layer import EvenLayer
from ._maps import moments
from ._pairs import covariance, one_minus_correlation_map, pairs_at
from ._positions import Pairs
from ._state import Passage, State

if TYPE_CHECKING:
    from fanin._activations.activation import Activation


@public("fanin.propagation")
@dataclass(frozen=True)
class Apply(EvenLayer):
    """An activation, as a layer of a network."""

    activation: Activation

    def through(self, state: State, wanted: Pairs) -> Passage:
        if state.laws is not None:
            return self._of_laws(state.selected(wanted))
        if not state.gaussian:
            raise ValueError(
                f"{self.activation!r} needs a Gaussian pre-activation, the output of weights; "
                "put a Dense or Conv layer before it"
            )
        phi, state = self.activation, state.selected(wanted)
        found = moments(state.q, phi)
        with np.errstate(invalid="ignore", divide="ignore"):
            near = one_minus_correlation_map(state.one_minus_c, state.q, phi, weight_var=1.0)
            far = covariance(state.q, state.q, state.c, phi) / found.second
        close = state.c > 0.5
        made = replace(
            state,
            q=np.asarray(found.second),
            m=np.asarray(found.mean),
            c=np.where(close, 1 - near, far),
            one_minus_c=np.where(close, near, 1 - far),
            same=self._between(state, state.same),
            cross=self._between(state, state.cross),
            gaussian=False,
            applied=(phi, state),
        )
        factor = np.asarray(found.slope_second)
        if phi.name == "crelu":
            # Both relu(x) and relu(-x) go out, and a unit's gradient comes back over either.
            return Passage(replace(made, copies=2), self._back(state, factor, 2.0))
        return Passage(made, self._back(state, factor))

    def _of_laws(self, state: State) -> Passage:
        """Of units whose law is carried along; correlations by the parabola of `between`."""
        phi, laws = self.activation, state.laws or ()
        if phi.name == "crelu":
            raise ValueError(
                "crelu needs a Gaussian pre-activation, and behind the skip of an activation there "
                "is none; put a Dense or Conv layer before it, or use relu"
            )
        of = {id(law): moments_of(phi, *law.nodes(phi.kinks)) for law in different(laws)}
        shape = state.q.shape
        every = Moments(*(np.reshape([getattr(of[id(law)], name) for law in laws], shape)
                          for name in ("mean", "second", "slope", "slope_second")))  # fmt: skip
        variance = state.q - state.m * state.m
        after = every.second - every.mean * every.mean
        with np.errstate(invalid="ignore", divide="ignore"):
            apart = state.q * state.one_minus_c / variance
            slope = variance * every.slope * every.slope
            one_minus_c = parted(after, slope, apart) / every.second
        here = (state.m, every.mean, variance, after, every.slope)
        products = [x[..., None] * state.beside(x) for x in here]

        def pairs(products_before: Floats) -> Floats:
            return state.inside(between(products_before, *products)) if state.pairs else state.same

        made = replace(
            state, q=every.second, m=every.mean, c=1 - one_minus_c, one_minus_c=one_minus_c,
            same=pairs(state.same), cross=pairs(state.cross), gaussian=False,
            applied=(phi, state), laws=None,
        )  # fmt: skip
        # Of two positions or inputs slopes count as independent.
        own, far = np.asarray(every.slope * every.slope), products[-1]

        def back(g: Gradient) -> Gradient:
            share, profile = slopes_given(phi, laws, shape, g.profile)
            made = _shared(g.scaled(every.slope_second, far, own, far), share)
            return replace(made, profile=profile)

        return Passage(made, back)

    def _back(self, state: State, factor: Floats, copies: float = 1.0) -> Back:
        """By E phi'(u)^2, and E phi'(u) phi'(v) for every pair that shares a gradient."""

        def slopes(products: Floats) -> Floats:
            here, there = state.q[..., None], state.beside(state.q)
            there = np.where(there > 0, there, here)  # beyond the edge there is no gradient
            return copies * self._of_pair(here, there, products, slopes=True)

        def back(g: Gradient) -> Gradient:
            same = factor[..., None] if g.same is None else slopes(state.same)
            own, cross = factor, factor[..., None]
            if g.own is not None:
                [own] = pairs_at(
                    self.activation, state.q, state.q, state.one_minus_c, missing=True, slopes=True
                )
                own = copies * own
            if g.cross is not None:
                cross = slopes(state.cross)
            made = g.scaled(copies * factor, same, own, cross)
            if g.profile is None:
                return made
            laws = gaussian_laws(state.q, self.activation)
            return _shared(made, slopes_given(self.activation, laws, state.q.shape, g.profile)[0])

        return back

    def _between(self, state: State, products: Floats) -> Floats:
        """E phi(u) phi(v) for u and v at two positions."""
        if not state.pairs:
            return products
        here, there = state.q[..., None], state.beside(state.q)
        return state.inside(self._of_pair(here, there, products, covariance=True))

    def _of_pair(self, here: Floats, there: Floats, products: Floats, **what: bool) -> Floats:
        """What `pairs_at` knows of pairs of these variances and product moments."""
        with np.errstate(invalid="ignore", divide="ignore"):
            c = products / (np.sqrt(here) * np.sqrt(there))
        c = np.where((here > 0) & (there > 0), np.clip(c, -1.0, 1.0), 0.0)
        [found] = pairs_at(self.activation, here, there, c, **what)
        return found


def _shared(g: Gradient, share: Floats) -> Gradient:
    """All of a gradient times one factor."""
    return g.scaled(share, share[..., None], share, share[..., None])
