"""Whole networks: layers in a row, and the stack of equal dense layers that theory speaks of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fanin._activations.activation import as_activation, check_variance
from fanin._public import public

from ._layers import (
    Apply,
    Attention,
    AveragePool,
    BatchNorm,
    Conv,
    Dense,
    Dropout,
    LayerNorm,
    Residual,
    RMSNorm,
    State,
    check_mode,
    fan,
)
from ._maps import propagated
from ._profile import Profile, dead_fraction, saturated_fraction

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from fanin._activations.activation import ActivationLike

    from ._profile import Field

    Array = np.ndarray[Any, np.dtype[np.float64]]

__all__ = ["Network", "as_layers", "propagate"]

LAYERS = (
    Dense,
    Conv,
    Residual,
    Dropout,
    AveragePool,
    LayerNorm,
    RMSNorm,
    BatchNorm,
    Attention,
    Apply,
)


def as_layers(layers: Sequence[Any]) -> tuple[Any, ...]:
    """Layers as they are; everything else is an activation."""
    if isinstance(layers, str) or not isinstance(layers, Sequence):
        raise TypeError(f"layers are a list, such as ['relu', Dense(256)], got {layers!r}")
    return tuple(
        layer if isinstance(layer, LAYERS) else Apply(as_activation(layer)) for layer in layers
    )


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
            _fields(self.layers, states, factors, correlated),
            ("input", *(_title(layer) for layer in self.layers)),
        )


def starting_state(
    q0: ArrayLike,
    c0: ArrayLike | None,
    width: float | None = None,
    image: tuple[int, ...] | None = None,
) -> tuple[State, bool]:
    """The edge that `q0` and `c0` describe, and whether a correlation was given."""
    q = check_variance("q0", q0)
    c = np.asarray(0.0 if c0 is None else c0, np.float64)
    if c.ndim == 0 and abs(c) > 1:
        raise ValueError(f"c0 is a correlation, in [-1, 1], got {c0!r}")
    q, c = np.broadcast_arrays(q, np.where(abs(c) <= 1, c, np.nan))
    return State(q, np.zeros(q.shape), c, 1 - c, width, image=image), c0 is not None


def _fields(
    layers: Sequence[Any], states: list[State], factors: list[Array], correlated: bool
) -> dict[str, Any]:
    shape = np.broadcast_shapes(*(state.q.shape for state in states))
    count = len(states)
    out = {
        name: np.full((*shape, count), np.nan)
        for name in (
            "q",
            "c",
            "one_minus_c",
            "chi",
            "grad",
            "weight_grad",
            "mean",
            "second",
            "saturated",
            "dead",
        )
    }
    gradient = np.ones(shape)
    for i in reversed(range(count)):
        state = states[i]
        out["q"][..., i] = state.q
        if correlated:
            out["c"][..., i], out["one_minus_c"][..., i] = state.c, state.one_minus_c
        if i < len(layers):
            gradient = gradient * factors[i]
            out["chi"][..., i] = factors[i]
            layer = layers[i]
            if isinstance(layer, Apply):
                out["mean"][..., i], out["second"][..., i] = states[i + 1].m, states[i + 1].q
                out["saturated"][..., i] = saturated_fraction(state.q)
                out["dead"][..., i] = dead_fraction(state.q, layer.activation)
        out["grad"][..., i] = gradient
        if i and isinstance(layers[i - 1], Dense | Conv):
            out["weight_grad"][..., i] = gradient * states[i - 1].q
    return out


def propagate(
    activation: ActivationLike,
    depth: int,
    *,
    weight_var: ArrayLike,
    bias_var: ArrayLike = 0.0,
    q0: ArrayLike = 1.0,
    c0: ArrayLike | None = None,
    widths: Sequence[int] | None = None,
    mode: str = "fan_in",
    dropout: ArrayLike = 0.0,
) -> Profile:
    """Variances, correlations and gradients through `depth` equal dense layers.

    q_l = weight_var/keep E phi(sqrt(q_(l-1)) z)^2 + bias_var (Poole et al. 2016), keep = 1 -
    dropout; the variance of a unit's gradient goes back with chi = weight_var/keep E phi'^2
    (Schoenholz et al. 2017). With `widths` the two get the factors n_(l-1)/N_l and n_l/N_l, N_l
    the fan of `mode`.

    Parameters
    ----------
    activation : str, Activation or callable
    depth : int, >= 0
        Layers after the first pre-activation.
    weight_var, bias_var : array_like, >= 0
        N times the variance of a weight; the variance of a bias.
    q0 : array_like, >= 0
        Variance of the first pre-activations.
    c0 : array_like in [-1, 1], optional
        Correlation of two inputs there.
    widths : sequence of depth + 1 int, optional
        Units of the entries 0 .. depth; default all equal.
    mode : {"fan_in", "fan_out", "fan_avg", "fan_geo"}
        What divides weight_var.
    dropout : array_like in [0, 1)
        Rate on the activations, masks of their own for every input.

    Returns
    -------
    Profile
        Fields of the broadcast shape and an axis of length depth + 1.

    Raises
    ------
    ValueError
        For a negative variance, |c0| > 1 or a rate outside [0, 1) that stands alone (in an array
        it gives NaN), a negative depth, an unknown mode or a wrong number of widths.

    Examples
    --------
    >>> from fanin import propagation as p
    >>> tanh = p.propagate("tanh", 100, weight_var=1.0)
    >>> [round(tanh.q[l].item(), 6) for l in (1, 2, 10)]
    [0.394294, 0.23645, 0.0522]
    >>> round(tanh.grad[0].item(), 8)
    0.00713425
    """
    from fanin import propagation as p

    phi = as_activation(activation)
    if isinstance(depth, bool) or not hasattr(depth, "__index__") or depth < 0:
        raise ValueError(f"depth is the number of layers, an int of at least 0, got {depth!r}")
    if widths is not None and (len(widths) != depth + 1 or min(widths) < 1):
        raise ValueError(
            f"widths are {depth + 1} positive sizes for {depth} layers, got {widths!r}"
        )
    mode = check_mode(mode)
    sizes = [1.0] * (depth + 1) if widths is None else [float(n) for n in widths]
    fans = [fan(mode, n, m) for n, m in zip(sizes, sizes[1:], strict=False)]
    forward = [n / number for n, number in zip(sizes, fans, strict=False)]
    back = [m / number for m, number in zip(sizes[1:], fans, strict=True)]

    start, correlated = starting_state(q0, c0)
    weight, bias = check_variance("weight_var", weight_var), check_variance("bias_var", bias_var)
    rate = np.asarray(dropout, np.float64)
    if rate.ndim == 0 and not 0 <= rate < 1:
        raise ValueError(f"dropout is a rate in [0, 1), got {dropout!r}")
    rate = np.where((rate >= 0) & (rate < 1), rate, np.nan)
    weight, bias = np.where(weight >= 0, weight, np.nan), np.where(bias >= 0, bias, np.nan)
    keep = 1 - rate
    shape = np.broadcast_shapes(start.q.shape, weight.shape, bias.shape, rate.shape)

    # Layers first: entries of one layer lie together.
    q0 = np.broadcast_to(start.q, shape)
    q = propagated(phi, q0, weight / keep, bias, np.array(forward), start=True)
    c = apart = np.broadcast_to(np.nan, q.shape)
    if correlated:
        c, apart = np.empty_like(q), np.empty_like(q)
        c[0], apart[0] = start.c, start.one_minus_c
        for layer in range(depth):
            given = {"weight_var": weight * forward[layer], "bias_var": bias}
            near = p.one_minus_correlation_map(apart[layer], q[layer], phi, **given)
            far = p.correlation_map(c[layer], q[layer], phi, **given)
            # Masks of their own leave the covariance and enlarge the variance: from `whole`,
            # without masks, to q.
            whole = keep * (q[layer + 1] - bias) + bias
            with np.errstate(invalid="ignore", divide="ignore"):
                share = np.where(rate > 0, whole / q[layer + 1], 1.0)
            lost = np.where(rate > 0, 1 - share, 0.0)
            close = c[layer] > 0.5
            c[layer + 1] = np.where(close, 1 - (near * share + lost), far * share)
            apart[layer + 1] = np.where(close, near * share + lost, 1 - far * share)

    layers_last = np.moveaxis(q, 0, -1)
    weight_last, keep_last = weight[..., None], keep[..., None]

    def chi() -> Array:
        return np.array(p.chi(layers_last, phi, weight_var=weight_last / keep_last))

    def grad() -> Array:
        out = np.ones(layers_last.shape)
        for layer in reversed(range(depth)):
            out[..., layer] = out[..., layer + 1] * back[layer] * profile.chi[..., layer]
        return out

    def weight_grad() -> Array:
        inputs = np.empty(layers_last.shape)
        with np.errstate(invalid="ignore", divide="ignore"):
            inputs[..., 0] = (layers_last[..., 0] - bias) / weight
        inputs[..., 1:] = profile.second[..., :-1] / keep_last
        return profile.grad * inputs

    fields: dict[str, Field] = {
        "q": layers_last,
        "c": np.moveaxis(c, 0, -1),
        "one_minus_c": np.moveaxis(apart, 0, -1),
        "chi": chi,
        "grad": grad,
        "weight_grad": weight_grad,
        "mean": lambda: np.array(p.moments(layers_last, phi).mean),
        "second": lambda: np.array(p.moments(layers_last, phi).second),
        "saturated": lambda: saturated_fraction(layers_last),
        "dead": lambda: dead_fraction(layers_last, phi),
    }
    profile = Profile(fields, tuple(str(layer) for layer in range(depth + 1)))
    return profile
