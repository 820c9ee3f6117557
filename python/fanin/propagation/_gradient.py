"""The gradient of a loss on its way back, with the pairs of positions and inputs that share it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from fanin._types import Floats

from ._positions import Pairs

Some = Floats | None


@dataclass(frozen=True)
class Gradient:
    """Second moments of a gradient at one edge, as `State` has those of the signal there.

    q       of a unit
    same    of a unit at two positions of one input, for each of the state's pairs; where all
            positions are alike the sum over all the others of one
    own     of a unit of two inputs at one position, summed over the other inputs
    cross   the same at two positions, for each of the pairs

    None stands for zeros: positions share a gradient in front of pools, inputs in front of a
    BatchNorm. `same` and `cross` have one more axis, the last.

    profile is E[g^2 | atom]/E g^2 for the atoms of a unit's law, in the last axis (what is beyond
    the atoms of a place means nothing), where slopes behind an activation depend on its unit by a
    skip; None stands for ones. Only activations make it and only residuals hand it on.
    """

    q: Floats
    same: Some = None
    own: Some = None
    cross: Some = None
    profile: Some = None

    def scaled(self, q: Floats, same: Floats, own: Floats, cross: Floats) -> Gradient:
        """Each part times a factor of its own, without the profile."""
        return Gradient(
            self.q * q, _times(self.same, same), _times(self.own, own), _times(self.cross, cross)
        )

    def plus(self, other: Gradient) -> Gradient:
        return Gradient(
            self.q + other.q,
            _plus(self.same, other.same),
            _plus(self.own, other.own),
            _plus(self.cross, other.cross),
            _mixed(self, other),
        )

    def among(self, pairs: Pairs, wider: Pairs) -> Gradient:
        """Values for `pairs` as values for `wider`, which has them all."""
        if pairs == wider or (self.same is None and self.cross is None):
            return self
        return replace(
            self,
            same=_placed(self.same, pairs, wider),
            cross=_placed(self.cross, pairs, wider),
        )


Back = Callable[[Gradient], Gradient]


def _times(values: Some, factor: Floats) -> Some:
    return None if values is None else values * factor


def _plus(first: Some, second: Some) -> Some:
    return second if first is None else first if second is None else first + second


def _mixed(first: Gradient, second: Gradient) -> Some:
    """The profile of a sum of independent gradients."""
    if first.profile is None and second.profile is None:
        return None
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        share = (first.q / (first.q + second.q))[..., None]
    share = np.where(np.isfinite(share), share, 0.5)
    one, other = (1.0 if g.profile is None else g.profile for g in (first, second))
    return np.asarray(share * one + (1 - share) * other)


def _placed(values: Some, pairs: Pairs, wider: Pairs) -> Some:
    if values is None:
        return None
    made = np.zeros((*values.shape[:-1], len(wider)))
    made[..., [wider.index(d) for d in pairs]] = values
    return made
