"""What finite width changes of a dense stack, to first order in 1/width."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fanin._activations.activation import Activation, ActivationLike, as_activation
from fanin._activations.moments import check_slope
from fanin._checks import as_count, non_negative
from fanin._public import public
from fanin._types import Floats

from ._nodes import gaussian_nodes

__all__ = ["WidthCorrection", "width_correction"]

#: Shares below which nothing is said, and above which the first order is no correction.
_SMALL, _LARGE = 0.1, 0.5


@public("fanin.propagation")
@dataclass(frozen=True)
class WidthCorrection:
    """First-order effects of a width, relative to the values at infinite width.

    Attributes
    ----------
    q : ndarray
        Of the mean of q over networks, entry by entry as in :class:`Profile`.
    spread : ndarray
        Standard deviation over networks of q, relative to its mean.
    grad : float
        Of the mean over networks of the gradient variance at entry 0.
    """

    q: Floats
    spread: Floats
    grad: float


@dataclass(frozen=True)
class _Layer:
    """Moments of one activation at variance q, E f(u), and the derivatives by q of F = E phi^2 and
    M = E phi'^2."""

    second: float
    second_1: float
    second_2: float
    slope: float
    slope_1: float
    slope_2: float
    of_second: float  # variance of phi^2
    of_both: float  # covariance of phi^2 and phi'^2
    crossed: float  # E phi^2 phi'^2
    lifted: float  # E u phi phi'
    steep: float  # E u^2 phi'^2


def _layer(phi: Activation, q: float) -> _Layer:
    u, mass = gaussian_nodes(q, phi.kinks)
    square = np.asarray(phi(u), np.float64) ** 2
    slope = np.asarray(phi.derivative(u), np.float64)
    steep = slope * slope
    z = u * u / q
    # Derivatives of a normal density by its variance.
    first, second = (z - 1) / (2 * q), (z * z - 6 * z + 3) / (4 * q * q)

    def mean(values: Floats) -> float:
        return float((mass * values).sum())

    f, m = mean(square), mean(steep)
    return _Layer(
        f, mean(square * first), mean(square * second), m, mean(steep * first),
        mean(steep * second), mean(square * square) - f * f, mean(square * steep) - f * m,
        mean(square * steep), q * mean(square * first), mean(u * u * steep),
    )  # fmt: skip


def width_correction(
    activation: ActivationLike,
    depth: int,
    width: int,
    *,
    weight_var: float,
    bias_var: float = 0.0,
    q0: float = 1.0,
) -> WidthCorrection:
    """What `width` units a layer change of means over networks, to first order in 1/width.

    Given a layer, the units of the next are independent normals of variance Q' = weight_var S +
    bias_var, S the mean of phi^2 over the layer's units, so that Q is a Markov chain whose mean
    and variance follow from V', V'' and Var phi^2 (Roberts, Yaida & Hanin 2022). The gradient's
    factors, means of phi'^2 over the same units, fluctuate with it, and the weights have a part
    along phi that the signal fixes.

    Parameters
    ----------
    activation : str, Activation or callable
    depth, width : int, >= 1
        Layers, and units in each.
    weight_var, bias_var, q0 : float, >= 0
        As in :func:`propagate`.

    Returns
    -------
    WidthCorrection

    Raises
    ------
    ValueError
        For a bad size or variance, and an activation that jumps.

    Examples
    --------
    >>> from fanin import propagation as p
    >>> found = p.width_correction("relu", 10, 100, weight_var=2.0)
    >>> abs(round(found.q[-1].item(), 12)), round(found.spread[-1].item(), 4)  # sqrt(10 * 5/100)
    (0.0, 0.7071)
    """
    phi = as_activation(activation)
    check_slope(phi)
    layers, units = as_count(depth, "depth"), as_count(width, "width")
    weight, bias = non_negative("weight_var", weight_var), non_negative("bias_var", bias_var)
    found = corrected([Step(phi, weight, bias, units)] * layers, non_negative("q0", q0))
    if found is None:
        raise ValueError("width_correction needs signals: a variance is 0 or infinite at a layer")
    return found


@dataclass(frozen=True)
class Step:
    """An activation of `units` units, and the dense layer behind it."""

    phi: Activation
    weight: float
    bias: float
    units: float


def corrected(steps: Sequence[Step], q0: float) -> WidthCorrection | None:
    """Of any dense layers in a row; None where a signal ends."""
    values, made = [q0], list[_Layer]()
    for step in steps:
        if not 0 < values[-1] < math.inf:
            return None
        made.append(_layer(step.phi, values[-1]))
        values.append(step.weight * made[-1].second + step.bias)
    if min(values) <= 0 or any(at.slope == 0 or at.second == 0 for at in made):
        return None
    mean, variance = np.zeros((2, len(values)))  # of Q - q
    shift = shared = 0.0  # of the product of the gradient's factors, and its covariance with Q
    for i, (step, at) in enumerate(zip(steps, made, strict=True)):
        one, two = at.slope_1 / at.slope, at.slope_2 / at.slope
        shift += one * (mean[i] + shared) + 0.5 * two * variance[i]
        growth, noise = step.weight * at.second_1, step.weight / step.units
        mean[i + 1] = growth * mean[i] + 0.5 * step.weight * at.second_2 * variance[i]
        shared = growth * (shared + one * variance[i]) + noise * at.of_both / at.slope
        variance[i + 1] = growth * growth * variance[i] + step.weight * noise * at.of_second
    # Of the weights the part along phi, whose gradient is (u . g)^2/width = `along`.
    grad, along = 1.0, values[-1]
    for i, (step, at) in reversed(list(enumerate(zip(steps, made, strict=True)))):
        inside, power = step.weight * grad, values[i + 1] / step.weight
        part = at.crossed * (along / (power * inside) - 1) / (power * at.slope)
        shift += part / step.units
        turned = at.lifted * at.lifted
        along = turned * along / (power * power) + inside * (at.steep - turned / power)
        grad = inside * at.slope
    q = np.array(values)
    return WidthCorrection(mean / q, np.sqrt(variance) / q, float(shift))


def width_hints(found: WidthCorrection | None) -> tuple[str, ...]:
    """A sentence where the terms of order 1/width are not small."""
    if found is None:
        return ()
    q, spread = float(found.q[-1]), float(found.spread[-1])
    if max(abs(q), spread * spread, abs(found.grad)) < _SMALL:
        return ()
    text = (
        f"At these widths terms of order 1/width add {q:+.0%} to the mean q of the last entry and "
        f"{found.grad:+.0%} to the gradient of the first, and q differs by {spread:.0%} between "
        "networks: `simulate` draws some."
    )
    if max(abs(q), spread * spread, abs(found.grad)) > _LARGE:
        text += " So large, they only say that this profile is not what such networks show."
    return (text,)


def fluctuation_hints(kurtosis_over_width: float) -> tuple[str, ...]:
    """For networks of other layers, from the fluctuation of the squared norm alone."""
    if kurtosis_over_width < _SMALL:
        return ()
    return (
        f"At these widths squared norms fluctuate by (kappa - 1)/width = {kurtosis_over_width:.2g} "
        "in all: single networks differ, and means by terms of that order; `Network.simulate` "
        "draws some.",
    )
