"""The table from which tokens come."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from fanin._checks import non_negative
from fanin._public import public

from ._layer import EvenLayer, Image, variance_parameters
from ._positions import Pairs
from ._state import Passage, State, times


@public("fanin.propagation")
@dataclass(frozen=True)
class Embedding(EvenLayer):
    """Rows of a table, one for each token, with one for its position and one for all.

    q' = weight_var q + position_var + common_var: q = 1 stands for the one-hot vector of a token,
    and c0 for the share of pairs of tokens that are equal. For patches of an image weight_var q is
    the variance that their linear map puts out.

    With `first_var` a parameter of that variance stands in the place of the first token, as the
    class token of a ViT: it is no input, so that no gradient leaves by it, and q and gradients are
    maps over the tokens, which the first attention behind counts.

    Parameters
    ----------
    weight_var : float, >= 0
        Variance of an entry of the table (its fan is 1).
    position_var : float, >= 0
        That of the positions: each position has a row of its own.
    common_var : float, >= 0
        Of what all tokens of a sequence share, as a type.
    first_var : float, >= 0, optional
        Of a token that all sequences begin with, in the place of what comes in.

    Examples
    --------
    >>> from fanin import propagation as p
    >>> layers = [p.Embedding(0.02**2, common_var=0.02**2), p.Attention(8)]
    >>> profile = p.Network(layers).propagate(c0=0.0)
    >>> round(profile.q[1].item(), 6), round(profile.c[1].item(), 6)
    (0.0008, 0.5)
    >>> begun = p.Network([p.Embedding(first_var=0.25), p.Attention(4)]).propagate(c0=0.0)
    >>> begun.position_map(1).tolist()
    [0.25, 1.0, 1.0, 1.0]
    """

    weight_var: Any = 1.0
    position_var: Any = 0.0
    common_var: Any = 0.0
    first_var: float | None = None

    def __post_init__(self) -> None:
        variance_parameters([self.weight_var], [self.position_var, self.common_var])
        if self.first_var is not None:
            object.__setattr__(self, "first_var", non_negative("first_var", self.first_var))

    def uneven(self, image: Image) -> bool:
        if self.first_var is not None and (image is None or len(image) != 1):
            raise ValueError("first_var needs tokens: an Attention behind it, or image=(tokens,)")
        return self.first_var is not None

    def through(self, state: State, wanted: Pairs) -> Passage:
        weight = state.lifted(self.weight_var)
        position = state.lifted(self.position_var)
        made = state.selected(wanted).mixed(self.weight_var, self.common_var, position)
        made = replace(made, m=np.zeros_like(made.q), gaussian=True)
        factor = weight * np.ones_like(state.q)
        if self.first_var is not None:
            made, factor = self._begun(made, self.first_var), factor.copy()
            factor[..., 0] = 0.0
        return Passage(made, times(state, wanted, factor))

    def _begun(self, state: State, first_var: float) -> State:
        """With the token that all sequences begin with: it shares `common_var` with the others."""
        common = state.lifted(self.common_var)
        q, c, apart, same = (x.copy() for x in (state.q, state.c, state.one_minus_c, state.same))
        separate = state.lifted(self.position_var) + first_var
        first, of_two = (np.broadcast_to(x, q.shape)[..., 0] for x in (common, separate))
        q[..., 0] = first + of_two
        same[..., 0, :] = first[..., None]
        with np.errstate(invalid="ignore", divide="ignore"):
            c[..., 0], apart[..., 0] = first / q[..., 0], of_two / q[..., 0]
        same = state.inside(same)
        return replace(state, q=q, c=c, one_minus_c=apart, same=same, cross=same)
