"""Whole networks: layers in a row, and the stack of equal dense layers that theory speaks of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from fanin._public import public

from ._layers import (
    Apply,
    Attention,
    Residual,
    as_layers,
)
from ._profile import Profile
from ._stack import profile_fields
from ._state import starting_state

if TYPE_CHECKING:
    from numpy.typing import ArrayLike



__all__ = ["Network"]


def _title(layer: Any) -> str:
    """How a table calls it."""
    if isinstance(layer, Apply):
        return layer.activation.name
    if isinstance(layer, Residual):
        return f"Residual({', '.join(_title(inner) for inner in layer.layers)})"
    return type(layer).__name__ + ("~" if isinstance(layer, Attention) else "")


@public("fanin.propagation")
class Network:
    """A sequence of layers at initialisation.

    Parameters
    ----------
    layers : sequence
        `Dense`, `Conv`, `Residual`, `Dropout`, `AveragePool`, `LayerNorm`, `RMSNorm`, `BatchNorm`,
        `Attention` (an approximation), and activations: a name, an `Activation` or a function.
        The first one meets Gaussian pre-activations.
    width : int, optional
        Units or channels that come in; needed only where a mode other than fan_in, or a
        non-square layer, makes the widths count.
    image : tuple of int, optional
        Sides of the image that comes in, for zero padding.

    Raises
    ------
    TypeError
        If `layers` is not a sequence.
    ValueError
        For an unknown activation.

    Examples
    --------
    A residual net of 50 blocks whose branches have the weight 50**-0.5 grows by e, not by 2**50.

    >>> from fanin import propagation as p
    >>> block = p.Residual(["relu", p.Dense(weight_var=2.0)], branch=50**-0.5)
    >>> profile = p.Network([block] * 50).propagate()
    >>> round(profile.q[-1].item(), 4), round(profile.grad[0].item(), 4)
    (2.6916, 2.6916)
    """

    def __init__(
        self,
        layers: Sequence[Any],
        *,
        width: int | None = None,
        image: Sequence[int] | None = None,
    ) -> None:
        self.layers = as_layers(layers)
        self.width = width
        self.image = None if image is None else tuple(image)

    def __repr__(self) -> str:
        return f"Network([{', '.join(_title(layer) for layer in self.layers)}])"

    def propagate(self, q0: ArrayLike = 1.0, c0: ArrayLike | None = None) -> Profile:
        """Variances, correlations and gradients along the layers.

        Parameters
        ----------
        q0 : array_like, >= 0
            Variance of the pre-activations that come in.
        c0 : array_like in [-1, 1], optional
            Correlation of two inputs' pre-activations (for Attention, of two tokens).

        Returns
        -------
        Profile
            One entry per layer and one for the input.

        Raises
        ------
        ValueError
            For a q0 or c0 out of range, an activation on something that is not Gaussian, and
            a residual branch whose width does not fit.

        Examples
        --------
        >>> from fanin import propagation as p
        >>> layers = ["relu", p.Dense(weight_var=2.0), p.BatchNorm()]
        >>> profile = p.Network(layers * 10).propagate()
        >>> round((profile.grad[3] / profile.grad[6]).item(), 9)  # pi/(pi - 1)
        1.466942207
        """
        start, correlated = starting_state(q0, c0, self.width, self.image)
        states, factors = [start], []
        for layer in self.layers:
            after, factor = layer.through(states[-1])
            states.append(after)
            factors.append(factor)
        return Profile(
            profile_fields(self.layers, states, factors, correlated),
            ("input", *(_title(layer) for layer in self.layers)),
        )


