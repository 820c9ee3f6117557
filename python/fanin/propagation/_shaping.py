"""Activations shaped for depth: DKS, TAT and leaky rectifiers (Martens et al. 2021, Zhang et al.
2022)."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fanin._activations.activation import Activation, ActivationLike, as_activation
from fanin._activations.moments import (
    CURVATURE_SECOND,
    check_moments,
    check_slope,
    moments_at,
)
from fanin._checks import as_count
from fanin._functions import power
from fanin._hints import short
from fanin._numbers import as_float
from fanin._public import public
from fanin._types import Floats

from ._nodes import gaussian_nodes
from ._pairs import correlation_map

__all__ = ["ShapedActivation", "dks", "leaky_tat", "tat"]

#: Where the search for the input's scale and shift begins.
_SCALES = (0.02, 0.05, 0.1, 0.2, 0.4, 0.7, 1.0, 1.5, 2.5, 4.0)
_SHIFTS = (-3.0, -2.0, -1.4, -1.0, -0.6, -0.3, -0.1, 0.0, 0.1, 0.3, 0.6, 1.0, 1.4, 2.0, 3.0)
#: Starts that are tried, Newton steps of each, and the residual that ends the search.
_STARTS, _STEPS, _SOLVED = 12, 60, 1e-10
_DIFFERENCE = 1e-6
#: Below, phi is straight to the last digit.
_LEAST_CURVATURE = 1e-12
#: Layers that are gone through one by one.
_MOST_LAYERS = 1 << 16


@public("fanin.propagation")
@dataclass(frozen=True)
class ShapedActivation:
    """output_scale (phi(input_scale x + input_shift) + output_shift), itself a function of arrays.

    Attributes
    ----------
    activation : Activation
        phi.
    input_scale, input_shift, output_scale, output_shift : float
        alpha, beta, gamma, delta of the papers.
    residual : float
        By how much the conditions are missed, relatively.
    """

    activation: Activation
    input_scale: float
    input_shift: float
    output_scale: float
    output_shift: float
    residual: float

    def __call__(self, x: ArrayLike) -> Any:
        """The shaped activation of each element, in float64."""
        inner = self.input_scale * np.asarray(x, np.float64) + self.input_shift
        return self.output_scale * (self.activation(inner) + self.output_shift)

    def derivative(self, x: ArrayLike) -> Any:
        """Its derivative."""
        inner = self.input_scale * np.asarray(x, np.float64) + self.input_shift
        return self.output_scale * self.input_scale * self.activation.derivative(inner)

    def as_activation(self) -> Activation:
        """It as the activation of every function of propagation."""
        kinks = [(k - self.input_shift) / self.input_scale for k in self.activation.kinks]
        unit = min(1.0, 1.0 / abs(self.input_scale))
        return Activation(self.__call__, derivative=self.derivative, kinks=kinks, unit=unit)


_BENDS = tuple(0.5 * k for k in range(-32, 33))


@dataclass(frozen=True)
class _Inner:
    """Moments of phi(alpha z + beta), z ~ N(0, 1)."""

    mean: float
    variance: float
    pull: float  # E (phi - mean) phi' z
    slope_pull: float  # E phi' z
    slope: float  # E phi'^2
    curvature: float  # E phi''^2

    @classmethod
    def of(cls, phi: Activation, alpha: float, beta: float) -> _Inner:
        # Where phi bends, panels are half a unit of its own, however wide z makes them.
        ends = (*phi.kinks, *_BENDS) if alpha > 1 else phi.kinks
        u, mass = gaussian_nodes(alpha * alpha, tuple(k - beta for k in ends))
        at = u + beta
        value, first = (np.asarray(f(at), np.float64) for f in (phi, phi.derivative))
        second = np.asarray(phi.second_derivative(at), np.float64)
        z = u / alpha
        mean = float((mass * value).sum())
        apart = value - mean
        return cls(
            mean,
            float((mass * apart * apart).sum()),
            float((mass * apart * first * z).sum()),
            float((mass * first * z).sum()),
            float((mass * first * first).sum()),
            float((mass * second * second).sum()),
        )


Residual = Callable[[float, float], Floats]


def _solved(residual: Residual) -> tuple[float, float, float]:
    """A root of two functions of a scale > 0 and a shift, and what is left of them."""

    def of(x: Floats) -> Floats:
        scale = math.exp(float(x[0])) if abs(x[0]) < 8 else math.nan
        return residual(scale, float(x[1])) if scale == scale else np.full(2, np.inf)

    def size(r: Floats) -> float:
        worst = float(np.abs(r).max())
        return worst if worst == worst else math.inf

    starts = [np.array([math.log(a), b]) for a in _SCALES for b in _SHIFTS]
    starts.sort(key=lambda x: size(of(x)))
    best, least = starts[0], math.inf
    for start in starts[:_STARTS]:
        x, here = start, of(start)
        for _ in range(_STEPS):
            jacobian = np.empty((2, 2))
            for k in range(2):
                step = np.zeros(2)
                step[k] = _DIFFERENCE
                jacobian[:, k] = (of(x + step) - of(x - step)) / (2 * _DIFFERENCE)
            (a, b), (c, d) = jacobian.tolist()
            determinant = a * d - b * c
            if not (abs(determinant) > 0 and math.isfinite(determinant)):
                break
            move = np.array([b * here[1] - d * here[0], c * here[0] - a * here[1]]) / determinant
            length = min(1.0, 0.7 / max(float(np.abs(move).max()), 1e-300))
            while length > 1e-4 and not size(of(x + length * move)) < size(here):
                length /= 2
            if length <= 1e-4:
                break
            x = x + length * move
            here = of(x)
        if size(here) < least:
            best, least = x, size(here)
        if least < _SOLVED:
            break
    return math.exp(float(best[0])), float(best[1]), least


def _checked(activation: ActivationLike, method: str) -> Activation:
    phi = as_activation(activation)
    check_slope(phi)
    check_moments(phi)
    if phi.degree == 1:
        raise ValueError(
            f"{method} bends the input of an activation, which does nothing to {phi.name}: it is "
            "homogeneous; leaky_tat(depth) shapes rectifiers"
        )
    return phi


def _refuse_unsolved(left: float, method: str, phi: Activation) -> None:
    if not left < 1e-6:
        raise ValueError(
            f"{method} finds no scale and shift for {phi!r}: its conditions are missed by "
            f"{left:.2g}"
        )


def dks(activation: ActivationLike, depth: int, *, slope: float = 1.5) -> ShapedActivation:
    """Deep kernel shaping: a smooth activation with which a deep net keeps its inputs apart.

    gamma (phi(alpha x + beta) + delta) with, at q = 1 and weight_var 1: Q(1) = 1, Q'(1) = 1, C(0) =
    0 and C'(1) = slope^(1/depth), for the maps Q of variances and C of correlations of one layer
    (Martens et al. 2021).

    Parameters
    ----------
    activation : str, Activation or callable
    depth : int, >= 1
        Layers with the activation on the longest path.
    slope : float, > 1
        C'(1) of the whole network; 1.5 in the paper.

    Returns
    -------
    ShapedActivation

    Raises
    ------
    ValueError
        For a slope or depth out of range, a homogeneous activation (see :func:`leaky_tat`), one
        that jumps, and where no scale and shift do.

    Notes
    -----
    Weights want weight_var 1 and biases 0: orthogonal ones, or of variance 1/fan_in.

    Examples
    --------
    >>> import fanin
    >>> shaped = fanin.propagation.dks("softplus", 50)
    >>> moments = fanin.propagation.moments(1.0, shaped.as_activation())
    >>> round(float(moments.second), 9), round(float(moments.slope_second) ** 50, 6)
    (1.0, 1.5)
    """
    phi, layers = _checked(activation, "dks"), as_count(depth, "depth")
    whole = as_float(slope, "slope")
    if not 1 < whole < math.inf:
        raise ValueError(f"slope is C'(1) of the network and above 1, got {short(slope)}")
    wanted = float(power(whole, 1 / layers))
    if wanted == 1:
        raise ValueError(f"a slope of {whole!r} over {layers} layers is no more than 1 a layer")

    def residual(alpha: float, beta: float) -> Floats:
        m = _Inner.of(phi, alpha, beta)
        if not m.variance > 0:
            return np.full(2, np.inf)
        return np.array([
            alpha * m.pull / m.variance - 1,
            (alpha * alpha * m.slope / m.variance - 1) / (wanted - 1) - 1,
        ])  # fmt: skip

    alpha, beta, left = _solved(residual)
    _refuse_unsolved(left, "dks", phi)
    m = _Inner.of(phi, alpha, beta)
    return ShapedActivation(phi, alpha, beta, 1 / math.sqrt(m.variance), -m.mean, left)


def tat(activation: ActivationLike, depth: int, *, curvature: float = 0.3) -> ShapedActivation:
    """Tailored activation transformation: a smooth activation for deep nets without skips.

    gamma (phi(alpha x + beta) + delta) with, at q = 1 and weight_var 1: Q(1) = 1, Q'(1) = 1, C'(1)
    = 1 and C''(1) = E phi''^2 = curvature/depth (Zhang et al. 2022).

    Parameters
    ----------
    activation : str, Activation or callable
    depth : int, >= 1
        Layers with the activation on the longest path.
    curvature : float, > 0
        C''(1) of the whole network.

    Returns
    -------
    ShapedActivation

    Raises
    ------
    ValueError
        As :func:`dks`.

    Examples
    --------
    >>> import fanin
    >>> shaped = fanin.propagation.tat("tanh", 50).as_activation()
    >>> found = fanin.propagation.moments(1.0, shaped)
    >>> round(float(found.second), 9), round(float(found.slope_second), 9)
    (1.0, 1.0)
    >>> round(50 * float(found.curvature_second), 6)
    0.3
    """
    phi, layers = _checked(activation, "tat"), as_count(depth, "depth")
    if np.isinf(moments_at(phi, 1.0, CURVATURE_SECOND)[0]):
        raise ValueError(
            f"tat wants a finite E phi''^2, and the slope of {phi!r} jumps; dks takes it"
        )
    whole = as_float(curvature, "curvature")
    wanted = whole / layers
    if not _LEAST_CURVATURE <= wanted < math.inf:
        raise ValueError(
            f"curvature is C''(1) of the network and at least {_LEAST_CURVATURE} a layer, got "
            f"{short(curvature)} for {layers} layers"
        )

    def shift_of(m: _Inner, alpha: float, sign: float) -> float:
        """E (phi + delta)^2 = alpha^2 E phi'^2: the mean that is left, of either sign."""
        return sign * math.sqrt(max(alpha * alpha * m.slope - m.variance, 0.0))

    found = []
    for sign in (1.0, -1.0):

        def residual(alpha: float, beta: float, sign: float = sign) -> Floats:
            m = _Inner.of(phi, alpha, beta)
            if not (m.slope > 0 and m.curvature > 0):
                return np.full(2, np.inf)
            pull = m.pull + shift_of(m, alpha, sign) * m.slope_pull
            # Q'(1) - 1 is of the size of the curvature where phi is nearly straight.
            return np.array([
                (pull / (alpha * m.slope) - 1) / wanted,
                alpha * alpha * m.curvature / m.slope / wanted - 1,
            ])  # fmt: skip

        alpha, beta, left = _solved(residual)
        found.append((left, alpha, beta, sign))
        if left < _SOLVED:
            break
    left, alpha, beta, sign = min(found)
    _refuse_unsolved(left, "tat", phi)
    m = _Inner.of(phi, alpha, beta)
    scale = 1 / (alpha * math.sqrt(m.slope))
    return ShapedActivation(phi, alpha, beta, scale, shift_of(m, alpha, sign) - m.mean, left)


def leaky_tat(depth: int, *, correlation: float = 0.9) -> ShapedActivation:
    """The leaky rectifier of a deep net that makes orthogonal inputs so much correlated, no more.

    sqrt(2/(1 + a^2)) leaky_relu(x, a) with C(C(... C(0))) = correlation after `depth` layers (Zhang
    et al. 2022, section 4).

    Parameters
    ----------
    depth : int, >= 1
    correlation : float in (0, 1)
        Of the outputs for inputs of correlation 0.

    Returns
    -------
    ShapedActivation
        Of ``Activation("leaky_relu", negative_slope=a)``.

    Raises
    ------
    ValueError
        For a correlation out of range, or more than a ReLU makes in so few layers.

    Examples
    --------
    >>> import fanin
    >>> shaped = fanin.propagation.leaky_tat(50)
    >>> round(shaped.activation.parameters["negative_slope"], 6)
    0.430523
    """
    layers = as_count(depth, "depth")
    if layers > _MOST_LAYERS:
        raise ValueError(f"depth is at most {_MOST_LAYERS} layers, got {layers}")
    if not 0 < as_float(correlation, "correlation") < 1:
        raise ValueError(f"correlation is in (0, 1), got {short(correlation)}")

    def after(slope: float) -> tuple[Activation, float, float]:
        phi = Activation("leaky_relu", negative_slope=slope)
        scale = 2 / (1 + slope * slope)
        c = 0.0
        for _ in range(layers):
            c = float(correlation_map(c, 1.0, phi, weight_var=scale))
        return phi, math.sqrt(scale), c

    most = after(0.0)[2]
    if correlation > most:
        raise ValueError(
            f"{layers} layers of a ReLU make a correlation of {most:.6g}; a leaky one makes less "
            f"than the {correlation!r} that is wanted"
        )
    low, high = 0.0, 1.0  # slopes that give more and less
    for _ in range(60):
        middle = 0.5 * (low + high)
        if after(middle)[2] > correlation:
            low = middle
        else:
            high = middle
    phi, scale, c = after(0.5 * (low + high))
    return ShapedActivation(phi, 1.0, 0.0, scale, 0.0, abs(c - correlation) / correlation)
