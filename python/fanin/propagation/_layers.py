"""Layers as maps of variances and correlations: what each does to a signal and to a gradient.

A layer takes the state of an edge, (q, m, c, width), to the state behind it, and says by which
factor the variance of a unit's gradient changes on the way back.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from fanin._activations.activation import as_activation
from fanin._checks import as_count
from fanin._functions import exp
from fanin._modes import as_mode, divisor
from fanin._public import public
from fanin._types import Floats

from ._maps import moments
from ._pairs import covariance, one_minus_correlation_map
from ._state import State

if TYPE_CHECKING:
    from fanin._activations.activation import Activation


__all__ = [
    "Attention",
    "AveragePool",
    "BatchNorm",
    "Conv",
    "Dense",
    "Dropout",
    "LayerNorm",
    "RMSNorm",
    "Residual",
]


def _check_variances(weight_var: Any, bias_var: Any) -> None:
    if (np.asarray(weight_var) < 0).any() or (np.asarray(bias_var) < 0).any():
        raise ValueError("weight_var and bias_var are variances, at least 0, got a negative one")


@public("fanin.propagation")
@dataclass(frozen=True)
class Dense:
    """A fully connected layer with independent weights.

    q' = s weight_var q + bias_var, s = fan_in/N; a gradient goes back with fan_out weight_var/N,
    N the fan of `mode`.

    Parameters
    ----------
    width : int, optional
        Units; default: as many as come in.
    weight_var, bias_var : float, >= 0
        N times the variance of a weight; the variance of a bias.
    mode : {"fan_in", "fan_out", "fan_avg", "fan_geo"}
        Which fan N divides.
    """

    width: int | None = None
    weight_var: Any = 1.0
    bias_var: Any = 0.0
    mode: str = "fan_in"

    def __post_init__(self) -> None:
        if self.width is not None:
            as_count(self.width, "width")
        _check_variances(self.weight_var, self.bias_var)
        object.__setattr__(self, "mode", as_mode(self.mode))

    def through(self, state: State) -> tuple[State, Floats]:
        units = state.width or self.width or 1.0
        before, after = units * state.copies, self.width or units
        number = divisor(self.mode, before, after)
        weight = np.asarray(self.weight_var, np.float64)
        bias = np.asarray(self.bias_var, np.float64)
        made = state.mixed(before / number * weight * state.q, bias)
        width = self.width or state.width
        made = replace(made, m=np.zeros_like(made.q), width=width, copies=1, gaussian=True)
        return made, after / number * weight * np.ones_like(state.q)


@public("fanin.propagation")
@dataclass(frozen=True)
class Conv:
    """A convolution with independent kernel entries, or a delta kernel (Xiao et al. 2018).

    Every pixel is a dense layer of fan_in = (channels_in/groups) prod(kernel) inputs. Strides
    leave the signal as it is and divide the average gradient by prod(stride). With zero padding,
    the pixels at the edge see fewer taps: where the image's sides are known the mean factor,
    the share of taps inside, multiplies signal and gradient (the mean over pixels, not a map).

    Parameters
    ----------
    channels : int
        Channels that come out.
    kernel : int or tuple of int
        Sides; an int stands for a square.
    weight_var, bias_var, mode
        As for `Dense`. For a delta kernel the fan counts the centre tap only.
    groups : int
    stride : int or tuple of int
    padding : {"circular", "zero"}
    delta : bool
        Only the centre tap is not zero.
    """

    channels: int
    kernel: int | Sequence[int]
    weight_var: Any = 1.0
    bias_var: Any = 0.0
    mode: str = "fan_in"
    groups: int = 1
    stride: int | Sequence[int] = 1
    padding: str = "circular"
    delta: bool = False

    def __post_init__(self) -> None:
        as_count(self.channels, "channels")
        as_count(self.groups, "groups")
        kernel = (self.kernel,) * 2 if isinstance(self.kernel, int) else tuple(self.kernel)
        stride = self.stride
        strides = (stride,) * len(kernel) if isinstance(stride, int) else tuple(stride)
        for number in (*kernel, *strides):
            as_count(number, "a side of kernel or stride")
        if len(strides) != len(kernel):
            raise ValueError(f"stride has {len(strides)} axes, the kernel {len(kernel)}")
        if self.padding not in ("circular", "zero"):
            raise ValueError(f"padding is 'circular' or 'zero', got {self.padding!r}")
        if self.channels % self.groups:
            raise ValueError(f"{self.channels} channels do not split into {self.groups} groups")
        _check_variances(self.weight_var, self.bias_var)
        object.__setattr__(self, "mode", as_mode(self.mode))
        object.__setattr__(self, "kernel", kernel)
        object.__setattr__(self, "stride", strides)

    def _inside(self, image: tuple[int, ...] | None) -> float:
        """Mean share of the taps that lie in the image: prod over axes of
        sum_o (side - |o|)/(side k), o the taps' offsets from the centre."""
        if self.padding == "circular" or self.delta or image is None:
            return 1.0
        share = 1.0
        for side, taps in zip(image, self.kernel, strict=True):  # type: ignore[arg-type]
            offsets = range(-((taps - 1) // 2), taps // 2 + 1)
            share *= sum(max(0, side - abs(o)) for o in offsets) / (side * taps)
        return share

    def through(self, state: State) -> tuple[State, Floats]:
        before = (state.width or self.channels) * state.copies
        taps = 1 if self.delta else math.prod(self.kernel)  # type: ignore[arg-type]
        fan_in = before / self.groups * taps
        fan_out = self.channels / self.groups * taps
        number = divisor(self.mode, fan_in, fan_out)
        weight, share = np.asarray(self.weight_var, np.float64), self._inside(state.image)
        bias = np.asarray(self.bias_var, np.float64)
        made = state.mixed(share * fan_in / number * weight * state.q, bias)
        strides: tuple[int, ...] = tuple(self.stride)  # type: ignore[arg-type]
        image = state.image
        if image is not None:
            image = tuple(-(-side // step) for side, step in zip(image, strides, strict=True))
        made = replace(
            made,
            m=np.zeros_like(made.q),
            width=float(self.channels),
            copies=1,
            image=image,
            gaussian=True,
        )
        factor = share * fan_out / math.prod(strides) / number * weight
        return made, factor * np.ones_like(state.q)


@public("fanin.propagation")
@dataclass(frozen=True)
class Residual:
    """skip x + branch f(x), the branch ending in weights of its own (Yang & Schoenholz 2017).

    q' = skip^2 q + branch^2 q_f, and a gradient goes back with skip^2 + branch^2 chi_f: the cross
    terms vanish because the branch's last weights have mean zero.

    Parameters
    ----------
    layers : sequence of layers
        The branch f; its last layer with weights comes after its last activation.
    skip, branch : float
        Factors of the two paths; branch = L**-0.5 keeps a net of L blocks bounded.
    """

    layers: Sequence[Any]
    skip: float = 1.0
    branch: float = 1.0

    def __post_init__(self) -> None:

        layers = as_layers(self.layers)
        object.__setattr__(self, "layers", layers)
        for layer in reversed(layers):
            if isinstance(layer, Dense | Conv | Attention):
                return
            if not isinstance(layer, Dropout | AveragePool):
                break
        raise ValueError(
            "the branch of a residual must end in layers with weights of mean zero (Dense, Conv, "
            f"Attention), or the cross terms with the skip do not vanish; got {layers[-1:]!r}"
        )

    def through(self, state: State) -> tuple[State, Floats]:
        inner, factor = state, np.ones_like(state.q)
        for layer in self.layers:
            inner, one = layer.through(inner)
            factor = factor * one
        if inner.width != state.width and None not in (inner.width, state.width):
            raise ValueError(
                f"skip and branch cannot be added: {state.width:g} against {inner.width:g} units"
            )
        a, b = self.skip * self.skip, self.branch * self.branch
        q = a * state.q + b * inner.q
        with np.errstate(invalid="ignore", divide="ignore"):
            c = (a * state.q * state.c + b * inner.q * inner.c) / q
            apart = (a * state.q * state.one_minus_c + b * inner.q * inner.one_minus_c) / q
        made = replace(state, q=q, m=self.skip * state.m, c=c, one_minus_c=apart)
        return made, a + b * factor


@public("fanin.propagation")
@dataclass(frozen=True)
class Dropout:
    """Inverted dropout with masks of their own for every input.

    q' = q/(1 - rate), the cross-covariance stays: c = 1 is no longer a fixed point.

    Parameters
    ----------
    rate : float
        Share of units set to zero, in [0, 1).
    """

    rate: float

    def __post_init__(self) -> None:
        if not 0 <= self.rate < 1:
            raise ValueError(f"rate is in [0, 1), got {self.rate!r}")

    def through(self, state: State) -> tuple[State, Floats]:
        keep = 1 - self.rate
        made = state.mixed(state.q, 0.0, state.q * (self.rate / keep))
        made = replace(made, gaussian=state.gaussian and self.rate == 0)
        return made, np.ones_like(state.q) / keep


@public("fanin.propagation")
@dataclass(frozen=True)
class AveragePool:
    """Mean over windows of r pixels: q (1 + (r - 1) rho)/r.

    Parameters
    ----------
    size : int or tuple of int
        Sides of the window; an int stands for a square.
    correlation : float
        rho, the correlation of two pixels of a window; 0 for independent ones.
    """

    size: int | Sequence[int]
    correlation: float = 0.0

    def __post_init__(self) -> None:
        size = (self.size,) * 2 if isinstance(self.size, int) else tuple(self.size)
        for side in size:
            as_count(side, "a side of size")
        object.__setattr__(self, "size", size)
        if not -1 <= self.correlation <= 1:
            raise ValueError(f"correlation is in [-1, 1], got {self.correlation!r}")

    def through(self, state: State) -> tuple[State, Floats]:
        size: tuple[int, ...] = tuple(self.size)  # type: ignore[arg-type]
        pixels = math.prod(size)
        image = state.image
        if image is not None:
            image = tuple(side // step for side, step in zip(image, size, strict=True))
        share = (1 + (pixels - 1) * self.correlation) / pixels
        # A unit's gradient is spread over r pixels: 1/r each, 1/r^2 of its square.
        return replace(state, q=state.q * share, image=image), np.ones_like(state.q) / pixels**2


@public("fanin.propagation")
@dataclass(frozen=True)
class RMSNorm:
    """x/rms(x): second moment 1 behind it; a gradient goes back with 1/q."""

    def through(self, state: State) -> tuple[State, Floats]:
        with np.errstate(divide="ignore", invalid="ignore"):
            factor = 1 / state.q
            made = replace(state, q=state.q * factor, m=state.m * np.sqrt(factor))
        return made, factor


@public("fanin.propagation")
@dataclass(frozen=True)
class LayerNorm:
    """(x - mean)/std over the units: variance 1 behind it; a gradient goes back with 1/(q - m^2).

    On pre-activations the mean over the units is zero at infinite width."""

    def through(self, state: State) -> tuple[State, Floats]:
        square = state.m * state.m
        with np.errstate(divide="ignore", invalid="ignore"):
            factor = 1 / (state.q - square)
            c = (state.q * state.c - square) * factor
            made = replace(
                state,
                q=(state.q - square) * factor,
                m=np.zeros_like(state.q),
                c=c,
                one_minus_c=state.q * state.one_minus_c * factor,
            )
        return made, factor


@public("fanin.propagation")
@dataclass(frozen=True)
class BatchNorm:
    """(x - mean)/std over an infinite batch of inputs with pairwise correlation c (mean field).

    The batch mean is the part that all inputs share, c q; variance 1 and correlation 0 are behind
    it, and a gradient goes back with 1/(q (1 - c)) (Yang et al. 2019). Inputs given without a c0
    count as uncorrelated."""

    def through(self, state: State) -> tuple[State, Floats]:
        with np.errstate(divide="ignore", invalid="ignore"):
            factor = 1 / (state.q * state.one_minus_c)
        one = np.where(np.isnan(state.q), np.nan, 1.0)
        return replace(state, q=one, m=0 * one, c=0 * one, one_minus_c=one), factor


@public("fanin.propagation")
@dataclass(frozen=True)
class Attention:
    """Self-attention at initialisation, approximately: c is the correlation of two tokens.

    Logits have variance s^2 = query_var key_var q^2 (1 - c) over the keys, so that for many
    tokens sum_j a_j^2 ~ A = min(1, exp(s^2)/tokens); then q' = value_var q (c + (1 - c) A), and
    the covariance of two tokens is value_var q (c + (1 - c)/tokens): without a skip tokens become
    equal. The gradient through the values only; the one through the softmax is small.

    Parameters
    ----------
    tokens : int
        Length of the sequence.
    query_var, key_var, value_var : float, >= 0
        fan_in times the variance of these weights; value_var includes the output projection.
    """

    tokens: int
    query_var: float = 1.0
    key_var: float = 1.0
    value_var: float = 1.0

    def __post_init__(self) -> None:
        as_count(self.tokens, "tokens")
        _check_variances([self.query_var, self.key_var], self.value_var)

    def through(self, state: State) -> tuple[State, Floats]:
        spread = self.query_var * self.key_var * state.q * state.q * state.one_minus_c
        # Beyond the logarithm of any number of tokens one key takes all the weight.
        sharp = exp(np.minimum(spread, 64.0))
        share = np.minimum(1.0, sharp / self.tokens)
        scale = self.value_var * state.q
        q = scale * (state.c + state.one_minus_c * share)
        with np.errstate(divide="ignore", invalid="ignore"):
            c = scale * (state.c + state.one_minus_c / self.tokens) / q
            apart = scale * state.one_minus_c * (share - 1 / self.tokens) / q
        made = replace(state, q=q, m=np.zeros_like(q), c=c, one_minus_c=apart, gaussian=True)
        return made, self.value_var * share


@dataclass(frozen=True)
class Apply:
    """An activation, as a layer of a network."""

    activation: Activation

    def through(self, state: State) -> tuple[State, Floats]:
        if not state.gaussian:
            raise ValueError(
                f"{self.activation!r} needs a Gaussian pre-activation, the output of weights; "
                "put a Dense or Conv layer before it"
            )
        phi = self.activation
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
            gaussian=False,
        )
        factor = np.asarray(found.slope_second)
        if phi.name == "crelu":
            # Both relu(x) and relu(-x) go out, and a unit's gradient comes back over either.
            return replace(made, copies=2), 2 * factor
        return made, factor


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
